"""Tables of many parts as one: rows under the union of their columns, shards read lazily.

Columns are united by the rules of ``shards.columns``. A number that turns out to stand among text comes as
the text that it has: a column of delimited text whose cells are not the text of their numbers (`007`, `1.10`)
lies in the shard as text, and what numbers it is in the file's metadata `cj_cells`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cjledger.shards import columns
from cjledger.shards.columns import NULLS, from_values, pl, supertype, typed

__all__ = [
    "NULLS",
    "SHARD",
    "from_values",
    "pl",
    "scan",
    "spans",
    "spread",
    "supertype",
    "tasks_of",
    "typed",
    "unite",
    "unite_lazily",
]

SHARD = "cj_shard"  # the place of a row's shard, while rows are chosen
KINDS: dict[str, pl.DataType] = {
    str(kind): kind for kind in (pl.Null(), pl.Int64(), pl.UInt64(), pl.Float64())
}


@dataclass(frozen=True)
class _Part:
    """Some rows of a table; ``cells`` are its columns of delimited text that are numbers, or nothing."""

    rows: pl.LazyFrame
    schema: Mapping[str, pl.DataType]
    cells: Mapping[str, pl.DataType] = field(default_factory=dict)

    def type_of(self, name: str) -> pl.DataType:
        """What a column is, however it is kept."""
        return self.cells.get(name, self.schema[name])

    def numbers(self, name: str) -> pl.Expr:
        """A column as what it is."""
        is_text = name in self.cells and self.schema[name] == pl.String
        return columns.number(name, self.cells[name]) if is_text else pl.col(name)

    def select(self, union: Mapping[str, pl.DataType]) -> pl.LazyFrame:
        """The rows with exactly these columns, missing ones null."""
        return self.rows.select(self._column(name, kind).alias(name) for name, kind in union.items())

    def _column(self, name: str, kind: pl.DataType) -> pl.Expr:
        if name not in self.schema:
            return pl.lit(None, kind)
        own = self.schema[name]
        if kind == pl.Float64 and name in self.cells and own == pl.String:
            return columns.number(name, kind)  # -0 is another number as a floating one
        if kind != pl.String:
            return self.numbers(name).cast(kind)
        if own == pl.String:
            return pl.col(name)
        # Cells of delimited text lie in the shard as numbers where polars writes these as the cells.
        return pl.col(name).cast(kind) if name in self.cells else columns.text(pl.col(name), own)


def _union(parts: Sequence[_Part]) -> dict[str, pl.DataType]:
    """The columns of all in order of first sight, each with its supertype."""
    having: dict[str, list[_Part]] = {}
    for part in parts:
        for name in part.schema:
            having.setdefault(name, []).append(part)
    return {name: _type(name, those) for name, those in having.items()}


def _type(name: str, parts: Sequence[_Part]) -> pl.DataType:
    def whole() -> columns.Whole:
        with_whole = (part for part in parts if part.type_of(name).is_integer())
        return columns.whole_numbers(part.rows.select(part.numbers(name).alias(name)) for part in with_whole)

    return supertype((part.type_of(name) for part in parts), whole)


def unite(frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """The rows of all in order, under the union of their columns."""
    if not frames:
        return pl.DataFrame()
    if all(frame.schema == frames[0].schema for frame in frames):
        return pl.concat(frames)
    parts = [_Part(frame.lazy(), frame.schema) for frame in frames]
    union = _union(parts)
    return pl.concat([part.select(union).collect() for part in parts])


def spread(frame: pl.DataFrame, counts: Sequence[int]) -> pl.DataFrame:
    """Row i of the frame ``counts[i]`` times."""
    if all(count == 1 for count in counts):
        return frame
    rows = pl.int_range(0, len(counts), eager=True)
    times = pl.Series(counts, dtype=pl.UInt32)
    index = pl.select(rows.repeat_by(times).explode().drop_nulls()).to_series()
    return frame[index.cast(pl.UInt32)] if frame.width else frame


def scan(paths: Sequence[Path], numbered: bool = False) -> pl.LazyFrame:
    """The rows of many shards lazily; ``numbered`` adds the shard's place in ``paths`` as a column."""
    notes = [pl.read_parquet_metadata(path) for path in paths]
    scans = [pl.scan_parquet(path) for path in paths]
    repeats = [set(_noted(note, "cj_repeats", [])) for note in notes]
    names = {
        name
        for rows, hidden in zip(scans, repeats, strict=True)
        for name in rows.collect_schema()
        if name not in hidden
    }
    parts: list[_Part] = []
    for place, (rows, note, hidden) in enumerate(zip(scans, notes, repeats, strict=True)):
        # This shard's own column said what the parameter says; another shard's did not and was kept.
        dropped = [name for name in _noted(note, "cj_dropped", []) if f"{name}_output" in names]
        rows = rows.with_columns(pl.col(name).alias(f"{name}_output") for name in dropped)
        rows = rows.drop(hidden - names)
        if numbered:
            rows = rows.with_columns(pl.lit(place, pl.Int64).alias(SHARD))
        cells = {name: KINDS[kind] for name, kind in _noted(note, "cj_cells", {}).items() if kind in KINDS}
        parts.append(_Part(rows, rows.collect_schema(), cells))
    return _united(parts)


def _noted(note: Mapping[str, str], key: str, default: Any) -> Any:
    return json.loads(note[key]) if key in note else default


def unite_lazily(tables: Sequence[pl.LazyFrame]) -> pl.LazyFrame:
    """The rows of all in order, under the union of their columns."""
    return _united([_Part(table, table.collect_schema()) for table in tables])


def _united(parts: Sequence[_Part]) -> pl.LazyFrame:
    kept_as_they_are = all(part.type_of(name) == kind for part in parts for name, kind in part.schema.items())
    if not kept_as_they_are or any(part.schema != parts[0].schema for part in parts):
        union = _union(parts)
        parts = [_Part(part.select(union), union) for part in parts]
    return pl.concat([part.rows for part in parts]) if len(parts) > 1 else parts[0].rows


def tasks_of(table: Any) -> pl.Series:
    """The tasks that an Arrow table has rows of, each once, ascending."""
    column = pl.from_arrow(table.column("cj_task"))
    assert isinstance(column, pl.Series)
    return column.unique().sort()


def spans(tasks: pl.Series) -> Iterator[tuple[int, int]]:
    """The first and the last task of each run of consecutive ones."""
    ordered = tasks.unique().sort()
    begins = ordered.diff().fill_null(2) > 1
    ends = begins.shift(-1, fill_value=True)
    return zip(ordered.filter(begins).to_list(), ordered.filter(ends).to_list(), strict=True)
