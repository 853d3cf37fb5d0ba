"""The harvest as a function of values: what was read before and new frames in, shards out."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from hashlib import sha256
from typing import Any

from cjledger.beside import Beside
from cjledger.harvest.manifest import RECORDS, Broken, Frame, Results, Shard
from cjledger.harvest.params import Points
from cjledger.harvest.records import Batch, fresh, further, read_batch
from cjledger.harvest.tables import Table, read_tables
from cjledger.model import Manifest
from cjledger.shards import parquet
from cjledger.shards.frames import pl
from cjnode.points import format_tasks

BATCH_BYTES = 256 * 1024 * 1024


def gather(
    manifest: Manifest,
    package_id: str,
    points: Points,
    before: Results,
    frames: Iterable[Frame],
    batch_bytes: int = BATCH_BYTES,
) -> tuple[Results, list[tuple[Shard, bytes]]]:
    """Harvest frames: the new results, and the new shards with their bytes.

    The results are ``before`` itself when nothing is new. Frames that were read before are skipped, so
    repeating a harvest changes nothing.
    """
    harvest = before.harvest + 1
    positions = dict(before.positions)
    rules: dict[str, Any] = {name: dict(rule) for name, rule in before.tables.items()}
    broken: list[Broken] = list(before.broken)
    shards: list[tuple[Shard, bytes]] = []
    seen: list[pl.Series] = []
    for batch in _batches(fresh(frames, before.positions), batch_bytes):
        read = read_batch(batch, manifest.tasks, seen)
        positions = further(positions, read.positions)
        broken += read.broken
        # Compressing holds no lock: tables are parsed meanwhile.
        with Beside(_records_shard, batch, read, package_id, harvest) as records:
            tables = read_tables(manifest, package_id, points, read.outputs, rules, broken)
            shards += [*records.result(), *(_table_shard(table, harvest) for table in tables)]
    if positions == before.positions:
        return before, []
    results = replace(
        before,
        harvest=harvest,
        positions=positions,
        tables=rules,
        shards=(*before.shards, *(shard for shard, _ in shards)),
        broken=tuple(sorted(set(broken))),
    )
    return results, shards


def _batches(frames: Iterable[Frame], batch_bytes: int) -> Iterator[list[Frame]]:
    batch: list[Frame] = []
    size = 0
    for frame in frames:
        batch.append(frame)
        size += len(frame.records) + sum(len(data) for _, data in frame.data)
        if size >= batch_bytes:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _records_shard(
    frames: list[Frame], read: Batch, package_id: str, harvest: int
) -> list[tuple[Shard, bytes]]:
    if not read.records.num_rows:
        return []
    blocks = [frame.block for frame in frames]
    table = parquet.records_table(read.records, package_id, blocks, read.numbers, read.outputs.kept())
    return [_shard(RECORDS, harvest, table, read.records.column("task").to_pylist(), {})]


def _table_shard(table: Table, harvest: int) -> tuple[Shard, bytes]:
    notes = {"dropped": json.dumps(table.dropped)} if table.dropped else {}
    return _shard(table.name, harvest, table.rows.to_arrow(), table.tasks, notes)


def _shard(
    name: str, harvest: int, table: Any, tasks: list[int], notes: dict[str, str]
) -> tuple[Shard, bytes]:
    data = parquet.to_bytes(table, {"table": name, **notes})
    file = f"{sha256(data).hexdigest()}.parquet"
    return Shard(file, name, harvest, table.num_rows, len(data), format_tasks(sorted(set(tasks)))), data
