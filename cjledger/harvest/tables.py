"""The tabular outputs of a batch: each table's files parsed together, parameters joined in."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, cast

from cjledger.harvest import delimited, jsonrows, parquetrows, rule
from cjledger.harvest.manifest import INLINE_BYTES, ROWS, Broken, Frame, is_name
from cjledger.harvest.params import Parameters
from cjledger.harvest.parsed import Parsed
from cjledger.harvest.records import Outputs
from cjledger.shards.columns import pl, supertype, whole_numbers
from cjledger.shards.frames import spread

_DELIMITED = (".csv", ".tsv", ".txt", ".dat")
_LINES = (".jsonl", ".ndjson")
TABLES = 200  # of a package


@dataclass(frozen=True)
class Table:
    """One table's rows in a batch, parameters included.

    Of the ``notes``, in JSON, `dropped` names own columns that repeat a parameter and are not among the rows,
    `repeats` those that repeat one and are, and `cells` the columns that came as text and are numbers.
    """

    name: str
    rows: pl.DataFrame
    notes: Mapping[str, str]


@dataclass(frozen=True)
class _Files:
    tasks: list[int]
    attempts: list[int]
    contents: list[bytes]


def is_tabular(path: str) -> bool:
    """Whether an output of this name may have rows."""
    return path == ROWS or (
        is_name(path)
        and not path.startswith("cj:")
        and _suffix(path) in (*_DELIMITED, *_LINES, ".json", ".parquet")
    )


def _suffix(path: str) -> str:
    return PurePosixPath(path).suffix.lower()


_LARGE = re.compile(rb'"bytes": ?[0-9]{7}')


def large_tables(frame: Frame) -> list[tuple[int, int]]:
    """Offset and size of tabular outputs that ``pull`` left out: ``fetch`` them into ``frame.data``."""
    wanted: list[tuple[int, int]] = []
    if not _LARGE.search(frame.records):  # nearly always: a hundred times faster than to parse
        return wanted
    for line in frame.records.splitlines():
        try:
            outputs = json.loads(line).get("outputs") or []
            wanted += [
                (output["offset"], output["bytes"])
                for output in outputs
                if output["bytes"] > INLINE_BYTES and is_tabular(output["path"])
            ]
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
    return wanted


def read_tables(
    package_id: str,
    parameters: Parameters,
    outputs: Outputs,
    rules: dict[str, Any],
    broken: list[Broken],
) -> list[Table]:
    """Every table of a batch by name. New decisions go to ``rules``, broken outputs to ``broken``."""
    tables: list[Table] = []
    for name, files in _by_table(outputs, broken, rules).items():
        parsed = _parse(name, files, rules) if files.tasks else None
        if parsed is None:
            continue
        broken += [Broken(files.tasks[i], files.attempts[i], name, why) for i, why in parsed.bad]
        if parsed.rows.height:
            params = parameters.of(files.tasks)
            tables.append(_join(name, package_id, files, params, parsed))
    return tables


def _by_table(outputs: Outputs, broken: list[Broken], known: Mapping[str, Any]) -> dict[str, _Files]:
    """The files of each table that completed tasks left."""
    places: dict[str, Sequence[int]] = {}
    if len(set(outputs.paths)) == 1:
        places[outputs.paths[0]] = range(len(outputs.paths))
    else:
        places = _places(outputs.paths)
    names = sorted(name for name in places if is_tabular(name))
    new = [name for name in names if name not in known]
    room = max(0, TABLES - len(known))
    if len(new) > room:  # names that hold a number, say: each would be a table of one row
        why = f"one of {len(new)} different names: only {TABLES} become tables, the others stay files"
        broken.append(Broken(0, 0, new[room], why))
    return {
        name: _files(outputs, name, places[name], broken) for name in names if name not in set(new[room:])
    }


def _places(paths: Sequence[str]) -> dict[str, Sequence[int]]:
    found: dict[str, list[int]] = {}
    for place, path in enumerate(paths):
        found.setdefault(path, []).append(place)
    return dict(found)


def _files(outputs: Outputs, name: str, places: Sequence[int], broken: list[Broken]) -> _Files:
    if len(places) == len(outputs.paths) and all(outputs.completed) and None not in outputs.contents:
        return _Files(outputs.tasks, outputs.attempts, cast(list[bytes], outputs.contents))
    done = [place for place in places if outputs.completed[place]]
    for place in done:
        if outputs.contents[place] is None and outputs.sizes[place] > INLINE_BYTES:
            why = f"{outputs.sizes[place]} bytes: too large to be sent with a harvest"
            broken.append(Broken(outputs.tasks[place], outputs.attempts[place], name, why))
    there = [(place, content) for place in done if (content := outputs.contents[place]) is not None]
    return _Files(
        [outputs.tasks[place] for place, _ in there],
        [outputs.attempts[place] for place, _ in there],
        [content for _, content in there],
    )


def _parse(name: str, files: _Files, rules: dict[str, Any]) -> Parsed | None:
    suffix = _suffix(name)
    if name == ROWS or suffix in _LINES:
        rules[name] = {"kind": "jsonl"}
        return jsonrows.parse_lines(files.contents, name == ROWS)
    if suffix == ".json":
        rules[name] = {"kind": "json"}
        return jsonrows.parse_documents(files.contents)
    if suffix == ".parquet":
        rules[name] = {"kind": "parquet"}
        return parquetrows.parse_parquet(files.contents)
    if name not in rules:
        decided = rule.decide(suffix, files.contents)
        if decided is not None:
            rules[name] = decided.to_json()
        elif suffix in (".txt", ".dat"):
            rules[name] = {"kind": "none"}
    return _parse_delimited(files, rules.get(name))


def _parse_delimited(files: _Files, entry: Mapping[str, Any] | None) -> Parsed | None:
    if entry is None:  # nothing here could be read: no decision, but broken files are named
        return delimited.parse(files.contents, rule.Rule(",", False, ("column_1",)))
    if entry["kind"] == "none":
        return None
    return delimited.parse(files.contents, rule.rule_from_json(entry))


def _join(name: str, package_id: str, files: _Files, params: pl.DataFrame, parsed: Parsed) -> Table:
    keys = pl.DataFrame(
        [
            pl.Series("cj_package", [package_id], pl.String).new_from_index(0, len(files.tasks)),
            pl.Series("cj_task", files.tasks, pl.Int64),
            pl.Series("cj_attempt", files.attempts, pl.Int64),
            *params.get_columns(),
        ]
    )
    rows, notes = _beside(spread(keys, parsed.counts), parsed)
    return Table(name, rows, {key: json.dumps(note) for key, note in notes.items() if note})


def _beside(given: pl.DataFrame, parsed: Parsed) -> tuple[pl.DataFrame, dict[str, Any]]:
    """The tasks' own columns after those that are known of them, and what is to be noted of them."""
    columns = {column.name: column for column in given.get_columns()}
    dropped: list[str] = []
    repeats: list[str] = []
    cells: dict[str, str] = {}
    for column in parsed.rows.get_columns():
        name, kept = column.name, parsed.cells.get(column.name, column)
        if name in given.columns:
            name = _free(f"{name}_output", (*parsed.rows.columns, *given.columns))
            if _same(column, given[column.name]):
                # What has the parameter's type can be made of it again, should another shard's differ.
                if kept.dtype == given[column.name].dtype:
                    dropped.append(column.name)
                else:
                    repeats.append(name)
        if column.name not in dropped:
            columns[name] = kept
        if column.name in parsed.cells:
            cells[name] = str(column.dtype)
    rows = pl.DataFrame([column.alias(key) for key, column in columns.items()])
    return rows, {"dropped": dropped, "repeats": repeats, "cells": cells}


def _free(name: str, taken: Sequence[str]) -> str:
    while name in taken:
        name += "_"
    return name


def _same(own: pl.Series, given: pl.Series) -> bool:
    """Whether a task's own column says what its parameter says; numbers compare as numbers."""
    types = (own.dtype, given.dtype)
    whole = (column.to_frame().lazy() for column in (own, given) if column.dtype.is_integer())
    kind = supertype(types, lambda: whole_numbers(whole)) if all(t.is_numeric() for t in types) else None
    if kind is None or kind == pl.String:
        return own.dtype == given.dtype and bool(own.eq_missing(given).all())
    return bool(own.cast(kind).eq_missing(given.cast(kind)).all())
