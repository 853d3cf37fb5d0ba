"""Which block a worker runs next, and what of it is its own to run."""

import os
from typing import Callable, Iterator, List, NamedTuple, Optional, Tuple

from cjnode import blocks, partition
from cjnode.blocks import Claim, Current
from cjnode.board import Board, Free, Queue
from cjnode.inprocess import Turn
from cjnode.journal import Journal, Place, persist
from cjnode.leftovers import what_is_open
from cjnode.submissions import Submission

# Who claims: the claim it makes, its place among all workers, and whether it goes on with others' blocks.
Claimant = NamedTuple(
    "Claimant",
    [("claim", Claim), ("elements", int), ("rank", int), ("ranks", int), ("takes_any", bool)],
)

# A block that was claimed: its journal, the attempt that its holder before was cut off at, what is to run.
Held = NamedTuple(
    "Held",
    [("chosen", Free), ("journal", Journal), ("died", Optional[Current]), ("turns", List[Turn])],
)


class Claims:
    """The blocks that one worker claims, one after another."""

    def __init__(self, submission: Submission, claimant: Claimant, stopping: Callable[[], bool]) -> None:
        self.board = Board(submission.path, submission.partition)
        self._submission = submission
        self._claimant = claimant
        self._stopping = stopping
        self._queue = Queue(self.board, submission.partition, claimant.rank, claimant.ranks)
        self._first = self._begin()

    def next(self) -> Optional[Held]:
        """Claim what is to be had; None when nothing is."""
        for chosen in self._first:
            held = self._try(chosen)
            if held is not None:
                return held
        while self._claimant.takes_any:
            free = self._queue.pop()
            if free is None:
                return None
            held = self._try(free)
            if held is not None:
                return held
            self._queue.outdated()
        return None

    def _begin(self) -> Iterator[Free]:
        """What earlier starts of the element left, then the block that it begins with."""
        claim = self._claimant.claim
        if claim.incarnation > 1:
            yield from inherited(self.board, self._submission, claim)
        shared = self._submission.partition
        own = Free(partition.own_block(shared, claim.element, self._claimant.elements), 1)
        if not os.path.exists(self._path(own)):
            yield own

    def _path(self, chosen: Free) -> str:
        return blocks.block_path(self._submission.path, chosen.block, chosen.generation, "claim")

    def _try(self, chosen: Free) -> Optional[Held]:
        """Claim a generation of a block; None when another has it or nothing of it is open."""
        path, claim = self._path(chosen), self._claimant.claim
        if chosen.generation > 1 and not any(self._open(chosen)):
            self.board.taken(chosen)
            return None
        fd = persist(lambda: blocks.create_claim(path, claim), self._stopping)
        if fd is None:
            return None
        if chosen.generation > 1 or chosen.block > partition.count(self._submission.partition):
            # Only after the claim: its creation has a network file system forget what it knew of the folder,
            # and a cut that was not seen would have tasks run twice.
            self.board.look()
            self.board.taken(chosen)
        died, turns = self._open(chosen)
        place = Place(self._submission.path, chosen.block, chosen.generation)
        return Held(chosen, Journal(place, fd, self._stopping), died, turns)

    def _open(self, chosen: Free) -> Tuple[Optional[Current], List[Turn]]:
        submission = self._submission
        places = self.board.places(chosen.block)
        turns = [Turn(submission.tasks[place], submission.attempt) for place in places]
        if chosen.generation == 1:
            return None, turns
        return what_is_open(submission, chosen.block, chosen.generation - 1, turns)


def inherited(board: Board, submission: Submission, claim: Claim) -> List[Free]:
    """The generations that follow the newest claims of earlier starts of this element."""
    board.look()
    found = []
    let_go = [Free(each.block, each.generation - 1) for each in board.free if each.generation > 1]
    for block, generation in sorted(board.held + let_go):
        known = blocks.read_claim(blocks.block_path(submission.path, block, generation, "claim"))
        if known is None or known[0].incarnation >= claim.incarnation:
            continue
        # A claim of another job may be that of its twin, of a job that was submitted twice, and live.
        if (known[0].job, known[0].element) == (claim.job, claim.element):
            found.append(Free(block, generation + 1))
    return found
