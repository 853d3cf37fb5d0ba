"""Harvest: frames to records and tables, each broken thing costing its own rows only."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cjledger.errors import CjError
from cjledger.harvest.manifest import (
    INLINE_BYTES,
    RECORDS,
    Broken,
    Frame,
    Results,
    Shard,
    from_bytes,
    to_bytes,
)
from cjledger.harvest.tables import large_tables
from cjledger.model import Axis, Block, Sweep
from cjledger.query import records
from cjledger.shards.frames import pl
from tests.blocks import PACKAGE, frame, harvest, manifest, on_disk, record, rows, tasks_frame


def test_a_harvest_has_a_row_an_attempt_and_the_rows_of_the_tables(tmp_path: Path) -> None:
    results, shards = harvest(
        frame((record(1), {"r.csv": b"pr\n0.5\n"}), (record(2, state="FAILED"), {"r.csv": b"pr\n9\n"}))
    )
    attempts = records(on_disk(tmp_path, shards, RECORDS)).collect()
    assert attempts.select("cj_task", "state", "seed").rows() == [(1, "COMPLETED", 7), (2, "FAILED", 7)]
    assert rows(tmp_path, shards, "r.csv").rows(named=True) == [
        {"cj_task": 1, "cj_attempt": 1, "delta": 0.1, "pr": 0.5}
    ]
    assert [(s.table, s.harvest, s.rows, s.tasks) for s in results.shards] == [
        (RECORDS, 1, 2, "1-2"),
        ("r.csv", 1, 1, "1"),
    ]
    assert results.tables["r.csv"]["header"] is True


def test_the_contents_of_outputs_are_in_the_records(tmp_path: Path) -> None:
    _, shards = harvest(frame((record(1), {"a.bin": b"\x00\xff", "cj:out": b"hello"}), (record(2), {})))
    found = pl.read_parquet(on_disk(tmp_path, shards, RECORDS)[0])["outputs"].to_list()
    assert [(o["path"], o["bytes"], o["content"]) for o in found[0]] == [
        ("a.bin", 2, b"\x00\xff"),
        ("cj:out", 5, b"hello"),
    ]
    assert found[1] == []


def test_the_same_frames_again_change_nothing() -> None:
    news = tasks_frame("r.csv", [b"1\n", b"2\n"])
    results, shards = harvest(news)
    assert harvest(news, before=results) == (results, [])
    assert harvest(before=results) == (results, [])
    assert len(shards) == 2


def test_the_same_frames_give_the_same_bytes() -> None:
    news = tasks_frame("r.csv", [b"1,a\n", b"2,b\n", b'3,"c\nd"\n'])
    assert harvest(news) == harvest(news)


def test_a_frame_that_reaches_back_is_read_from_where_the_last_one_ended(tmp_path: Path) -> None:
    first = frame((record(1), {"r.csv": b"1\n"}))
    both = frame((record(1), {"r.csv": b"1\n"}), (record(2), {"r.csv": b"2\n"}))
    results, shards = harvest(first)
    after, more = harvest(both, before=results)
    assert rows(tmp_path, [*shards, *more], "r.csv")["column_1"].to_list() == [1, 2]
    assert after.positions == {"1/000001-01": (len(both.records), 4)}


def test_a_frame_after_a_gap_is_refused() -> None:
    with pytest.raises(CjError, match="from byte 10, 0 are read"):
        harvest(frame((record(1), {}), at=10))


def test_a_torn_last_line_waits_for_the_next_harvest() -> None:
    whole = frame((record(1), {}), (record(2), {}))
    torn = replace(whole, records=whole.records[:-5])
    results, shards = harvest(torn)
    assert [shard.rows for shard, _ in shards] == [1]
    results, shards = harvest(whole, before=results)
    assert [(shard.rows, shard.tasks) for shard, _ in shards] == [(1, "2")]
    assert results.positions["1/000001-01"][0] == len(whole.records)


@pytest.mark.parametrize("at", range(0, 20, 3))
def test_f17_flipped_data_costs_that_tasks_output_only(tmp_path: Path, at: int) -> None:
    contents = [b"1,1\n", b"2,2\n", b"3,3\n", b"4,4\n", b"5,5\n"]
    whole = tasks_frame("r.csv", contents)
    data = bytearray(whole.data[0][1])
    data[at] ^= 1
    results, shards = harvest(replace(whole, data=((0, bytes(data)),)))
    hurt = at // 4 + 1
    assert results.broken == (Broken(hurt, 1, "r.csv", "its bytes do not have the SHA-256 of the record"),)
    assert rows(tmp_path, shards, "r.csv")["cj_task"].to_list() == [t for t in range(1, 6) if t != hurt]
    assert pl.read_parquet(on_disk(tmp_path, shards, RECORDS)[0]).height == 5


def test_f17_truncated_data_costs_the_outputs_that_are_cut(tmp_path: Path) -> None:
    whole = tasks_frame("r.csv", [b"1\n", b"2\n", b"3\n"])
    results, shards = harvest(replace(whole, data=((0, whole.data[0][1][:3]),)))
    assert [(b.task, b.why) for b in results.broken] == [
        (2, "its bytes did not come"),
        (3, "its bytes did not come"),
    ]
    assert rows(tmp_path, shards, "r.csv")["column_1"].to_list() == [1]


@pytest.mark.parametrize(
    "line",
    [
        b"garbage\n",
        b"\n",
        b"[1]\n",
        b'{"task":1}{"task":2}\n',
        b'{"task":"x","attempt":1,"state":"COMPLETED"}\n',
        b'{"task":1,"error":"\xff"}\n',
        b'{"task":99999999999999999999,"attempt":1,"state":"COMPLETED"}\n',
        b'{"task":77,"attempt":1,"state":"COMPLETED"}\n',
        b'{"task":1,"attempt":0,"state":"COMPLETED"}\n',
        b'{"task":1,"attempt":1,"state":"DANCING"}\n',
        b'{"task":1,"attempt":1,"state":"COMPLETED","outputs":[{"path":"a","offset":-1,"bytes":1,"sha256":"x"}]}\n',
        b'{"task":1,"attempt":1,"state":"COMPLETED","outputs":[{"path":"a"}]}\n',
        b'{"task":1,"attempt":1,"state":"COMPLETED","outputs":[null]}\n',
        b'{"task":1,"attempt":1,"state":"COMPLETED","outputs":7}\n',
        b'{"a":' * 2000 + b"1" + b"}" * 2000 + b"\n",
    ],
)
def test_a_record_that_cannot_be_read_is_named_and_the_others_count(tmp_path: Path, line: bytes) -> None:
    good = frame((record(2), {"r.csv": b"2\n"}), (record(3), {"r.csv": b"3\n"}))
    results, shards = harvest(Frame(good.block, line + good.records, 0, good.data))
    assert [b.file for b in results.broken] == [RECORDS]
    assert rows(tmp_path, shards, "r.csv")["cj_task"].to_list() == [2, 3]


def test_an_attempt_recorded_twice_counts_once(tmp_path: Path) -> None:
    one = frame((record(1), {"r.csv": b"1\n"}), block="1/000001-01")
    two = frame((record(1), {"r.csv": b"2\n"}), (record(2), {"r.csv": b"3\n"}), block="1/000001-02")
    _, shards = harvest(one, two)
    assert rows(tmp_path, shards, "r.csv")["column_1"].to_list() == [1, 3]
    results, first = harvest(one)
    _, second = harvest(two, before=results)
    assert rows(tmp_path, [*first, *second], "r.csv")["column_1"].to_list() == [1, 3]


def test_a_later_attempts_rows_supersede_the_earlier(tmp_path: Path) -> None:
    results, first = harvest(frame((record(1), {"r.csv": b"1\n1\n"}), (record(2), {"r.csv": b"2\n"})))
    again = frame((record(1, 2), {"r.csv": b"10\n"}), (record(2, 2, "FAILED"), {}), block="2/000001-01")
    _, second = harvest(again, before=results)
    found = rows(tmp_path, [*first, *second], "r.csv")
    assert found.select("cj_task", "cj_attempt", "column_1").rows() == [(1, 2, 10), (2, 1, 2)]


def test_a_later_attempt_without_rows_leaves_none(tmp_path: Path) -> None:
    results, first = harvest(frame((record(1), {"r.csv": b"1\n"}), (record(2), {"r.csv": b"2\n"})))
    _, second = harvest(frame((record(1, 2), {}), block="2/000001-01"), before=results)
    assert rows(tmp_path, [*first, *second], "r.csv")["cj_task"].to_list() == [2]


def test_small_batches_give_the_same_table(tmp_path: Path) -> None:
    frames = [
        frame((record(task), {"r.csv": b"%d\n" % task}), block=f"1/00000{task}-01") for task in range(1, 10)
    ]
    results, whole = harvest(*frames)
    in_pieces, pieces = harvest(*frames, batch_bytes=1)
    assert [(shard.table, shard.rows, shard.tasks) for shard in in_pieces.shards] == [
        (shard.table, shard.rows, shard.tasks) for shard in results.shards
    ]
    assert rows(tmp_path, whole, "r.csv").equals(rows(tmp_path, pieces, "r.csv"))


def test_a_batch_with_other_columns_has_a_shard_of_its_own(tmp_path: Path) -> None:
    contents = (b'{"a": 1}\n', b'{"a": 2}\n', b'{"a": 3, "b": "x"}\n', b'{"a": 4}\n')
    frames = [
        frame((record(task), {"r.jsonl": content}), block=f"1/00000{task}-01")
        for task, content in enumerate(contents, 1)
    ]
    results, shards = harvest(*frames, batch_bytes=1)
    assert [(shard.table, shard.tasks) for shard in results.shards] == [
        (RECORDS, "1-4"),
        ("r.jsonl", "1-2,4"),
        ("r.jsonl", "3"),
    ]
    found = rows(tmp_path, shards, "r.jsonl").sort("cj_task")
    assert found.select("a", "b").rows() == [(1, None), (2, None), (3, "x"), (4, None)]


@pytest.mark.parametrize("size", [1, 1500, 4000])
def test_records_parsed_in_parts_give_the_same(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    whole = [
        frame((record(task), {"r.csv": b"%d\n" % task, "b": b"x" * task}), block=f"1/00000{task}-01")
        for task in range(1, 9)
    ]
    whole[2] = Frame(whole[2].block, b"garbage\n" + whole[2].records, 0, whole[2].data)
    whole[4] = Frame(whole[4].block, whole[4].records, 0, ((0, b"5\n"), (2, b"?????")))
    again = frame((record(2), {"r.csv": b"9\n"}), (record(9), {}), block="1/000002-02")
    results, shards = harvest(*whole, again)
    monkeypatch.setattr("cjledger.harvest.records.PART_BYTES", size)
    in_parts, others = harvest(*whole, again)
    assert [broken.file for broken in results.broken] == [RECORDS, "b"]
    assert (in_parts.positions, in_parts.broken, in_parts.tables) == (
        results.positions,
        results.broken,
        results.tables,
    )
    for (_, data), (_, other) in zip(shards, others, strict=True):
        assert pl.read_parquet(data).equals(pl.read_parquet(other))


def test_an_output_that_was_too_large_to_send_is_named_unless_it_was_fetched(tmp_path: Path) -> None:
    content = b"1\n" * (INLINE_BYTES // 2 + 1)
    whole = frame((record(1), {"r.csv": content, "other.bin": content}), (record(2), {"r.csv": b"2\n"}))
    tail = whole.data[0][1][2 * len(content) :]
    sent = replace(whole, data=((2 * len(content), tail),))
    results, _ = harvest(sent)
    assert [(b.task, b.file) for b in results.broken] == [(1, "r.csv")]
    assert results.positions == {whole.block: (len(whole.records), 2 * len(content) + 2)}
    assert large_tables(sent) == [(0, len(content))]
    fetched = replace(sent, data=((0, content), *sent.data))
    results, shards = harvest(fetched)
    assert results.broken == ()
    assert rows(tmp_path, shards, "r.csv").height == len(content) // 2 + 1
    outputs = pl.read_parquet(on_disk(tmp_path, shards, RECORDS)[0])["outputs"].to_list()
    assert outputs[0][0]["content"] is None


def test_parameters_of_a_grid_with_holes_blocks_and_replicates_are_joined(tmp_path: Path) -> None:
    one = Block((Axis(("a",), ((1,), (2,), (3,))), Axis(("b", "c"), (("x", True), ("y", False)))))
    two = Block((Axis(("a",), ((0.5,),)), Axis(("b", "c"), (("z", None),))))
    sweep = Sweep("grid", (one, two), (1, 4), ("a", "b", "c"), 0, 2, None)
    package = manifest(sweep, 10)
    _, shards = harvest(tasks_frame("r.csv", [b"%d\n" % i for i in range(10)]), given=package)
    found = rows(tmp_path, shards, "r.csv")
    assert found.columns == ["cj_task", "cj_attempt", "a", "b", "c", "cj_repeat", "column_1"]
    assert found.select("a", "b", "c", "cj_repeat").rows()[::2] == [
        (1.0, "x", True, 1),
        (2.0, "x", True, 1),
        (2.0, "y", False, 1),
        (3.0, "y", False, 1),
        (0.5, "z", None, 1),
    ]


def test_a_column_that_repeats_a_parameter_is_dropped_and_one_that_does_not_is_kept(tmp_path: Path) -> None:
    same = tasks_frame("r.csv", [b"delta,pr\n0.1,5\n", b"delta,pr\n0.2,6\n"])
    _, shards = harvest(same)
    assert rows(tmp_path, shards, "r.csv").columns == ["cj_task", "cj_attempt", "delta", "pr"]
    other = tasks_frame("r.csv", [b"delta,pr\n0.1,5\n", b"delta,pr\n0.3,6\n"])
    _, shards = harvest(other)
    found = rows(tmp_path, shards, "r.csv")
    assert found.select("delta", "delta_output").rows() == [(0.1, 0.1), (0.2, 0.3)]


def test_a_column_dropped_in_one_harvest_is_there_when_another_keeps_it(tmp_path: Path) -> None:
    results, first = harvest(frame((record(1), {"r.csv": b"delta,pr\n0.1,5\n"})))
    _, second = harvest(
        frame((record(2), {"r.csv": b"delta,pr\n0.3,6\n"}), block="1/000002-01"), before=results
    )
    found = rows(tmp_path, [*first, *second], "r.csv")
    assert found.select("delta", "delta_output").rows() == [(0.1, 0.1), (0.2, 0.3)]


def test_names_that_hold_a_number_do_not_become_a_table_each() -> None:
    results, shards = harvest(
        frame(*((record(task), {f"out_{task}.csv": b"1\n"}) for task in range(1, 301))),
        given=manifest(tasks=300),
    )
    assert len(shards) == 201
    assert [b.why for b in results.broken] == [
        "one of 300 different names: only 200 become tables, the others stay files"
    ]


def test_the_manifest_reads_back_as_it_was_written() -> None:
    shard = Shard("0" * 64 + ".parquet", "r.csv", 1, 2, 3, "1-2")
    broken = (Broken(1, 1, "a", "é"), Broken(1, 1, "b", 'with "quotes"\n'))
    results = Results(PACKAGE, 3, {"1/000001-01": (5, 6)}, {"r.csv": {"kind": "json"}}, (shard,), broken)
    data = to_bytes(results)
    assert from_bytes(data, PACKAGE) == results
    assert to_bytes(from_bytes(data, PACKAGE)) == data
    assert list(json.loads(data)) == [
        "format",
        "package",
        "harvest",
        "positions",
        "tables",
        "shards",
        "broken",
    ]


@pytest.mark.parametrize(
    "data",
    [b"", b"{}", b"[]", to_bytes(Results("0" * 40)), to_bytes(Results(PACKAGE)).replace(b'":1,', b'":2,', 1)],
)
def test_a_manifest_that_is_damaged_foreign_or_newer_is_refused(data: bytes) -> None:
    with pytest.raises(CjError):
        from_bytes(data, PACKAGE)


def test_a_manifest_whose_shard_names_a_path_is_refused() -> None:
    shard = Shard("../" * 3 + "x.parquet", "r.csv", 1, 2, 3, "1")
    with pytest.raises(CjError, match="not the name of a shard"):
        from_bytes(to_bytes(Results(PACKAGE, shards=(shard,))), PACKAGE)


def test_the_manifest_and_the_store_import_nothing_heavy() -> None:
    code = "import sys, cjledger.harvest.store; print({'polars', 'pyarrow', 'numpy'} & set(sys.modules))"
    assert subprocess.check_output((sys.executable, "-c", code), text=True) == "set()\n"


NUMBERS = st.one_of(
    st.integers(-9, 9), st.integers(-(2**64), 2**65), st.floats(), st.integers(-9, 9).map(float)
)
CELLS = st.one_of(
    NUMBERS.map(repr),
    st.sampled_from(["007", "012", "x13", "1.10", "2.0", "rc1", "+5", "-0", "1E5", ".5", "true", "1e400"]),
    st.sampled_from(["nan", "NaN", "inf", "NA", "", " ", " 7", "7 ", " NA", "1_0", "1" * 400]),
    st.sampled_from(["9007199254740993", "-9223372036854775808"]),
)
VALUES = st.one_of(
    NUMBERS, st.none(), st.booleans(), st.sampled_from(["x", "1", "NaN", "Infinity", [1, 2.5], {"a": 1}])
)
ALIKE = st.sampled_from(["{}", "{:.2f}", "0{}", "{}x", " {}"])


def tables(names: list[str], values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    table = st.lists(st.tuples(values, ALIKE), max_size=3)
    return st.tuples(st.sampled_from(names), st.lists(table, min_size=1, max_size=9))


FILES = st.one_of(tables(["r.csv", "r.tsv"], CELLS), tables(["cj:rows", "r.jsonl", "r.json"], VALUES))


@given(FILES, st.lists(st.integers(1, 8), max_size=3))
@settings(max_examples=150, deadline=None)
def test_harvesting_piecewise_equals_harvesting_once(
    left: tuple[str, list[list[tuple[Any, str]]]], cuts: list[int]
) -> None:
    name, contents = left

    def content(task: int, table: list[tuple[Any, str]]) -> bytes:
        delta, mark = task / 10, "\t" if name == "r.tsv" else ","
        if name in ("r.csv", "r.tsv"):
            lines = [f"{cell}{mark}{form.format(delta)}\n" for cell, form in table]
            return "".join([f"v{mark}delta\n", *lines]).encode()
        own = [{"v": v, "delta": delta if form == "{}" else form} for v, form in table]
        return json.dumps(own).encode() if name == "r.json" else b"".join(map(json_line, own))

    attempts = [(record(task), {name: content(task, table)}) for task, table in enumerate(contents, 1)]
    once, piecewise = both_ways(attempts, cuts, name)
    assert piecewise.schema == once.schema
    assert repr(piecewise.rows()) == repr(once.rows())


def json_line(row: dict[str, Any]) -> bytes:
    return json.dumps(row).encode() + b"\n"


def both_ways(
    attempts: list[tuple[dict[str, Any], dict[str, bytes]]], cuts: list[int], name: str
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The table of one harvest, and that of a harvest after each of ``cuts``."""
    with tempfile.TemporaryDirectory() as folder:
        once = rows(Path(folder), harvest(frame(*attempts))[1], name)
        results, shards, at = Results(PACKAGE), [], 0
        for cut in [*sorted(cuts), len(attempts)]:
            news = frame(*attempts[at:cut], block=f"1/{at + 1:06d}-01")
            results, more = harvest(news, before=results)
            shards += more
            at = max(at, cut)
        return once, rows(Path(folder), shards, name)
