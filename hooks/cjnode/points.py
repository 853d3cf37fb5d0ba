"""Points of a sweep: from a task number to parameters, without listing what lies between."""

import bisect
import json
import os
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Set, Tuple

POINTS_PER_FILE = 10000

Axis = NamedTuple("Axis", [("names", Tuple[str, ...]), ("values", Tuple[Tuple[Any, ...], ...])])

Block = NamedTuple("Block", [("axes", Tuple[Axis, ...])])

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


def sweep_from_json(data: Dict[str, Any]) -> Sweep:
    """Read the manifest's ``sweep``."""
    blocks = tuple(
        Block(
            tuple(
                Axis(tuple(axis["names"]), tuple(tuple(row) for row in axis["values"]))
                for axis in block["axes"]
            )
        )
        for block in data["blocks"]
    )
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
        "blocks": [
            {"axes": [{"names": list(a.names), "values": [list(v) for v in a.values]} for a in b.axes]}
            for b in sweep.blocks
        ],
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


def count(sweep: Sweep) -> int:
    """How many tasks the sweep has."""
    if sweep.kind == "single":
        points = 1
    elif sweep.explicit:
        points = sweep.explicit
    else:
        points = sum(block_size(block) for block in sweep.blocks) - len(sweep.removed)
    return points * sweep.repeat


def _position(removed: Tuple[int, ...], index: int) -> int:
    """The position in the union of the ``index``-th point that is not removed."""
    low, high = index, index + len(removed)
    while low < high:
        middle = (low + high) // 2
        if middle + 1 - bisect.bisect_right(removed, middle) >= index + 1:
            high = middle
        else:
            low = middle + 1
    return low


def _grid_point(sweep: Sweep, index: int) -> Tuple[Dict[str, Any], Tuple[int, ...]]:
    position = _position(sweep.removed, index)
    for block in sweep.blocks:
        size = block_size(block)
        if position < size:
            break
        position -= size
    else:
        raise IndexError("no task %d in this sweep" % (index + 1))
    indices: List[int] = []
    for axis in reversed(block.axes):
        position, here = divmod(position, len(axis.values))
        indices.append(here)
    indices.reverse()
    params: Dict[str, Any] = {}
    for axis, here in zip(block.axes, indices):
        params.update(zip(axis.names, axis.values[here]))
    return params, tuple(indices)


def _explicit_row(folder: str, index: int) -> List[Any]:
    path = os.path.join(folder, "points", "%05d.jsonl" % (index // POINTS_PER_FILE))
    with open(path, encoding="utf-8") as lines:
        for number, line in enumerate(lines):
            if number == index % POINTS_PER_FILE:
                row: List[Any] = json.loads(line)
                return row
    raise IndexError("no line %d in %s" % (index % POINTS_PER_FILE + 1, path))


def _explicit_point(sweep: Sweep, row: List[Any]) -> Tuple[Dict[str, Any], Tuple[int, ...]]:
    index: Tuple[int, ...] = ()
    if sweep.kind == "loops":
        index, row = tuple(row[0]), row[1:]
    return dict(zip(sweep.names, row)), index


def point(sweep: Sweep, task: int, folder: str) -> Point:
    """The point of task ``task`` (from 1); ``folder`` is the package's ``.cj`` folder."""
    index, replicate = divmod(task - 1, sweep.repeat)
    if not 0 < task <= count(sweep):
        raise IndexError("no task %d: the package has %d" % (task, count(sweep)))
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


def points(sweep: Sweep, tasks: List[int], folder: str) -> Iterator[Point]:
    """The points of many tasks in the given order, reading each points file once in a row."""
    if not sweep.explicit:
        for task in tasks:
            yield point(sweep, task, folder)
        return
    loaded = -1
    rows: List[str] = []
    for task in tasks:
        index, replicate = divmod(task - 1, sweep.repeat)
        if index // POINTS_PER_FILE != loaded:
            loaded = index // POINTS_PER_FILE
            with open(os.path.join(folder, "points", "%05d.jsonl" % loaded), encoding="utf-8") as lines:
                rows = lines.readlines()
        params, indices = _explicit_point(sweep, json.loads(rows[index % POINTS_PER_FILE]))
        if sweep.repeat > 1:
            params["cj_repeat"] = replicate + 1
        yield Point(task, params, indices)


def parse_tasks(text: str) -> List[int]:
    """Task numbers of ``3,5-9``, ascending, each once. Raises ValueError."""
    numbers: Set[int] = set()
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        low = int(first)
        high = int(last) if last else low
        if low < 1 or high < low:
            raise ValueError("not a range of tasks: %r" % part)
        numbers.update(range(low, high + 1))
    return sorted(numbers)


def format_tasks(tasks: List[int]) -> str:
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
