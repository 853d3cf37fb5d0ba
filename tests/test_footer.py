"""Shards that are not what their manifest says: left out and named, before their rows are read."""

from __future__ import annotations

import hashlib
import io
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cjledger import gitrepo
from cjledger.gitrepo import RefMove, Repo, discover
from cjledger.harvest import store
from cjledger.harvest.check import verify
from cjledger.harvest.manifest import RECORDS, Results, Shard
from cjledger.shards import footer
from tests.blocks import PACKAGE, frame, harvest, record

Change = Callable[[Any], Any]


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    subprocess.run(("git", "init", "-q"), cwd=tmp_path, check=True)
    return discover(tmp_path)


def parquet(table: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


def forged(repo: Repo, table: str, content: Callable[[bytes], bytes]) -> tuple[str, Results, Shard]:
    """A harvest of tasks 1 to 3 in which a table's shard was exchanged by its giver."""
    results, shards = harvest(frame(*((record(task), {"r.csv": b"v\n%d\n" % task}) for task in (1, 2, 3))))
    found: list[tuple[Shard, bytes]] = []
    for shard, data in shards:
        new = content(data) if shard.table == table else data
        named = replace(shard, name=f"{hashlib.sha256(new).hexdigest()}.parquet", bytes=len(new))
        found.append((named, new))
    told = replace(results, shards=tuple(shard for shard, _ in found))
    commit = store.commit(repo, PACKAGE, None, told, found)
    gitrepo.move_refs(repo, [RefMove(store.results_ref(PACKAGE), commit, repo.zero)], "sync")
    return commit, told, next(shard for shard in told.shards if shard.table == table)


def changed(change: Change) -> Callable[[bytes], bytes]:
    return lambda data: parquet(change(pq.read_table(pa.BufferReader(data))))


def column(name: str, values: list[Any], kind: Any = None) -> Change:
    def change(table: Any) -> Any:
        return table.set_column(table.column_names.index(name), name, pa.array(values, kind))

    return change


def noted(value: str) -> Change:
    return lambda table: table.replace_schema_metadata({"cj_dropped": value})


@pytest.mark.parametrize(
    ("table", "content", "why"),
    [
        ("r.csv", lambda data: b"", "no Parquet file that can be read"),
        ("r.csv", lambda data: b"not parquet", "no Parquet file that can be read"),
        ("r.csv", lambda data: data[:-20], "no Parquet file that can be read"),
        ("r.csv", changed(lambda table: table.slice(0, 2)), "2 rows, not 3"),
        ("r.csv", changed(lambda table: table.drop(["cj_task"])), "no column cj_task"),
        ("r.csv", changed(column("cj_task", ["1", "2", "3"])), "its column cj_task is string"),
        ("r.csv", changed(column("cj_task", [1, 2, -1])), "rows of other tasks"),
        ("r.csv", changed(column("cj_task", [1, 2, 10**15])), "rows of other tasks"),
        ("r.csv", changed(column("cj_task", [1, None, 3], pa.int64())), "rows without task or attempt"),
        ("r.csv", changed(column("cj_attempt", [1, 0, 1])), "an attempt below 1"),
        ("r.csv", changed(column("v", [b"\xff"] * 3)), "its column v is binary"),
        ("r.csv", changed(column("v", [{"a": 1}] * 3)), "its column v is struct<a: int64>"),
        ("r.csv", changed(noted("[1]")), "its cj_dropped names no columns"),
        ("r.csv", changed(noted('["w"]')), "its cj_dropped names no columns"),
        ("r.csv", changed(noted("[")), "no Parquet file that can be read"),
        (RECORDS, changed(lambda table: table.drop(["outputs"])), "no column outputs"),
        (
            RECORDS,
            changed(lambda table: table.select(["cj_package", "cj_task", "cj_attempt"])),
            "no column state",
        ),
        (RECORDS, changed(column("state", [1, 2, 3])), "its column state is int64"),
        (RECORDS, changed(column("error", [1, 2, 3])), "its column error is int64"),
        (RECORDS, changed(column("outputs", ["a", "b", "c"])), "its column outputs is string"),
        (RECORDS, changed(column("outputs", [[{"path": "a"}]] * 3)), "its column outputs is list"),
    ],
)
def test_a_shard_that_is_no_such_table_is_left_out_and_named(
    repo: Repo, table: str, content: Callable[[bytes], bytes], why: str
) -> None:
    commit, results, shard = forged(repo, table, content)
    for _ in range(2):
        paths, problems = store.readable(repo, PACKAGE, commit, results.shards)
        assert set(paths) == set(results.shards) - {shard}
        (words,) = problems
        assert words.startswith(
            f"shard {shard.name[:12]} of package {PACKAGE[:12]} (table {table}, tasks 1-3"
        )
        assert why in words
        (named,) = verify(repo, PACKAGE, results)
        assert why in named
        store.shard_path(repo, shard).unlink()  # as after a sync: it is in git alone


def test_records_from_before_environments_are_read(repo: Repo) -> None:
    commit, results, _ = forged(repo, RECORDS, changed(lambda table: table.drop(["environment"])))
    assert store.readable(repo, PACKAGE, commit, results.shards)[1] == []


def test_a_small_file_of_very_many_rows_is_not_read(tmp_path: Path) -> None:
    rows = 5_000_000
    schema = pa.schema([("cj_package", pa.string()), ("cj_task", pa.int64()), ("cj_attempt", pa.int64())])
    zeros = pa.array([0], pa.int8()).take(pa.array([0] * 1000, pa.int32()))
    one = pa.array([1] * 1000, pa.int64())
    package = pa.DictionaryArray.from_arrays(zeros, [PACKAGE]).cast(pa.string())
    part = pa.concat_tables([pa.table([package, one, one], schema=schema)] * (rows // 1000))
    path = tmp_path / "x.parquet"
    pq.write_table(part, path, compression="zstd")
    before = pa.total_allocated_bytes()
    assert footer.fault(path, False, 3, [(1, 3)]) == f"{rows} rows, not 3"
    assert pa.total_allocated_bytes() - before < 1 << 20
