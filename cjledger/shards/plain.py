"""Columns of any type as what every reader knows: numbers, true or false, and text."""

from __future__ import annotations

import json
from typing import Any

from cjledger.shards import columns
from cjledger.shards.columns import pl


def plain(rows: pl.DataFrame, nested: bool = False) -> pl.DataFrame:
    """The rows with durations as seconds, times by ISO 8601, decimals as text and bytes as hexadecimal text.

    Lists and structs stay what they are, or with ``nested`` become their JSON text.
    """
    odd = [column for column in rows.get_columns() if not _is_plain(column.dtype)]
    kept = (column for column in odd if nested or not column.dtype.is_nested())
    return rows.with_columns(_plain(column) for column in kept)


def _is_plain(kind: pl.DataType) -> bool:
    return kind.is_integer() or kind.is_float() or kind in (pl.Boolean, pl.String, pl.Null)


def _plain(column: pl.Series) -> pl.Series:
    kind = column.dtype
    if kind.is_nested() or kind == pl.Object:
        return as_json(column)
    values = pl.col(column.name)
    if isinstance(kind, pl.Duration):
        made = columns.seconds(values, kind)
    elif kind == pl.Binary:
        made = values.bin.encode("hex")
    else:
        made = columns.text(values, kind)
    return column.to_frame().select(made.alias(column.name)).to_series()


def as_json(column: pl.Series) -> pl.Series:
    """Each value as its JSON text; bytes in it as hexadecimal text, times as Python writes them."""
    values = (None if value is None else _json(value) for value in column.to_list())
    return pl.Series(column.name, values, pl.String)


def _json(value: Any) -> str:
    if isinstance(value, bytes):
        return value.hex()
    return json.dumps(value, ensure_ascii=False, default=_word)


def _word(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)
