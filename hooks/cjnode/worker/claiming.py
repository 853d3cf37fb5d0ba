"""Which block a worker runs next, and what of it is its own to run."""

import os
from typing import Callable, FrozenSet, Iterator, List, NamedTuple, Optional, Set, Tuple, Union

from cjnode.jobs.submissions import Submission, taken_by_later
from cjnode.records import blocks, claims, partition
from cjnode.records.asks import Asks, Offer
from cjnode.records.board import Board, Free, Queue
from cjnode.records.claims import Claim, Current
from cjnode.records.journal import Journal, Place, persist
from cjnode.worker.element import Lifetime
from cjnode.worker.holding import Ending, Holding, Turn
from cjnode.worker.idling import Idle
from cjnode.worker.leftovers import what_is_open

# Who claims: the claim it makes, its place among all workers, and whether it goes on with others' blocks.
Claimant = NamedTuple(
    "Claimant",
    [
        ("claim", Claim),
        ("rank", int),  # from 0; beyond the ranks are workers that were added later
        ("ranks", int),  # workers that the submission began with
        ("takes_any", bool),
        ("dead", FrozenSet[int]),  # processes of this start of the element that died
    ],
)

# A block that was claimed: its journal, the attempt that its holder before was cut off at, what is to run.
Held = NamedTuple(
    "Held",
    [("chosen", Free), ("journal", Journal), ("died", Optional[Current]), ("holding", Holding)],
)


class Claims:
    """The blocks that one worker claims, one after another."""

    def __init__(
        self,
        submission: Submission,
        claimant: Claimant,
        life: Optional[Lifetime],
        stopping: Callable[[], bool],
        is_due: Callable[[int], bool],
    ) -> None:
        self.board = Board(submission.path, submission.partition)
        self._submission = submission
        self._claimant = claimant
        self._stopping = stopping
        self._is_due = is_due  # whether what earlier holders of a block left is to run again
        self._queue = Queue(self.board, submission.partition, claimant.rank % claimant.ranks, claimant.ranks)
        self._first = self._begin()
        self._is_dry = False  # whether nothing but what others give is to be had
        self._closed: Set[Free] = set()  # claims whose holders are known to be done with them
        mark = "%d-%d-%d" % (claimant.claim.element, claimant.claim.incarnation, claimant.claim.pid)
        self.ending = Ending(Asks(submission.path, claimant.claim.element, mark, claimant.ranks), life)

    def next(self) -> Optional[Held]:
        """Claim what is to be had, waiting while others may give; None when nothing is left."""
        for chosen in self._first:
            held = self._try(chosen)
            if held is not None:
                return held
        if not self._claimant.takes_any:
            return None
        idle: Optional[Idle] = None
        try:
            while not self._stopping() and not self.ending.is_due():
                if idle is None and self._is_dry:
                    idle = self._idle()
                found = self._queue.pop() if idle is None else idle.look()
                held = self._try(found) if found is not None else None
                if held is not None:
                    return held
                if found is not None:
                    self._queue.missed()
                    continue
                self._is_dry, idle = True, idle or self._idle()
                if not idle.wait(self._stopping):
                    return None
            return None
        finally:
            if idle is not None:
                idle.end()

    def _idle(self) -> Idle:
        return Idle(self._submission, self.board, self.ending.asks, self._claimant.ranks, self._closed)

    def _begin(self) -> Iterator[Free]:
        """What earlier starts of the element left, then the block that it begins with."""
        claim = self._claimant.claim
        if claim.incarnation > 1 or self._claimant.dead:
            yield from inherited(self.board, self._submission, claim, self._claimant.dead)
        if self._claimant.rank >= self._claimant.ranks:
            return
        shared = self._submission.partition
        own = Free(partition.own_block(shared, self._claimant.rank + 1, self._claimant.ranks), 1)
        if not os.path.exists(self._path(own)):
            yield own

    def _path(self, chosen: Free) -> str:
        return blocks.block_path(self._submission.path, chosen.block, chosen.generation, "claim")

    def _try(self, found: Union[Free, Offer]) -> Optional[Held]:
        """Claim a generation of a block; None when another has it or nothing of it is open."""
        chosen, end = Free(found.block, found.generation), found.end if isinstance(found, Offer) else 0
        path, claim = self._path(chosen), self._claimant.claim
        if chosen.generation > 1 and not any(self._open(chosen)) and not self._is_due(chosen.block):
            self.board.taken(chosen)
            return None
        is_cut = chosen.generation == 1 and chosen.block > partition.count(self._submission.partition)
        fd = persist(lambda: claims.create_claim(path, claim), self._stopping)
        if fd is None:
            if is_cut or chosen.generation > 1:
                self.board.taken(chosen, end)  # by another, who may have died before it said so
            return None
        if is_cut and end:
            self.board.learn(Offer(chosen.block, 1, end))
        elif is_cut or chosen.generation > 1:
            # Only after the claim: its creation has a network file system forget what it knew of the folder,
            # and a cut that was not seen would have tasks run twice.
            self.board.look(surely=True)
        if is_cut or chosen.generation > 1:
            self.board.taken(chosen, self.board.places(chosen.block).stop if is_cut else 0)
        died, turns = self._open(chosen)
        place = Place(self._submission.path, chosen.block, chosen.generation)
        journal = Journal(place, fd, self._stopping, claim)
        end = self.board.places(chosen.block).stop
        holding = Holding(self.board, self.ending, turns, self._whole(chosen), end, self._claimant.ranks)
        return Held(chosen, journal, died, holding)

    def _whole(self, chosen: Free) -> List[Turn]:
        submission = self._submission
        places = self.board.places(chosen.block)
        return [Turn(task, submission.attempt) for task in submission.tasks[places.start : places.stop]]

    def _open(self, chosen: Free) -> Tuple[Optional[Current], List[Turn]]:
        died, left = None, self._whole(chosen)
        if chosen.generation > 1:
            died, left = what_is_open(self._submission, chosen.block, chosen.generation - 1, left)
        taken = taken_by_later(self._submission)
        if died is not None and died.task in taken:
            died = None
        return died, [turn for turn in left if turn.task not in taken]


def inherited(
    board: Board, submission: Submission, claim: Claim, dead: FrozenSet[int] = frozenset()
) -> List[Free]:
    """The generations after the newest claims of this element's earlier starts, or of its dead slots."""
    board.look(surely=True)
    found = []
    let_go = [Free(each.block, each.generation - 1) for each in board.free if each.generation > 1]
    for block, generation in sorted(board.held + let_go):
        known = claims.read_claim(blocks.block_path(submission.path, block, generation, "claim"))
        if known is None:
            # Damaged: the records beside it say whose it was. Of several slots one that lives may have it.
            path = blocks.block_path(submission.path, block, generation, "records")
            if submission.slots == 1 and blocks.recorded_by(path) == (claim.job, claim.element):
                found.append(Free(block, generation + 1))
            continue
        earlier = known[0].incarnation < claim.incarnation
        if not earlier and (known[0].incarnation, known[0].pid in dead) != (claim.incarnation, True):
            continue
        # A claim of another job may be that of its twin, of a job that was submitted twice, and live.
        if (known[0].job, known[0].element) == (claim.job, claim.element):
            found.append(Free(block, generation + 1))
    return found
