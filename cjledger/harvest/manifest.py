"""The results manifest: what a package's harvests have read, and the shards they wrote."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cjledger.errors import CjError

FORMAT = 1
RECORDS = "cj:records"
ROWS = "cj:rows"
INLINE_BYTES = 4 * 1024 * 1024  # a larger output is not sent by `pull`, and not kept in `cj:records`


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
    """Read ``manifest.json``; refuses a newer format by name, and names of shards that are none."""
    short = package_id[:12]
    try:
        raw = json.loads(data)
        if raw["format"] > FORMAT:
            raise CjError(
                f"the results of {short} have format {raw['format']}, newer than this program's {FORMAT}",
                "pip install --upgrade cjledger",
            )
        if raw["package"] != package_id:
            raise ValueError(f"it is that of package {str(raw['package'])[:12]}")
        shards = tuple(Shard(**shard) for shard in raw["shards"])
        for shard in shards:
            _check_name(shard.name)
        positions = {block: (int(at[0]), int(at[1])) for block, at in raw["positions"].items()}
        broken = tuple(Broken(**item) for item in raw["broken"])
        return Results(package_id, raw["harvest"], positions, raw["tables"], shards, broken)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as problem:
        raise CjError(
            f"the results of package {short} have a manifest that cannot be read: {problem}",
            f"git cj fsck {short}",
        ) from problem


def _check_name(name: str) -> None:
    stem, _, suffix = name.partition(".")
    if suffix != "parquet" or len(stem) != 64 or set(stem) - set("0123456789abcdef"):
        raise ValueError(f"not the name of a shard: {name!r}")
