"""What a shard says of itself, looked at before its rows are: shards come from others' machines too."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cjledger.shards.parquet import RECORD, pa, pc, pq, source

_KEYS = (("cj_package", pa.string()), ("cj_task", pa.int64()), ("cj_attempt", pa.int64()))
_OUTPUT = pa.struct([*RECORD.field("outputs").type.value_type, ("content", pa.binary())])
_RECORDS = (
    *_KEYS,
    *((field.name, field.type) for field in RECORD if field.name not in ("task", "attempt", "outputs")),
    ("block", pa.string()),
    ("outputs", pa.list_(_OUTPUT)),
)
_LATER = ("environment",)  # records from before it was known lack it
_BATCH = 1 << 16


def fault(shard: Path | bytes, is_records: bool, rows: int, spans: Sequence[tuple[int, int]]) -> str:
    """Why a shard is not what its manifest says: so many rows, of these tasks, in the columns of its table.

    Empty when it may be read. Besides the footer only tasks and attempts are read, a batch at a time.
    """
    try:
        with pq.ParquetFile(source(shard), page_checksum_verification=True) as file:
            return _of_footer(file, is_records, rows) or _of_keys(file, spans)
    except (pa.ArrowException, OSError, ValueError) as problem:
        return f"no Parquet file that can be read: {str(problem).partition(chr(10))[0]}"


def _of_footer(file: Any, is_records: bool, rows: int) -> str:
    about, schema = file.metadata, file.schema_arrow
    counted = sum(about.row_group(number).num_rows for number in range(about.num_row_groups))
    if about.num_rows != rows or counted != rows:
        return f"{about.num_rows} rows, not {rows}"
    if len(set(schema.names)) < len(schema.names):
        return "two columns of one name"
    for name, kind in _RECORDS if is_records else _KEYS:
        if name not in schema.names:
            if name not in _LATER:
                return f"no column {name}"
        elif not _is(schema.field(name).type, kind):
            return f"its column {name} is {schema.field(name).type}"
    strange = [] if is_records else [field for field in schema if not _is_value(field.type)]
    if strange:
        return f"its column {strange[0].name} is {strange[0].type}"
    notes = {key.decode(): value.decode() for key, value in (about.metadata or {}).items()}
    dropped = json.loads(notes.get("cj_dropped", "[]"))
    # What a column is called that was dropped: the parameter, which is there.
    fits = isinstance(dropped, list) and all(isinstance(each, str) for each in dropped)
    return "" if fits and set(dropped) <= set(schema.names) else "its cj_dropped names no columns"


def _of_keys(file: Any, spans: Sequence[tuple[int, int]]) -> str:
    low, high = (spans[0][0], spans[-1][1]) if spans else (1, 0)
    for batch in file.iter_batches(_BATCH, columns=["cj_task", "cj_attempt"]):
        tasks, attempts = batch.column("cj_task"), batch.column("cj_attempt")
        if tasks.null_count or attempts.null_count:
            return "rows without task or attempt"
        if batch.num_rows and not (low <= pc.min(tasks).as_py() and pc.max(tasks).as_py() <= high):
            return "rows of other tasks"
        if batch.num_rows and pc.min(attempts).as_py() < 1:
            return "an attempt below 1"
    return ""


def _is(found: Any, wanted: Any) -> bool:
    """Whether a column is of a type, however long its offsets are and whatever its items are called."""
    if pa.types.is_list(wanted):
        return (pa.types.is_list(found) or pa.types.is_large_list(found)) and _is(
            found.value_type, wanted.value_type
        )
    if pa.types.is_struct(wanted):
        if not pa.types.is_struct(found):
            return False
        inside = {field.name: field.type for field in found}
        return all(field.name in inside and _is(inside[field.name], field.type) for field in wanted)
    if pa.types.is_string(wanted):
        return bool(pa.types.is_string(found) or pa.types.is_large_string(found))
    if pa.types.is_binary(wanted):
        return bool(pa.types.is_binary(found) or pa.types.is_large_binary(found))
    return bool(found == wanted)


def _is_value(kind: Any) -> bool:
    """Whether a table's column may be of a type: harvests make text of what is nested or bytes."""
    types = pa.types
    return not (
        types.is_nested(kind)
        or types.is_binary(kind)
        or types.is_large_binary(kind)
        or types.is_fixed_size_binary(kind)
        or isinstance(kind, pa.BaseExtensionType)
    )
