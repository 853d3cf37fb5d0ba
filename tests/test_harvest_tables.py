"""Tabular outputs: delimited text, JSON and Parquet become rows by rules decided once."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cjledger.harvest.delimited import parse
from cjledger.harvest.rule import Rule, decide
from cjledger.model import Axis, Block, Sweep
from cjledger.shards.frames import pl
from tests.blocks import frame, harvest, manifest, record, rows, tasks_frame


def own(frame: pl.DataFrame) -> list[tuple[Any, ...]]:
    return frame.drop("cj_task", "cj_attempt", "delta").rows()


@pytest.mark.parametrize(
    ("name", "files", "delimiter", "header", "columns"),
    [
        ("r.csv", [b"a,b\n1,2\n", b"a,b\n3,4\n"], ",", True, ("a", "b")),
        ("r.csv", [b"1,2\n", b"3,4\n"], ",", False, ("column_1", "column_2")),
        ("r.csv", [b"ok\n", b"ok\n"], ",", False, ("column_1",)),
        ("r.txt", [b"all is well\n"], " ", False, ("column_1", "column_2", "column_3")),
        ("r.csv", [b"a,b\n"], ",", True, ("a", "b")),
        ("r.csv", [b'"a","b"\n1,2\n', b'"a","b"\n3,4\n'], ",", True, ("a", "b")),
        ("r.csv", [b"a;b\n1;2\n"], ";", True, ("a", "b")),
        ("r.csv", [b"a,b\n1,2\n", b"a,c\n3,4\n"], ",", True, ("a", "b")),
        ("r.csv", [b"a,b\n", b"c,d\n"], ",", False, ("column_1", "column_2")),
        ("r.tsv", [b"a b\tc\n1\t2\n"], "\t", True, ("a b", "c")),
        ("r.txt", [b"1 2  3\n", b"  4 5 6\n"], " ", False, ("column_1", "column_2", "column_3")),
        ("r.txt", [b"1;2\n", b"4;5\n"], ";", False, ("column_1", "column_2")),
        ("r.txt", [b"1, 2\n", b"4, 5\n"], ",", False, ("column_1", "column_2")),
        ("r.dat", [b"# x y\n1 2\n"], " ", False, ("column_1", "column_2")),
        ("r.dat", [b"x y\n1 2\n"], " ", True, ("x", "y")),
        ("r.csv", [b"x,,x\n1,2,3\n"], ",", True, ("x", "column_2", "x_2")),
        ("r.csv", [b"\xef\xbb\xbfa,b\r\n1,2\r\n"], ",", True, ("a", "b")),
        ("r.csv", [b'"a,1",b\n1,2\n'], ",", True, ("a,1", "b")),
        ("r.csv", [b"t,sus,inf,NaN\n0,1,2,3\n"], ",", True, ("t", "sus", "inf", "NaN")),
        ("r.csv", [b"t,inf\n0,nan\n", b"t,inf\n"], ",", True, ("t", "inf")),
        ("r.csv", [b"t,infinity\n0,1\n", b"u,inf\n0,nan\n"], ",", True, ("t", "infinity")),
        ("r.csv", [b"nan,inf\n1,2\n"], ",", False, ("column_1", "column_2")),
        ("r.txt", [b"nan\n1\n"], " ", False, ("column_1",)),
        ("r.csv", [b"a,1e5,nan\n1,2,3\n"], ",", False, ("column_1", "column_2", "column_3")),
        ("r.csv", [b"x,y,z\n1,2,3\n", b"a,b\nu,v\n", b"a,b\n"], ",", True, ("a", "b")),
        ("r.csv", [b"5,6\n", b"a,b\n1,2\n", b"a,b\n3,4\n"], ",", True, ("a", "b")),
        ("r.csv", [b"no,no\nyes,no\n", b"yes,no\nno,no\n", b"no,no\n"], ",", False, ("column_1", "column_2")),
        ("r.csv", [b"oh, no\n", b"a;b\n1;2\n", b"a;b\n3;4\n"], ";", True, ("a", "b")),
        ("r.txt", [b"1;2\n", b"failed\n", b"4;5\n"], ";", False, ("column_1", "column_2")),
    ],
)
def test_delimiter_and_header_follow_the_stated_rules(
    name: str, files: list[bytes], delimiter: str, header: bool, columns: tuple[str, ...]
) -> None:
    rule = decide(Path(name).suffix, files)
    assert rule is not None
    assert (rule.delimiter, rule.header, rule.columns) == (delimiter, header, columns)


def test_a_decision_holds_for_later_harvests(tmp_path: Path) -> None:
    results, first = harvest(frame((record(1), {"r.csv": b"a,b\n1,2\n"})))
    _, second = harvest(
        frame((record(2), {"r.csv": b"a,b\n"}), (record(3), {"r.csv": b"a,b\n3,4\n"}), block="1/000002-01"),
        before=results,
    )
    assert own(rows(tmp_path, [*first, *second], "r.csv")) == [(1, 2), (3, 4)]


def test_a_type_is_decided_over_all_tasks(tmp_path: Path) -> None:
    _, shards = harvest(
        tasks_frame("r.csv", [b"0,1,x\n", b"0.5,2,3\n", b"1e3,NA,\n", b"nan, 4 ,NA\n", b"-inf,+5,y\n"])
    )
    found = rows(tmp_path, shards, "r.csv")
    assert found.dtypes[-3:] == [pl.Float64, pl.Int64, pl.String]
    assert repr(own(found)) == repr(
        [(0.0, 1, "x"), (0.5, 2, "3"), (1000.0, None, None), (float("nan"), 4, None), (float("-inf"), 5, "y")]
    )


def test_types_of_different_harvests_are_united(tmp_path: Path) -> None:
    results, first = harvest(frame((record(1), {"r.csv": b"a,b,c\n1,1,\n"})))
    _, second = harvest(
        frame((record(2), {"r.csv": b"a,b,c,d\n1.5,x,7,true\n"}), block="1/000002-01"), before=results
    )
    found = rows(tmp_path, [*first, *second], "r.csv")
    assert found.dtypes[-4:] == [pl.Float64, pl.String, pl.Int64, pl.String]
    assert own(found) == [(1.0, "1", None, None), (1.5, "x", 7, "true")]


def test_cells_are_text_as_they_were_written_whenever_the_first_came_home(tmp_path: Path) -> None:
    files = [b"subject,ver\n007,1.10\n", b"subject,ver\n012,2.0\n", b"subject,ver\nx13,rc1\n"]
    results, shards = None, []
    for task, file in enumerate(files, 1):
        news = frame((record(task), {"r.csv": file}), block=f"1/{task:06d}-01")
        results, more = harvest(news, before=results)
        shards += more
        if task == 2:
            assert own(rows(tmp_path, shards, "r.csv")) == [(7, 1.1), (12, 2.0)]
    assert own(rows(tmp_path, shards, "r.csv")) == [("007", "1.10"), ("012", "2.0"), ("x13", "rc1")]


def test_a_column_that_repeats_a_parameter_in_other_words_is_not_there_twice(tmp_path: Path) -> None:
    results, first = harvest(tasks_frame("r.csv", [b"delta,w\n0.10,5\n", b"delta,w\n0.20,6\n"]))
    assert own(rows(tmp_path, first, "r.csv")) == [(5,), (6,)]
    last = frame((record(3), {"r.csv": b"delta,w\nhigh,7\n"}), block="1/000002-01")
    _, second = harvest(last, before=results)
    found = rows(tmp_path, [*first, *second], "r.csv").select("delta", "delta_output")
    assert found.rows() == [(0.1, "0.10"), (0.2, "0.20"), (0.3, "high")]


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (b"1,2\n3\n", "line 2: 1 field, not 2"),
        (b"1,2,3\n", "line 1: 3 fields, not 2"),
        (b"1\n1,2,3\n", "line 1: 1 field, not 2"),
        (b"1,2\n\xff\xfe,1\n", "line 2: not UTF-8 text (byte 4)"),
        (b"1,\x002\n", "line 1: binary data"),
        (b'1,"2\n', "line 1: unexpected end of data"),
        (bytes(range(256)) * 9, "line 2: not UTF-8 text (byte 128)"),
    ],
)
@pytest.mark.parametrize("tasks", [9, 400])
def test_a_broken_table_costs_its_own_rows(tmp_path: Path, bad: bytes, why: str, tasks: int) -> None:
    contents = [b"%d,%d\n" % (task, task) for task in range(1, tasks + 1)]
    contents[4] = bad
    results, shards = harvest(tasks_frame("r.csv", contents), given=manifest(tasks=tasks))
    assert [(b.task, b.attempt, b.file) for b in results.broken] == [(5, 1, "r.csv")]
    assert results.broken[0].why == why
    assert rows(tmp_path, shards, "r.csv")["column_1"].to_list() == [t for t in range(1, tasks + 1) if t != 5]


def test_a_broken_table_alone_is_named_and_decides_nothing(tmp_path: Path) -> None:
    results, _ = harvest(frame((record(1), {"r.csv": b"\xff\xfe\x00\n"})))
    assert [b.task for b in results.broken] == [1]
    assert results.tables == {}


def test_a_task_without_the_header_of_the_others_is_named(tmp_path: Path) -> None:
    results, first = harvest(tasks_frame("r.csv", [b"a,b\n1,2\n", b"a,b\n3,4\n"]))
    after, second = harvest(frame((record(3), {"r.csv": b"5,6\n"}), block="1/000002-01"), before=results)
    assert [b.why for b in after.broken] == ["line 1: a row where the other tasks have the names of columns"]
    assert own(rows(tmp_path, [*first, *second], "r.csv")) == [(1, 2), (3, 4)]


def test_a_column_may_be_named_as_a_number_that_is_not_finite(tmp_path: Path) -> None:
    files = [b"t,inf,nan\n0,1,nan\n", b"t,inf,nan\n1,inf\n", b"t,inf,nan\r\n1,inf,3\r\n"]
    results, shards = harvest(tasks_frame("r.csv", files))
    assert repr(rows(tmp_path, shards, "r.csv").select("t", "inf", "nan").rows()) == (
        "[(0, 1.0, nan), (1, inf, 3.0)]"
    )
    assert [(b.task, b.why) for b in results.broken] == [(2, "line 2: 2 fields, not 3")]


def test_quoted_cells_may_hold_delimiters_quotes_and_line_ends(tmp_path: Path) -> None:
    _, shards = harvest(tasks_frame("r.csv", [b'1,"a,b"\n', b'2,"c""d"\n', b'3,"e\r\nf"\r\n4,g\r\n', b"5,h"]))
    assert own(rows(tmp_path, shards, "r.csv")) == [
        (1, "a,b"),
        (2, 'c"d'),
        (3, "e\r\nf"),
        (4, "g"),
        (5, "h"),
    ]


def test_blank_lines_comments_and_runs_of_blanks_are_no_rows(tmp_path: Path) -> None:
    files = [b"# made by x\n\n 1   2.5\n\n\t3\t4 \n", b"5 6\n# end", b"", b'7 "a  b"\n']
    _, shards = harvest(tasks_frame("r.txt", files))
    assert own(rows(tmp_path, shards, "r.txt")) == [(1, "2.5"), (3, "4"), (5, "6"), (7, "a  b")]


def test_prose_in_a_txt_is_no_table_and_not_broken() -> None:
    words = b"The solver started.\nIt needed 12 steps, which is many.\nDone.\n"
    results, shards = harvest(tasks_frame("log.txt", [words] * 5))
    assert results.broken == ()
    assert results.tables == {"log.txt": {"kind": "none"}}
    assert [shard.table for shard, _ in shards] == ["cj:records"]


def test_json_lines_become_rows_and_nested_values_their_text(tmp_path: Path) -> None:
    lines = [{"a": 1, "b": "2020-01-01"}, {"a": 2.5, "c": [1, {"x": None}]}, {"b": None, "d": True}]
    _, shards = harvest(tasks_frame("r.jsonl", [json.dumps(line).encode() + b"\n" for line in lines]))
    assert own(rows(tmp_path, shards, "r.jsonl")) == [
        (1.0, "2020-01-01", None, None),
        (2.5, None, '[1, {"x": null}]', None),
        (None, None, None, True),
    ]


def test_text_that_looks_like_a_time_stays_text(tmp_path: Path) -> None:
    _, shards = harvest(tasks_frame("r.jsonl", [b'{"t":"2020-01-01"}\n', b'{"t":"2020-01-02T03:04:05Z"}\n']))
    assert own(rows(tmp_path, shards, "r.jsonl")) == [("2020-01-01",), ("2020-01-02T03:04:05Z",)]


def test_function_rows_may_hold_numbers_that_are_not_finite(tmp_path: Path) -> None:
    files = [
        b'{"a": "NaN", "b": "NaN"}\n{"a": 1, "b": "x"}\n',
        b'{"a": "-Infinity"}\n',
        b'{"a": "Infinity"}\n',
    ]
    _, shards = harvest(tasks_frame("cj:rows", files))
    found = rows(tmp_path, shards, "cj:rows")
    assert repr(own(found)) == "[(nan, 'NaN'), (1.0, 'x'), (-inf, None), (inf, None)]"


@pytest.mark.parametrize("name", ["cj:rows", "r.jsonl", "r.json"])
def test_whole_numbers_of_json_are_kept_to_the_last_digit(tmp_path: Path, name: str) -> None:
    files = [
        b'{"u": 18446744073709551615, "m": 9007199254740993, "f": 9007199254740992, "z": 1e300}\n',
        b'{"u": 18446744073709551614, "m": 0.5, "f": 0.5, "z": 1}\n',
    ]
    _, shards = harvest(tasks_frame(name, files))
    found = rows(tmp_path, shards, name)
    assert found.dtypes[-4:] == [pl.UInt64, pl.String, pl.Float64, pl.Float64]
    assert own(found) == [
        (2**64 - 1, "9007199254740993", 2.0**53, 1e300),
        (2**64 - 2, "0.5", 0.5, 1.0),
    ]


def test_parameters_are_kept_to_the_last_digit(tmp_path: Path) -> None:
    seeds = (2**64 - 1, 2**64 - 2, 2**53 + 1)
    mixed = (2**53 + 1, 2**53, 0.5)
    axis = Axis(("seed", "mixed"), tuple(zip(seeds, mixed, strict=True)))
    sweep = Sweep("grid", (Block((axis,)),), (), ("seed", "mixed"), 0, 1, None)
    files = [b'{"seed": %d}\n' % seed for seed in (seeds[0], seeds[0], seeds[2])]
    _, shards = harvest(tasks_frame("cj:rows", files), given=manifest(sweep, 3))
    found = rows(tmp_path, shards, "cj:rows").select("seed", "mixed", "seed_output")
    assert found.rows() == list(zip(seeds, map(str, mixed), (seeds[0], seeds[0], seeds[2]), strict=True))


def test_mixed_json_types_become_text(tmp_path: Path) -> None:
    _, shards = harvest(
        tasks_frame("r.jsonl", [b'{"a":1}\n', b'{"a":"x"}\n', b'{"a":true}\n', b'{"a":2.5}\n'])
    )
    assert own(rows(tmp_path, shards, "r.jsonl")) == [("1",), ("x",), ("true",), ("2.5",)]


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (b'{"a":1}\n{"a":\n', "line 2: Expecting value"),
        (b'{"a":1}{"a":2}\n', "line 1: Extra data"),
        (b'{"a":"\xff"}\n', "line 1: not UTF-8 text"),
        (b"[" * 100_000 + b"\n", "nested too deeply"),
    ],
)
def test_broken_json_costs_its_own_rows_and_is_named(tmp_path: Path, bad: bytes, why: str) -> None:
    results, shards = harvest(tasks_frame("r.jsonl", [b'{"a":1}\n', bad, b'{"a":3}\n']))
    assert [(b.task, b.why) for b in results.broken] == [(2, why)]
    assert own(rows(tmp_path, shards, "r.jsonl")) == [(1,), (3,)]


def test_a_json_file_is_a_row_or_a_list_of_rows(tmp_path: Path) -> None:
    files = [b'{"a":1,\n "b":2}\n', b'[{"a":3},{"a":4}]', b"5", b"[]", b'{"a":']
    results, shards = harvest(tasks_frame("r.json", files))
    assert own(rows(tmp_path, shards, "r.json")) == [
        (1, 2, None),
        (3, None, None),
        (4, None, None),
        (None, None, 5),
    ]
    assert [(b.task, b.why) for b in results.broken] == [(5, "line 1: Expecting value")]


def parquet_file(**columns: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


def test_parquet_outputs_become_rows(tmp_path: Path) -> None:
    files = [parquet_file(a=[1, 2], b=[[1], [2, 3]]), b"PAR1 not", parquet_file(a=[0.5])]
    results, shards = harvest(tasks_frame("r.parquet", files))
    assert own(rows(tmp_path, shards, "r.parquet")) == [(1.0, "[1]"), (2.0, "[2, 3]"), (0.5, None)]
    assert [b.task for b in results.broken] == [2]


@pytest.mark.parametrize(
    ("column", "kept", "kind"),
    [
        (pa.array([0.1], pa.float32()), 0.10000000149011612, pl.Float64),
        (pa.array([255], pa.uint8()), 255, pl.Int64),
        (pa.array([2**64 - 1], pa.uint64()), 2**64 - 1, pl.UInt64),
        (pa.array([Decimal("1.10")], pa.decimal128(38, 2)), 1.1, pl.Float64),
        (pa.array([Decimal("1.10")], pa.decimal256(60, 2)), 1.1, pl.Float64),
        (pa.array([Decimal(10**18) + Decimal("0.10")], pa.decimal128(38, 2)), f"{10**18}.10", pl.String),
        (pa.array([Decimal(10) ** 45], pa.decimal256(60, 2)), f"{10**45}.00", pl.String),
        (pa.array([b"\xff\0"]), "ff00", pl.String),
        (pa.array([{"a": b"\xff"}]), '{"a": "ff"}', pl.String),
        (pa.array(["a"]).dictionary_encode(), "a", pl.String),
        (
            pa.array([0], pa.timestamp("us", "+05:30")),
            datetime(1970, 1, 1, tzinfo=UTC),
            pl.Datetime("us", "UTC"),
        ),
    ],
)
def test_values_of_a_parquet_output_are_what_they_were(
    tmp_path: Path, column: Any, kept: Any, kind: Any
) -> None:
    results, shards = harvest(tasks_frame("r.parquet", [parquet_file(a=column)]))
    found = rows(tmp_path, shards, "r.parquet")["a"]
    assert results.broken == ()
    assert (found.to_list(), found.dtype) == ([kept], kind)


@pytest.mark.parametrize(
    ("column", "why"),
    [
        (pa.array([[Decimal("1.1")]], pa.list_(pa.decimal256(60, 1))), "Int256"),
        (pa.array([10**8], pa.date32()), "column a has a time outside of the years 1 to 9999"),
        (pa.array([2**62], pa.timestamp("us")), "column a has a time outside of the years 1 to 9999"),
        (pa.array([0], pa.timestamp("us", "Nowhere/Land")), "unable to parse time zone"),
    ],
)
def test_a_parquet_output_that_polars_cannot_take_costs_its_own_rows(
    tmp_path: Path, column: Any, why: str
) -> None:
    files = [parquet_file(a=[1]), parquet_file(a=column), parquet_file(a=[3])]
    results, shards = harvest(tasks_frame("r.parquet", files))
    assert own(rows(tmp_path, shards, "r.parquet")) == [(1,), (3,)]
    assert [b.task for b in results.broken] == [2]
    assert why in results.broken[0].why


def test_a_parquet_output_with_an_extension_type_is_refused() -> None:
    class Odd(pa.ExtensionType):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(pa.int64(), "test.odd")

        def __arrow_ext_serialize__(self) -> bytes:
            return b""

        @classmethod
        def __arrow_ext_deserialize__(cls, storage: Any, serialized: Any) -> Odd:
            return cls()

    pa.register_extension_type(Odd())
    try:
        sink = io.BytesIO()
        pq.write_table(pa.table({"a": pa.ExtensionArray.from_storage(Odd(), pa.array([1]))}), sink)
        results, _ = harvest(tasks_frame("r.parquet", [sink.getvalue()]))
    finally:
        pa.unregister_extension_type("test.odd")
    assert "extension type" in results.broken[0].why


CELLS = st.text(st.characters(exclude_categories=["Cs", "Cc"], include_characters='",;\t\n '), max_size=5)


@given(st.lists(st.lists(st.tuples(CELLS, CELLS), max_size=3), min_size=1, max_size=5))
@settings(max_examples=150, deadline=None)
def test_text_cells_come_through_as_they_were_written(tables: list[list[tuple[str, str]]]) -> None:
    quote = {ord('"'): '""'}
    files = [
        "".join(f'"{a.translate(quote)}","{b.translate(quote)}"\n' for a, b in table).encode()
        for table in tables
    ]
    parsed = parse(files, Rule(",", False, ("a", "b")))
    assert parsed.bad == []
    assert parsed.counts == [len(table) for table in tables]
    whole = [row for table in tables for row in table]
    missing = ("", "NA", "N/A", "null", "NULL", "None")
    for place, name in enumerate(("a", "b")):
        if whole and parsed.rows[name].dtype == pl.String:
            assert parsed.rows[name].to_list() == [
                None if row[place] in missing else row[place] for row in whole
            ]


@given(
    st.lists(st.binary(max_size=30), min_size=1, max_size=70),
    st.sampled_from([".csv", ".txt", ".tsv", ".dat"]),
)
@settings(max_examples=150, deadline=None)
def test_any_bytes_are_parsed_or_named(files: list[bytes], suffix: str) -> None:
    rule = decide(suffix, files) or Rule(",", False, ("column_1",))
    parsed = parse(files, rule)
    assert len(parsed.counts) == len(files)
    assert sum(parsed.counts) == parsed.rows.height
    assert all(parsed.counts[index] == 0 for index, _ in parsed.bad)


LINES = st.sampled_from(["1,2", "3 ,4", "5", "", " ", "a,b", '"q,r",6', "7,8,9", "#,1"])
TEXTS = st.lists(LINES, max_size=4).map(lambda lines: "".join(f"{line}\n" for line in lines).encode())


@given(st.lists(TEXTS, min_size=1, max_size=150), st.booleans())
@settings(max_examples=80, deadline=None)
def test_parsing_together_equals_parsing_each_alone(files: list[bytes], comments: bool) -> None:
    rule = Rule(",", False, ("a", "b"), comments)
    together = parse(files, rule)
    alone = [parse([file], rule) for file in files]
    assert together.counts == [one.counts[0] for one in alone]
    assert together.bad == [(i, one.bad[0][1]) for i, one in enumerate(alone) if one.bad]
