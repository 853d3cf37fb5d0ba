"""Points of a sweep: from a task number to parameters, without listing what lies between."""

import bisect
import json
import os
import re
from typing import Any, Dict, Iterable, Iterator, List, NamedTuple, Optional, Sequence, Set, Tuple

from cjnode.package.axes import LARGEST_TASK, Block, axis_from_json, axis_to_json

POINTS_PER_FILE = 10000

_TASKS = re.compile(r"([0-9]{1,18})(?:\s*-\s*([0-9]{1,18}))?\Z")

Sweep = NamedTuple(
    "Sweep",
    [
        ("kind", str),  # single, grid, loops or points
        ("blocks", Tuple[Block, ...]),
        ("removed", Tuple[int, ...]),  # zero-based positions in the union of blocks, ascending
        ("names", Tuple[str, ...]),  # every parameter name, in order
        ("explicit", int),  # how many points lie in .cj/points
        ("repeat", int),
        ("loops", Optional[Dict[str, Any]]),
    ],
)

Point = NamedTuple("Point", [("task", int), ("params", Dict[str, Any]), ("index", Tuple[int, ...])])


_Layout = NamedTuple("_Layout", [("sweep", Sweep), ("ends", List[int]), ("tasks", int)])

_last: Optional[_Layout] = None


def sweep_from_json(data: Dict[str, Any]) -> Sweep:
    """Read the manifest's ``sweep``."""
    blocks = tuple(Block(tuple(map(axis_from_json, block["axes"]))) for block in data["blocks"])
    return Sweep(
        data["kind"],
        blocks,
        tuple(data["removed"]),
        tuple(data["names"]),
        data["explicit"],
        data["repeat"],
        data["loops"],
    )


def sweep_to_json(sweep: Sweep) -> Dict[str, Any]:
    """The manifest's ``sweep``."""
    return {
        "kind": sweep.kind,
        "blocks": [{"axes": list(map(axis_to_json, block.axes))} for block in sweep.blocks],
        "removed": list(sweep.removed),
        "names": list(sweep.names),
        "explicit": sweep.explicit,
        "repeat": sweep.repeat,
        "loops": sweep.loops,
    }


def block_size(block: Block) -> int:
    """How many points a block has."""
    size = 1
    for axis in block.axes:
        size *= len(axis.values)
    return size


def _layout(sweep: Sweep) -> _Layout:
    """Where the blocks end and how many tasks there are; kept for the sweep that was asked for last."""
    global _last
    known = _last
    if known is None or known.sweep is not sweep:
        ends: List[int] = []
        for block in sweep.blocks:
            ends.append((ends[-1] if ends else 0) + block_size(block))
        if sweep.kind == "single":
            points = 1
        elif sweep.explicit:
            points = sweep.explicit
        else:
            points = (ends[-1] if ends else 0) - len(sweep.removed)
        known = _last = _Layout(sweep, ends, points * sweep.repeat)
    return known


def count(sweep: Sweep) -> int:
    """How many tasks the sweep has."""
    return _layout(sweep).tasks


def _position(removed: Tuple[int, ...], index: int) -> int:
    """The position in the union of the ``index``-th point that is not removed."""
    # removed[i] - i points are kept before the i-th removed one: find how many removed ones lie before ours.
    low, high = 0, len(removed)
    while low < high:
        middle = (low + high) // 2
        if removed[middle] - middle > index:
            high = middle
        else:
            low = middle + 1
    return index + low


def _grid_point(sweep: Sweep, index: int) -> Tuple[Dict[str, Any], Tuple[int, ...]]:
    position = _position(sweep.removed, index)
    ends = _layout(sweep).ends
    number = bisect.bisect_right(ends, position)
    block = sweep.blocks[number]
    position -= ends[number - 1] if number else 0
    indices: List[int] = []
    for axis in reversed(block.axes):
        position, here = divmod(position, len(axis.values))
        indices.append(here)
    indices.reverse()
    params: Dict[str, Any] = {}
    for axis, here in zip(block.axes, indices):
        params.update(zip(axis.names, axis.values[here]))
    return params, tuple(indices)


def _checked(sweep: Sweep, task: int) -> int:
    if not 0 < task <= count(sweep):
        raise IndexError("no task %d: the package has %d" % (task, count(sweep)))
    return task


def _points_path(folder: str, number: int) -> str:
    return os.path.join(folder, "points", "%05d.jsonl" % number)


def _listed_row(line: str) -> List[Any]:
    row = json.loads(line)
    if not isinstance(row, list):
        raise ValueError("not a list of values: %.60r" % line)
    return row


def _explicit_row(folder: str, index: int) -> List[Any]:
    path = _points_path(folder, index // POINTS_PER_FILE)
    with open(path, encoding="utf-8") as lines:
        for number, line in enumerate(lines):
            if number == index % POINTS_PER_FILE:
                return _listed_row(line)
    raise IndexError("no line %d in %s" % (index % POINTS_PER_FILE + 1, path))


def _explicit_point(sweep: Sweep, row: List[Any]) -> Tuple[Dict[str, Any], Tuple[int, ...]]:
    index: Tuple[int, ...] = ()
    if sweep.kind == "loops":
        if not row or not isinstance(row[0], list):
            raise ValueError("not a point of loops: %.60r" % (row,))
        index, row = tuple(row[0]), row[1:]
    if len(row) != len(sweep.names):
        raise ValueError("%d values of %d parameters" % (len(row), len(sweep.names)))
    return dict(zip(sweep.names, row)), index


def point(sweep: Sweep, task: int, folder: str) -> Point:
    """The point of task ``task`` (from 1); ``folder`` is the package's ``.cj`` folder."""
    index, replicate = divmod(_checked(sweep, task) - 1, sweep.repeat)
    if sweep.kind == "single":
        params: Dict[str, Any] = {}
        indices: Tuple[int, ...] = ()
    elif sweep.explicit:
        params, indices = _explicit_point(sweep, _explicit_row(folder, index))
    else:
        params, indices = _grid_point(sweep, index)
    if sweep.repeat > 1:
        params["cj_repeat"] = replicate + 1
    return Point(task, params, indices)


def points(sweep: Sweep, tasks: Iterable[int], folder: str) -> Iterator[Point]:
    """The points of many tasks in the given order, with one points file in memory at a time."""
    if not sweep.explicit:
        for task in tasks:
            yield point(sweep, task, folder)
        return
    loaded = -1
    rows: List[str] = []
    for task in tasks:
        index, replicate = divmod(_checked(sweep, task) - 1, sweep.repeat)
        if index // POINTS_PER_FILE != loaded:
            loaded = index // POINTS_PER_FILE
            with open(_points_path(folder, loaded), encoding="utf-8") as lines:
                rows = lines.readlines()
        if index % POINTS_PER_FILE >= len(rows):
            raise IndexError("points/%05d.jsonl ends before task %d" % (loaded, task))
        params, indices = _explicit_point(sweep, _listed_row(rows[index % POINTS_PER_FILE]))
        if sweep.repeat > 1:
            params["cj_repeat"] = replicate + 1
        yield Point(task, params, indices)


def parse_tasks(text: str) -> Sequence[int]:
    """Task numbers of ``3,5-9``, ascending, each once. Raises ValueError."""
    whole = _TASKS.match(text)
    if whole is not None and whole.group(2):  # a million tasks are most often one range
        low, high = int(whole.group(1)), int(whole.group(2))
        if 1 <= low <= high <= LARGEST_TASK:
            return range(low, high + 1)
    numbers: Set[int] = set()
    for low, high in spans(text):
        numbers.update(range(low, high + 1))
    return sorted(numbers)


def spans(text: str) -> List[Tuple[int, int]]:
    """The first and the last task of each part of ``3,5-9``, as they stand. Raises ValueError."""
    found: List[Tuple[int, int]] = []
    for part in text.split(","):
        match = _TASKS.match(part.strip())
        if match is None:
            raise ValueError("not a range of tasks: %r" % part)
        low, high = int(match.group(1)), int(match.group(2) or match.group(1))
        if low < 1 or high < low:
            raise ValueError("not a range of tasks: %r" % part)
        if high > LARGEST_TASK:
            raise ValueError("no package has a task %d" % high)
        found.append((low, high))
    return found


def format_tasks(tasks: Sequence[int]) -> str:
    """``3,5-9`` of ascending task numbers."""
    parts: List[str] = []
    start = previous = 0
    for task in list(tasks) + [0]:
        if start and task == previous + 1:
            previous = task
            continue
        if start:
            parts.append("%d" % start if start == previous else "%d-%d" % (start, previous))
        start = previous = task
    return ",".join(parts)
