"""How many elements a submission has, and the blocks in which they share its tasks."""

import os
from typing import Any, Dict, NamedTuple, Optional

from cjnode.jobs.parts import MOST_ELEMENTS
from cjnode.records import partition
from cjnode.records.partition import Partition

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
    if not _knows_rounds(fields):
        equal = _equal(fields, tasks, elements)
        return Sharing(min(elements, partition.count(equal)), {"block": equal.rounds[0][0]})
    slots = min(slots_of(fields["resources"]), -(-tasks // elements))
    shared = partition.equal(tasks, 1)
    if tasks > elements * slots:
        shared = partition.factored(tasks, elements * slots)
    blocks: Dict[str, Any] = {"rounds": [list(each) for each in shared.rounds]}
    if slots > 1:
        blocks["slots"] = slots
    if fields.get("shuffle") and tasks > 1:
        blocks["order"] = partition.shuffled(tasks, fields["seed"])
    return Sharing(elements, blocks)


def slots_of(resources: Dict[str, Any]) -> int:
    """How many tasks an element runs at a time: one a processor where workers were asked for.

    Without, the processors are those of each task.
    """
    return int(resources.get("cpus") or 1) if resources.get("workers") else 1


def _workers(fields: Dict[str, Any], tasks: int, asked: Optional[int], at_once: Optional[int]) -> int:
    wanted = asked or fields["resources"].get("workers")
    if fields["scheduler"] == "local":  # its pool starts all that there are
        return min(each for each in (wanted or at_once or _processors(), at_once) if each)
    return wanted or (tasks if tasks <= MOST_ELEMENTS else WORKERS)


def _equal(fields: Dict[str, Any], tasks: int, workers: int) -> Partition:
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
