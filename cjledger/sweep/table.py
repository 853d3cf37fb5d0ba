"""Explicit points: one row of a table a task."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from cjledger.errors import CjError
from cjledger.model import Sweep
from cjledger.sweep.blocks import check_value, unique_keys
from cjledger.sweep.spec import SpecError, check_names, scalar
from cjnode.package.points import POINTS_PER_FILE

Rows = Iterator[list[Any]]

_DELIMITERS = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
_ENCODE = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
_LONGEST_PLAIN = 300  # as many digits are too many for a number
_SUFFIXES = ".csv, .tsv, .jsonl, .ndjson, .json, .parquet"


def read_points(path: Path) -> tuple[tuple[str, ...], Rows]:
    """The names and the rows of a points file by its suffix, read as they are asked for."""
    suffix = path.suffix.lower()
    if not path.is_file():
        raise CjError(f"there is no points file {path}", f"name one of {_SUFFIXES}")
    if suffix in _DELIMITERS:
        names, rows = _delimited(path, _DELIMITERS[suffix])
    elif suffix in (".jsonl", ".ndjson"):
        names, rows = _objects(str(path), "line", _json_lines(path))
    elif suffix == ".json":
        names, rows = _objects(str(path), "entry", _json_list(path))
    elif suffix in (".parquet", ".pq"):
        # Here alone, and not above: it costs 150 ms to import, and a launch must not pay for it.
        from cjledger.shards.foreign import read_parquet_rows

        columns, rows = read_parquet_rows(path)
        names = tuple(columns)
    else:
        raise CjError(
            f"{path}: points are not read from {suffix or 'files without suffix'}", f"use {_SUFFIXES}"
        )
    if not names:
        raise CjError(f"{path} names no parameters", "the first line of a .csv has the names: delta,epsilon")
    check_names(names, str(path))
    # Cells have been read as values that can be; json and Parquet may hold anything.
    return names, rows if suffix in _DELIMITERS else _checked(str(path), names, rows)


def read_commands(path: Path) -> tuple[tuple[str, ...], Rows]:
    """A file of commands, one a line, as points with the one parameter ``command``.

    Blank lines, and lines that begin with #, are none.
    """
    if not (path.is_file() or path.is_fifo()):
        raise CjError(f"there is no file of commands {path}", "one command a line")

    def rows() -> Rows:
        try:
            with path.open(encoding="utf-8-sig") as lines:
                for number, line in enumerate(lines, 1):
                    if line.strip() and not line.lstrip().startswith("#"):
                        yield [check_value(line.strip(), f"{path}, line {number}")]
        except (OSError, UnicodeDecodeError) as problem:
            raise _unreadable(path, problem) from problem

    return ("command",), rows()


def explicit(
    names: Sequence[str], rows: Iterable[Sequence[Any]], repeat: int
) -> tuple[Sweep, Iterable[tuple[str, bytes]]]:
    """The sweep of explicit points, and the files below ``.cj`` that hold them."""
    if repeat < 1:
        raise CjError(f"--repeat {repeat}: there is nothing to run", "--repeat 10")
    files: list[tuple[str, bytes]] = []
    count = 0
    rows = iter(rows)
    while batch := list(itertools.islice(rows, POINTS_PER_FILE)):
        files.append((f"points/{len(files):05}.jsonl", _lines(batch)))
        count += len(batch)
    if not count:
        raise CjError("the sweep is empty: the table of points has no row", "one row a task below the names")
    return Sweep("points", (), (), tuple(names), count, repeat, None), files


def from_rows(rows: Sequence[Mapping[str, Any]], repeat: int) -> tuple[Sweep, Iterable[tuple[str, bytes]]]:
    """The sweep of explicit points given from Python, one mapping a task."""
    names, values = _objects("points", "entry", enumerate(rows, 1))
    check_names(names, "points")
    return explicit(names, _checked("points", names, values), repeat)


def _lines(rows: Sequence[Sequence[Any]]) -> bytes:
    """Rows as JSON lines. All at once takes a fifth of the time of one by one."""
    whole = _ENCODE(rows)
    if '"' in whole or "[]" in whole:  # then the brackets between two rows may stand elsewhere too
        return "".join(f"{_ENCODE(row)}\n" for row in rows).encode()
    return (whole[1:-1].replace("],[", "]\n[") + "\n").encode()


def _checked(origin: str, names: Sequence[str], rows: Rows) -> Rows:
    for number, row in enumerate(rows, 1):
        yield [check_value(v, f"{origin}: {n} of point {number}") for n, v in zip(names, row, strict=True)]


def _delimited(path: Path, delimiter: str) -> tuple[tuple[str, ...], Rows]:
    _, header = next(_cells(path, delimiter), (0, []))
    names = tuple(name.strip() for name in header)

    def rows() -> Rows:
        done = 1
        for batch in _numbers(path, delimiter, len(names)):
            if not batch:
                return
            done += len(batch)
            yield from batch
        yield from _typed(path, delimiter, names, done)

    return names, rows()


def _typed(path: Path, delimiter: str, names: Sequence[str], done: int) -> Rows:
    """The rows after the first ``done``, header included, each cell read by itself."""
    for line, cells in itertools.islice(_cells(path, delimiter), done, None):
        if len(cells) != len(names):
            raise CjError(
                f"{path}, line {line}: {len(cells)} values where {len(names)} are named",
                f"give each line {len(names)} values, or quote those with the delimiter in them",
            )
        try:
            yield [scalar(cell.strip()) if cell.strip() else None for cell in cells]
        except SpecError as problem:
            raise CjError(f"{path}, line {line}: {problem}", "leave the cell empty for null") from problem


def _numbers(path: Path, delimiter: str, columns: int) -> Iterator[list[list[Any]]]:
    """The first rows as far as they are numbers and nothing else, read by json: 0.4 µs a row instead of 9.

    What json takes for a number is what a cell means; at anything else this ends. The end of the file is an
    empty list.
    """
    with path.open("rb") as file:
        if b'"' in file.readline():
            return  # the header may have more lines
        while lines := list(itertools.islice(file, POINTS_PER_FILE)):
            text = b"".join(lines).replace(b"\r\n", b"\n")
            plain = b"0123456789.eE+-\n" + delimiter.encode()
            if text.translate(None, plain) or len(max(lines, key=len)) > _LONGEST_PLAIN:
                return
            text = text.rstrip(b"\n").replace(delimiter.encode(), b",").replace(b"\n", b"],[")
            try:
                rows = json.loads(b"[[" + text + b"]]")
            except ValueError:
                return
            if {len(row) for row in rows} != {columns} or not all(map(_are_finite, rows)):
                return
            yield rows
        yield []


def _are_finite(row: Sequence[float]) -> bool:
    return all(map(math.isfinite, row))


def _cells(path: Path, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """The lines that are not blank, with the number of each one's last line in the file."""
    import csv

    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, delimiter=delimiter, strict=True, skipinitialspace=True)
            for cells in reader:
                if len(cells) > 1 or any(cell.strip() for cell in cells):
                    yield reader.line_num, cells
    except csv.Error as problem:
        raise CjError(
            f"{path}, line {reader.line_num}: {problem}", "mend the quotes in that line"
        ) from problem
    except (OSError, UnicodeDecodeError) as problem:
        raise _unreadable(path, problem) from problem


def _unreadable(path: Path, problem: OSError | UnicodeDecodeError) -> CjError:
    reason = problem.strerror if isinstance(problem, OSError) else f"it is not UTF-8: {problem.reason}"
    return CjError(f"{path} cannot be read: {reason}", f"iconv -t UTF-8 {path}")


def _json_lines(path: Path) -> Iterator[tuple[int, Any]]:
    try:
        with path.open(encoding="utf-8-sig") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield number, _json(path, number, line)
    except (OSError, UnicodeDecodeError) as problem:
        raise _unreadable(path, problem) from problem


def _json(path: Path, number: int, line: str) -> Any:
    try:
        return json.loads(line, object_pairs_hook=unique_keys)
    except (ValueError, RecursionError) as problem:
        raise CjError(f"{path}, line {number}: {problem}", '{"delta": 0.1, "epsilon": 0.2}') from problem


def _json_list(path: Path) -> Iterator[tuple[int, Any]]:
    try:
        data = json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=unique_keys)
    except (OSError, UnicodeDecodeError) as problem:
        raise _unreadable(path, problem) from problem
    except (ValueError, RecursionError) as problem:
        raise CjError(f"{path}: {problem}", '[{"delta": 0.1}, {"delta": 0.2}]') from problem
    if not isinstance(data, list):
        raise CjError(f"{path} is not a list of objects", '[{"delta": 0.1}, {"delta": 0.2}]')
    yield from enumerate(data, 1)


def _objects(origin: str, unit: str, entries: Iterable[tuple[int, Any]]) -> tuple[tuple[str, ...], Rows]:
    """Rows from objects; the first one's keys are the names, and every other has the same."""
    entries = iter(entries)
    first = list(itertools.islice(entries, 1))
    names = tuple(name for number, entry in first for name in _object(origin, unit, number, entry))

    def rows() -> Rows:
        for number, entry in itertools.chain(first, entries):
            fields = _object(origin, unit, number, entry)
            if fields.keys() != set(names):
                odd = sorted(map(str, set(names) ^ fields.keys()))
                raise CjError(
                    f"{origin}, {unit} {number}: other names than in the first: {', '.join(odd)}",
                    "give every point the same names; null where there is no value",
                )
            yield [fields[name] for name in names]

    return names, rows()


def _object(origin: str, unit: str, number: int, entry: Any) -> Mapping[str, Any]:
    if not isinstance(entry, Mapping):
        raise CjError(f"{origin}, {unit} {number} is not an object", '{"delta": 0.1, "epsilon": 0.2}')
    return entry
