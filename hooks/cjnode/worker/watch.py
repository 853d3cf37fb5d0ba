"""Whether a task left anything, found out without looking through its folders."""

import os
from typing import List, Mapping, Sequence, Tuple

# A watch holds so many folders open at most; many systems let a process have 1,024 files.
_MOST_OPEN = 64

# Of a folder: when it was modified, when its inode was changed, which inode.
Mark = Tuple[int, int, int]


def mark_of(status: os.stat_result) -> Mark:
    """What differs when a folder was changed: a task can set a time back, but not the inode's own."""
    return status.st_mtime_ns, status.st_ctime_ns, status.st_ino


class Watch:
    """Tells whether a task printed or made anything, by descriptors: paths would cost five times more.

    ``folders`` are those of a mirror with their marks, ``streams`` open files that are empty before a task.
    """

    def __init__(self, folders: Mapping[str, Mark], streams: Sequence[int]) -> None:
        self._streams = streams
        self._open: List[Tuple[int, Mark]] = []
        self._far: List[Tuple[str, Mark]] = []
        self._workdir = -1
        for path, mark in folders.items():
            if len(self._open) < _MOST_OPEN:
                self._open.append((os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC), mark))
            else:
                self._far.append((path, mark))

    def enter(self, workdir: str) -> None:
        """Change to the folder where a task starts."""
        try:
            os.fchdir(self._workdir)
        except (OSError, ValueError):  # the first time, or a task closed what is not its own
            os.chdir(workdir)
            self._workdir = os.open(workdir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def is_touched(self) -> bool:
        """Whether something was printed, or a folder changed; true when that cannot be told."""
        try:
            for fd in self._streams:
                if os.lseek(fd, 0, os.SEEK_END):
                    return True
            for fd, (modified, changed, _) in self._open:
                status = os.fstat(fd)
                if status.st_mtime_ns != modified or status.st_ctime_ns != changed:
                    return True
            return any(mark_of(os.lstat(path)) != mark for path, mark in self._far)
        except OSError:
            return True

    def renew(self, folders: Mapping[str, Mark]) -> "Watch":
        """A watch of folders that were put right again."""
        for fd in [fd for fd, _ in self._open] + [self._workdir]:
            try:
                os.close(fd)
            except OSError:
                pass
        return Watch(folders, self._streams)
