"""The results manifest: what a package's harvests have read, and the shards they wrote."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cjledger.errors import CjError
from cjnode.package.points import spans as task_spans

FORMAT = 1
RECORDS = "cj:records"
ROWS = "cj:rows"
INLINE_BYTES = 4 * 1024 * 1024  # a larger output is not sent by `pull`, and not kept in `cj:records`
_DELIMITERS = ("\t", ",", ";", "|", " ")
_NAME = re.compile(r"[0-9a-f]{64}\.parquet")
_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")  # which names of outputs never have


def is_name(text: str) -> bool:
    """Whether a table may be called so."""
    return bool(text) and not _UNFIT.search(text)


@dataclass(frozen=True)
class Frame:
    """One block's news as ``pull`` sends it: whole records and pieces of the data, each at its offset."""

    block: str
    records: bytes
    records_from: int
    data: tuple[tuple[int, bytes], ...]


@dataclass(frozen=True)
class Shard:
    """One immutable Parquet file; ``name`` is the SHA-256 of its bytes with ``.parquet``."""

    name: str
    table: str
    harvest: int
    rows: int
    bytes: int
    tasks: str


@dataclass(frozen=True, order=True)
class Broken:
    """An output whose rows are not in its table, and why. Task 0: a record that cannot be read."""

    task: int
    attempt: int
    file: str
    why: str


@dataclass(frozen=True)
class Results:
    """``manifest.json`` of the tip of ``refs/cj/results/<package id>``.

    ``positions`` has for each block file the bytes read of its records and of its data; ``tables`` has
    how each table is read, decided once.
    """

    package: str
    harvest: int = 0
    positions: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    tables: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    shards: tuple[Shard, ...] = ()
    broken: tuple[Broken, ...] = ()

    def of(self, table: str) -> tuple[Shard, ...]:
        """The shards of one table, oldest first."""
        return tuple(shard for shard in self.shards if shard.table == table)

    def count(self, table: str) -> int:
        """How many tasks have rows in a table."""
        spans = (span.partition("-") for shard in self.of(table) for span in shard.tasks.split(",") if span)
        tasks = end = 0
        for low, high in sorted((int(low), int(high or low)) for low, _, high in spans):
            tasks += max(0, high - max(low - 1, end))
            end = max(end, high)
        return tasks

    @property
    def names(self) -> tuple[str, ...]:
        """The tables that have rows, the records left out, by name."""
        return tuple(sorted({shard.table for shard in self.shards} - {RECORDS}))


def to_bytes(results: Results) -> bytes:
    """The canonical bytes of ``manifest.json``: one object, one line for each shard and broken output."""

    def lines(values: Sequence[Any]) -> str:
        return "[" + ",".join(f"\n {_json(vars(value))}" for value in values) + "]"

    positions = {block: list(results.positions[block]) for block in sorted(results.positions)}
    tables = {name: dict(results.tables[name]) for name in sorted(results.tables)}
    head = {
        "format": FORMAT,
        "package": results.package,
        "harvest": results.harvest,
        "positions": positions,
        "tables": tables,
    }
    broken = lines(sorted(set(results.broken)))
    return f'{_json(head)[:-1]},\n"shards":{lines(results.shards)},\n"broken":{broken}}}\n'.encode()


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def from_bytes(data: bytes, package_id: str) -> Results:
    """Read ``manifest.json``; refuses a newer format by name, and fields that are not what they should be.

    Raises CjError.
    """
    short = package_id[:12]
    try:
        raw = json.loads(data.decode())
        if _count(raw["format"]) > FORMAT:
            raise CjError(
                f"the results of {short} have format {raw['format']}, newer than this program's {FORMAT}",
                "pip install --upgrade cjledger",
            )
        if raw["package"] != package_id:
            raise ValueError(f"it is that of package {str(raw['package'])[:12]}")
        if b"\\u" in data:  # a lone surrogate could not be written again
            json.dumps(raw, ensure_ascii=False).encode()
        return Results(
            package_id,
            _count(raw["harvest"]),
            {_line(block): (_count(at[0]), _count(at[1])) for block, at in raw["positions"].items()},
            {_line(name): _rule(rule) for name, rule in raw["tables"].items()},
            tuple(_shard(Shard(**shard)) for shard in raw["shards"]),
            tuple(_broken(Broken(**item)) for item in raw["broken"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as problem:
        raise CjError(
            f"the results of package {short} have a manifest that cannot be read: {problem}",
            f"git cj fsck {short}",
        ) from problem


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 1 << 53:
        raise ValueError(f"not a count: {value!r:.60}")
    return value


def _line(value: Any) -> str:
    if type(value) is not str or not is_name(value):
        raise ValueError(f"not a name: {value!r:.60}")
    return value


def _shard(shard: Shard) -> Shard:
    if type(shard.name) is not str or not _NAME.fullmatch(shard.name):
        raise ValueError(f"not the name of a shard: {shard.name!r:.90}")
    _line(shard.table)
    for number in (shard.harvest, shard.rows, shard.bytes):
        _count(number)
    # Each of its tasks has a row at least.
    if shard.tasks != "" and sum(high + 1 - low for low, high in task_spans(shard.tasks)) > shard.rows:
        raise ValueError(f"not the tasks of {shard.rows} rows: {shard.tasks!r:.60}")
    return shard


def _broken(item: Broken) -> Broken:
    if list(map(type, (item.task, item.attempt, item.file, item.why))) != [int, int, str, str]:
        raise ValueError(f"not a broken output: {item!r:.90}")
    return item


def _rule(rule: Any) -> dict[str, Any]:
    """How a table is read: ``cjledger.harvest.rule`` takes it as it is."""
    columns = rule.get("columns", [])
    if (
        rule["kind"] not in ("delimited", "json", "jsonl", "parquet", "none")
        or not set(rule) <= {"kind", "delimiter", "header", "columns", "comments"}
        or not all(type(rule.get(name, False)) is bool for name in ("header", "comments"))
        or not (type(columns) is list and all(type(each) is str for each in columns))
        or (rule["kind"] == "delimited" and not _is_delimited(rule))
    ):
        raise ValueError(f"not how a table is read: {rule!r:.90}")
    return dict(rule)


def _is_delimited(rule: Mapping[str, Any]) -> bool:
    columns = rule["columns"]
    return rule["delimiter"] in _DELIMITERS and "header" in rule and 0 < len(columns) == len(set(columns))
