"""Queries: one table, SQL, aggregates, and files that read back."""

from __future__ import annotations

import csv
import io
import json
import tempfile
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cjledger import query, tablefile
from cjledger.errors import CjError
from cjledger.harvest.manifest import RECORDS
from cjledger.plot.chart import chart
from cjledger.shards.frames import pl
from tests.blocks import PACKAGE, frame, harvest, on_disk, record, tasks_frame


@pytest.fixture
def rows(tmp_path: Path) -> pl.LazyFrame:
    files = [
        b"kind,pr\n%s,%d\n%s,%d\n" % (kind, task, kind, 10 * task)
        for task, kind in enumerate((b"a", b"b", b"a"), 1)
    ]
    _, shards = harvest(tasks_frame("r.csv", files))
    return query.table(on_disk(tmp_path, shards, "r.csv"), on_disk(tmp_path, shards, RECORDS))


def test_the_table_is_in_the_order_of_tasks_whatever_came_first(tmp_path: Path) -> None:
    results, first = harvest(frame((record(2), {"r.csv": b"2\n22\n"}), (record(1), {"r.csv": b"1\n"})))
    _, second = harvest(frame((record(3), {"r.csv": b"3\n"}), block="1/000002-01"), before=results)
    found = query.reduce(query.table(on_disk(tmp_path, [*second, *first], "r.csv"))).collect()
    assert found["column_1"].to_list() == [1, 2, 22, 3]


def test_a_table_without_shards_is_empty_and_can_be_asked() -> None:
    empty = query.table([])
    assert query.reduce(empty).collect().height == 0
    assert query.join([]).collect().height == 0
    assert query.sql("SELECT count(*) AS n FROM results", {"results": empty}).collect()["n"].to_list() == [0]
    assert list(query.contents([], "x")) == []


def test_groups_are_aggregated_under_stated_names(rows: pl.LazyFrame) -> None:
    agg = "mean(pr), std(pr),count(),count(pr),quantile(pr, 0.5),min(pr),max(pr),sum(pr)"
    agg += ",median(pr),var(pr),first(pr)"
    found = query.reduce(rows, ["kind"], agg).collect()
    assert found.columns == [
        *("kind", "mean_pr", "std_pr", "count", "count_pr", "quantile_pr_0.5", "min_pr", "max_pr"),
        *("sum_pr", "median_pr", "var_pr", "first_pr"),
    ]
    assert found["kind"].to_list() == ["a", "b"]
    assert found["mean_pr"].to_list() == [11.0, 11.0]
    assert found["count"].to_list() == [4, 2]
    assert found["quantile_pr_0.5"].to_list() == [6.5, 11.0]


def test_an_aggregate_without_groups_is_one_row_and_groups_alone_are_counted(rows: pl.LazyFrame) -> None:
    assert query.reduce(rows, agg="sum(pr)").collect().rows() == [(66,)]
    assert query.reduce(rows, ["kind"]).collect().rows() == [("a", 4), ("b", 2)]


def test_where_takes_an_sql_expression(rows: pl.LazyFrame) -> None:
    found = query.reduce(rows, where="pr > 5 AND kind = 'a'").collect()
    assert found["pr"].to_list() == [10, 30]


def test_columns_without_a_name_get_one(tmp_path: Path) -> None:
    _, shards = harvest(tasks_frame("r.csv", [b"1,2\n"]))
    paths = on_disk(tmp_path, shards, "r.csv")
    found = query.reduce(query.table(paths), where="b = 2", columns=["a", "b"]).collect()
    assert found.columns[-2:] == ["a", "b"]
    with pytest.raises(CjError, match="2 columns without a name, and 1 was given") as caught:
        query.reduce(query.table(paths), columns=["a"])
    right = caught.value.hint.removeprefix("--columns ").split(",")
    assert query.reduce(query.table(paths), columns=right).collect().columns[-2:] == right == ["a", "name_2"]
    with pytest.raises(CjError, match="every column of the table has a name"):
        query.reduce(query.reduce(query.table(paths), columns=right), columns=["c"])
    with pytest.raises(CjError, match="a column delta already"):
        query.reduce(query.table(paths), columns=["delta", "b"])


@pytest.mark.parametrize(
    ("asked", "message", "hint"),
    [
        ({"by": ["knid"]}, "there is no column 'knid'", "did you mean kind?"),
        ({"agg": "mean(prr)"}, "there is no column 'prr'", "did you mean pr?"),
        ({"agg": "maen(pr)"}, "there is no aggregate maen()", "did you mean mean?"),
        ({"agg": "mean(pr"}, "not an aggregate", "--agg"),
        ({"agg": "mean(pr) std(pr)"}, "a comma is missing", "--agg"),
        ({"agg": "quantile(pr,7)"}, "not a level", "quantile(pr,0.9)"),
        ({"agg": "quantile(pr)"}, "quantile() is of a column and a level", '--agg "quantile(pr,0.9)"'),
        ({"agg": "mean()"}, "mean() of which column?", '--agg "mean(NAME)"'),
        ({"where": "knid = 1"}, "there is no column 'knid'", "did you mean kind?"),
        ({"where": "pr >"}, "--where", "columns: cj_package"),
        ({"where": "SELECT 1"}, "--where", "columns: cj_package"),
    ],
)
def test_mistakes_are_named_with_the_way_out(
    rows: pl.LazyFrame, asked: dict[str, Any], message: str, hint: str
) -> None:
    with pytest.raises(CjError) as caught:
        query.reduce(rows, **asked).collect()
    assert message in caught.value.message
    assert hint in caught.value.hint


@pytest.mark.parametrize("function", ["mean", "std", "var", "sum", "median", "quantile"])
@pytest.mark.parametrize("by", [(), ("kind",)])
def test_what_only_numbers_have_is_refused_for_text_with_an_example(
    function: str, by: tuple[str, ...]
) -> None:
    columns = {"cj_package": ["p"] * 4, "cj_task": [1, 2, 3, 4], "kind": ["a"] * 4}
    rows = pl.LazyFrame({**columns, "pr": ["1.5", " ", "n/a-bad", None]})
    agg = f"{function}(pr{',0.5' * (function == 'quantile')})"
    with pytest.raises(CjError) as caught:
        query.reduce(rows, by, agg)
    assert caught.value.message == f"no {function}(): column 'pr' is text, such as 'n/a-bad'"
    assert '--agg "count(pr),min(pr),max(pr)"' in caught.value.hint
    assert query.collect(query.reduce(rows, by, "count(pr),min(pr),max(pr)")).height == 1
    with pytest.raises(CjError, match="column 'l' is List"):
        query.reduce(rows.with_columns(l=pl.concat_list("cj_task")), by, agg.replace("pr", "l"))


def test_sql_is_answered_and_its_mistakes_named(rows: pl.LazyFrame) -> None:
    tables = {"results": rows, "records": query.records([])}
    answer = query.sql("SELECT kind, avg(pr) AS p FROM results GROUP BY kind ORDER BY kind", tables)
    assert answer.collect().rows() == [("a", 11.0), ("b", 11.0)]
    for wrong, message in (
        ("SELECT nope FROM results", "there is no column 'nope'"),
        ("SELECT 1 FROM result", "there is no table 'result'"),
        ("SELECT (", "sql parser error"),
    ):
        with pytest.raises(CjError) as caught:
            query.sql(wrong, tables)
        assert message in caught.value.message


@pytest.mark.parametrize(
    ("wrong", "message", "hint"),
    [
        ("SELECT stat FROM results", "no column 'stat'", "there are: cj_package, cj_task, cj_att"),
        ("SELECT state FROM results", "no column 'state'", "records has it; there are: cj_package"),
        ("SELECT results.state FROM results", "no column 'state'", "records has it; there are: cj_package"),
        ("SELECT knid FROM results", "no column 'knid'", "did you mean kind? There are: "),
        ("SELECT pr FROM records", "no column 'pr'", 'results and "r.csv" have it; there are: state'),
        (
            "SELECT pr, pr FROM results",
            "two columns of the answer are called 'pr'",
            'give one of them another name: … AS "pr_2"',
        ),
        (
            "SELECT kind + 1 FROM results",
            "(lhs: column 'kind', rhs: expression `dyn int: 1`) (in:",
            "columns",
        ),
    ],
)
def test_a_column_is_looked_for_in_the_table_that_was_asked(
    rows: pl.LazyFrame, wrong: str, message: str, hint: str
) -> None:
    tables = {
        "results": rows,
        "r.csv": rows,
        "records": pl.LazyFrame({"state": ["COMPLETED"], "exit_code": [0]}),
    }
    with pytest.raises(CjError) as caught:
        query.sql(wrong, tables)
    assert message in caught.value.message
    assert caught.value.hint.startswith(hint)
    assert "alias" not in caught.value.message


@pytest.mark.parametrize("words", ["DROP TABLE results", "", "DELETE FROM results", "selection"])
def test_only_questions_are_answered(rows: pl.LazyFrame, words: str) -> None:
    with pytest.raises(CjError, match="not a question"):
        query.sql(words, {"results": rows})
    assert query.sql(" (with t AS (SELECT 1 AS a) SELECT a FROM t)", {"results": rows}).collect().height == 1


def test_a_query_that_fails_on_the_way_is_an_error_a_person_can_read(rows: pl.LazyFrame) -> None:
    with pytest.raises(CjError) as caught:
        query.collect(query.reduce(rows, agg="mean(pr)", where="CAST(kind AS INT) > 1"))
    assert "(in:" not in caught.value.message


def test_packages_are_joined_under_the_union_of_their_columns(rows: pl.LazyFrame) -> None:
    other = pl.LazyFrame(
        {"cj_package": ["0"], "cj_task": [1], "cj_attempt": [1], "pr": ["x"], "more": [True]}
    )
    found = query.reduce(query.join([rows, other])).collect()
    assert found["cj_package"].to_list() == ["0"] + [PACKAGE] * 6
    assert found["pr"].to_list() == ["x", "1", "10", "2", "20", "3", "30"]
    assert found["more"].to_list() == [True] + [None] * 6


def test_columns_for_a_plot_are_lists(rows: pl.LazyFrame) -> None:
    assert query.columns(rows, ["pr", "kind", "pr"])["kind"] == list("aabbaa")
    with pytest.raises(CjError, match="no column 'z'"):
        query.columns(rows, ["z"])


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "parquet", "arrow"])
def test_a_written_table_reads_back(rows: pl.LazyFrame, tmp_path: Path, kind: str) -> None:
    table = query.reduce(rows).collect()
    tablefile.write(table, tmp_path / "out", kind)
    stream = io.BytesIO()
    tablefile.write(table, stream, kind)
    assert stream.getvalue() == (tmp_path / "out").read_bytes()
    readers: dict[str, Callable[[Path], pl.DataFrame]] = {
        "csv": pl.read_csv,
        "tsv": lambda path: pl.read_csv(path, separator="\t"),
        "jsonl": pl.read_ndjson,
        "parquet": pl.read_parquet,
        "arrow": pl.read_ipc,
    }
    assert readers[kind](tmp_path / "out").equals(table)


MOMENT = datetime(2020, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
TYPES: list[tuple[pl.Series, str, Any]] = [
    (pl.Series([timedelta(seconds=1.5), None]), "1.5", 1.5),
    (pl.Series([1, None]).cast(pl.Duration("ns")), "1e-9", 1e-9),
    (pl.Series([-1, None]).cast(pl.Duration("ms")), "-0.001", -0.001),
    (pl.Series([MOMENT, None]), "2020-01-02T03:04:05.000006+00:00", "2020-01-02T03:04:05.000006+00:00"),
    (
        pl.Series([MOMENT.replace(tzinfo=None), None]),
        "2020-01-02T03:04:05.000006",
        "2020-01-02T03:04:05.000006",
    ),
    (
        pl.Series([1, None]).cast(pl.Datetime("ns")),
        "1970-01-01T00:00:00.000000001",
        "1970-01-01T00:00:00.000000001",
    ),
    (pl.Series([date(2020, 1, 2), None]), "2020-01-02", "2020-01-02"),
    (pl.Series([time(1, 2, 3, 4), None]), "01:02:03.000004", "01:02:03.000004"),
    (pl.Series([Decimal("1.10"), None]), "1.10", "1.10"),
    (pl.Series([b"\xff\0", None]), "ff00", "ff00"),
    (pl.Series(["a", None], dtype=pl.Categorical), "a", "a"),
    (pl.Series(["a", None], dtype=pl.Enum(["a"])), "a", "a"),
    (pl.Series([2**64 - 1, None], dtype=pl.UInt64), "18446744073709551615", 2**64 - 1),
    (pl.Series([0.5, None], dtype=pl.Float32), "0.5", 0.5),
    (pl.Series([True, None]), "true", True),
    (pl.Series([[1, 2], None]), '"[1, 2]"', [1, 2]),
    (pl.Series([{"a": 1}, None]), '"{""a"": 1}"', {"a": 1}),
    (pl.Series([None, None]), "", None),
]


@pytest.mark.parametrize(("column", "text", "value"), TYPES, ids=[str(each[0].dtype) for each in TYPES])
def test_a_column_of_every_type_is_written_and_drawn(
    column: pl.Series, text: str, value: Any, tmp_path: Path
) -> None:
    table = pl.DataFrame([column.alias("v"), pl.Series("n", [1, 2])])
    for kind in tablefile.FORMATS:
        tablefile.write(table, tmp_path / kind, kind)
    assert (tmp_path / "csv").read_text() == f"v,n\n{text},1\n,2\n"
    assert pl.read_parquet(tmp_path / "parquet").schema == table.schema
    assert pl.read_ipc(tmp_path / "arrow")["v"].to_list() == column.to_list()
    lines = [json.loads(line) for line in (tmp_path / "jsonl").read_text().splitlines()]
    assert lines[0] == {"v": value, "n": 1}
    if value is not None:
        chart(query.columns(table.lazy(), ["v", "n"]), "v", "n")


def test_numbers_that_are_not_finite_have_words_in_json_and_are_numbers_elsewhere(tmp_path: Path) -> None:
    values = [1.5, float("nan"), float("inf"), float("-inf"), None] * 5_000
    table = pl.DataFrame({"v": values, "w": ["NaN"] * 25_000, "n": [0.5] * 25_000})
    for kind in tablefile.FORMATS:
        tablefile.write(table, tmp_path / kind, kind)
    stream = io.BytesIO()
    tablefile.write(table, stream, "jsonl")
    assert stream.getvalue() == (tmp_path / "jsonl").read_bytes()
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["v"] for line in lines] == [1.5, "NaN", "Infinity", "-Infinity", None] * 5_000
    assert lines[1] == {"v": "NaN", "w": "NaN", "n": 0.5}
    assert repr(pl.read_csv(tmp_path / "csv")["v"].to_list()) == repr(values)
    assert repr(pl.read_parquet(tmp_path / "parquet")["v"].to_list()) == repr(values)


def test_packages_are_joined_without_a_change_of_value() -> None:
    def joined(*columns: pl.Series) -> list[Any]:
        tables = [
            pl.LazyFrame({"cj_package": "0", "cj_task": 1, "cj_attempt": 1, "v": column})
            for column in columns
        ]
        return query.reduce(query.join(tables)).collect()["v"].to_list()

    large = pl.Series([2**64 - 1], dtype=pl.UInt64)
    assert joined(large, pl.Series([1])) == [2**64 - 1, 1]
    assert joined(large, pl.Series([-1])) == ["18446744073709551615", "-1"]
    assert joined(pl.Series([2**53 + 1]), pl.Series([0.5])) == ["9007199254740993", "0.5"]
    assert joined(pl.Series([timedelta(seconds=1)]), pl.Series([0.5])) == ["1", "0.5"]
    assert joined(pl.Series([MOMENT]), pl.Series(["x"])) == ["2020-01-02T03:04:05.000006+00:00", "x"]


def test_an_unknown_kind_of_file_is_refused(rows: pl.LazyFrame, tmp_path: Path) -> None:
    with pytest.raises(CjError, match="no format 'cvs'"):
        tablefile.write(rows.collect(), tmp_path / "x", "cvs")


FLOATS = st.floats(allow_nan=False)
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)


@given(st.lists(st.tuples(FLOATS, TEXT, st.integers(-(2**63), 2**63 - 1)), min_size=1))
@settings(max_examples=150, deadline=None)
def test_csv_values_round_trip(values: list[tuple[float, str, int]]) -> None:
    stream = io.BytesIO()
    tablefile.write(
        pl.DataFrame(values, orient="row", schema={"f": pl.Float64, "t": pl.String, "i": pl.Int64}),
        stream,
        "csv",
    )
    text = stream.getvalue().decode()
    found = list(csv.reader(io.StringIO(text, newline="")))[1:]
    assert [(float(f), t, int(i)) for f, t, i in found] == values


def test_raw_contents_come_in_the_order_of_tasks_with_one_header(tmp_path: Path) -> None:
    results, first = harvest(
        frame(
            (record(2), {"r.txt": b"h\n2\n"}),
            (record(1), {"r.txt": b"h\n1"}),
            (record(3, state="FAILED"), {"r.txt": b"h\n3\n"}),
        )
    )
    _, second = harvest(frame((record(2, 2), {"r.txt": b"h\n22\n"}), block="2/000001-01"), before=results)
    paths = on_disk(tmp_path, [*first, *second], RECORDS)
    out = io.BytesIO()
    assert query.concatenate(query.contents(paths, "r.txt"), out, header=1) == []
    assert out.getvalue() == b"h\n1\n22\n"
    out = io.BytesIO()
    query.concatenate(query.contents(paths, "r.txt"), out)
    assert out.getvalue() == b"h\n1\nh\n22\n"


def test_contents_that_are_not_here_are_named() -> None:
    out = io.BytesIO()
    assert query.concatenate(iter([(1, b"a\n"), (2, None), (3, b"")]), out) == [2]
    assert out.getvalue() == b"a\n"


@given(st.lists(st.tuples(st.integers(1, 4), st.booleans(), st.booleans()), min_size=1, max_size=8))
@settings(max_examples=40, deadline=None)
def test_the_newest_completed_attempt_has_the_rows(history: list[tuple[int, bool, bool]]) -> None:
    """Each attempt of a task completes or fails, and leaves a row or not; one harvest an attempt."""
    results, shards = None, []
    attempts: dict[int, int] = {}
    wanted: dict[int, list[int]] = {}
    for number, (task, completes, leaves) in enumerate(history, 1):
        attempt = attempts[task] = attempts.get(task, 0) + 1
        about = record(task, attempt, "COMPLETED" if completes else "FAILED")
        news = frame((about, {"r.csv": b"%d\n" % number} if leaves else {}), block=f"{number}/000001-01")
        results, more = harvest(news, before=results)
        shards += more
        if completes:
            wanted[task] = [number] if leaves else []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = query.table(on_disk(folder, shards, "r.csv"), on_disk(folder, shards, RECORDS))
        rows = query.reduce(found).collect()
    expected = [value for task in sorted(wanted) for value in wanted[task]]
    assert (rows["column_1"].to_list() if "column_1" in rows.columns else []) == expected


def test_records_are_a_table_too(tmp_path: Path) -> None:
    _, shards = harvest(frame((record(2, note="é"), {}), (record(1, state="FAILED"), {})))
    found = query.records(on_disk(tmp_path, shards, RECORDS)).collect()
    assert found.select("cj_task", "state", "note").rows() == [(1, "FAILED", ""), (2, "COMPLETED", "é")]
    assert json.loads(found.select("exit_code").write_json())[0] == {"exit_code": 1}
