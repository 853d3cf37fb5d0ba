"""The files of a snapshot that pin its environment."""

from __future__ import annotations

import hashlib
import re

from cjledger import gitrepo
from cjledger.gitrepo import Repo
from cjledger.model import Lock, Snapshot

_NAME = re.compile(
    rb"(?:^|/)(?:uv\.lock|poetry\.lock|requirements[^/\0]*\.txt|environment\.ya?ml|conda-lock\.yml|pixi\.lock"
    rb"|Pipfile\.lock|renv\.lock|Manifest\.toml|pyproject\.toml)$"
)
_ENDINGS = (b".lock", b".yml", b".yaml", b".toml")


def locks(repo: Repo, snapshot: Snapshot) -> tuple[Lock, ...]:
    """The lock files of the tree, wherever they lie, with the SHA-256 of their bytes, sorted by path."""
    listing = gitrepo.run(repo, "ls-tree", "-r", "-z", snapshot.tree)
    found: dict[str, str] = {}
    for line in listing.split(b"\0"):
        if not line.endswith(_ENDINGS) and b"requirements" not in line:
            continue
        head, path = line.split(b"\t", 1)
        if head.startswith(b"100") and _NAME.search(path):
            found[path.decode(errors="backslashreplace")] = head.split(b" ")[2].decode()
    if not found:
        return ()
    blobs = gitrepo.read_blobs(repo, list(found.values()))
    return tuple(
        Lock(path, hashlib.sha256(blob).hexdigest())
        for path, blob in sorted(zip(found, blobs, strict=True))
        if blob is not None
    )
