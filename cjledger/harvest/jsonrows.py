"""JSON, JSON lines and Parquet outputs as rows.

A JSON file is one object (a row), a list of objects (a row each), or values (a column ``value``); nested
lists and objects become their JSON text. In ``cj:rows``, ``"NaN"``, ``"Infinity"`` and ``"-Infinity"`` are
numbers in a column that has no other text.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from cjledger.harvest.parsed import Parsed
from cjledger.shards import parquet
from cjledger.shards.frames import from_values, pl, unite

_WORDS = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}


def parse_lines(files: Sequence[bytes], numbers_as_words: bool) -> Parsed:
    """JSON lines: all files at once, or one by one when some line needs care."""
    whole = [file if not file or file.endswith(b"\n") else file + b"\n" for file in files]
    joined = b"".join(whole)
    if not joined:
        return Parsed(pl.DataFrame(), [0] * len(files), [])
    if numbers_as_words:
        # These quotes cannot stand inside a string: there they would have a backslash.
        for word in _WORDS:
            joined = joined.replace(b':"%s"' % word.encode(), b":" + word.encode())
            joined = joined.replace(b': "%s"' % word.encode(), b":" + word.encode())
    try:
        table = parquet.parse_json(joined)
        rows = pl.from_arrow(table)
        assert isinstance(rows, pl.DataFrame)
        if not any(kind.is_nested() for kind in rows.dtypes):
            return Parsed(rows, [file.count(b"\n") for file in whole], [])
    except parquet.ParseError:
        pass
    return _carefully([(file.split(b"\n"), True) for file in whole], numbers_as_words)


def parse_documents(files: Sequence[bytes]) -> Parsed:
    """JSON files, each one document."""
    return _carefully([([file], False) for file in files], False)


def _carefully(files: Sequence[tuple[Sequence[bytes], bool]], numbers_as_words: bool) -> Parsed:
    rows: list[dict[str, Any]] = []
    counts: list[int] = []
    bad: list[tuple[int, str]] = []
    for index, (parts, by_line) in enumerate(files):
        own: list[dict[str, Any]] = []
        try:
            for number, part in enumerate(parts, 1):
                own.extend(_rows(part, number if by_line else 0))
        except ValueError as problem:
            bad.append((index, str(problem)))
            own = []
        rows.extend(own)
        counts.append(len(own))
    return Parsed(_frame(rows, numbers_as_words), counts, bad)


def _rows(part: bytes, line: int) -> list[dict[str, Any]]:
    """The rows of one line, or of one document (line 0). Raises ValueError with the line."""
    if line and not part.strip():
        return []
    try:
        value = json.loads(part.decode("utf-8-sig"))
    except UnicodeDecodeError as problem:
        at = part.count(b"\n", 0, problem.start) + (line or 1)
        raise ValueError(f"line {at}: not UTF-8 text") from problem
    except json.JSONDecodeError as problem:
        raise ValueError(f"line {line or problem.lineno}: {problem.msg}") from problem
    except RecursionError as problem:
        raise ValueError("nested too deeply") from problem
    if isinstance(value, list) and not line:
        return [item if isinstance(item, dict) else {"value": item} for item in value]
    return [value if isinstance(value, dict) else {"value": value}]


def _frame(rows: Sequence[dict[str, Any]], numbers_as_words: bool) -> pl.DataFrame:
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = ([row.get(name) for row in rows] for name in names)
    if numbers_as_words:
        columns = (_unquoted(column) for column in columns)
    pairs = zip(names, columns, strict=True)
    return pl.DataFrame([from_values(name, column) for name, column in pairs])


def _unquoted(column: list[Any]) -> list[Any]:
    texts = {value for value in column if isinstance(value, str)}
    if not texts or texts - _WORDS.keys():
        return column
    return [_WORDS[value] if isinstance(value, str) else value for value in column]


def parse_parquet(files: Sequence[bytes]) -> Parsed:
    """The tasks' own Parquet files."""
    frames: list[pl.DataFrame] = []
    counts: list[int] = []
    bad: list[tuple[int, str]] = []
    for index, file in enumerate(files):
        try:
            frame = _flat(parquet.read_output(file))
        except (parquet.ParseError, pl.exceptions.PolarsError) as problem:
            bad.append((index, str(problem)))
            counts.append(0)
            continue
        frames.append(frame)
        counts.append(frame.height)
    return Parsed(unite(frames), counts, bad)


def _flat(table: Any) -> pl.DataFrame:
    """Columns of an own Parquet file; what is nested or binary as text."""
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return pl.DataFrame([_flat_column(column) for column in frame.get_columns()])


def _flat_column(column: pl.Series) -> pl.Series:
    kind = column.dtype
    if isinstance(kind, pl.Categorical | pl.Enum):
        return column.cast(pl.String)
    if isinstance(kind, pl.Decimal):
        return column.cast(pl.Float64)
    if kind.is_nested() or kind == pl.Binary:
        return from_values(column.name, [_json(value) for value in _values(column)])
    return column


def _values(column: pl.Series) -> Iterable[Any]:
    return column.to_list()


def _json(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, bytes):
        return value.hex()
    return json.dumps(value, ensure_ascii=False, default=str)
