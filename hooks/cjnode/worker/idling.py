"""A worker without anything to do: it waits while one of those at work may give it a part."""

import os
import random
import time
from typing import Callable, Optional, Set

from cjnode.files import create_once
from cjnode.jobs.submissions import Submission
from cjnode.records import blocks, claims
from cjnode.records.asks import Asks, Offer, pause_s
from cjnode.records.board import Board, Free

FIRST_PAUSE_S = 0.05
LONG_LOOKS = 4  # pauses between two looks at all blocks
FRESH_S = 0.5
LOOKERS = 8  # so many of those that are idle look at all blocks and claims at a time
CLAIMS_A_LOOK = 200


def longest_s() -> float:
    """How long it waits while nothing happens: a holder that died looks like one that has long tasks."""
    return float(os.environ.get("CJ_IDLE_S", "60"))


class Idle:
    """The time from when a worker found nothing to when it finds something, or ends."""

    def __init__(
        self, submission: Submission, board: Board, asks: Asks, workers: int, closed: Set[Free]
    ) -> None:
        """``closed`` are claims that are known to be done with; what is learned is added."""
        self._submission = submission
        self._board = board
        self._asks = asks
        self._most_s = pause_s(workers)
        self._pause_s = FIRST_PAUSE_S
        self._files = board.files
        self._news, self._looked = time.monotonic(), board.looked
        self._offered: Set[Offer] = set()  # at the last look
        self._closed = closed
        asks.say_idle()
        asks.look()
        # Whether all blocks were looked at just now, and are to be judged.
        self._is_fresh = self._news - self._looked < FRESH_S and self._is_chosen()
        self._is_judging = False  # whether there were too many claims to read at a time

    def _is_chosen(self) -> bool:
        """Whether this worker is one of those that look at everything: not all list thousands of files."""
        return random.random() * self._asks.idle < LOOKERS

    def look(self) -> Optional[Offer]:
        """Something to claim: of what is offered, and now and then of all that there is."""
        now = time.monotonic()
        self._is_fresh = now - self._looked >= LONG_LOOKS * self._most_s and self._is_chosen()
        if self._is_fresh:
            self._looked = now
            self._board.look()
        known, self._asks.offers = self._asks.offers, []  # one is tried a look
        if set(known) - self._offered:
            self._offered, self._news = set(known), now
        if self._is_fresh:
            known = [Offer(free.block, free.generation, 0) for free in self._board.free]
        return random.choice(known) if known else None

    def wait(self, stopping: Callable[[], bool]) -> bool:
        """Wait a little; whether it makes sense to look again."""
        if self._board.files != self._files:
            self._files, self._news = self._board.files, time.monotonic()
        if os.path.exists(blocks.exhausted_path(self._submission.path)):
            return False
        if (self._is_fresh or self._is_judging) and not self._may_get():
            return False
        deadline = time.monotonic() + self._pause_s * random.uniform(0.5, 1.0)
        while time.monotonic() < deadline and not stopping():
            time.sleep(min(0.1, self._pause_s))
        self._pause_s = min(2 * self._pause_s, self._most_s)
        self._asks.look()
        return time.monotonic() - self._news < longest_s()

    def end(self) -> None:
        """Stop asking for work."""
        self._asks.say_busy()

    def _may_get(self) -> bool:
        """Whether somebody may still give; when all is done that is noted, for those that come later."""
        self._is_judging = False
        if self._board.free:
            return True  # seen, and not looked at again since
        looked, at_last = 0, set()
        for held in reversed(self._board.held):  # the latest are those at work
            if held in self._closed:
                continue
            looked += 1
            if looked > CLAIMS_A_LOOK:
                self._is_judging = True
                return True
            last = self._submission.tasks[self._board.places(held.block).stop - 1]
            path = blocks.block_path(self._submission.path, held.block, held.generation, "claim")
            claim = claims.read_claim(path)
            now = claim[1] if claim else claims.Current(0, 0, "")
            if now.task == 0 and now.started:
                self._closed.add(held)
            elif last in (now.task, claims.begun_up_to(path)):
                at_last.add(held)
            else:
                return True
        return self._has_more(at_last)

    def _has_more(self, at_last: Set[Free]) -> bool:
        """Look again: a holder may have let go of something before it was done. If not, note the end.

        ``at_last`` are claims whose holders are at their last task, and may yet let go of that.
        """
        self._board.look(surely=True)
        if self._board.free or not (self._closed | at_last).issuperset(self._board.held):
            self._looked = 0.0
            return True
        if not at_last:
            try:
                create_once(blocks.exhausted_path(self._submission.path), b"")
            except OSError:
                pass  # those that come later look for themselves
        return False
