"""Look at the working copy until it holds still, and say what differs from HEAD.

A look is one listing of untracked files and one `git diff`, side by side. The snapshot shows the instant T
just before the last look:
- A tracked file that is clean when looked at after T has had its content since the index was written, so
  also at T.
- A file that differs counts as settled when its change time is older than T by the file system's own clock,
  or when it looked the same in the look before.
- The untracked files are those of T when no folder changed since, or when the look before listed the same.
So a tidy working copy costs one look where two equal trees would cost two.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from typing import NamedTuple

from cjledger.background import Beside
from cjledger.errors import CjError
from cjledger.gitrepo import Repo
from cjledger.snapshot.folders import Tick, folders_of_head, held_still, tick
from cjledger.snapshot.workshop import Workshop

_LOOKS = 5

RAW = (
    *("--raw", "-z", "--no-abbrev", "--no-renames", "--ignore-submodules=none"),
    *("--no-color", "--no-ext-diff", "--no-relative"),
)

_LISTING = ("ls-files", "-v", "-z", "-c", "-o", "--exclude-standard", "--exclude=/.cj")

GITLINK = "160000"


class Mark(NamedTuple):
    """What tells that a path was touched."""

    mode: int
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    device: int
    depth: int  # how many trailing components are missing: 0 when the path itself is there


class Difference(NamedTuple):
    """One line of git's raw diff."""

    old_mode: str
    new_mode: str
    old_id: str
    new_id: str
    status: str


class Seen(NamedTuple):
    """The working copy at one instant. Paths are bytes relative to the top."""

    staged: dict[bytes, Difference]  # HEAD to index
    edited: dict[bytes, Difference]  # index to working copy
    untracked: frozenset[bytes]  # nested repositories end in a slash
    tracked: bytes  # `git ls-files -v -z`: a tag, a blank and a path each
    marks: dict[bytes, Mark]

    def has(self, path: bytes) -> bool:
        """Whether a file is tracked or would be added."""
        line = b" " + path + b"\0"  # after a tag of one letter
        at = self.tracked.find(line)
        while at >= 0:
            if at == 1 or (at > 1 and self.tracked[at - 2] == 0):
                return True
            at = self.tracked.find(line, at + 1)
        return path in self.untracked


def look(shop: Workshop, extra: Iterable[bytes] = ()) -> Seen:
    """Look until the working copy holds still. ``extra`` are further paths whose stillness matters."""
    others = frozenset(extra)
    untracked: frozenset[bytes] | None = None
    before: dict[bytes, Mark] = {}
    with Beside(_staged, shop) as staged, Beside(folders_of_head, shop) as of_head:
        for _ in range(_LOOKS):
            instant = tick(shop)
            with Beside(shop.git, "diff", *RAW) as diff:
                again, tracked = _split(shop.git(*_LISTING))
            edited = parse_raw(diff.result())
            named = again | others | edited.keys()
            now = marks(shop.repo, named)
            restless = _restless(before, now, instant)
            is_listed = again == untracked or (
                not restless and held_still(shop, instant, of_head.result(), named | staged.result().keys())
            )
            if is_listed and not restless:
                return Seen(staged.result(), edited, again, tracked, now)
            restless |= again ^ (untracked or frozenset())
            untracked, before = again, now
    raise moving(restless)


def moving(paths: Iterable[bytes]) -> CjError:
    """The refusal for files that will not hold still."""
    names = sorted(os.fsdecode(path) for path in paths)
    shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    return CjError(
        f"the working copy keeps changing: {shown}",
        "wait until the program that writes there has ended, or add its files to .gitignore",
    )


def marks(repo: Repo, paths: Iterable[bytes]) -> dict[bytes, Mark]:
    """The marks of paths; a missing one has that of the nearest folder that is there."""
    top = os.fsencode(repo.top)
    return {path: _mark(top, path) for path in paths}


def still(repo: Repo, seen: Seen) -> frozenset[bytes]:
    """The paths that were touched since they were seen; of those that were missing nothing was read."""
    there = {path: mark for path, mark in seen.marks.items() if not mark.depth}
    now = marks(repo, there)
    return frozenset(path for path, mark in there.items() if now[path] != mark)


def _mark(top: bytes, path: bytes) -> Mark:
    path = path.rstrip(b"/")
    depth = 0
    while True:
        try:
            found = os.lstat(top + b"/" + path)
        except (FileNotFoundError, NotADirectoryError):
            path = path.rpartition(b"/")[0]
            depth += 1
            continue
        if depth == 0 and stat.S_ISDIR(
            found.st_mode
        ):  # a repository of its own: its HEAD counts, not its files
            return Mark(found.st_mode, 0, 0, 0, found.st_ino, found.st_dev, 0)
        times = (found.st_mtime_ns, found.st_ctime_ns)
        return Mark(found.st_mode, found.st_size, *times, found.st_ino, found.st_dev, depth)


def _restless(before: dict[bytes, Mark], now: dict[bytes, Mark], instant: Tick) -> frozenset[bytes]:
    def is_settled(path: bytes, mark: Mark) -> bool:
        then = before.get(path)
        was_missing = then is not None and mark.depth > 0 and then.depth > 0
        return (
            mark == then
            or was_missing
            or (mark.device == instant.device and mark.ctime_ns < instant.ctime_ns)
        )

    return frozenset(path for path, mark in now.items() if not is_settled(path, mark))


def _staged(shop: Workshop) -> dict[bytes, Difference]:
    base = shop.repo.head or shop.repo.empty_tree
    return parse_raw(shop.git("diff-index", "--cached", "--ita-invisible-in-index", *RAW, base))


def parse_raw(raw: bytes) -> dict[bytes, Difference]:
    """Read ``--raw -z``; of two lines for a path (a conflict) the conflict stays."""
    fields = raw.split(b"\0")
    found: dict[bytes, Difference] = {}
    for head, path in zip(fields[0::2], fields[1::2], strict=False):
        difference = Difference(*head[1:].decode().split(" "))
        if path not in found or difference.status == "U":
            found[path] = difference
    return found


def _split(listing: bytes) -> tuple[frozenset[bytes], bytes]:
    """Part the untracked files, which come first, from the tracked ones."""
    at = 0
    untracked = []
    while listing.startswith(b"? ", at):
        end = listing.index(b"\0", at)
        untracked.append(listing[at + 2 : end])
        at = end + 1
    return frozenset(untracked), listing[at:]
