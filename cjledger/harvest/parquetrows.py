"""The tasks' own Parquet files as rows.

Whole and floating numbers are kept in 64 bits. A decimal number is a floating one where all of the file's are
the same as such, else text; what is nested or binary becomes text. Times are those that calendars have.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cjledger.harvest.parsed import Parsed
from cjledger.shards import foreign, parquet
from cjledger.shards.columns import pl, supertype
from cjledger.shards.frames import unite
from cjledger.shards.plain import as_json

_DAY_S = 86_400
_YEARS_S = (-719_161 * _DAY_S, 2_932_895 * _DAY_S)  # a day inside of 1 and 9999: time zones move both


def parse_parquet(files: Sequence[bytes]) -> Parsed:
    """The rows of all files; one that polars cannot take costs its own rows only."""
    frames: list[pl.DataFrame] = []
    counts: list[int] = []
    bad: list[tuple[int, str]] = []
    for index, file in enumerate(files):
        try:
            frame = _flat(foreign.read_output(file))
        except (parquet.ParseError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as problem:
            bad.append((index, str(problem).partition("\n")[0]))
            counts.append(0)
            continue
        frames.append(frame)
        counts.append(frame.height)
    return Parsed(unite(frames), counts, bad)


def _flat(table: Any) -> pl.DataFrame:
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return pl.DataFrame([_flat_column(column) for column in frame.get_columns()])


def _flat_column(column: pl.Series) -> pl.Series:
    kind = column.dtype
    if isinstance(kind, pl.Categorical | pl.Enum):
        return column.cast(pl.String)
    if isinstance(kind, pl.Decimal):
        return _decimal(column)
    if kind.is_nested() or kind == pl.Binary:
        return as_json(column)
    if isinstance(kind, pl.Date | pl.Datetime):
        _check_years(column)
    return column.cast(supertype([kind]))


def _decimal(column: pl.Series) -> pl.Series:
    floating = column.cast(pl.Float64)
    back = floating.cast(column.dtype, strict=False)
    return floating if back.eq_missing(column).all() else column.cast(pl.String)


def _check_years(column: pl.Series) -> None:
    """Polars panics where it is to write another year, whatever is written."""
    kind = column.dtype
    if isinstance(kind, pl.Datetime):
        a_second = {"ms": 10**3, "us": 10**6, "ns": 10**9}[kind.time_unit]
        low, high = (second * a_second for second in _YEARS_S)
    else:
        low, high = (second // _DAY_S for second in _YEARS_S)
    moments = column.to_physical()
    if not moments.is_between(max(low, -(2**63)), min(high, 2**63 - 1)).all():
        raise parquet.ParseError(f"column {column.name} has a time outside of the years 1 to 9999")
