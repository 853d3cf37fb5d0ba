"""A table as a file: csv, tsv, jsonl, parquet or arrow."""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from cjledger.errors import CjError
from cjledger.quantities import not_finite
from cjledger.shards.columns import pl
from cjledger.shards.plain import plain

FORMATS = ("csv", "tsv", "jsonl", "parquet", "arrow")
_PART = 10_000  # rows


def write(rows: pl.DataFrame, out: Path | IO[bytes], kind: str) -> None:
    """Write a table as csv, tsv, jsonl, parquet or arrow; numbers read back as they were.

    Text has columns of other types as ``shards.plain`` makes them, parquet and arrow have the types.
    """
    target: Any = out
    if kind in ("csv", "tsv"):
        with _own_errors():
            plain(rows, nested=True).write_csv(target, separator="," if kind == "csv" else "\t")
    elif kind == "jsonl":
        with _own_errors():
            _write_lines(plain(rows), target)
    elif kind == "parquet":
        rows.write_parquet(target)
    elif kind == "arrow":
        rows.write_ipc(target)
    else:
        raise CjError(f"no format {kind!r}", f"one of {', '.join(FORMATS)}")


def _write_lines(rows: pl.DataFrame, target: Any) -> None:
    """JSON has no number that is not finite: such are words, and polars would leave them out."""
    odd = [name for name, kind in rows.schema.items() if kind.is_float() and not _is_finite(rows[name])]
    if not odd:
        rows.write_ndjson(target)
        return
    with target.open("wb") if isinstance(target, Path) else contextlib.nullcontext(target) as out:
        for part in rows.iter_slices(_PART):
            if all(_is_finite(part[name]) for name in odd):
                part.write_ndjson(out)
            else:
                out.writelines(_line(row, odd) for row in part.iter_rows(named=True))


def _is_finite(column: pl.Series) -> bool:
    return bool(column.is_finite().all())


def _line(row: dict[str, Any], odd: Sequence[str]) -> bytes:
    for name in odd:
        value = row[name]
        if value is not None and not math.isfinite(value):
            row[name] = not_finite(value)
    return json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


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
