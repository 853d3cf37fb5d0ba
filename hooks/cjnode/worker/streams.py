"""What a task prints: two files that are used again for every task, and a third for its variables."""

import os
from typing import List, NamedTuple, Tuple

from cjnode.records.journal import Piece
from cjnode.worker.outputs import clean

# Of a longer stream the first and the last half of this is kept.
LONGEST = 16 << 20
TAIL = 64 << 10
LONGEST_ERROR = 500

Stream = NamedTuple("Stream", [("name", str), ("fd", int)])


class Streams:
    """Standard output and standard error, open for appending."""

    def __init__(self, folder: str) -> None:
        self.out = Stream("cj:out", _open(os.path.join(folder, "out")))
        self.err = Stream("cj:err", _open(os.path.join(folder, "err")))
        # What the variables held when the task failed; not for the task to write to.
        self.locals = Stream("cj:locals", _open(os.path.join(folder, "locals")))

    def fds(self) -> Tuple[int, int]:
        """Their descriptors, in the order of a process's own."""
        return self.out.fd, self.err.fd

    def all(self) -> Tuple[Stream, Stream, Stream]:
        """Every one of them."""
        return self.out, self.err, self.locals

    def descriptors(self) -> Tuple[int, int, int]:
        """The descriptors of all."""
        return self.out.fd, self.err.fd, self.locals.fd

    def empty(self) -> None:
        """Forget what was printed."""
        for stream in self.all():
            if os.fstat(stream.fd).st_size:
                os.ftruncate(stream.fd, 0)

    def close(self) -> None:
        """Let go of the files."""
        for stream in self.all():
            os.close(stream.fd)


def _open(path: str) -> int:
    # For appending: every process of a task writes at the end, and a cut file starts at 0 again.
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)


def pieces(size: int) -> Tuple[List[Piece], int]:
    """What is kept of a stream of ``size`` bytes, and how many bytes are left out."""
    if size <= LONGEST:
        return [(0, size)], 0
    half = LONGEST // 2
    line = b"\n[cj: %d bytes are left out here]\n" % (size - LONGEST)
    return [(0, half), line, (size - half, half)], size - LONGEST


def last_line(fd: int) -> str:
    """The last line with something in it, made fit for a record's ``error``."""
    size = os.fstat(fd).st_size
    tail = os.pread(fd, TAIL, max(0, size - TAIL)).decode("utf-8", "replace")
    for line in reversed(tail.replace("\r", "\n").split("\n")):
        words = clean(line.strip())
        if words:
            return words[:LONGEST_ERROR]
    return ""
