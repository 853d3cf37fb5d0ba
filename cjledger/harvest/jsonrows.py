"""JSON and JSON lines as rows.

A JSON file is one object (a row), a list of objects (a row each), or values (a column ``value``); nested
lists and objects become their JSON text. In ``cj:rows``, ``"NaN"``, ``"Infinity"`` and ``"-Infinity"`` are
numbers in a column that has no other text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from cjledger.harvest.parsed import Parsed
from cjledger.shards import parquet
from cjledger.shards.columns import EXACT, from_values, pl

_LONG = re.compile(rb":\s*-?[0-9]{16,}\s*[,}]")  # a whole number that floating ones may not hold
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
        if not any(kind.is_nested() for kind in rows.dtypes) and not _hides_whole_numbers(rows, joined):
            return Parsed(rows, [file.count(b"\n") for file in whole], [])
    except parquet.ParseError:
        pass
    return _carefully([(file.split(b"\n"), True) for file in whole], numbers_as_words)


def _hides_whole_numbers(rows: pl.DataFrame, lines: bytes) -> bool:
    """Whether floating numbers may have been whole ones that are others now: pyarrow does not ask."""
    floating = rows.select(pl.col(pl.Float64).abs().fill_nan(0)).get_columns()
    is_far = any((column >= EXACT).any() for column in floating)
    return is_far and _LONG.search(lines) is not None


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
