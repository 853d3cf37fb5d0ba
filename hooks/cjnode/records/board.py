"""What of a submission's blocks is to be had, as the names of their files tell.

A generation of a block is free when its ``given`` file is there and its claim is not: who held the one before
let go of it. The partition's own blocks need no such file. One listing says all, whatever the number of
workers; no file is opened. A cut stays for ever: its block's first claim is never removed.
"""

import bisect
import os
import random
import time
from typing import Dict, List, NamedTuple, Optional, Set

from cjnode.records import asks, blocks, partition
from cjnode.records.asks import Offer
from cjnode.records.partition import Partition

MOST_MISSED = 50
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.01, 0.5

# A block and the generation of it that can be claimed.
Free = NamedTuple("Free", [("block", int), ("generation", int)])


class Board:
    """A submission's blocks as its folder told when it was looked at last."""

    def __init__(self, submission_path: str, shared: Partition) -> None:
        self._path = submission_path
        self._partition = shared
        self.cuts: List[int] = []
        self.free: List[Free] = []
        self.claimed: Dict[int, int] = {}  # every block that was claimed, to its newest claim's generation
        self._let_go: Set[int] = set()
        self.files = 0
        self.looked = 0.0

    def look(self, surely: bool = False) -> None:
        """List the folder; ``surely``: so that nothing is missing that was there before.

        A block that is claimed while a listing goes on may be in it by neither name: the claim's place was
        passed before it was there, and ``given`` is gone when its own place comes. The next listing has it.
        """
        names = set(os.listdir(blocks.blocks_folder(self._path)))
        if surely:
            names.update(os.listdir(blocks.blocks_folder(self._path)))
        kinds: Dict[str, Dict[int, int]] = {".claim": {}, ".given": {}}
        for name in names:
            newest = kinds.get(name[-6:])
            if newest is not None:
                block, _, generation = name[:-6].partition("-")
                if block.isdigit() and generation.isdigit():
                    newest[int(block)] = max(int(generation), newest.get(int(block), 0))
        self.files, self.looked = len(names), time.monotonic()
        self.claimed, given = kinds[".claim"], kinds[".given"]
        self.cuts = sorted({*self.cuts, *partition.cuts_of(self._partition, [*self.claimed, *given])})
        whole = range(1, partition.count(self._partition) + 1)
        self.free = [Free(block, 1) for block in whole if block not in self.claimed and block not in given]
        let_go = [Free(*each) for each in sorted(given.items()) if each[1] > self.claimed.get(each[0], 0)]
        self.free += let_go
        self._let_go = {each.block for each in let_go}

    @property
    def held(self) -> List[Free]:
        """The newest claims, of blocks that were not let go since."""
        return [Free(*each) for each in sorted(self.claimed.items()) if each[0] not in self._let_go]

    def places(self, block: int) -> range:
        """The places of a block's tasks, by the cuts that are known."""
        first = partition.begin(self._partition, block)
        return range(first, partition.end(self._partition, block, self.cuts))

    def cut(self, place: int, end: int) -> None:
        """Give away the end of a block that this worker holds: from that place on it is one of its own."""
        block = partition.cut_number(self._partition, place)
        _appear(blocks.block_path(self._path, block, 1, "given"))
        asks.offer(self._path, Offer(block, 1, end))
        bisect.insort(self.cuts, place)

    def learn(self, offered: Offer) -> None:
        """Take up from an offer where a block begins and ends: nobody but its holder cuts it."""
        for place in (partition.begin(self._partition, offered.block), offered.end):
            if place not in self.cuts:
                bisect.insort(self.cuts, place)

    def let_go(self, block: int, generation: int) -> None:
        """Say that a generation's holder does nothing more: the next one is free."""
        _appear(blocks.block_path(self._path, block, generation + 1, "given"))
        asks.offer(self._path, Offer(block, generation + 1, 0))

    def taken(self, chosen: Free, end: int = 0) -> None:
        """Take away what said that a generation is free, after it was claimed."""
        try:
            os.unlink(blocks.block_path(self._path, chosen.block, chosen.generation, "given"))
        except OSError:
            pass  # the claim outranks it
        asks.accept(self._path, Offer(chosen.block, chosen.generation, end))


def _appear(path: str) -> None:
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))


class Queue:
    """In which order a worker tries the blocks that are free: not all workers at the same one."""

    def __init__(self, board: Board, shared: Partition, rank: int, ranks: int) -> None:
        self._board = board
        self._partition = shared
        self._rank = rank  # of this worker, from 0
        self._ranks = ranks
        self._next: List[Free] = []
        self._missed = 0  # since the last look
        self._is_out = False  # whether what was tried last may have been won
        self._pause_s = FIRST_PAUSE_S

    def pop(self) -> Optional[Free]:
        """What to try next; None when a look showed nothing."""
        if self._is_out:
            self._pause_s = FIRST_PAUSE_S
        if not self._next:
            if self._missed:
                # The listing may lag behind the names: what it shows as free may be so no more for seconds.
                time.sleep(random.uniform(0.0, self._pause_s))
                self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
            self._board.look()
            self._next, self._missed = self._ahead(self._board.free), 0
        self._is_out = bool(self._next)
        return self._next.pop() if self._next else None

    def missed(self) -> None:
        """Another was faster: go on elsewhere. To list thousands of names costs more than a few tries."""
        self._missed, self._is_out = self._missed + 1, False
        at = random.randrange(len(self._next) + 1)
        self._next = self._next[at:] + self._next[:at] if self._missed < MOST_MISSED else []

    def _ahead(self, free: List[Free]) -> List[Free]:
        """The largest of the partition's blocks from this worker's own place on, else all; the last first."""
        own = [each for each in free if each.block <= partition.count(self._partition)]
        group = own or free
        if own:
            size = len(self._board.places(own[0].block))
            last = partition.last_of_size(self._partition, size)
            group = [each for each in own if each.block <= last]
        start = self._rank * len(group) // self._ranks if group else 0
        return (group[start:] + group[:start])[::-1]
