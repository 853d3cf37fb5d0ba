"""The door to pyarrow: shards written and read, records parsed, points files read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj
import pyarrow.parquet as pq

# A record's fields in the order of the shard's columns; `outputs` comes last.
RECORD = pa.schema(
    [
        ("task", pa.int64()),
        ("attempt", pa.int64()),
        ("state", pa.string()),
        ("exit_code", pa.int64()),
        ("signal", pa.int64()),
        ("started", pa.string()),
        ("ended", pa.string()),
        ("seconds", pa.float64()),
        ("host", pa.string()),
        ("job", pa.string()),
        ("element", pa.int64()),
        ("max_rss_mb", pa.float64()),
        ("cpu_s", pa.float64()),
        ("seed", pa.int64()),
        ("error", pa.string()),
        ("note", pa.string()),
        ("environment", pa.string()),
        (
            "outputs",
            pa.list_(
                pa.struct(
                    [
                        ("path", pa.string()),
                        ("offset", pa.int64()),
                        ("bytes", pa.int64()),
                        ("sha256", pa.string()),
                    ]
                )
            ),
        ),
    ]
)
_BLOCK = 4 * 1024 * 1024  # a longer line goes the slow way


class ParseError(ValueError):
    """Bytes that are not the rows they claim to be."""


def parse_json(data: bytes, schema: Any = None) -> Any:
    """JSON lines as an Arrow table, one row a line. Raises ParseError when a line is not one flat object.

    pyarrow takes several objects on a line and one on several, so the lines are counted here.
    """
    lines = data.count(b"\n")
    if data.count(b"}\n{") != lines - 1 or not data.startswith(b"{") or not data.endswith(b"}\n"):
        raise ParseError("not one object a line")
    try:
        if not data.isascii():  # pyarrow takes any bytes for text
            data.decode()
        table = _read_json(data, schema)
    except (pa.ArrowException, UnicodeDecodeError) as problem:
        raise ParseError(str(problem)) from problem
    if table.num_rows != lines:
        raise ParseError(f"{table.num_rows} rows in {lines} lines")
    return table


def _read_json(data: bytes, schema: Any) -> Any:
    reading = pj.ReadOptions(block_size=_BLOCK)
    pool = pa.system_memory_pool()  # the others give each part's memory back, and have it cleared again
    if schema is not None:
        parsing = pj.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore")
        return pj.read_json(pa.BufferReader(data), reading, parsing, pool).select(schema.names)
    table = pj.read_json(pa.BufferReader(data), reading, memory_pool=pool)
    moments = [field.name for field in table.schema if pa.types.is_timestamp(field.type)]
    if moments:  # text that looks like a time stays text
        texts = pa.schema([(name, pa.string()) for name in moments])
        table = pj.read_json(pa.BufferReader(data), reading, pj.ParseOptions(explicit_schema=texts), pool)
    return table


def records_from_lines(data: bytes) -> Any:
    """Record lines as a table of RECORD. Raises ParseError."""
    return parse_json(data, RECORD)


def records_from_dicts(records: Sequence[Mapping[str, Any]]) -> Any:
    """Records as a table of RECORD. Raises ParseError when a value has another type."""
    try:
        return pa.Table.from_pylist([dict(record) for record in records], RECORD)
    except (pa.ArrowException, OverflowError, TypeError, ValueError, AttributeError) as problem:
        raise ParseError(str(problem)) from problem


def select(table: Any, rows: Sequence[bool]) -> Any:
    """The rows of a table that are wanted, in one piece."""
    return table.filter(pa.array(rows, pa.bool_())).combine_chunks()


def concatenate(tables: Sequence[Any]) -> Any:
    """The rows of tables that have the same columns."""
    return pa.concat_tables(tables)


def split_outputs(records: Any) -> tuple[list[int], dict[str, list[Any]]]:
    """How many outputs each record names, and all outputs' fields in a row."""
    outputs = _one_chunk(records.column("outputs"))
    counts = pc.fill_null(pc.list_value_length(outputs), 0).to_pylist()
    flat = outputs.flatten()
    return counts, {
        field.name: pc.struct_field(flat, field.name).to_pylist()
        for field in RECORD.field("outputs").type.value_type
    }


def _one_chunk(column: Any) -> Any:
    chunks = column.chunks
    if len(chunks) == 1:
        return chunks[0]
    return pa.concat_arrays(chunks) if chunks else pa.array([], column.type)


def records_table(
    records: Any,
    package_id: str,
    blocks: Sequence[str],
    numbers: Sequence[int],
    contents: Sequence[bytes | None],
) -> Any:
    """Table ``cj:records``: each record has its block (``blocks[number]``), each output its content."""
    outputs = _one_chunk(records.column("outputs"))
    counts = pc.fill_null(pc.list_value_length(outputs), 0)
    offsets = pa.concat_arrays([pa.array([0], pa.int64()), pc.cumulative_sum(counts.cast(pa.int64()))])
    flat = outputs.flatten()
    fields = [pc.struct_field(flat, name) for name in ("path", "bytes", "sha256", "offset")]
    struct = pa.StructArray.from_arrays(
        [*fields, pa.array(contents, pa.large_binary())], ["path", "bytes", "sha256", "offset", "content"]
    )
    columns = {
        "cj_package": pa.array([package_id], pa.string()).take(pa.array([0] * records.num_rows, pa.int32())),
        "cj_task": records.column("task"),
        "cj_attempt": records.column("attempt"),
    }
    for name in RECORD.names[2:-1]:
        columns[name] = records.column(name)
    columns["block"] = pa.array(blocks, pa.string()).take(pa.array(numbers, pa.int32()))
    columns["outputs"] = pa.LargeListArray.from_arrays(offsets, struct)
    return pa.table(columns)


class Writer:
    """A Parquet file in memory: the same tables and notes give the same bytes."""

    def __init__(self, schema: Any, notes: Mapping[str, str]) -> None:
        self.notes = dict(notes)
        self.rows = 0
        self._schema = schema
        self._own = {f"cj_{key}": notes[key] for key in sorted(notes)}
        self._sink = pa.BufferOutputStream()
        self._writer = pq.ParquetWriter(
            self._sink,
            schema.with_metadata(self._own),
            compression="zstd",
            write_page_checksum=True,
            use_dictionary=[name for name in schema.names if name in _REPEATING] or False,
            write_statistics=True,
        )

    def takes(self, table: Any, notes: Mapping[str, str]) -> bool:
        """Whether a table has the columns and the notes of this file."""
        return self.notes == notes and bool(self._schema.equals(table.schema))

    def write(self, table: Any) -> None:
        """Append a table's rows."""
        self._writer.write_table(table.replace_schema_metadata(self._own))
        self.rows += table.num_rows

    def end(self) -> bytes:
        """The whole file."""
        self._writer.close()
        return bytes(self._sink.getvalue())


# Columns that hold few values over and over; a dictionary costs more than it saves on the others.
_REPEATING = frozenset(
    (
        "cj_package",
        "cj_attempt",
        "block",
        "state",
        "host",
        "job",
        "exit_code",
        "signal",
        "note",
        "error",
        "environment",
    )
)


def source(shard: Path | bytes) -> Any:
    """A shard's file or bytes, as pyarrow reads them without a copy."""
    return pa.memory_map(str(shard)) if isinstance(shard, Path) else pa.BufferReader(shard)


def check(shard: Path | bytes) -> None:
    """Read a whole shard with its page checksums. Raises ParseError."""
    try:
        pq.read_table(source(shard), page_checksum_verification=True)
    except (pa.ArrowException, OSError) as problem:
        raise ParseError(str(problem)) from problem


def read_outputs(path: Path, tasks: set[int] | None) -> Iterator[tuple[int, int, str, dict[str, Any]]]:
    """Task, attempt, block and fields of each output of a ``cj:records`` shard."""
    columns = ["cj_task", "cj_attempt", "block", "outputs"]
    wanted = None if tasks is None else pc.is_in(pc.field("cj_task"), pa.array(sorted(tasks), pa.int64()))
    table = pq.read_table(path, columns=columns, filters=wanted, page_checksum_verification=True)
    for batch in table.to_batches(max_chunksize=1000):
        for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            yield from ((*row[:3], output) for output in row[3] or ())


def read_environments(path: Path) -> Iterator[tuple[int, int, str | None]]:
    """Task, attempt and environment of each record of a ``cj:records`` shard; None in shards that lack it."""
    columns = ["cj_task", "cj_attempt", "environment"]
    known = pq.read_schema(path).names
    table = pq.read_table(path, columns=[n for n in columns if n in known], page_checksum_verification=True)
    if "environment" not in known:
        table = table.append_column("environment", pa.nulls(table.num_rows, pa.string()))
    yield from zip(*(table.column(name).to_pylist() for name in columns), strict=True)


__all__ = [
    "ParseError",
    "check",
    "concatenate",
    "pa",
    "parse_json",
    "pc",
    "pq",
    "read_outputs",
    "records_from_dicts",
    "records_from_lines",
    "records_table",
    "select",
    "source",
    "split_outputs",
]
