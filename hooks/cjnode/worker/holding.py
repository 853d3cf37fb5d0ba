"""A block that a worker runs: what of it is left to run, and what of that is given to workers without any.

So the size of blocks follows the tasks' durations: who is slow, or has long tasks, gives away in time.
"""

import os
import random
import time
from typing import Callable, List, NamedTuple, Optional

from cjnode.records.asks import Asks
from cjnode.records.board import Board
from cjnode.worker.element import Lifetime, has_room

# The most parts that one worker gives at a time; those that take them give on.
MOST_PARTS = 8
# The most files of a submission's blocks, or as many for each worker, that giving may lead to.
MOST_FILES = 5000
FILES_PER_WORKER = 30
TOUCH_S = 60.0
GIVERS = 2  # so many see to it, for each that waits
RECENT_S = 600.0


# A task that waits for its turn: its number and the attempt it would be.
Turn = NamedTuple("Turn", [("task", int), ("attempt", int)])


def give_s() -> float:
    """A rest that takes no longer is kept: to give it costs others about as much."""
    return float(os.environ.get("CJ_GIVE_S", "3"))


class Ending:
    """When a worker ends before all is done: somebody wants it, or its time would not suffice for a task."""

    def __init__(self, asks: Asks, life: Optional[Lifetime]) -> None:
        self.asks = asks
        self._life = life
        self._longest_s = 0.0

    def took(self, seconds: float) -> None:
        """A task ended after so long."""
        self._longest_s = max(self._longest_s, seconds)

    def is_due(self) -> bool:
        """Whether no further task may be begun."""
        self.asks.look()
        return self.asks.is_stopped or self.asks.is_paused or self.is_late()

    def is_late(self) -> bool:
        """Whether the longest task so far would not fit into the time that is left. The first one does."""
        return self._life is not None and self._longest_s > 0 and not has_room(self._life, self._longest_s)


class Holding:
    """The turns of one claimed block. ``turns`` becomes shorter when its end is given away."""

    def __init__(
        self, board: Board, ending: Ending, turns: List[Turn], whole: List[Turn], end: int, workers: int
    ) -> None:
        """``whole`` are the block's turns as if none had been run, ``end`` is the place after the last."""
        self.turns = turns
        self.is_left = False  # whether it was broken off before all turns were run
        self._board = board
        self._ending = ending
        self._asks = ending.asks
        self._end = end
        self._workers = workers
        self._looks = ending.asks.looks
        self._giveable = _pristine(turns, whole)
        self._begun = 0
        self._ended = 0
        self._since = self._current_since = time.monotonic()
        self._touched = self._since

    def begins(self, begun: int) -> None:
        """So many turns are begun, those that ended included."""
        self._begun = begun
        self._current_since = time.monotonic()

    def ended(self, ended: int) -> None:
        """So many turns have ended."""
        now = time.monotonic()
        if ended > self._ended:
            self._ending.took((now - self._current_since) / (ended - self._ended))
            self._ended = ended
            self._current_since = now

    def look(self, touch: Callable[[], None]) -> None:
        """What a worker does now and then while its tasks run: give, and show that it lives by ``touch``.

        When the worker is to end, nothing more is run than what is begun.
        """
        now = time.monotonic()
        if now - self._touched >= TOUCH_S:
            self._touched = now
            touch()
        self._asks.look()
        is_new, self._looks = self._asks.looks != self._looks, self._asks.looks
        if is_new and self._is_chosen() and self._rest_s(now) > give_s():
            try:
                self._give()
            except OSError:
                pass  # a full disk: what was not given is run here
        if self._begun < len(self.turns) and self._ending.is_due():
            del self.turns[self._begun :]
            self.is_left = True

    def _is_chosen(self) -> bool:
        """Whether this worker is one of those that give now: not all list the folder for a few that wait."""
        at_work = max(1, self._workers - self._asks.idle)
        return random.random() * at_work < GIVERS * self._asks.idle

    def _rest_s(self, now: float) -> float:
        """How long the turns that are not begun would take, by those that were."""
        rest = len(self.turns) - max(self._begun, self._giveable)
        each = now - self._current_since
        if self._ended:
            each = max(each, (self._current_since - self._since) / self._ended)
        return rest * each

    def _give(self) -> None:
        """Give away parts from the end on; each is a block from the moment when its cut appears."""
        if time.monotonic() - self._board.looked > RECENT_S:
            self._board.look()  # for the number of files alone
        wanted = self._asks.idle - len(self._asks.offers)
        first = max(self._begun, self._giveable, 1)
        rest = len(self.turns) - first
        room = max(MOST_FILES, FILES_PER_WORKER * self._workers) - self._board.files
        at_work = max(1, self._workers - self._asks.idle)
        parts = min(MOST_PARTS, rest, room // 3, -(-wanted // at_work))
        for part in range(parts):
            rest = len(self.turns) - first
            size = -(-rest // (parts + 1 - part))
            place = self._end - size
            self._board.cut(place, self._end)
            self._end = place
            self._board.files += 3
            del self.turns[len(self.turns) - size :]


def _pristine(turns: List[Turn], whole: List[Turn]) -> int:
    """From which turn on they are the end of the block as it was at first.

    What a dead worker may have begun is nobody else's: who takes a part looks at no records of the whole.
    """
    first = len(turns)
    while first and turns[first - 1] == whole[first - 1 - len(turns)]:
        first -= 1
    return first
