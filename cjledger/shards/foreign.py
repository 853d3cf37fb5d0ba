"""Parquet files that others wrote: a task's own, and a person's points."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cjledger.errors import CjError
from cjledger.shards.parquet import ParseError, pa, pq


def read_output(data: bytes) -> Any:
    """A task's own Parquet file. Raises ParseError; extension types are refused, nothing is unpickled."""
    try:
        table = pq.read_table(pa.BufferReader(data), page_checksum_verification=True)
    except (pa.ArrowException, OSError, ValueError) as problem:
        raise ParseError(str(problem).splitlines()[0]) from problem
    for field in table.schema:
        if isinstance(field.type, pa.BaseExtensionType):
            raise ParseError(f"column {field.name} has the extension type {field.type}")
    for place, field in enumerate(table.schema):
        table = table.set_column(place, field.name, _known(table.column(place)))
    return table


def _known(column: Any) -> Any:
    """A column as polars knows it: it panics at wide decimals, and has no zones that are mere offsets."""
    kind = column.type
    if pa.types.is_timestamp(kind) and kind.tz and kind.tz[0] in "+-":
        return column.cast(pa.timestamp(kind.unit, "UTC"))
    if not pa.types.is_decimal(kind) or (kind.bit_width < 256 and 0 <= kind.scale <= kind.precision):
        return column
    try:
        return column.cast(pa.decimal128(38, kind.scale) if 0 <= kind.scale <= 38 else pa.string())
    except pa.ArrowException:  # more digits than that
        return column.cast(pa.string())


def read_parquet_rows(path: Path) -> tuple[list[str], Iterator[list[Any]]]:
    """A points file: the columns' names and the rows in order, a batch in memory at a time."""
    try:
        file = pq.ParquetFile(path, page_checksum_verification=True)
    except (pa.ArrowException, OSError) as problem:
        raise CjError(
            f"{path} is not a Parquet file: {problem}", "give a .csv, .jsonl or .parquet file"
        ) from problem

    def rows() -> Iterator[list[Any]]:
        for batch in file.iter_batches():
            columns = [column.to_pylist() for column in batch.columns]
            yield from (list(row) for row in zip(*columns, strict=True))

    return list(file.schema_arrow.names), rows()
