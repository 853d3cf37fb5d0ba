"""The door to polars, and the one set of rules for column types.

Numbers widen (whole → floating), a number and text give text, true/false and anything else give text,
nothing and x give x. Text cells of a delimited file become whole numbers when all are, else floating
numbers when all are, else stay text; blanks around a number do not count; `NaN`, `inf` and `-inf` are
floating numbers; a cell that is empty, `NA`, `N/A`, `null`, `NULL` or `None` is missing in every column.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

__all__ = [
    "NULLS",
    "SHARD",
    "align",
    "from_values",
    "pl",
    "scan",
    "spans",
    "spread",
    "supertype",
    "tasks_of",
    "typed",
    "union_schema",
    "unite",
    "unite_lazily",
]

SHARD = "cj_shard"  # the place of a row's shard, while rows are chosen
NULLS = ("", "NA", "N/A", "null", "NULL", "None")


def supertype(types: Iterable[pl.DataType]) -> pl.DataType:
    """The type that holds the values of columns of these types."""
    kinds = {_plain(kind) for kind in types} - {pl.Null()}
    if not kinds:
        return pl.Null()
    if len(kinds) == 1:
        return kinds.pop()
    return pl.Float64() if all(kind.is_numeric() for kind in kinds) else pl.String()


def _plain(kind: pl.DataType) -> pl.DataType:
    if kind.is_integer() and kind != pl.UInt64:
        return pl.Int64()
    if kind.is_float():
        return pl.Float64()
    return kind


def typed(column: pl.Series) -> pl.Series:
    """A column of text cells as whole numbers, floating numbers or text."""
    missing = column.null_count()
    if missing == len(column):
        return column.cast(pl.Null)
    for kind in (pl.Int64, pl.Float64):
        numbers = column.cast(kind, strict=False)
        if numbers.null_count() == missing:
            return numbers
    bare = column.str.strip_chars(" \t")
    bare = bare.set(bare.is_in(list(NULLS)), None)
    return column if bare.equals(column) else _stripped(column, bare)


def _stripped(column: pl.Series, bare: pl.Series) -> pl.Series:
    numbers = typed(bare)
    return numbers if numbers.dtype != pl.String else column


def from_values(name: str, values: Sequence[Any]) -> pl.Series:
    """A column of JSON values; lists and objects become their JSON text."""
    kinds = {type(value) for value in values} - {type(None)}
    if not kinds:
        return pl.Series(name, [None] * len(values), pl.Null)
    if kinds == {bool}:
        return pl.Series(name, values, pl.Boolean)
    if kinds == {int} and all(value is None or -(2**63) <= value < 2**63 for value in values):
        return pl.Series(name, values, pl.Int64)
    if kinds <= {int, float}:
        return pl.Series(name, [None if value is None else _float(value) for value in values], pl.Float64)
    if kinds == {str}:
        return pl.Series(name, [None if v is None else _text(v) for v in values], pl.String)
    return pl.Series(name, [None if value is None else _text(value) for value in values], pl.String)


def _float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


def _text(value: Any) -> str:
    words = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    # A lone surrogate is legal in JSON and in no UTF-8 file.
    return words.encode("utf-8", "replace").decode() if not words.isascii() else words


def align(frame: pl.DataFrame, schema: Mapping[str, pl.DataType]) -> pl.DataFrame:
    """The frame with exactly the schema's columns, missing ones null."""
    return frame.select(
        (pl.col(name).cast(kind) if name in frame.columns else pl.lit(None, kind)).alias(name)
        for name, kind in schema.items()
    )


def union_schema(schemas: Iterable[Mapping[str, pl.DataType]]) -> dict[str, pl.DataType]:
    """The columns of all in order of first sight, each with its supertype."""
    types: dict[str, list[pl.DataType]] = {}
    for schema in schemas:
        for name, kind in schema.items():
            types.setdefault(name, []).append(kind)
    return {name: supertype(kinds) for name, kinds in types.items()}


def unite(frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """The rows of all in order, under the union of their columns."""
    if len(frames) == 1:
        return frames[0]
    schema = union_schema(frame.schema for frame in frames)
    return pl.concat([align(frame, schema) for frame in frames]) if frames else pl.DataFrame()


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
    shards: list[pl.LazyFrame] = []
    dropped: dict[int, list[str]] = {}
    for place, path in enumerate(paths):
        shard = pl.scan_parquet(path)
        shards.append(shard.with_columns(pl.lit(place, pl.Int64).alias(SHARD)) if numbered else shard)
        noted = pl.read_parquet_metadata(path).get("cj_dropped")
        if noted:
            dropped[place] = json.loads(noted)
    schemas = [shard.collect_schema() for shard in shards]
    names = {name for schema in schemas for name in schema}
    for place, parameters in dropped.items():
        # This shard's own column said what the parameter says; another shard's did not and was kept.
        again = [name for name in parameters if f"{name}_output" in names]
        shards[place] = shards[place].with_columns(pl.col(name).alias(f"{name}_output") for name in again)
    return unite_lazily(shards)


def unite_lazily(tables: Sequence[pl.LazyFrame]) -> pl.LazyFrame:
    """The rows of all in order, under the union of their columns."""
    schemas = [table.collect_schema() for table in tables]
    if all(schema == schemas[0] for schema in schemas):
        return pl.concat(tables) if len(tables) > 1 else tables[0]
    union = union_schema(schemas)
    return pl.concat(
        table.select(
            (pl.col(name).cast(kind) if name in schema else pl.lit(None, kind)).alias(name)
            for name, kind in union.items()
        )
        for table, schema in zip(tables, schemas, strict=True)
    )


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
