"""How many elements a submission has, and the blocks in which they share its tasks."""

import os
from typing import Any, Dict, NamedTuple, Optional

from cjnode import partition
from cjnode.partition import Partition
from cjnode.parts import MOST_ELEMENTS

# Of more tasks than MOST_ELEMENTS, which have an element each. Three files a block: more elements would need
# more blocks than a million tasks should have.
WORKERS = 500
BLOCKS_PER_ELEMENT = 8  # of packages whose worker knows equal blocks alone

Sharing = NamedTuple("Sharing", [("elements", int), ("fields", Dict[str, Any])])


def share(fields: Dict[str, Any], tasks: int, asked: Optional[int], at_once: Optional[int]) -> Sharing:
    """The elements and the intent's fields for so many tasks of a package with this manifest.

    ``asked`` is how many elements somebody asked for, ``at_once`` how many may run together.
    """
    elements = min(tasks, _workers(fields, tasks, asked, at_once))
    shared = _partition(fields, tasks, elements)
    if _knows_rounds(fields):
        blocks: Dict[str, Any] = {"rounds": [list(each) for each in shared.rounds]}
    else:
        blocks = {"block": shared.rounds[0][0]}
    return Sharing(min(elements, partition.count(shared)), blocks)


def _workers(fields: Dict[str, Any], tasks: int, asked: Optional[int], at_once: Optional[int]) -> int:
    wanted = asked or fields["resources"].get("workers")
    if fields["scheduler"] == "local":  # its pool starts all that there are
        return min(each for each in (wanted or at_once or _processors(), at_once) if each)
    return wanted or (tasks if tasks <= MOST_ELEMENTS else WORKERS)


def _partition(fields: Dict[str, Any], tasks: int, workers: int) -> Partition:
    """The blocks: one a task where every task has a worker."""
    if _knows_rounds(fields):
        return partition.equal(tasks, 1) if tasks == workers else partition.factored(tasks, workers)
    if fields["scheduler"] == "local":
        size = max(1, min(partition.LARGEST_BLOCK, tasks // (workers * BLOCKS_PER_ELEMENT)))
    else:
        size = -(-tasks // workers)
    return partition.equal(tasks, size)


def _knows_rounds(fields: Dict[str, Any]) -> bool:
    """Whether the package's own worker reads them: packages made before there were workers do not say so."""
    return "workers" in fields["resources"]


def _processors() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS
        return os.cpu_count() or 1
