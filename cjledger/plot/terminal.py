"""A chart as text: letters alone in a pipe, colours where there is a terminal."""

from __future__ import annotations

import contextlib
import io
import math
import statistics
import textwrap
from collections.abc import Sequence

import plotext

from cjledger.plot.chart import Axis, Chart, Series

_RAMP = " .:-=+*#%@"
_MARKERS = "ox+*#@%&"
_ROWS = 25  # of cells in a heat map
_SERIES = len(_MARKERS)
_LEVELS = 5
_GLUE = "\0"  # a blank at which a legend is not wrapped


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
            figure.ruler(place).ticks(list(range(len(axis.words))), _labels(axis))
    figure.legend(False)  # it would hide points; ours stands below
    with contextlib.redirect_stderr(io.StringIO()):  # plotext prints its remarks, in colours
        text: str = figure.build().string(colorless=not color)
    return [*text.splitlines(), *_legend([one.label for one in series[:_SERIES]], width)]


def _legend(labels: Sequence[str], width: int) -> list[str]:
    words = [f"{marker} {label}" for marker, label in zip(_MARKERS, labels, strict=False) if label]
    lines = textwrap.wrap("  ".join(word.replace(" ", _GLUE) for word in words), width - 2)
    return [line.replace(_GLUE, " ") for line in lines]


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
        # plotext has no tick without a letter.
        return [word[:12] if word[:12].strip() else repr(word[:12]) for word in axis.words]
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
