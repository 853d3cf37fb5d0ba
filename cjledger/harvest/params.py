"""The parameters of many tasks as columns."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Sequence

from cjledger.model import Axis, Point, Sweep
from cjledger.shards.frames import from_values, pl
from cjnode.package.axes import Column
from cjnode.package.points import block_size

Points = Callable[[Sequence[int]], Iterable[Point]]


class Parameters:
    """The points of a package: a grid is computed, explicit points are read."""

    def __init__(self, sweep: Sweep, points: Points) -> None:
        self._sweep = sweep
        self._points = points
        self._values: dict[str, pl.Series] = {}  # of a grid, made when they are needed

    def of(self, tasks: Sequence[int]) -> pl.DataFrame:
        """One row for each of ``tasks``, in their order."""
        sweep, numbers = self._sweep, pl.Series("cj_task", tasks, pl.Int64)
        if sweep.kind == "single":
            columns: list[pl.Series] = []
        elif sweep.explicit:
            return self._explicit(numbers)
        else:
            columns = self._grid((numbers - 1) // sweep.repeat)
        if sweep.repeat > 1:
            columns.append(((numbers - 1) % sweep.repeat + 1).alias("cj_repeat"))
        return pl.DataFrame([numbers, *columns]).drop("cj_task")

    def _explicit(self, numbers: pl.Series) -> pl.DataFrame:
        tasks = numbers.unique().sort()
        found = [point.params for point in self._points(tasks.to_list())]
        names = list(dict.fromkeys(name for params in found for name in params))
        columns = [from_values(name, [params.get(name) for params in found]) for name in names]
        rows = tasks.search_sorted(numbers)
        return pl.DataFrame([column.gather(rows) for column in columns])

    def _grid(self, index: pl.Series) -> list[pl.Series]:
        """Each parameter's column: where it stands on its axis, looked up in the axis's values."""
        sweep = self._sweep
        if sweep.removed:
            before = pl.Series([at - i for i, at in enumerate(sweep.removed)], dtype=pl.Int64)
            index = index + before.search_sorted(index, side="right").cast(pl.Int64)
        lengths = dict.fromkeys(sweep.names, 0)  # of the values in the blocks before
        places: dict[str, pl.Series] = {}
        start = 0
        for block in sweep.blocks:
            size = block_size(block)
            inside = pl.DataFrame({"at": index, "in": (index >= start) & (index < start + size)})
            stride = 1
            for axis in reversed(block.axes):
                here = (pl.col("at") - start) // stride % len(axis.values) if axis.values else pl.lit(0)
                for name in axis.names:
                    first = lengths.get(name, 0)
                    place = inside.select(pl.when("in").then(here + first).alias(name)).to_series()
                    places[name] = place if name not in places else _either(places[name], place)
                    lengths[name] = first + len(axis.values)
                stride *= len(axis.values)
            start += size
        self._values = self._values or _values(sweep)
        return [self._values[name].gather(places[name]) for name in lengths if name in places]


def _values(sweep: Sweep) -> dict[str, pl.Series]:
    """The values of each parameter in all blocks, one block after another."""
    axes: dict[str, list[Axis]] = {}
    for block in sweep.blocks:
        for axis in reversed(block.axes):
            for name in axis.names:
                axes.setdefault(name, []).append(axis)
    return {name: _column(name, own) for name, own in axes.items()}


def _column(name: str, axes: Sequence[Axis]) -> pl.Series:
    if len(axes) == 1 and isinstance(axes[0].values, Column):
        numbers = axes[0].values.numbers
        if isinstance(numbers, array):
            return pl.Series(name, numbers, pl.Float64)
        return from_values(name, numbers)
    return from_values(name, [row[axis.names.index(name)] for axis in axes for row in axis.values])


def _either(one: pl.Series, other: pl.Series) -> pl.Series:
    both = pl.DataFrame({"one": one, "other": other})
    return both.select(pl.coalesce("one", "other").alias(one.name)).to_series()
