"""Which lock file makes a program's environment, and the name of what is built from it."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator, Mapping

from cjledger.environments.texts import read, sent, sha256
from cjledger.errors import CjError
from cjledger.gitrepo import Repo
from cjledger.model import Cluster, Environment, Lock
from cjnode.package.environment import BUILT

# The first of these that lies in the working directory, or in the next folder above it, counts.
LOCKS = {
    "venv": ("pylock.toml", "requirements.lock", "requirements.txt"),
    "uv": ("uv.lock",),
    "conda": (
        "conda-lock.yml",
        "conda-lock.yaml",
        "conda-linux-64.lock",
        "conda-linux-aarch64.lock",
        "explicit.txt",
        "environment.yml",
        "environment.yaml",
    ),
}
_MAKING = {
    "venv": "python -m pip freeze > requirements.txt",
    "uv": "uv lock",
    "conda": "conda list --explicit --md5 > explicit.txt",
}
# What an image must end with: then it names the same bytes for ever.
_DIGEST = r"(?:docker|oras)://\S+@sha256:[0-9a-f]{64}|library://\S+:sha256\.[0-9a-f]{64}"
_INCLUDE = r"(?m)^\s*(?:-r|--requirement|-c|--constraint)[\s=]*([^\s#]+)"
_LOCAL = r"(?m)^\s*(?:(?:-e|--editable)[\s=]*)?(\.{1,2}(?:/\S*|\[\S*|(?=\s|$))|file:(?!///)\S*)"


def choose(
    repo: Repo, tree: str, listing: bytes, where: Cluster, workdir: str, python: str
) -> tuple[Environment, tuple[str, ...]]:
    """The environment of a launch from a tree (with its ``ls-tree -r -z``), and what must be told of it.

    Raises CjError that names the file that is missing and the command that makes it.
    """
    kind = where.environment
    if kind == "modules" and not where.modules:
        raise CjError(
            f'cluster {where.name} has environment = "modules" and names none',
            f'add modules = ["python/3.12"] to [cluster.{where.name}]; git cj avail {where.name} lists them',
        )
    if kind not in BUILT:
        return Environment(kind, modules=where.modules), ()
    if kind == "container":
        environment = Environment(kind, modules=where.modules, image=_image(where))
        return _named(environment, {}), ()
    lock = _find(listing, kind, workdir, where)
    files = dict(_files(repo, tree, listing, kind, lock))
    environment = Environment(
        kind,
        lock=lock,
        files=tuple(Lock(path, sha256(text)) for path, text in sorted(files.items())),
        modules=where.modules,
        python=(where.python or "") if kind == "uv" else python,
    )
    return _named(environment, sent(kind, files)), tuple(_remarks(lock, files[lock].decode(errors="replace")))


def _named(environment: Environment, files: Mapping[str, str]) -> Environment:
    fields = (environment.kind, environment.modules, environment.python, environment.image)
    digests = {path: sha256(text.encode()) for path, text in sorted(files.items())}
    content = json.dumps([*fields, environment.lock, digests], separators=(",", ":"))
    return environment._replace(id=sha256(content.encode())[:16])


def _image(where: Cluster) -> str:
    image = where.image or ""
    if re.fullmatch(_DIGEST, image) or (image.startswith(("/", "~/")) and image.endswith(".sif")):
        return image
    if not image:
        raise CjError(
            f'cluster {where.name} has environment = "container" and no image',
            f'add image = "docker://NAME@sha256:…" or "/path/on/the/cluster/NAME.sif" '
            f"to [cluster.{where.name}]",
        )
    plain = image.removeprefix("docker://")
    raise CjError(
        f"image {image} of cluster {where.name} can be another one tomorrow: "
        "a digest (@sha256:…) or the path of a .sif file is needed",
        f"skopeo inspect --format '{{{{.Digest}}}}' docker://{plain}",
    )


def _find(listing: bytes, kind: str, workdir: str, where: Cluster) -> str:
    folder = posixpath.normpath(workdir)
    while True:
        for name in LOCKS[kind]:
            path = posixpath.normpath(posixpath.join(folder, name))
            if _is_in(listing, path):
                return path
        if folder == ".":
            break
        folder = posixpath.dirname(folder) or "."
    names = ", ".join(LOCKS[kind][:-1]) + (" or " if len(LOCKS[kind]) > 1 else "") + LOCKS[kind][-1]
    raise CjError(
        f'cluster {where.name} has environment = "{kind}", and the package would have no {names}',
        _MAKING[kind],
    )


def _is_in(listing: bytes, path: str) -> bool:
    return b"\t" + path.encode() + b"\0" in listing


def _files(repo: Repo, tree: str, listing: bytes, kind: str, lock: str) -> Iterator[tuple[str, bytes]]:
    """The lock file and all that it needs to be read, by path."""
    folder = posixpath.dirname(lock)
    if kind == "uv":
        found = read(repo, tree, _uv_files(listing, folder))
        if posixpath.join(folder, "pyproject.toml") not in found:
            raise CjError(f"there is no pyproject.toml beside {lock}", "git status; git add pyproject.toml")
        yield from found.items()
        return
    waiting, seen = [lock], {lock}
    while waiting:
        path = waiting.pop()
        found = read(repo, tree, [path])
        if path not in found:
            raise CjError(f"{lock} includes {path}, which would not be in the package", f"git add -f {path}")
        yield path, found[path]
        if kind == "venv" and not path.endswith(".toml"):
            new = set(_included(path, found[path].decode(errors="replace"))) - seen
            seen |= new
            waiting += sorted(new)


def _uv_files(listing: bytes, folder: str) -> list[str]:
    beside = [posixpath.join(folder, name) for name in ("uv.lock", "uv.toml", ".python-version")]
    prefix = folder + "/" if folder else ""
    # A workspace's members are read, too; their code is not.
    projects = [
        path
        for line in listing.split(b"\0")
        if line.endswith(b"pyproject.toml")
        and (path := line.split(b"\t", 1)[1].decode(errors="surrogateescape")).startswith(prefix)
        and posixpath.basename(path) == "pyproject.toml"
    ]
    return [path for path in (*beside, *projects) if _is_in(listing, path)]


def _included(path: str, text: str) -> Iterator[str]:
    local = re.search(_LOCAL, text)
    if local:
        raise CjError(
            f"{path} installs {local[1]}, code of the repository: tasks have it already, as it was at launch",
            f"take that line out of {path}; --dep names folders to import from",
        )
    for name in re.findall(_INCLUDE, text):
        if "://" not in name:
            other = posixpath.normpath(posixpath.join(posixpath.dirname(path), name))
            if other.startswith(("/", "..")):
                raise CjError(f"{path} includes {name}, outside the repository", f"edit {path}")
            yield other


def _remarks(lock: str, text: str) -> Iterator[str]:
    """What a person should know of a file that leaves versions open."""
    name = posixpath.basename(lock)
    if name.startswith("environment.y"):
        yield f"{lock} leaves versions open: conda list --explicit --md5 > explicit.txt pins them"
    elif name.startswith("requirements"):
        open_ones = [
            line.split(";")[0].split("#")[0].strip()
            for line in text.splitlines()
            if re.match(r"\s*[A-Za-z0-9]", line)
            and "==" not in line
            and "@" not in line
            and not line.strip().endswith(".whl")
        ]
        if open_ones:
            shown = ", ".join(open_ones[:5]) + (", …" if len(open_ones) > 5 else "")
            yield f"{lock} leaves versions open ({shown}): python -m pip freeze > {lock} pins them"
