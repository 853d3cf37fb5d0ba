"""The working area of an element's tasks: links that mirror the code, put right again after each task."""

import os
import shutil
import stat
from typing import Collection, Dict, Iterator, List, Mapping, NamedTuple, Optional, Tuple

from cjnode.worker.watch import Mark, mark_of

# Folders of the mirror get this time. Whatever a task does in a folder sets a later one, however coarse
# the clock: kernels before 6.13 tick in up to 10 ms, and a task may take less.
QUIET_NS = 946684800 * 10**9

# Python's compiled modules: made by the first task that imports them, of use to the next, nobody's output.
CACHE = "__pycache__"

# A path longer than this is no output; the limit of one system call's path is 4096.
LONGEST_PATH = 3000

# What a task left: ``path`` is relative to the mirror, ``kind`` is file, link or other.
Left = NamedTuple("Left", [("path", str), ("kind", str)])

# What a folder of the mirror holds: names of files with their absolute paths in the code, names of the code's
# own symbolic links with their (relative) texts, names of folders with None.
_Listing = Dict[str, Optional[str]]


class Mirror:
    """A folder with real directories, and links to each file of the read-only code."""

    def __init__(
        self, code: str, folder: str, unlinked: Collection[str], trash: str, data: Mapping[str, str]
    ) -> None:
        self.folder = folder
        self._code = os.path.abspath(code)
        self._unlinked = frozenset(os.path.normpath(name) for name in unlinked)
        self._listings: Dict[str, _Listing] = {}
        self._quiet: Dict[str, Mark] = {}
        self._trash = trash
        # Links to what lies elsewhere on the cluster, by their own paths here.
        self._data = {os.path.normpath(path): target for path, target in data.items()}

    def make(self) -> None:
        """Make the mirror, whatever was there before."""
        self.remove()
        self._listings = dict(self._read(""))
        self._graft()
        for path in self._listings:
            self._fill(path)
        for path in self._listings:
            self._quieten(path)

    def remove(self) -> None:
        """Remove the mirror and all that tasks left in it."""
        discard(self.folder, self._trash)

    def _read(self, path: str) -> Iterator[Tuple[str, _Listing]]:
        waiting = [path]
        while waiting:
            path = waiting.pop()
            listing: _Listing = {}
            with os.scandir(os.path.join(self._code, path)) as entries:
                for entry in sorted(entries, key=lambda entry: entry.name):
                    inner = os.path.join(path, entry.name)
                    if inner == ".cj" or inner in self._unlinked or inner in self._data:
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        listing[entry.name] = None
                        waiting.append(inner)
                    elif entry.is_symlink():
                        # As it is: what it names lies in the mirror too, and may be written to there.
                        listing[entry.name] = os.readlink(entry.path)
                    else:
                        listing[entry.name] = entry.path
            yield path, listing

    def _graft(self) -> None:
        """List the links to data, and the folders that they need; parents stay before what is in them."""
        for path, target in sorted(self._data.items()):
            parent = os.path.dirname(path)
            missing = []
            while parent not in self._listings:
                missing.append(parent)
                parent = os.path.dirname(parent)
            for folder in reversed(missing):
                self._listings[os.path.dirname(folder)][os.path.basename(folder)] = None
                self._listings[folder] = {}
            self._listings[os.path.dirname(path)][os.path.basename(path)] = target

    def _put(self, path: str, name: str, target: str) -> None:
        """Make one link of a folder. Data gets a symbolic one: it may be a folder, and is not ours."""
        where = os.path.join(self._here(path), name)
        if os.path.join(path, name) in self._data:
            os.symlink(target, where)
        else:
            _link(target, where)

    def _fill(self, path: str) -> None:
        """Make a folder that is not there, and its links."""
        here = self._here(path)
        os.makedirs(here, 0o700, exist_ok=True)
        for name, target in self._listings[path].items():
            if target is not None:
                self._put(path, name, target)

    def _quieten(self, path: str) -> None:
        os.utime(self._here(path), ns=(QUIET_NS, QUIET_NS))
        self._quiet[path] = mark_of(os.lstat(self._here(path)))

    def _here(self, path: str) -> str:
        return os.path.join(self.folder, path) if path else self.folder

    def marks(self) -> Dict[str, Mark]:
        """What each folder of the mirror looks like as long as nothing was done in it, by its path."""
        return {self._here(path): mark for path, mark in self._quiet.items()}

    def changed(self) -> List[str]:
        """The folders in which something was made, replaced or removed; parents first."""
        found = []
        for path, mark in self._quiet.items():
            try:
                if mark_of(os.lstat(self._here(path))) != mark:
                    found.append(path)
            except OSError:
                found.append(path)
        return found

    def left(self, changed: List[str]) -> Iterator[Left]:
        """What a task left in the changed folders, and below the new ones."""
        for path in changed:
            for entry in _entries(self._here(path)):
                expected = self._listings[path].get(entry.name, "")
                if not _is_as_made(entry, expected) and not _is_cache(entry):
                    yield from _below(os.path.join(path, entry.name), entry)

    def restore(self, changed: List[str]) -> None:
        """Make the changed folders what they were."""
        for path in changed:
            here = self._here(path)
            if os.path.islink(here) or not os.path.isdir(here):
                discard(here, self._trash)
                self._fill(path)
            else:
                self._restore_folder(path, here)
        for path in changed:
            self._quieten(path)

    def _restore_folder(self, path: str, here: str) -> None:
        listing = self._listings[path]
        missing = dict(listing)
        for entry in _entries(here):
            if _is_as_made(entry, listing.get(entry.name, "")):
                del missing[entry.name]
            elif not _is_cache(entry):
                discard(entry.path, self._trash)
        for name, target in missing.items():
            if target is not None:
                self._put(path, name, target)
            # A missing folder has changed itself and is made when its turn comes, after its parent's.


def _entries(folder: str) -> List["os.DirEntry[str]"]:
    """What a folder holds, by name; one without permissions gets them, one that is gone holds nothing."""
    try:
        if not stat.S_ISDIR(os.lstat(folder).st_mode):
            return []
        if stat.S_IMODE(os.lstat(folder).st_mode) & 0o700 != 0o700:
            os.chmod(folder, 0o700)
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError:
        return []


def _is_as_made(entry: "os.DirEntry[str]", expected: Optional[str]) -> bool:
    """Whether an entry is the link to ``expected``, or the folder when that is None."""
    if expected is None:
        return entry.is_dir(follow_symlinks=False)
    if not expected:
        return False
    try:
        if entry.is_symlink():
            return os.readlink(entry.path) == expected
        return os.path.isabs(expected) and os.path.samestat(os.lstat(entry.path), os.lstat(expected))
    except OSError:
        return False


def _link(target: str, path: str) -> None:
    """A hard link to a file of the code: a symbolic one costs an inode, and is fifty times slower to make."""
    if os.path.isabs(target):
        try:
            os.link(target, path)
            return
        except OSError:  # another file system, one without hard links, or too many of them
            if os.path.lexists(path):
                return  # only the answer was lost
    os.symlink(target, path)


def _is_cache(entry: "os.DirEntry[str]") -> bool:
    return entry.name == CACHE and entry.is_dir(follow_symlinks=False)


def _below(path: str, entry: "os.DirEntry[str]") -> Iterator[Left]:
    waiting = [(path, entry)]
    while waiting:
        path, entry = waiting.pop()
        if len(os.fsencode(entry.path)) > LONGEST_PATH:
            yield Left(path, "other")
        elif entry.is_symlink():
            yield Left(path, "link")
        elif entry.is_file(follow_symlinks=False):
            yield Left(path, "file")
        elif not entry.is_dir(follow_symlinks=False):
            yield Left(path, "other")
        elif entry.name != CACHE:
            inner = _entries(entry.path)
            waiting.extend((os.path.join(path, each.name), each) for each in reversed(inner))


def discard(path: str, trash: str) -> None:
    """Remove a file or a whole tree, whatever its permissions and depth. ``trash`` is a free name beside it.

    Folders are moved up into ``trash`` one after another: no recursion, and no path grows too long.
    """
    try:
        mode = os.lstat(path).st_mode
    except OSError:
        return
    if not stat.S_ISDIR(mode):
        os.unlink(path)
        return
    os.makedirs(trash, 0o700, exist_ok=True)
    waiting = [_moved(path, trash, 0)]
    count = 0
    while waiting:
        here = waiting.pop()
        for entry in _entries(here):
            if entry.is_dir(follow_symlinks=False):
                count += 1
                waiting.append(_moved(entry.path, trash, count))
            else:
                os.unlink(entry.path)
        os.rmdir(here)
    shutil.rmtree(trash, ignore_errors=True)


def _moved(path: str, trash: str, number: int) -> str:
    os.chmod(path, 0o700)  # to move a folder is to write in it
    target = os.path.join(trash, "%d" % number)
    os.rename(path, target)
    return target
