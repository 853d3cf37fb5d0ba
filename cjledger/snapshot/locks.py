"""The files of a snapshot that pin its environment."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator

from cjledger import gitrepo
from cjledger.gitrepo import Repo
from cjledger.model import Lock

_NAME = (
    rb"(?:^|/)(?:uv\.lock|poetry\.lock|requirements[^/\0]*\.txt|environment\.ya?ml|conda-lock\.yml|pixi\.lock"
    rb"|requirements\.lock|pylock\.toml|conda-linux-[a-z0-9_]+\.lock"
    rb"|Pipfile\.lock|renv\.lock|Manifest\.toml|pyproject\.toml)$"
)
# A search for bytes passes 100,000 lines in a millisecond; only lines with one of these meet the pattern.
_MARKS = (b".lock\0", b"requirements", b"environment.y", b"conda-lock.yml\0", b".toml\0")


def locks(repo: Repo, listing: bytes) -> tuple[Lock, ...]:
    """The lock files of a tree (as ``git ls-tree -r -z`` lists it), with the SHA-256 of their bytes."""
    found: dict[str, str] = {}
    for line in _lines(listing):
        head, path = line.split(b"\t", 1)
        if head.startswith(b"100") and re.search(_NAME, path):
            found[path.decode(errors="backslashreplace")] = head.split(b" ")[2].decode()
    if not found:
        return ()
    blobs = gitrepo.read_blobs(repo, list(found.values()))
    return tuple(
        Lock(path, hashlib.sha256(blob).hexdigest())
        for path, blob in sorted(zip(found, blobs, strict=True))
        if blob is not None
    )


def _lines(listing: bytes) -> Iterator[bytes]:
    for mark in _MARKS:
        at = listing.find(mark)
        while at >= 0:
            end = listing.index(b"\0", at)
            yield listing[listing.rfind(b"\0", 0, at) + 1 : end]
            at = listing.find(mark, end)
