"""What a table's columns make: a heat map, points or lines."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cjledger.errors import CjError


@dataclass(frozen=True)
class Axis:
    """One axis: where its values lie, and the words of a categorical one (position i has words[i])."""

    name: str
    values: tuple[float, ...]
    words: tuple[str, ...] = ()


@dataclass(frozen=True)
class Series:
    """Points that belong together, sorted by x where they are a line."""

    label: str
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Chart:
    """What is to be drawn; ``cells`` (rows of y, columns of x, NaN where nothing is) for a heat map."""

    kind: str  # heat, points or lines
    title: str
    x: Axis
    y: Axis
    color: str = ""
    levels: tuple[float, ...] = ()  # the colour of each point
    series: tuple[Series, ...] = ()
    cells: tuple[tuple[float, ...], ...] = ()


def chart(
    columns: Mapping[str, Sequence[Any]], x: str, y: str, color: str = "", by: str = "", title: str = ""
) -> Chart:
    """Decide what a table's columns make: lines with ``by``, a heat map where x and y form a grid and a
    colour is given, points otherwise. Rows with a missing value are left out; several in a cell, averaged.
    """
    used = list(dict.fromkeys(name for name in (x, y, color, by) if name))
    rows = [row for row in zip(*(columns[name] for name in used), strict=True) if all(map(_there, row))]
    if not rows:
        raise CjError(f"no row has values in {', '.join(used)}", "git cj reduce")
    data = {name: [row[place] for row in rows] for place, name in enumerate(used)}
    across, up = _axis(x, data[x]), _axis(y, data[y])
    everything = (Series("", tuple(zip(across.values, up.values, strict=True))),)
    if by:
        return Chart("lines", title, across, up, series=_series(data[by], across, up, by))
    if color:
        levels = _axis(color, data[color])
        if levels.words:
            return Chart("points", title, across, up, series=_series(data[color], across, up, color))
        cells = _cells(across.values, up.values, levels.values)
        if cells:
            return Chart("heat", title, across, up, color, cells=cells)
        return Chart("points", title, across, up, color, levels.values, everything)
    return Chart(
        "points", title, across, up, series=(Series("", tuple(zip(across.values, up.values, strict=True))),)
    )


def _there(value: Any) -> bool:
    return value is not None and not (isinstance(value, float) and not math.isfinite(value))


def _axis(name: str, values: Sequence[Any]) -> Axis:
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return Axis(name, tuple(float(value) for value in values))
    words = tuple(dict.fromkeys(_printable(value) for value in values))
    places = {word: float(place) for place, word in enumerate(words)}
    return Axis(name, tuple(places[_printable(value)] for value in values), words)


def _printable(value: Any) -> str:
    """Text from a cluster may hold control characters, which a terminal would obey."""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _series(labels: Sequence[Any], across: Axis, up: Axis, name: str) -> tuple[Series, ...]:
    found: dict[Any, list[tuple[float, float]]] = {}
    for label, here, there in zip(labels, across.values, up.values, strict=True):
        found.setdefault(label, []).append((here, there))
    try:
        order = sorted(found)
    except TypeError:
        order = list(found)
    return tuple(Series(f"{name} = {_printable(label)}", tuple(sorted(found[label]))) for label in order)


def _cells(
    across: Sequence[float], up: Sequence[float], levels: Sequence[float]
) -> tuple[tuple[float, ...], ...]:
    """The mean colour of each grid cell; nothing when x and y fill less than half of a grid."""
    found: dict[tuple[float, float], list[float]] = {}
    for here, there, level in zip(across, up, levels, strict=True):
        found.setdefault((here, there), []).append(level)
    xs, ys = sorted(set(across)), sorted(set(up))
    if min(len(xs), len(ys)) < 2 or 2 * len(found) < len(xs) * len(ys):
        return ()
    return tuple(
        tuple(statistics.fmean(found[x, y]) if (x, y) in found else math.nan for x in xs) for y in ys
    )
