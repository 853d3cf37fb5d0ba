"""The door to polars, and the one set of rules for column types: no value changes by what it stands among.

Numbers widen (whole → floating) where floating numbers hold every one of them, else they are text. A number
and text give text, true/false and anything else give text, nothing and x give x. Text cells of a delimited
file become whole numbers when all are, else floating numbers when all are, else stay text; blanks around a
number do not count; `NaN`, `inf` and `-inf` are floating numbers; a cell that is empty, `NA`, `N/A`, `null`,
`NULL` or `None` is missing in every column.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import polars as pl

__all__ = [
    "EXACT",
    "NULLS",
    "Whole",
    "from_values",
    "gives_back",
    "number",
    "pl",
    "seconds",
    "supertype",
    "text",
    "typed",
    "whole_numbers",
]

NULLS = ("", "NA", "N/A", "null", "NULL", "None")
_INT64, _UINT64 = 2**63, 2**64  # what lies from the one to the other is kept in UInt64 alone
EXACT = 2**53  # floating numbers hold every whole one below
_BLANKS = " \t"
_FEW = 1000


class Whole(NamedTuple):
    """What whole numbers there are: the least, the greatest, and whether floating numbers hold each."""

    low: int
    high: int
    is_floatable: bool


def supertype(
    types: Iterable[pl.DataType], whole: Callable[[], Whole] = lambda: Whole(0, 0, True)
) -> pl.DataType:
    """The type that holds the values of columns of these types; ``whole`` looks at the whole numbers."""
    kinds = {_plain(kind) for kind in types} - {pl.Null()}
    if not kinds:
        return pl.Null()
    if len(kinds) == 1:
        return kinds.pop()
    if not all(kind.is_integer() or kind.is_float() for kind in kinds):
        return pl.String()
    found = whole()
    if pl.Float64() not in kinds:
        if found.low >= 0:
            return pl.UInt64()
        if found.high < _INT64:
            return pl.Int64()
    return pl.Float64() if found.is_floatable else pl.String()


def _plain(kind: pl.DataType) -> pl.DataType:
    if kind.is_integer() and kind != pl.UInt64:
        return pl.Int64()
    if kind.is_float():
        return pl.Float64()
    return kind


def whole_numbers(columns: Iterable[pl.LazyFrame]) -> Whole:
    """What whole numbers there are in frames of one column each."""
    asked = [column.select(_whole(column.collect_schema().names()[0])) for column in columns]
    found = [row for answer in pl.collect_all(asked) for row in answer.rows() if row[0] is not None]
    if not found:
        return Whole(0, 0, True)
    low, high, floatable = zip(*found, strict=True)
    return Whole(min(low), max(high), all(floatable))


def _whole(name: str) -> list[pl.Expr]:
    values = pl.col(name)
    back = values.cast(pl.Float64).cast(pl.Int64, strict=False)
    large = values.cast(pl.Float64).cast(pl.UInt64, strict=False)
    same = back.eq_missing(values.cast(pl.Int64, strict=False)) & back.is_not_null()
    same_large = large.eq_missing(values.cast(pl.UInt64, strict=False)) & large.is_not_null()
    held = (values.is_null() | same | same_large).all()
    return [values.min().alias("low"), values.max().alias("high"), held.alias("held")]


def typed(column: pl.Series) -> pl.Series:
    """A column of text cells as whole numbers, floating numbers or text."""
    missing = column.null_count()
    if missing == len(column):
        return column.cast(pl.Null)
    whole = column.cast(pl.Int64, strict=False)
    if whole.null_count() == missing:
        return whole
    floating = column.cast(pl.Float64, strict=False)
    if floating.null_count() == missing:
        if (floating >= _INT64).any():
            large = column.cast(pl.UInt64, strict=False).rename("large")
            large = pl.select(pl.coalesce(large, whole.cast(pl.UInt64, strict=False))).to_series()
            if large.null_count() == missing:
                return large.alias(column.name)
        return floating if _hold(floating, column) else column
    bare = column.str.strip_chars(_BLANKS)
    bare = bare.set(bare.is_in(list(NULLS)), None)
    return column if bare.equals(column) else _stripped(column, bare)


def _stripped(column: pl.Series, bare: pl.Series) -> pl.Series:
    numbers = typed(bare)
    return numbers if numbers.dtype != pl.String else column


def _hold(floating: pl.Series, cells: pl.Series) -> bool:
    """Whether the numbers are those of the cells: the whole ones to the last digit, none beyond all."""
    far = (floating.abs() >= EXACT).fill_null(False)  # NaN is, too: polars puts it above all numbers
    pairs = zip(floating.filter(far), cells.filter(far), strict=True)
    return all(_holds(value, cell.strip(_BLANKS)) for value, cell in pairs)


def _holds(value: float, cell: str) -> bool:
    if not any(map(str.isdigit, cell)):
        return True  # nan, inf
    if value in (float("inf"), float("-inf")):
        return False
    return not re.fullmatch(r"[+-]?\d+", cell) or int(cell.lstrip("+-0")) == int(abs(value))


def gives_back(column: pl.Series, cells: pl.Series) -> bool:
    """Whether the text of the numbers in ``column`` is that of the cells that they were read from."""
    for part in (slice(0, _FEW), slice(None)):  # most columns that do not, do not early
        if not column[part].cast(pl.String).eq_missing(cells[part]).all():
            return False
    return True


def number(name: str, kind: pl.DataType) -> pl.Expr:
    """The numbers of a column that is kept as the cells' text, which are all of this type."""
    return pl.col(name).str.strip_chars(_BLANKS).cast(kind, strict=False)


def text(values: pl.Expr, kind: pl.DataType) -> pl.Expr:
    """Values of this type as text, the same however they came together with others.

    A floating number that is whole may have been a whole one among others: both are written alike.
    """
    if isinstance(kind, pl.Duration):
        values, kind = seconds(values, kind), pl.Float64()
    if kind.is_temporal():
        return values.dt.to_string("iso:strict")
    if not kind.is_float():
        return values.cast(pl.String)
    values = values.cast(pl.Float64)
    is_whole = values == values.round()
    words = pl.when(values > 0).then(pl.lit("Infinity")).otherwise(pl.lit("-Infinity"))
    return (
        pl.when(values.is_infinite())
        .then(words)
        .when(is_whole & (values >= 0) & (values < float(_UINT64)))
        .then(values.cast(pl.UInt64, strict=False).cast(pl.String))
        .when(is_whole & (values < 0) & (values >= -float(_INT64)))
        .then(values.cast(pl.Int64, strict=False).cast(pl.String))
        .otherwise(values.cast(pl.String))
    )


def seconds(values: pl.Expr, kind: pl.Duration) -> pl.Expr:
    """Durations as seconds, correctly rounded while their count of units is below 2^53."""
    return values.to_physical() / {"ms": 1e3, "us": 1e6, "ns": 1e9}[kind.time_unit]


def from_values(name: str, values: Sequence[Any]) -> pl.Series:
    """A column of JSON values; lists and objects become their JSON text."""
    kinds = {type(value) for value in values} - {type(None)}
    if not kinds:
        return pl.Series(name, [None] * len(values), pl.Null)
    if kinds == {bool}:
        return pl.Series(name, values, pl.Boolean)
    if kinds == {int}:
        for kind, low, high in ((pl.Int64, -_INT64, _INT64), (pl.UInt64, 0, _UINT64)):
            if all(value is None or low <= value < high for value in values):
                return pl.Series(name, values, kind)
    if kinds <= {int, float} and all(map(_is_floatable, values)):
        return pl.Series(name, [None if value is None else float(value) for value in values], pl.Float64)
    return _texts(name, values)


def _is_floatable(value: float | None) -> bool:
    if not isinstance(value, int) or -EXACT <= value <= EXACT:
        return True
    try:
        return int(float(value)) == value
    except OverflowError:
        return False


def _texts(name: str, values: Sequence[Any]) -> pl.Series:
    """Each value as its text; a number that would be a floating one alone has that one's."""
    floating = list(map(_is_floating, values))
    rest = zip(values, floating, strict=True)
    words = [None if value is None or is_floating else _text(value) for value, is_floating in rest]
    column = pl.Series(name, words, pl.String)
    if not any(floating):
        return column
    numbers = [float(value) if here else None for value, here in zip(values, floating, strict=True)]
    frame = pl.DataFrame([column, pl.Series("numbers", numbers, pl.Float64)], schema=["words", "numbers"])
    both = pl.coalesce("words", text(pl.col("numbers"), pl.Float64()))
    return frame.select(both.alias(name)).to_series()


def _is_floating(value: Any) -> bool:
    if isinstance(value, int):
        return not -_INT64 <= value < _UINT64 and _is_floatable(value)
    return isinstance(value, float)


def _text(value: Any) -> str:
    words = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    # A lone surrogate is legal in JSON and in no UTF-8 file.
    return words.encode("utf-8", "replace").decode() if not words.isascii() else words
