"""The node half as one file, and getting it to where it runs."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cjnode
from cjledger.cluster.transport import Transport
from cjledger.gitrepo import Repo
from cjledger.model import Cluster
from cjledger.wholefiles import write_whole

_EPOCH = (1980, 1, 1, 0, 0, 0)
_MAIN = b"import sys\n\nfrom cjnode.__main__ import main\n\nsys.exit(main(sys.argv[1:]))\n"


@functools.cache
def node_zip() -> bytes:
    """``cjnode.pyz``: the same sources give the same bytes.

    It is kept beside the sources' compiled modules, and made anew when a source is another.
    """
    package = Path(cjnode.__file__).parent
    key = hashlib.sha256(repr(sorted(_stamps(package, ""))).encode() + repr(hooks()).encode()).digest()
    kept = package / "__pycache__" / "cjnode.pyz"
    with contextlib.suppress(OSError):
        content = kept.read_bytes()
        if content.startswith(key):
            return content[len(key) :]
    made = _made(package)
    if not sys.dont_write_bytecode:
        with contextlib.suppress(OSError):  # it is not ours to write there
            write_whole(kept, key + made)
    return made


def _stamps(folder: Path, prefix: str) -> Iterator[tuple[str, int, int]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(".py"):
                found = entry.stat()
                yield prefix + entry.name, found.st_mtime_ns, found.st_size
            elif entry.name != "__pycache__" and entry.is_dir():
                yield from _stamps(Path(entry), f"{prefix}{entry.name}/")


def _made(package: Path) -> bytes:
    import zipfile  # seldom needed

    def entry(name: str) -> zipfile.ZipInfo:
        made = zipfile.ZipInfo(name, _EPOCH)
        made.create_system = 3
        made.external_attr = 0o644 << 16
        return made

    files = {path.relative_to(package.parent).as_posix(): path for path in package.rglob("*.py")}
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        # Changed hooks are a changed node half: they get installed too.
        digest = hashlib.sha256(repr(hooks()).encode()).hexdigest()
        archive.writestr(entry("__main__.py"), _MAIN + f"# hooks {digest}\n".encode())
        for name in sorted(files):
            archive.writestr(entry(name), files[name].read_bytes())
    return out.getvalue()


def hooks() -> dict[str, str]:
    """The texts of the repository's hooks."""
    package = Path(cjnode.__file__).parent
    # Beside the package in a clone, inside it where a wheel put them.
    folder = package / "hooks" if (package / "hooks").is_dir() else package.parent
    return {name: (folder / name).read_text() for name in ("pre-receive", "post-receive")}


def ensure_ready(way: Transport, repo: Repo) -> bool:
    """Set a cluster up or upgrade it, if need be. True when something was done."""
    node = node_zip()
    if way.installed() == hashlib.sha256(node).hexdigest():
        return False
    way.install(node, init_request(way.cluster, repo))
    return True


def init_request(where: Cluster, repo: Repo) -> dict[str, Any]:
    """What a cluster is told when it is set up, and what it is compared with by ``doctor``."""
    return {
        "cluster": where.name,
        "scheduler": where.scheduler,
        "hash": repo.hash_name,
        "hooks": hooks(),
        "remote": where.host is not None,
    }
