"""Whether the folders of the working copy held still, so that one listing shows them as they were at T.

An entry that comes or goes changes the time of its folder. If every folder that git may list has an older
time than T after the listing, the listing is that of T. The folders are known from HEAD and from the paths
git named; a folder git had nothing to say about is found by its parent's count of links, which is two more
than its subfolders on file systems that count them. Where that fails the answer is no, which costs a second
listing.
"""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from cjledger.snapshot.workshop import NO_INDEX, Workshop

_OWN = b".cj"


class Tick(NamedTuple):
    """An instant by the clock of a file system."""

    ctime_ns: int
    device: int

    def is_after(self, found: os.stat_result) -> bool:
        """Whether what has this status was last touched before."""
        return found.st_dev == self.device and found.st_ctime_ns < self.ctime_ns


def tick(shop: Workshop) -> Tick:
    """This instant by the clock that stamps files, which runs more coarsely than ours."""
    marker = shop.folder / "tick"
    marker.write_bytes(b"")
    os.utime(marker)
    found = marker.stat()
    return Tick(found.st_ctime_ns, found.st_dev)


def folders_of_head(shop: Workshop) -> frozenset[bytes]:
    """All folders of the commit that HEAD names."""
    if not shop.repo.head:
        return frozenset()
    listing = shop.git("ls-tree", "-r", "-d", "-z", "--name-only", shop.repo.head, index=NO_INDEX)
    return frozenset(listing.split(b"\0")[:-1])


def held_still(shop: Workshop, instant: Tick, of_head: frozenset[bytes], paths: Iterable[bytes]) -> bool:
    """Whether no folder gained or lost an entry since the instant. ``paths`` are what git named."""
    top = os.fsencode(shop.repo.top) + b"/"
    nested = {path.rstrip(b"/") for path in paths if path.endswith(b"/")}
    found: dict[bytes, os.stat_result] = {}
    for folder in (of_head | _ancestors(paths)) - nested:
        status = _status(top + folder)
        if status is None:
            continue
        if not instant.is_after(status):
            return False
        found[folder] = status
    children = Counter(folder.rpartition(b"/")[0] for folder in (*found, *nested) if folder)
    children[b""] += sum(_status(top + name) is not None for name in (b".git", _OWN))
    unexplained = [folder for folder, status in found.items() if status.st_nlink - 2 != children[folder]]
    known = found.keys() | nested | {b".git", _OWN}
    return all(found[folder].st_nlink >= 2 for folder in unexplained) and _are_ignored(
        shop, [path for folder in unexplained for path in _subfolders(top, folder) if path not in known]
    )


def _ancestors(paths: Iterable[bytes]) -> frozenset[bytes]:
    found = {b""}
    for path in paths:
        folder = path.rstrip(b"/").rpartition(b"/")[0]
        while folder not in found:
            found.add(folder)
            folder = folder.rpartition(b"/")[0]
    return frozenset(found)


def _status(path: bytes) -> os.stat_result | None:
    """The status of a folder; None if it is none, or reached through a link."""
    try:
        found = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found if stat.S_ISDIR(found.st_mode) else None


def _subfolders(top: bytes, folder: bytes) -> Iterable[bytes]:
    with os.scandir(top + folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield folder + b"/" + entry.name if folder else entry.name


def _are_ignored(shop: Workshop, folders: list[bytes]) -> bool:
    """Whether git lists none of these: they are ignored, or repositories of their own that it tracks."""
    top = os.fsencode(shop.repo.top) + b"/"
    asked = frozenset(folder for folder in folders if not os.path.lexists(top + folder + b"/.git"))
    if not asked:
        return True
    names = b"".join(folder + b"\0" for folder in asked)
    ignored = shop.git("check-ignore", "--no-index", "-z", "--stdin", stdin=names, index=NO_INDEX, ok=(0, 1))
    return asked <= frozenset(ignored.split(b"\0"))
