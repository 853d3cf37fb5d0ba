"""The harvest as a function of values: what was read before and new frames in, shards out."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from hashlib import sha256
from typing import Any, NamedTuple

from cjledger.background import ahead
from cjledger.harvest.manifest import RECORDS, Broken, Frame, Results, Shard
from cjledger.harvest.params import Parameters, Points
from cjledger.harvest.records import Batch, fresh, further, read_batch
from cjledger.harvest.tables import Table, read_tables
from cjledger.model import Manifest
from cjledger.shards import parquet
from cjledger.shards.frames import pl, spans, tasks_of

BATCH_BYTES = 64 * 1024 * 1024


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
    writing = _Writing(harvest)
    batches = ahead(_batches(fresh(frames, before.positions), batch_bytes))
    parameters = Parameters(manifest.sweep, points)
    # Waiting for bytes, parsing and compressing hold no lock: what is read is written while more is read.
    for read in ahead(_read(batches, manifest.tasks, package_id, parameters, rules, broken)):
        if isinstance(read, _Records):
            positions = further(positions, read.batch.positions)
            writing.records(read.frames, read.batch, package_id)
        else:
            for table in read:
                writing.table(table)
    if positions == before.positions:
        return before, []
    shards = writing.end()
    results = replace(
        before,
        harvest=harvest,
        positions=positions,
        tables=rules,
        shards=(*before.shards, *(shard for shard, _ in shards)),
        broken=tuple(sorted(set(broken))),
    )
    return results, shards


class _Records(NamedTuple):
    """Some frames and their records."""

    frames: list[Frame]
    batch: Batch


def _read(
    batches: Generator[list[Frame]],
    tasks: int,
    package_id: str,
    parameters: Parameters,
    rules: dict[str, Any],
    broken: list[Broken],
) -> Iterator[_Records | list[Table]]:
    """Each batch's records, then the tables among their outputs; ``rules`` and ``broken`` learn of both."""
    seen: list[pl.Series] = []
    with closing(batches):
        for frames in batches:
            batch = read_batch(frames, tasks, seen)
            broken.extend(batch.broken)
            yield _Records(frames, batch)
            yield read_tables(package_id, parameters, batch.outputs, rules, broken)


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


class _Writing:
    """The shards of a harvest: one a table, and another where its columns change."""

    def __init__(self, harvest: int) -> None:
        self._harvest = harvest
        self._files: list[parquet.Writer] = []
        self._tasks: dict[parquet.Writer, list[pl.Series]] = {}

    def records(self, frames: list[Frame], read: Batch, package_id: str) -> None:
        """Write the records of a batch, with their outputs' contents."""
        if not read.records.num_rows:
            return
        blocks = [frame.block for frame in frames]
        table = parquet.records_table(read.records, package_id, blocks, read.numbers, read.outputs.kept())
        self._add(RECORDS, table, {})

    def table(self, table: Table) -> None:
        """Write a table's rows of a batch."""
        self._add(table.name, table.rows.to_arrow(), table.notes)

    def _add(self, name: str, rows: Any, notes: Mapping[str, str]) -> None:
        named = {"table": name, **notes}
        file = next((file for file in self._files if file.takes(rows, named)), None)
        if file is None:
            file = parquet.Writer(rows.schema, named)
            self._files.append(file)
        file.write(rows)
        self._tasks.setdefault(file, []).append(tasks_of(rows))

    def end(self) -> list[tuple[Shard, bytes]]:
        """The shards with their bytes."""
        return [self._shard(file, self._tasks[file]) for file in self._files]

    def _shard(self, file: parquet.Writer, tasks: list[pl.Series]) -> tuple[Shard, bytes]:
        data = file.end()
        name = f"{sha256(data).hexdigest()}.parquet"
        text = ",".join(f"{low}-{high}" if high > low else f"{low}" for low, high in spans(pl.concat(tasks)))
        return Shard(name, file.notes["table"], self._harvest, file.rows, len(data), text), data
