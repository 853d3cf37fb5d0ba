"""What a child that calls functions hands to its worker, in memory that both share: it survives the child.

The child appends records and data to two rings and says how far they go; the worker alone writes them to the
block's files, many at once. So a child that is killed loses nothing, and a record costs no system call.
"""

import hashlib
import mmap
import os
import signal
import time
from typing import Callable, List, NamedTuple, Optional, Sequence, Tuple, Union

from cjnode.records.blocks import Output, Record, record_to_line
from cjnode.records.journal import Journal, Piece, UnwritableError, persist, read_pieces, retry_s

# Rings of records and of data. Half a ring is some thousand tasks, or a tenth of a second.
_RECORDS = 1 << 20
_DATA = 2 << 20

# More data of one task, or a longer record, is written by the child itself, the rings being empty then.
_SMALL = 1 << 18

STATES = ("COMPLETED", "FAILED", "CANCELLED")

# Words of 8 bytes: two slots of four that are filled in turn, and which of them counts.
_COUNTING, _SLOTS = 0, 1
_RECORDS_TAIL, _DATA_TAIL = 9, 10  # how much the worker has written
_INDEX, _BEGAN, _STARTED = 11, 12, 13  # the turn that is being run
_ALLOWED = 14  # how many turns the child may begin
_TURNS = 15  # how many there are for it
_WORDS = 16 * 8

# How far the child is: bytes put into the rings, records among them, and the end of the data they name.
Handed = NamedTuple("Handed", [("records", int), ("data", int), ("count", int), ("data_end", int)])

# The turn being run, -1 for none, and since when (monotonic, wall).
At = NamedTuple("At", [("index", int), ("began", float), ("started", float)])


class Relay:
    """The memory of one child and its worker. Stands for the journal in the child."""

    def __init__(self, journal: Journal, turns: int) -> None:
        self._journal = journal
        self._memory = mmap.mmap(-1, _WORDS + _RECORDS + _DATA + turns)
        self._words = memoryview(self._memory)[:_WORDS].cast("q")
        self._times = memoryview(self._memory)[:_WORDS].cast("d")
        self._worker = os.getpid()
        self._end = journal.end  # of the data, what is pending included
        self._pending: List[bytes] = []  # data of the task that is run
        self._pending_bytes = 0
        self._is_direct = False
        self._unseen = 0  # bytes since the worker was called
        self._own = Handed(0, 0, 0, self._end)
        self._failing_since: Optional[float] = None
        self._words[_INDEX] = -1
        self._words[_TURNS] = turns
        self._words[_SLOTS + 3] = self._end

    # The child's side.

    def begin(self, index: int, began: float, started: float) -> bool:
        """Say which turn is run now, waiting until it may be; whether it is this child's and is to be run."""
        if not self.wait_for(index):
            return False
        self._times[_BEGAN] = began
        self._times[_STARTED] = started
        self._words[_INDEX] = index
        return True

    def wait_for(self, index: int) -> bool:
        """Wait until a turn is allowed; False when it is not this child's any more, or the worker is gone."""
        if index < self._words[_ALLOWED]:
            return True
        is_told = self._wait(lambda: index < self._words[_ALLOWED] or not self.has(index))
        return is_told and self.has(index)

    def has(self, index: int) -> bool:
        """Whether a turn was not taken away again."""
        return index < self._words[_TURNS]

    def idle(self) -> None:
        """Say that no turn is being run."""
        self._words[_INDEX] = -1

    def keep(self, name: str, source: int, pieces: Sequence[Piece]) -> Output:
        """Append spans of an open file to the data."""
        size = sum(len(piece) if isinstance(piece, bytes) else piece[1] for piece in pieces)
        if size <= _SMALL:
            return self.keep_bytes(name, read_pieces(source, pieces))
        self._go_direct()
        output = self._journal.keep(name, source, pieces)
        self._end = output.offset + output.bytes
        return output

    def keep_bytes(self, name: str, content: bytes) -> Output:
        """Append bytes to the data."""
        output = Output(name, self._end, len(content), hashlib.sha256(content).hexdigest())
        if self._pending_bytes + len(content) > _SMALL:
            self._go_direct()
        if self._is_direct:
            self._journal.keep_bytes(name, content)
        else:
            self._pending.append(content)
            self._pending_bytes += len(content)
        self._end += len(content)
        return output

    def _go_direct(self) -> None:
        """Let the child itself write what the rings cannot hold."""
        if not self._is_direct:
            self._drained()
            self._is_direct = True
            self._journal.go_to(self._own.data_end)
            for content in self._pending:
                self._journal.keep_bytes("", content)
            self._pending, self._pending_bytes = [], 0

    def commit(self, record: Record) -> None:
        """Hand over a record; what it names is kept from now on."""
        self.commit_line(record_to_line(record) + b"\n", STATES.index(record.state))

    def commit_line(self, line: bytes, state: int) -> None:
        """Hand over a record's line; ``state`` is its place in ``STATES``."""
        records, data, count, _ = self._own
        if self._is_direct or len(line) > _SMALL:
            self._go_direct()
            self._journal.append(line)
            self._is_direct = False
        else:
            if records + len(line) - self._words[_RECORDS_TAIL] > _RECORDS:
                self._room(_RECORDS_TAIL, records + len(line) - _RECORDS)
            if data + self._pending_bytes - self._words[_DATA_TAIL] > _DATA:
                self._room(_DATA_TAIL, data + self._pending_bytes - _DATA)
            self._put(_WORDS, _RECORDS, records, line)
            records += len(line)
            for content in self._pending:
                self._put(_WORDS + _RECORDS, _DATA, data, content)
                data += len(content)
            self._unseen += len(line) + self._pending_bytes
            self._pending, self._pending_bytes = [], 0
        self._memory[_WORDS + _RECORDS + _DATA + count] = state
        self._own = Handed(records, data, count + 1, self._end)
        self._publish()

    def _put(self, start: int, size: int, at: int, content: bytes) -> None:
        place = at % size
        first = min(len(content), size - place)
        self._memory[start + place : start + place + first] = content[:first]
        if first < len(content):
            self._memory[start : start + len(content) - first] = content[first:]

    def _publish(self) -> None:
        words = self._words
        turn = words[_COUNTING] ^ 1
        slot = _SLOTS + 4 * turn
        words[slot], words[slot + 1], words[slot + 2], words[slot + 3] = self._own
        words[_COUNTING] = turn
        if self._unseen > _RECORDS // 2:
            self._unseen = 0
            self._call()

    def _call(self) -> None:
        """Have the worker look: it waits for this signal anyway."""
        if os.getppid() == self._worker:
            os.kill(self._worker, signal.SIGCHLD)

    def _room(self, tail: int, least: int) -> None:
        if not self._wait(lambda: self._words[tail] >= least):
            raise UnwritableError("the worker is gone")

    def _drained(self) -> None:
        """Wait until all that was handed over is in the files."""
        own = self._own
        self._room(_DATA_TAIL, own.data)
        self._room(_RECORDS_TAIL, own.records)

    def _wait(self, is_so: Callable[[], bool]) -> bool:
        pause = 0.0001
        while not is_so():
            if os.getppid() != self._worker:
                return False
            self._call()
            time.sleep(pause)
            pause = min(pause * 1.5, 0.1)
        return True

    def flush(self) -> None:
        """Wait until all that was handed over is in the files."""
        self._drained()

    # The worker's side.

    def at(self) -> At:
        """Which turn is being run."""
        while True:
            index = self._words[_INDEX]
            found = At(index, self._times[_BEGAN], self._times[_STARTED])
            if index == self._words[_INDEX]:
                return found

    def allow(self, turns: int) -> None:
        """Let the child begin so many turns."""
        self._words[_ALLOWED] = turns

    def cut(self, turns: int) -> None:
        """Take the turns after so many away from the child; they must not be allowed."""
        self._words[_TURNS] = turns

    def handed(self) -> Handed:
        """How far the child is."""
        words = self._words
        while True:
            turn = words[_COUNTING]
            slot = _SLOTS + 4 * turn
            found = Handed(words[slot], words[slot + 1], words[slot + 2], words[slot + 3])
            if turn == words[_COUNTING]:
                return found

    def states(self) -> List[str]:
        """The states of the turns that have ended, in their order."""
        start = _WORDS + _RECORDS + _DATA
        return [STATES[code] for code in self._memory[start : start + self.handed().count]]

    def drain(self) -> int:
        """Write what was handed over; how many records that are by now. Raises OSError."""
        handed, words = self.handed(), self._words
        if handed.data > words[_DATA_TAIL]:
            self._journal.append_data(self._get(_WORDS + _RECORDS, _DATA, words[_DATA_TAIL], handed.data))
            words[_DATA_TAIL] = handed.data
        if handed.records > words[_RECORDS_TAIL]:
            self._journal.append_lines(self._get(_WORDS, _RECORDS, words[_RECORDS_TAIL], handed.records))
            words[_RECORDS_TAIL] = handed.records
        return handed.count

    def _get(self, start: int, size: int, low: int, high: int) -> bytes:
        place, count = low % size, high - low
        first = min(count, size - place)
        return (
            self._memory[start + place : start + place + first] + self._memory[start : start + count - first]
        )

    def try_to_drain(self) -> Tuple[int, bool]:
        """The same once, without waiting on a full disk; and whether that has gone on for too long."""
        try:
            count = self.drain()
        except OSError:
            now = time.monotonic()
            since = self._failing_since = self._failing_since or now
            return 0, now - since > retry_s()
        self._failing_since = None
        return count, False

    def finish(self, stopping: Callable[[], bool]) -> None:
        """Write the rest when the child has ended; what it left half done is cut off."""
        persist(self.drain, stopping)
        self._journal.cut_to(self.handed().data_end)


# What takes a task's outputs and record.
Keeper = Union[Journal, Relay]
