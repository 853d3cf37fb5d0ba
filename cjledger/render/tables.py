"""Tables that fit a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import NamedTuple

from cjledger.render.figures import exact, number
from cjledger.render.lines import paint_state
from cjledger.render.plain import plain
from cjledger.render.widths import columns_of, fit

_GAP = 2
_NARROWEST = 6
_FEW = 12  # columns that are left to the one that gives way


def wrap(text: str, width: int, indent: str = "") -> str:
    """A paragraph in lines of at most ``width`` columns, all but the first indented."""
    return "\n".join(textwrap.wrap(plain(text), width, subsequent_indent=indent, break_on_hyphens=False))


class Laid(NamedTuple):
    """A table's text, and how many columns are not in it."""

    text: str
    left_out: int


def table(
    headers: Sequence[str],
    rows: Sequence[Sequence[object]],
    width: int | None = 80,
    colour: bool = False,
    yielding: int | None = None,
) -> str:
    """Rows under their headers in at most ``width`` columns; figures stand right, the rest left.

    Long cells are cut with ``…``; columns that still do not fit are left out, and counted in the header.
    Without a width nothing is, and figures are exact. The column ``yielding`` is cut before all others.
    """
    return lay(headers, rows, width, colour, yielding).text


def lay(
    headers: Sequence[str],
    rows: Sequence[Sequence[object]],
    width: int | None,
    colour: bool = False,
    yielding: int | None = None,
) -> Laid:
    """The same, telling how many columns were left out."""
    words = exact if width is None else number
    cells = [[words(value) for value in row] for row in rows]
    names = [plain(header) for header in headers]
    right = [
        bool(rows)
        and all(_is_figure(row[index]) for row in rows)
        and any(row[index] is not None for row in rows)
        for index in range(len(names))
    ]
    wanted = [
        max([columns_of(name), *(columns_of(row[index]) for row in cells)])
        for index, name in enumerate(names)
    ]
    widths = wanted if width is None else _widths(wanted, width, yielding)
    left_out = len(names) - len(widths)
    lines = [_line(names, widths, right, False) + (f"  …{left_out} more" if left_out else "")]
    lines += [_line(row, widths, right, colour) for row in cells]
    return Laid("\n".join(lines), left_out)


def _is_figure(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _line(cells: Sequence[str], widths: Sequence[int], right: Sequence[bool], colour: bool) -> str:
    parts = []
    for cell, width, to_right in zip(cells, widths, right, strict=False):
        text = fit(cell, width)
        padding = " " * (width - columns_of(text))
        shown = paint_state(text) if colour else text
        parts.append(padding + shown if to_right else shown + padding)
    return (" " * _GAP).join(parts).rstrip()


def _widths(wanted: Sequence[int], width: int, yielding: int | None) -> list[int]:
    """Widths of the columns that fit: who yields and the widest shrink, then the last ones are left out."""
    widths = list(wanted)
    room = width
    floor = [min(each, _NARROWEST) for each in widths]
    if sum(floor) + _GAP * (len(floor) - 1) > width:
        room = width - len(f"  …{len(widths)} more")
        while len(floor) > 1 and sum(floor) + _GAP * (len(floor) - 1) > room:
            floor.pop()
        widths = widths[: len(floor)]
    excess = sum(widths) + _GAP * (len(widths) - 1) - room
    if yielding is not None and yielding < len(widths):
        cut = min(max(excess, 0), max(widths[yielding] - _FEW, 0))
        widths[yielding] -= cut
        excess -= cut
    while excess > 0 and widths:
        widest = max(widths)
        index = widths.index(widest)
        lower = max([each for each in widths if each < widest], default=0)
        cut = max(1, min(excess, widest - max(lower, _NARROWEST)))
        if widest <= 1:
            break
        widths[index] = widest - cut
        excess -= cut
    return widths
