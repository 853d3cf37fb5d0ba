"""A table as a file: csv, tsv, jsonl, parquet or arrow."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from cjledger.errors import CjError
from cjledger.shards import frames
from cjledger.shards.frames import pl

FORMATS = ("csv", "tsv", "jsonl", "parquet", "arrow")


def write(rows: pl.DataFrame, out: Path | IO[bytes], kind: str) -> None:
    """Write a table as csv, tsv, jsonl, parquet or arrow; numbers read back as they were."""
    target: Any = out
    if kind in ("csv", "tsv"):
        with _own_errors():
            _flat(rows).write_csv(target, separator="," if kind == "csv" else "\t")
    elif kind == "jsonl":
        with _own_errors():
            rows.write_ndjson(target)
    elif kind == "parquet":
        rows.write_parquet(target)
    elif kind == "arrow":
        rows.write_ipc(target)
    else:
        raise CjError(f"no format {kind!r}", f"one of {', '.join(FORMATS)}")


@contextlib.contextmanager
def _own_errors() -> Iterator[None]:
    """Polars tells of what the system refused in words alone: as Python does, by its number."""
    try:
        yield
    except OSError as problem:
        number = re.search(r"\(os error (\d+)\)", str(problem))
        if problem.errno is None and number:
            raise OSError(int(number[1]), os.strerror(int(number[1]))) from None
        raise


def _flat(rows: pl.DataFrame) -> pl.DataFrame:
    nested = [name for name, kind in rows.schema.items() if kind.is_nested()]
    return rows.with_columns(frames.from_values(name, rows[name].to_list()) for name in nested)
