"""Lock files as the cluster gets them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from cjledger import gitrepo
from cjledger.errors import CjError
from cjledger.gitrepo import Repo


def sha256(content: bytes) -> str:
    """The SHA-256 of some bytes, in hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def read(repo: Repo, tree: str, paths: Sequence[str]) -> dict[str, bytes]:
    """The files of a tree that are there, by path."""
    blobs = gitrepo.read_blobs(repo, [f"{tree}:{path}" for path in paths])
    return {path: blob for path, blob in zip(paths, blobs, strict=True) if blob is not None}


def sent(kind: str, files: Mapping[str, bytes]) -> dict[str, str]:
    """The texts that a cluster gets. Older pips do not read pylock.toml: they get requirements instead."""
    texts = {path: content.decode("utf-8", "surrogateescape") for path, content in files.items()}
    if kind != "venv":
        return texts
    return {
        path: requirements(path, text) if path.endswith(".toml") else text for path, text in texts.items()
    }


def requirements(path: str, text: str) -> str:
    """A lock file as PEP 751 has it, as requirements with hashes.

    Raises CjError for what these cannot say: packages from version control or folders, extras, groups.
    """
    import tomllib  # few environments need it

    try:
        packages = tomllib.loads(text)["packages"]
        return "".join(_requirement(path, package) for package in packages)
    except (tomllib.TOMLDecodeError, LookupError, TypeError, AttributeError) as problem:
        raise CjError(f"{path} is no lock file of PEP 751: {problem}", f"pip lock -o {path} …") from None


def _requirement(path: str, package: Mapping[str, Any]) -> str:
    name, marker = package["name"], package.get("marker", "")
    files = [*package.get("wheels", []), *([package["sdist"]] if "sdist" in package else [])]
    odd = [key for key in ("vcs", "directory", "archive") if key in package]
    if odd or not files or "version" not in package or re.search(r"dependency_groups|extras", marker):
        why = odd[0] if odd else "extras or groups" if files else "no file"
        raise CjError(
            f"{path} pins {name} in a way that pip's requirements cannot say ({why})",
            'environment = "uv" with uv.lock, or python -m pip freeze > requirements.txt',
        )
    words = [f"{name}=={package['version']}", *([f"; {marker}"] if marker else [])]
    words += [f"--hash={kind}:{digest}" for file in files for kind, digest in sorted(file["hashes"].items())]
    return " ".join(words) + "\n"
