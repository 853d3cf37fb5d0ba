"""One generation of a block, written by its one worker: the claim, the data, the records."""

import hashlib
import os
import time
from typing import Callable, NamedTuple, Optional, Sequence, Tuple, TypeVar, Union

from cjnode import files
from cjnode.files import now, sync
from cjnode.records import blocks, claims
from cjnode.records.blocks import Output, Record
from cjnode.records.claims import Claim

CHUNK = 1 << 20

# A span of a file (offset, bytes), or bytes to put between spans.
Piece = Union[bytes, Tuple[int, int]]

_T = TypeVar("_T")

# Where a block's files are.
Place = NamedTuple("Place", [("submission_path", str), ("block", int), ("generation", int)])


class UnwritableError(Exception):
    """A record or its data could not be written, however often it was tried."""


class UnreadableError(Exception):
    """A file that a task left could not be read to its end."""


def retry_s() -> float:
    """How long writing is tried again on a full disk before the worker gives up."""
    return float(os.environ.get("CJ_RETRY_S", "300"))


def persist(act: Callable[[], _T], stopping: Callable[[], bool]) -> _T:
    """Do what writes, again with growing pauses while it fails. ``act`` must leave nothing half done."""
    deadline = time.monotonic() + retry_s()
    pause = 0.05
    while True:
        try:
            return act()
        except OSError as problem:
            if stopping() or time.monotonic() + pause > deadline:
                raise UnwritableError("%s" % problem) from problem
        time.sleep(pause)
        pause = min(pause * 2, 5.0)


def read_pieces(source: int, pieces: Sequence[Piece]) -> bytes:
    """Spans of an open file, joined. Raises UnreadableError."""
    try:
        return b"".join(
            piece if isinstance(piece, bytes) else os.pread(source, piece[1], piece[0]) for piece in pieces
        )
    except OSError as problem:
        raise UnreadableError(problem.strerror) from problem


def _append_whole(fd: int, content: bytes) -> None:
    before = os.fstat(fd).st_size
    try:
        files.write_all(fd, content)
    except OSError:
        os.ftruncate(fd, before)
        raise


def _whole_bytes(path: str) -> int:
    """How much of a file is whole lines."""
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        while size:
            start = max(0, size - CHUNK)
            file.seek(start)
            found = file.read(size - start).rfind(b"\n")
            if found >= 0:
                return start + found + 1
            size = start
    return 0


class Journal:
    """A block's three files, open. Data is written before the record that names it."""

    def __init__(
        self, place: Place, claim_fd: int, stopping: Callable[[], bool], holder: Optional[Claim] = None
    ) -> None:
        self.place = place
        self._claim = claim_fd
        self._claimed = claims.claim_content(holder) if holder else b""  # to mend a claim that was damaged
        self._stopping = stopping
        self._records = persist(lambda: blocks.open_appending(self._path("records")), stopping)
        self._data: Optional[int] = None  # made when there is something to keep
        self._data_end = 0  # of what records name
        self._written = 0  # end of the data

    def _path(self, kind: str) -> str:
        return blocks.block_path(self.place.submission_path, self.place.block, self.place.generation, kind)

    def private(self) -> Tuple[int, ...]:
        """The descriptors that a task must not have."""
        return (self._claim, self._records) + (() if self._data is None else (self._data,))

    def now_at(self, task: int, attempt: int, started: str, to: int = 0) -> None:
        """Say in the claim what is being run; the block's tasks up to ``to`` may be begun meanwhile."""
        try:
            if self._claimed:
                claims.mend(self._claim, self._claimed)
            claims.write_current(self._claim, task, attempt, started, to)
        except OSError:
            pass  # it only tells others; a full disk cannot refuse bytes that are there already

    def touch(self) -> None:
        """Let the claim be seen to change, by the file system's own clock."""
        try:
            os.utime(self._claim)
        except OSError:
            pass

    def keep(self, name: str, source: int, pieces: Sequence[Piece]) -> Output:
        """Append spans of an open file to the data."""
        return persist(lambda: self._keep(name, source, pieces), self._stopping)

    def keep_bytes(self, name: str, content: bytes) -> Output:
        """Append bytes to the data."""
        return persist(lambda: self._keep(name, -1, [content]), self._stopping)

    def _keep(self, name: str, source: int, pieces: Sequence[Piece]) -> Output:
        if self._data is None:
            self._data = blocks.open_appending(self._path("data"))
        digest = hashlib.sha256()
        start = end = self._written
        try:
            for piece in pieces:
                if isinstance(piece, bytes):
                    files.write_all(self._data, piece)
                    digest.update(piece)
                    end += len(piece)
                else:
                    end += self._copy(source, piece[0], piece[1], digest.update)
        except (OSError, UnreadableError):
            os.ftruncate(self._data, start)
            raise
        self._written = end
        return Output(name, start, end - start, digest.hexdigest())

    def _copy(self, source: int, offset: int, count: int, update: Callable[[bytes], None]) -> int:
        assert self._data is not None
        copied = 0
        while copied < count:
            try:
                chunk = os.pread(source, min(CHUNK, count - copied), offset + copied)
            except OSError as problem:
                raise UnreadableError(problem.strerror) from problem
            if not chunk:
                break
            files.write_all(self._data, chunk)
            update(chunk)
            copied += len(chunk)
        return copied

    def commit(self, record: Record) -> None:
        """Append a record; what it names is kept from now on."""
        persist(lambda: blocks.append_record(self._records, record), self._stopping)
        self._data_end = self._written

    def flush(self) -> None:
        """Nothing: what was committed is in the files."""

    def forget_uncommitted(self) -> None:
        """Cut off data that no record will name."""
        if self._data is not None and self._written > self._data_end:
            os.ftruncate(self._data, self._data_end)
        self._written = self._data_end

    # For a child that hands its records over, and for the worker that writes them.

    @property
    def end(self) -> int:
        """Where the data ends."""
        return self._written

    def go_to(self, end: int) -> None:
        """Take the data to end there: others have written to it."""
        self._data_end = self._written = end

    def append(self, line: bytes) -> None:
        """Append a record's line."""
        persist(lambda: self.append_lines(line), self._stopping)
        self._data_end = self._written

    def append_lines(self, lines: bytes) -> None:
        """Append records whole. On failure nothing of them is left, and OSError is raised."""
        _append_whole(self._records, lines)

    def append_data(self, content: bytes) -> None:
        """Append data in the same way."""
        if self._data is None:
            self._data = blocks.open_appending(self._path("data"))
        _append_whole(self._data, content)

    def cut_to(self, end: int) -> None:
        """Cut off data that no record names, and half a record."""
        whole = _whole_bytes(self._path("records"))
        if whole < os.fstat(self._records).st_size:
            os.ftruncate(self._records, whole)
        if self._data is None and os.path.exists(self._path("data")):
            self._data = blocks.open_appending(self._path("data"))
        if self._data is not None and os.fstat(self._data).st_size > end:
            os.ftruncate(self._data, end)
        self.go_to(end)

    def sync(self) -> None:
        """Bring all to the disk: network file systems may say only now that it is full."""
        self.now_at(0, 0, "")
        try:
            for descriptor in (self._data, self._records):
                if descriptor is not None:
                    sync(descriptor)
        except OSError as problem:
            self.abandon()
            raise UnwritableError("%s" % problem) from problem

    def close(self) -> None:
        """Say that the holder is done with the block: last of all, for who reads it may end."""
        self.now_at(0, 0, now())
        self.abandon()

    def abandon(self) -> None:
        """Let go of the files as they are."""
        for descriptor in self.private():
            try:
                os.close(descriptor)
            except OSError:
                pass
        self._data = None
