"""Files that enter the tree though git would not take them: `--dep` folders, ignored or elsewhere."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from cjledger.errors import CjError
from cjledger.gitrepo import Repo
from cjledger.snapshot.blobs import Raw

# Byte code differs from run to run and would give every launch another tree.
_SKIPPED = frozenset((b".git", b"__pycache__"))


class Outside(NamedTuple):
    """What `force` and `grafts` name. Paths are bytes."""

    forced: tuple[bytes, ...]  # in the working copy, ignored or not
    nested: tuple[Raw, ...]  # in nested repositories below a forced folder
    grafted: tuple[Raw, ...]


def gather(repo: Repo, force: Sequence[str], grafts: Sequence[tuple[Path, str]]) -> Outside:
    """Find the files below the folders that were named."""
    top = os.fsencode(repo.top)
    forced: list[bytes] = []
    nested: list[Raw] = []
    for name in force:
        path = os.path.normpath(name)
        if path.startswith("../") or path == ".." or os.path.isabs(path):
            raise CjError(
                f"{name} is not in the repository", "name a folder relative to the repository's top"
            )
        start = top if path == "." else top + b"/" + os.fsencode(path)
        if not os.path.lexists(start):
            raise CjError(f"there is no {name} to include", "check the path given to --dep")
        is_nested = _in_nested(top, start)
        for file, in_nested in _files(start, is_nested):
            relative = os.path.relpath(file, top)
            if relative.split(b"/", 1)[0] == b".cj":
                continue
            if in_nested:
                nested.append(Raw(file, relative))
            else:
                forced.append(relative)
    return Outside(tuple(forced), tuple(nested), tuple(_grafted(grafts)))


def _grafted(grafts: Sequence[tuple[Path, str]]) -> Iterator[Raw]:
    for folder, target in grafts:
        start = os.path.abspath(os.fsencode(folder))
        if not os.path.exists(start):
            raise CjError(f"there is no {folder} to include", "check the path given to --dep")
        real = os.path.realpath(start)
        for file, _ in _files(real, False):
            below = os.path.relpath(file, real)
            inner = os.path.basename(start) if below == b"." else below
            yield Raw(file, os.fsencode(target) + b"/" + inner)


def _in_nested(top: bytes, path: bytes) -> bool:
    """Whether a folder between the top and the path (itself included) is a repository of its own."""
    while len(path) > len(top):
        if os.path.lexists(path + b"/.git"):
            return True
        path = os.path.dirname(path)
    return False


def _files(start: bytes, in_nested: bool) -> Iterator[tuple[bytes, bool]]:
    """Regular files and links below ``start`` (or itself), and whether they lie in a nested repository."""
    found = os.lstat(start)
    if not stat.S_ISDIR(found.st_mode):
        if stat.S_ISREG(found.st_mode) or stat.S_ISLNK(found.st_mode):
            yield start, in_nested
        return
    with os.scandir(start) as entries:
        ordered = sorted(entries, key=lambda entry: entry.name)
    for entry in ordered:
        if entry.name in _SKIPPED:
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _files(entry.path, in_nested or os.path.lexists(entry.path + b"/.git"))
        elif entry.is_symlink() or entry.is_file(follow_symlinks=False):
            yield entry.path, in_nested
