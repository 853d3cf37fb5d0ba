"""Pictures of a table: a heat map, points or lines, as text for a terminal or as a PNG or SVG file."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import plotext

from cjledger.errors import CjError

_RAMP = " .:-=+*#%@"
_MARKERS = "ox+*#@%&"
_ROWS = 25  # of cells in a terminal's heat map
_SERIES = 8
_LEVELS = 5


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
    if by:
        return Chart("lines", title, across, up, series=_series(data[by], across, up, by))
    if color:
        levels = _axis(color, data[color])
        if levels.words:
            return Chart("points", title, across, up, series=_series(data[color], across, up, color))
        cells = _cells(across.values, up.values, levels.values)
        if cells:
            return Chart("heat", title, across, up, color, cells=cells)
        everything = (Series("", tuple(zip(across.values, up.values, strict=True))),)
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


def in_terminal(picture: Chart, width: int = 80, color: bool = False) -> str:
    """The chart as lines of at most ``width`` characters; escape codes only with ``color``."""
    width = max(40, min(width, 80))
    lines = _heat(picture, width, color) if picture.kind == "heat" else _plotext(picture, width, color)
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _plotext(picture: Chart, width: int, color: bool) -> list[str]:
    figure = plotext.figure
    figure.clear()
    figure.plot_size(width - 1, 24)
    series = _by_level(picture) if picture.levels else picture.series
    for number, one in enumerate(series[:_SERIES]):
        marker = _MARKERS[number] if len(series) > 1 else "o"
        signal = figure.signal([p[0] for p in one.points], [p[1] for p in one.points], marker=marker)
        if one.label:
            signal.label(one.label)
        if picture.kind == "lines":
            signal.lines(True)
        figure.draw(signal)
    more = len(series) - _SERIES
    figure.title(picture.title + (f" ({more} more lines are not shown)" if more > 0 else ""))
    for place, axis in enumerate((picture.x, picture.y)):
        figure.label(axis.name, axis=place)
        if axis.words:
            figure.ruler(place).ticks(list(range(len(axis.words))), [word[:12] for word in axis.words])
    text: str = figure.build().string(colorless=not color)
    return text.splitlines()


def _by_level(picture: Chart) -> tuple[Series, ...]:
    """Points in a few ranges of their colour, each with its own marker: a pipe has no colours."""
    low, high = min(picture.levels), max(picture.levels)
    step = (high - low) / _LEVELS or 1.0
    groups: dict[int, list[tuple[float, float]]] = {}
    for point, level in zip(picture.series[0].points, picture.levels, strict=True):
        groups.setdefault(min(_LEVELS - 1, int((level - low) / step)), []).append(point)
    return tuple(
        Series(f"{picture.color} {low + g * step:.3g} to {low + (g + 1) * step:.3g}", tuple(groups[g]))
        for g in sorted(groups)
    )


def _heat(picture: Chart, width: int, color: bool) -> list[str]:
    """A heat map in letters: one row of text for each value of y, or for several when they are many."""
    ys = _labels(picture.y)
    margin = max(len(label) for label in ys) + 2
    room = width - margin - 2
    cells, across, up = _shrunk(picture.cells, room)
    wide = max(1, min(8, room // len(cells[0])))
    values = [value for row in cells for value in row if not math.isnan(value)]
    low, high = min(values), max(values)
    lines = [picture.title.center(width)[:width], f"{picture.y.name}"[:width]]
    for number in reversed(range(len(cells))):
        row = "".join(_cell(value, low, high, wide, color) for value in cells[number])
        lines.append(f"{ys[number * up]:>{margin - 2}} |{row}|")
    lines.append(" " * (margin - 1) + "+" + "-" * (wide * len(cells[0])) + "+")
    lines.append(" " * margin + _ruler(_labels(picture.x), across, wide, width - margin))
    lines.append((" " * margin + picture.x.name)[:width])
    legend = "".join(_cell(low + i / 9 * (high - low), low, high, 2, color) for i in range(10))
    lines.append(f"{' ' * margin}{picture.color}: {low:.4g} [{legend}] {high:.4g}")
    return lines


def _labels(axis: Axis) -> list[str]:
    if axis.words:
        return [word[:12] for word in axis.words]
    return [f"{value:.4g}" for value in sorted(set(axis.values))]


def _shrunk(cells: Sequence[Sequence[float]], room: int) -> tuple[list[list[float]], int, int]:
    """Cells averaged until they fit, and how many of x and of y went into one."""
    across = -(-len(cells[0]) // room)
    up = -(-len(cells) // _ROWS)
    if across == up == 1:
        return [list(row) for row in cells], 1, 1
    smaller: list[list[float]] = []
    for top in range(0, len(cells), up):
        band = cells[top : top + up]
        smaller.append(
            [
                _mean([v for row in band for v in row[at : at + across]])
                for at in range(0, len(cells[0]), across)
            ]
        )
    return smaller, across, up


def _mean(values: Sequence[float]) -> float:
    there = [value for value in values if not math.isnan(value)]
    return statistics.fmean(there) if there else math.nan


def _cell(value: float, low: float, high: float, wide: int, color: bool) -> str:
    if math.isnan(value):
        return "?" * wide
    share = (value - low) / (high - low) if high > low else 1.0
    if color:  # the 24 greys of a 256-colour terminal, dark to light
        return f"\x1b[48;5;{232 + round(share * 23)}m{' ' * wide}\x1b[0m"
    return _RAMP[round(share * (len(_RAMP) - 1))] * wide


def _ruler(labels: Sequence[str], across: int, wide: int, room: int) -> str:
    line = ""
    for place, label in enumerate(labels[::across]):
        at = place * wide
        if at >= len(line) + (1 if line else 0) and at + len(label) <= room:
            line = line.ljust(at) + label
    return line


def save(picture: Chart, path: Path) -> None:
    """Draw into a PNG or SVG file, the same bytes for the same chart. Needs matplotlib."""
    suffix = path.suffix.lower()
    if suffix not in (".png", ".svg"):
        raise CjError(f"{path.name} is neither .png nor .svg", f"-o {path.stem}.png")
    try:  # an extra that a laptop may lack: nothing else imports it
        import matplotlib
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as problem:
        raise CjError(
            "matplotlib draws the files, and it is not installed", "pip install 'cjledger[plot]'"
        ) from problem
    with matplotlib.rc_context({"svg.hashsalt": "cjledger", "svg.fonttype": "path"}):
        figure = Figure(figsize=(6.4, 4.8), layout="constrained")
        FigureCanvasAgg(figure)
        _draw(picture, figure)
        about = {"Date": None} if suffix == ".svg" else {"Software": "cjledger"}
        temporary = path.with_name(f".{path.name}.new")
        try:
            figure.savefig(temporary, format=suffix[1:], dpi=150, metadata={**about, "Title": picture.title})
            temporary.replace(path)
        except OSError as problem:
            temporary.unlink(missing_ok=True)
            raise CjError(f"cannot write {path}: {problem.strerror}", "-o another/place.png") from problem


def _draw(picture: Chart, figure: Any) -> None:
    axes = figure.add_subplot()
    drawing: dict[str, Callable[[Any, Chart], Any]] = {"heat": _mesh, "points": _dots, "lines": _lines}
    colored = drawing[picture.kind](axes, picture)
    if colored is not None:
        figure.colorbar(colored, ax=axes, label=_plain(picture.color))
    elif any(one.label for one in picture.series):
        axes.legend(fontsize="small")
    axes.set_title(_plain(picture.title), fontsize="medium")
    axes.set_xlabel(_plain(picture.x.name))
    axes.set_ylabel(_plain(picture.y.name))
    if picture.x.words:
        axes.set_xticks(range(len(picture.x.words)), [_plain(word) for word in picture.x.words])
    if picture.y.words:
        axes.set_yticks(range(len(picture.y.words)), [_plain(word) for word in picture.y.words])


def _plain(text: str) -> str:
    """A dollar sign would start a formula."""
    return text.replace("$", r"\$")


def _mesh(axes: Any, picture: Chart) -> Any:
    xs, ys = sorted(set(picture.x.values)), sorted(set(picture.y.values))
    return axes.pcolormesh(xs, ys, picture.cells, shading="nearest", cmap="viridis")


def _dots(axes: Any, picture: Chart) -> Any:
    for one in picture.series:
        xs, ys = [p[0] for p in one.points], [p[1] for p in one.points]
        if picture.levels:
            return axes.scatter(xs, ys, c=picture.levels, s=14, cmap="viridis")
        axes.scatter(xs, ys, s=14, label=_plain(one.label) or None)
    return None


def _lines(axes: Any, picture: Chart) -> None:
    for one in picture.series:
        xs, ys = [p[0] for p in one.points], [p[1] for p in one.points]
        axes.plot(xs, ys, marker="o", markersize=3, label=_plain(one.label) or None)
