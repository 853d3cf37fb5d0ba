"""How a submission's tasks are shared out in blocks: the same for every reader of its intent.

A block is a run of places in the order of the submission's tasks, counted from 0. The partition numbers its
blocks from 1. A block of which the end was given away ends there: at a cut. What was given away is a block
of its own, whose number is that of the partition's last block plus the place of its first task, so the names
of the blocks' files alone tell which tasks each has.
"""

import bisect
import hashlib
from itertools import chain, repeat
from typing import Any, Dict, Iterable, Iterator, List, NamedTuple, Optional, Sequence, Tuple

LARGEST_BLOCK = 1000
# Each has three files at most: a million tasks have fewer than 5,000, those of some cuts included.
MOST_BLOCKS = 1500
# So many workers find enough by asking one another; more would all ask at the end, each waiting for a turn.
ASKING_WORKERS = 500
BLOCKS_PER_WORKER = 8

# Sizes and counts of equal blocks, in their order.
Rounds = Tuple[Tuple[int, int], ...]

Partition = NamedTuple("Partition", [("tasks", int), ("rounds", Rounds)])


def equal(tasks: int, size: int) -> Partition:
    """Blocks of one size; the last is smaller where it does not divide the tasks."""
    count, rest = divmod(tasks, max(1, size))
    return Partition(tasks, tuple(each for each in ((max(1, size), count), (rest, 1)) if all(each)))


def factored(tasks: int, workers: int) -> Partition:
    """Large blocks first, small ones last: each round is half of what is left, a block for each worker.

    Hummel, Schonberg and Flynn (1992): half leaves enough for the others to catch up with the slowest.
    """
    rounds: List[List[int]] = []
    least = -(-11 * tasks // (10 * LARGEST_BLOCK))
    wanted = MOST_BLOCKS if workers <= ASKING_WORKERS else BLOCKS_PER_WORKER * workers
    left, budget = tasks, max(wanted, least)
    while left:
        size = max(min(-(-left // (2 * workers)), LARGEST_BLOCK), -(-left // max(1, budget)))
        count = max(1, min(workers, left // size))
        size = min(size, left)
        if rounds and rounds[-1][0] == size:
            rounds[-1][1] += count
        else:
            rounds.append([size, count])
        left -= size * count
        budget -= count
    return Partition(tasks, tuple((size, count) for size, count in rounds))


def of_intent(intent: Dict[str, Any], tasks: int) -> Partition:
    """The partition that an intent names. Raises ValueError for one that is not of so many tasks."""
    if "rounds" not in intent:  # submissions made before there were rounds
        return equal(tasks, int(intent["block"]))
    rounds = tuple((int(size), int(count)) for size, count in intent["rounds"])
    if sum(size * count for size, count in rounds) != tasks or any(min(each) < 1 for each in rounds):
        raise ValueError("its blocks are not of %d tasks" % tasks)
    return Partition(tasks, rounds)


def count(partition: Partition) -> int:
    """How many blocks the partition itself has."""
    return sum(many for _, many in partition.rounds)


def last_of_size(partition: Partition, size: int) -> int:
    """The last of the partition's own blocks that have no fewer tasks."""
    return sum(many for each, many in partition.rounds if each >= size)


def cut_number(partition: Partition, place: int) -> int:
    """The number of the block that begins at a cut."""
    return count(partition) + place


def begin(partition: Partition, block: int) -> int:
    """The place of a block's first task. Raises ValueError where there is no such block."""
    left, place = block - 1, 0
    for size, many in partition.rounds:
        if left < many:
            return place + left * size
        left -= many
        place += size * many
    if 0 < left + 1 < partition.tasks:
        return left + 1
    raise ValueError("there is no block %d" % block)


def end(partition: Partition, block: int, cuts: Sequence[int]) -> int:
    """The place after a block's last task. ``cuts`` are places, ascending."""
    first = begin(partition, block)
    _, last = _around(partition, first)
    at = bisect.bisect_right(cuts, first)
    return min(last, cuts[at]) if at < len(cuts) else last


def block_at(partition: Partition, place: int, cuts: Sequence[int]) -> int:
    """The block that has the task at a place."""
    number, first = 1, 0
    for size, many in partition.rounds:
        if place < first + size * many:
            number += (place - first) // size
            first += (place - first) // size * size
            break
        number += many
        first += size * many
    at = bisect.bisect_right(cuts, place)
    if at and cuts[at - 1] > first:
        return cut_number(partition, cuts[at - 1])
    return number


def spans(partition: Partition, cuts: Sequence[int]) -> Iterator[Tuple[int, int, int]]:
    """Every block with the places of its first task and after its last, in the order of places."""
    first = at = 0
    sizes = chain.from_iterable(repeat(size, many) for size, many in partition.rounds)
    for number, size in enumerate(sizes, 1):
        block, start = number, first
        first += size
        while at < len(cuts) and cuts[at] < first:
            if cuts[at] > start:
                yield block, start, cuts[at]
                block, start = cut_number(partition, cuts[at]), cuts[at]
            at += 1
        yield block, start, first


def _around(partition: Partition, place: int) -> Tuple[int, int]:
    """Where the partition's own block around a place begins and ends."""
    first = 0
    for size, many in partition.rounds:
        if place < first + size * many:
            first += (place - first) // size * size
            return first, first + size
        first += size * many
    raise ValueError("there is no task at place %d" % place)


def cuts_of(partition: Partition, blocks: Sequence[int]) -> List[int]:
    """The cuts that the numbers of the blocks with files tell, ascending."""
    own = count(partition)
    return sorted({block - own for block in blocks if own < block < own + partition.tasks})


def own_block(partition: Partition, element: int, elements: int) -> int:
    """The block that an element begins with."""
    return (element - 1) * _first_blocks(partition, elements) // elements + 1


def first_elements(partition: Partition, blocks: Iterable[int], elements: int) -> Dict[int, int]:
    """The element that begins with each block, or comes to it first where none does."""
    own, firsts = count(partition), _first_blocks(partition, elements)
    found = {}
    for each in blocks:
        block = each if each <= own else block_at(partition, begin(partition, each), ())
        found[each] = (block - 1) % elements + 1 if block > firsts else (block * elements - 1) // firsts + 1
    return found


def _first_blocks(partition: Partition, elements: int) -> int:
    """Over how many blocks the elements are spread when they begin: the first round, where that is enough."""
    first = partition.rounds[0][1] if partition.rounds else 0
    return first if first >= elements else max(1, count(partition))


def shuffled(tasks: int, seed: int) -> List[int]:
    """An order of so many tasks: step and start; the task at a place is the (start + step * place)-th of all.

    The step is next to the golden section of their number: wherever one stops, what was run lies evenly among
    all tasks, more so than by chance, and no list of a million places has to be kept or made.
    """
    step = max(1, round(tasks * 0.6180339887498949))
    while _common(step, tasks) > 1:
        step += 1
    digest = hashlib.sha256(b"cj-order-1:%d" % seed).digest()
    return [step, int.from_bytes(digest[:8], "big") % tasks]


def _common(first: int, second: int) -> int:
    while second:
        first, second = second, first % second
    return first


def in_order(tasks: Sequence[int], order: Optional[Sequence[int]]) -> Sequence[int]:
    """The tasks, ascending, as an intent's ``order`` has them run."""
    if not order:
        return tasks
    step, start = int(order[0]), int(order[1])
    count = len(tasks)
    if not step > 0 or _common(step, count) != 1:
        raise ValueError("its order is none of %d tasks" % count)
    return [tasks[(start + step * place) % count] for place in range(count)]
