"""The parameters of many tasks as columns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from cjledger.model import Point, Sweep
from cjledger.shards.frames import from_values, pl
from cjnode.points import block_size

Points = Callable[[Sequence[int]], Iterable[Point]]


def parameters(sweep: Sweep, tasks: Sequence[int], points: Points) -> pl.DataFrame:
    """One row for each of ``tasks``, in their order; a grid is computed, explicit points are read."""
    numbers = pl.Series("cj_task", tasks, pl.Int64)
    if sweep.kind == "single":
        columns: list[pl.Series] = []
    elif sweep.explicit:
        return _explicit(numbers, points)
    else:
        columns = _grid(sweep, (numbers - 1) // sweep.repeat)
    if sweep.repeat > 1:
        columns.append(((numbers - 1) % sweep.repeat + 1).alias("cj_repeat"))
    return pl.DataFrame([numbers, *columns]).drop("cj_task")


def _explicit(numbers: pl.Series, points: Points) -> pl.DataFrame:
    tasks = numbers.unique().sort()
    found = [point.params for point in points(tasks.to_list())]
    names = list(dict.fromkeys(name for params in found for name in params))
    columns = [from_values(name, [params.get(name) for params in found]) for name in names]
    rows = tasks.search_sorted(numbers)
    return pl.DataFrame([column.gather(rows) for column in columns])


def _grid(sweep: Sweep, index: pl.Series) -> list[pl.Series]:
    """Each parameter's column: where it stands on its axis, looked up in the axis's values."""
    if sweep.removed:
        before = pl.Series([at - i for i, at in enumerate(sweep.removed)], dtype=pl.Int64)
        index = index + before.search_sorted(index, side="right").cast(pl.Int64)
    pools: dict[str, list[Any]] = {name: [] for name in sweep.names}
    places: dict[str, pl.Series] = {}
    start = 0
    for block in sweep.blocks:
        size = block_size(block)
        inside = pl.DataFrame({"at": index, "in": (index >= start) & (index < start + size)})
        stride = 1
        for axis in reversed(block.axes):
            here = (pl.col("at") - start) // stride % len(axis.values) if axis.values else pl.lit(0)
            for position, name in enumerate(axis.names):
                pool = pools.setdefault(name, [])
                place = inside.select(pl.when("in").then(here + len(pool)).alias(name)).to_series()
                places[name] = place if name not in places else _either(places[name], place)
                pool.extend(row[position] for row in axis.values)
            stride *= len(axis.values)
        start += size
    return [from_values(name, pool).gather(places[name]) for name, pool in pools.items() if name in places]


def _either(one: pl.Series, other: pl.Series) -> pl.Series:
    both = pl.DataFrame({"one": one, "other": other})
    return both.select(pl.coalesce("one", "other").alias(one.name)).to_series()
