"""Sweeps: what is typed gives exactly the values it says, and what does not say them is refused."""

from __future__ import annotations

import io
import itertools
import json
import math
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cjledger import sweep
from cjledger.errors import CjError
from cjledger.model import Program, Sweep, manifest_to_bytes
from cjledger.sweep.spec import linspace
from cjnode.package.points import count, point, points, sweep_from_json, sweep_to_json
from tests.package_kit import manifest_of


def values(text: str) -> list[Any]:
    made = sweep.from_specs([f"x={text}"], 1)
    return [value for (value,) in made.blocks[0].axes[0].values]


def enumerated(made: Sweep) -> list[dict[str, Any]]:
    return [point(made, task, "").params for task in range(1, count(made) + 1)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.1,0.2,a", [0.1, 0.2, "a"]),
        ("1", [1]),
        (" 1 , 2 ", [1, 2]),
        ("[1,2]", [1, 2]),
        ("true,false,null,True,None", [True, False, None, True, None]),
        ("+3,-4,1.,.5,1e3,-2E-1", [3, -4, 1.0, 0.5, 1000.0, -0.2]),
        ("007,1.0,0", ["007", 1.0, 0]),
        ("'a, b',\"it's\",'it''s',\"\",'1','true'", ["a, b", "it's", "it's", "", "1", "true"]),
        ("data/in-1.csv,http://example.org/x,a=b,ü", ["data/in-1.csv", "http://example.org/x", "a=b", "ü"]),
        ("0.1:0.1:0.9", [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]),
        ("1:4", [1, 2, 3, 4]),
        ("1:2:6", [1, 3, 5]),
        ("3:-1:1", [3, 2, 1]),
        ("0.2:-0.1:-0.2", [0.2, 0.1, 0.0, -0.1, -0.2]),
        ("1:0.5:2", [1.0, 1.5, 2.0]),
        ("1.5:3", [1.5, 2.5]),
        ("2:2", [2]),
        ("1e-3:1e-3:3e-3", [0.001, 0.002, 0.003]),
        ("1:3,10,linspace(0,1,3)", [1, 2, 3, 10, 0.0, 0.5, 1.0]),
        ("linspace( 0 , 1 , 1 )", [0.0]),
        ("logspace(-2,1,4)", [0.01, 0.1, 1.0, 10.0]),
        ("range(3)", [0, 1, 2]),
        ("range(1,7,3)", [1, 4]),
        ("range(3,0,-1)", [3, 2, 1]),
    ],
)
def test_a_specification_gives_exactly_its_values(text: str, expected: list[Any]) -> None:
    found = values(text)
    assert found == expected
    assert list(map(type, found)) == list(map(type, expected))


def test_the_range_of_the_first_example_has_the_literals_of_its_program() -> None:
    assert values("0.02:0.02:0.98") == [float(f"{k / 100:.2f}") for k in range(2, 99, 2)]


@given(st.integers(-500, 500), st.integers(1, 50), st.integers(0, 60), st.integers(0, 6))
def test_a_decimal_range_has_the_literals(start: int, step: int, number: int, digits: int) -> None:
    def literal(value: int) -> str:
        return f"{value}e-{digits}"

    wanted = [float(literal(start + k * step)) for k in range(number + 1)]
    stop = start + number * step
    assert values(f"{literal(start)}:{literal(step)}:{literal(stop)}") == wanted
    assert values(f"{literal(stop)}:-{literal(step)}:{literal(start)}") == wanted[::-1]


FINITE = st.floats(-1e100, 1e100)


@given(FINITE, FINITE, st.integers(1, 200))
def test_linspace_is_numpys_bit_for_bit(start: float, stop: float, number: int) -> None:
    expected = np.linspace(start, stop, number)
    assert np.array(linspace(start, stop, number)).tobytes() == expected.tobytes()
    assert values(f"linspace({start!r},{stop!r},{number})") == expected.tolist()


@given(st.floats(-5e-324, 5e-324), st.integers(2, 9))
def test_linspace_of_the_smallest_numbers_is_numpys(stop: float, number: int) -> None:
    assert np.array(linspace(0.0, stop, number)).tobytes() == np.linspace(0.0, stop, number).tobytes()


@given(st.floats(-300, 300), st.floats(-300, 300), st.integers(1, 50))
def test_logspace_is_ten_to_the_linspace(start: float, stop: float, number: int) -> None:
    assert values(f"logspace({start!r},{stop!r},{number})") == [
        10.0**x for x in linspace(start, stop, number)
    ]


@pytest.mark.parametrize(
    ("spec", "message", "hint"),
    [
        ("x", "there is no =", "--sweep delta=0.1:0.1:0.9"),
        ("x=", "there is no value", "--sweep x=0.1,0.2"),
        ("x=[]", "there is no value", "--sweep x="),
        ("x=1,,2", "a value is missing at a comma", "--sweep x=1,2"),
        ("x=1,2,", "a value is missing at a comma", "--sweep x=1,2"),
        ("x=1:0:5", "the step is 0", "--sweep x=1:1:5"),
        ("x=5:1", "leads away", "--sweep x=5:-1:1"),
        ("x=1:-1:5", "leads away", "--sweep x=1:1:5"),
        ("x=5:0.5:1", "leads away", "--sweep x=5:-0.5:1"),
        ("x=1:a:5", "is not a range", """--sweep x=0.1:0.1:0.9 or --sweep "x='1:a:5'\""""),
        ("x=1:2:3:4", "is not a range", "'1:2:3:4'"),
        ("x=1e999", "too large", '"1e999"'),
        ("x=" + "9" * 5000, "too large", "1e300"),
        ("x=1:" + "9" * 5000, "too large", "1e300"),
        ("x=range(" + "9" * 5000 + ")", "too large", "1e300"),
        ("x=linspace(0,1," + "9" * 5000 + ")", "too large", "1e300"),
        ("x=linspace(0," + "9" * 5000 + ",2)", "finite", "linspace(0,1,11)"),
        ("x=nan", "not a finite number", '"nan"'),
        ("x=1,-Inf", "not a finite number", '"-Inf"'),
        ("x='a", "is not closed", "'a, b'"),
        ("x='a'b", "between a quote and the comma", '"a","b"'),
        ("x=f(1", "no partner", "'f(x'"),
        ("x=sqrt(2)", "no function sqrt", "linspace(0,1,11)"),
        ("x=linspace(0,1)", "a start, a stop and how many", "linspace(0,1,11)"),
        ("x=linspace(0,1,0)", "a start, a stop and how many", "linspace(0,1,11)"),
        ("x=linspace(0,1,2.5)", "a start, a stop and how many", "linspace(0,1,11)"),
        ("x=linspace(0,a,3)", "are numbers", "linspace(0,1,11)"),
        ("x=linspace(-1e308,1e308,3)", "finite", "linspace(0,1,11)"),
        ("x=logspace(0,999,2)", "finite", "logspace(-3,0,4)"),
        ("x=range(0,1,0)", "the step is 0", "range(0,10,2)"),
        ("x=range(0.5)", "whole numbers", "0:0.5:2"),
        ("x=range(5,1)", "the range is empty", "range(0,10,2)"),
        ("x=range(1,2,3,4)", "one to three", "range(0,10,2)"),
        ("x=[[1,2],[3]]", "lists do not nest", "1,2,3"),
        ("x=0:1e-9:1", "too many", "1:1000"),
        ("x=range(99999999)", "too many", "1:1000"),
        ("x=linspace(0,1,99999999)", "too many", "1:1000"),
        ("my-x=1", "not a parameter name", "--sweep"),
        ("1x=1", "not a parameter name", "--sweep"),
        ("ü=1", "not a parameter name", "--sweep"),
        ("=1", "not a parameter name", "--sweep"),
        ("cj_task=1", "the tool's own", "call it task"),
    ],
)
def test_a_wrong_specification_is_refused_with_a_right_one(spec: str, message: str, hint: str) -> None:
    with pytest.raises(CjError, match=message) as refused:
        sweep.from_specs([spec], 1)
    assert hint in refused.value.hint
    assert "--sweep" in refused.value.message
    if f"{spec.partition('=')[0]}=" in refused.value.hint:
        for typed in refused.value.hint.split(" or "):
            option, right = shlex.split(typed)
            assert option == "--sweep"
            assert sweep.from_specs([right], 1)


def test_a_tiny_exponent_costs_no_memory() -> None:
    assert values("1e-999999999:1") == [0.0, 1.0]


def test_a_right_one_in_a_hint_is_right() -> None:
    for wrong in ("x=1:0:5", "x=5:1", "x=1:-1:5", "x=5:0.5:1", "x=1e999", "x=sqrt(2)", "x=range(5,1)"):
        with pytest.raises(CjError) as refused:
            sweep.from_specs([wrong], 1)
        _, right = shlex.split(refused.value.hint)
        sweep.from_specs([right], 1)


def test_a_name_given_twice_is_refused() -> None:
    with pytest.raises(CjError, match="a is given twice"):
        sweep.from_specs(["a=1", "b=1", "a=2"], 1)


@pytest.mark.parametrize("make", [lambda: sweep.single(0), lambda: sweep.from_specs(["a=1"], 0)])
def test_no_repetition_is_no_sweep(make: Callable[[], Sweep]) -> None:
    with pytest.raises(CjError, match="nothing to run"):
        make()


def test_one_point_has_no_parameters_and_repeats() -> None:
    assert enumerated(sweep.single(1)) == [{}]
    assert enumerated(sweep.single(2)) == [{"cj_repeat": 1}, {"cj_repeat": 2}]


SCALARS = st.none() | st.booleans() | st.integers(-5, 5) | st.floats(-2, 2) | st.sampled_from(["a", "é", ""])
BLOCKS = st.lists(
    st.dictionaries(
        st.sampled_from("abc"), st.lists(SCALARS, min_size=1, max_size=3), min_size=1, max_size=3
    ),
    min_size=1,
    max_size=3,
)


def same(left: Any, right: Any) -> bool:
    return isinstance(left, bool) == isinstance(right, bool) and left == right


@given(BLOCKS, st.integers(1, 3), st.data())
def test_a_union_of_products_without_its_stop_list(
    blocks: list[dict[str, list[Any]]], repeat: int, data: st.DataObject
) -> None:
    products = [
        [dict(zip(block, row, strict=True)) for row in itertools.product(*block.values())] for block in blocks
    ]
    stopped = data.draw(st.lists(st.sampled_from(list(itertools.chain(*products))), max_size=3))

    def is_among(one: dict[str, Any], others: Iterable[dict[str, Any]]) -> bool:
        return any(
            one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
            for other in others
        )

    kept = [
        one
        for number, product in enumerate(products)
        for one in product
        if not is_among(one, (*stopped, *itertools.chain(*products[:number])))
    ]
    if not kept:
        with pytest.raises(CjError, match="the sweep is empty"):
            sweep.from_blocks(blocks, stopped, repeat, "blocks")
        return
    made = sweep.from_blocks(blocks, stopped, repeat, "blocks")
    expected = [
        {**one, **({"cj_repeat": r} if repeat > 1 else {})} for one in kept for r in range(1, repeat + 1)
    ]
    assert enumerated(made) == expected
    assert count(made) == len(expected)
    assert [p.params for p in points(made, list(range(1, count(made) + 1)), "")] == expected
    assert sweep_from_json(json.loads(json.dumps(sweep_to_json(made)))) == made
    for task in (0, -1, count(made) + 1):
        with pytest.raises(IndexError):
            point(made, task, "")


def test_a_point_of_two_blocks_is_one_task() -> None:
    made = sweep.from_blocks([{"x": [1, 2], "y": [0]}, {"y": [0, 5], "x": [2.0, 3]}], [], 1, "blocks")
    assert enumerated(made) == [{"x": x, "y": y} for x, y in ((1, 0), (2, 0), (3, 0), (2, 5), (3, 5))]
    huge = dict.fromkeys("abc", "1:10000")
    assert sweep.from_blocks([huge, huge], [], 1, "blocks").removed == ()  # refused by its tasks' number


def test_a_stop_list_of_a_million_points_grid_is_found_by_arithmetic() -> None:
    made = sweep.from_blocks(
        [{"a": "1:1000", "b": "1:1000"}], [{"b": k, "a": 1000} for k in (1000, 1)], 1, "blocks"
    )
    assert made.removed == (999_000, 999_999)
    assert count(made) == 999_998
    assert point(made, 999_998, "").params == {"a": 1000, "b": 999}


TOML = """
stop_list = [{ delta = 0.2, method = "b" }]
[[blocks]]
delta = "0.1:0.1:0.3"
method = ["a", "b"]
[[blocks]]
seed = 7
"""
JSON = """[{"delta": [0.1, 0.2, 0.3], "method": ["a", "b"]}, {"seed": 7}]"""


def test_a_file_of_blocks_is_read_as_toml_and_json(tmp_path: Path) -> None:
    (tmp_path / "b.toml").write_text(TOML)
    (tmp_path / "b.json").write_text(JSON)
    whole = [
        {"delta": 0.1, "method": "a"},
        {"delta": 0.1, "method": "b"},
        {"delta": 0.2, "method": "a"},
        {"delta": 0.2, "method": "b"},
        {"delta": 0.3, "method": "a"},
        {"delta": 0.3, "method": "b"},
        {"seed": 7},
    ]
    assert enumerated(sweep.from_blocks_file(tmp_path / "b.json", 1)) == whole
    made = sweep.from_blocks_file(tmp_path / "b.toml", 1)
    assert enumerated(made) == whole[:3] + whole[4:]
    assert (made.removed, made.names) == ((3,), ("delta", "method", "seed"))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("b.json", "{", "b.json: "),
        ("b.json", "[" * 100_000, "b.json: "),
        ("b.json", "7", "with the key blocks"),
        ("b.json", "[]", "the sweep is empty"),
        ("b.json", "[7]", "not a table"),
        ("b.json", "[{}]", "not a table"),
        ("b.json", '{"block": []}', "did you mean blocks"),
        ("b.json", '{"blocks": {}}', "are lists"),
        ("b.json", '[{"a": [1], "a": [2]}]', "a is given twice"),
        ("b.json", '[{"a": []}]', "has no values"),
        ("b.json", '[{"a": [[1]]}]', "a list is no value"),
        ("b.json", '[{"a": [NaN]}]', "not a finite number"),
        ("b.json", '[{"a": ["\\ud800"]}]', "is not text"),
        ("b.json", '[{"a": "1:0:2"}]', "the step is 0"),
        ("b.json", '[{"a b": [1]}]', "not a parameter name"),
        ("b.json", '{"blocks": [{"a": [1]}], "stop_list": [{"a": 2}]}', "is no point of the blocks"),
        ("b.json", '{"blocks": [{"a": [1], "b": [1]}], "stop_list": [{"a": 1}]}', "is no point"),
        ("b.json", '{"blocks": [{"a": [1]}], "stop_list": [7]}', "stop_list 1 is not a table"),
        ("b.json", '{"blocks": [{"a": [1]}], "stop_list": [{"a": 1}]}', "the sweep is empty"),
        ("b.toml", "a = ", "b.toml: "),
        ("b.toml", "[[blocks]]\na = [2026-01-31]", "a date is no value"),
        ("b.yaml", "a: 1", "neither .json nor .toml"),
        ("b.json", "\udcff", "not UTF-8"),
    ],
)
def test_a_wrong_file_of_blocks_is_refused(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content, errors="surrogateescape")
    with pytest.raises(CjError, match=message):
        sweep.from_blocks_file(tmp_path / name, 1)


def test_an_absent_file_of_blocks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CjError, match="No such file"):
        sweep.from_blocks_file(tmp_path / "b.json", 1)


def test_a_block_from_python_takes_lists_numpy_and_specifications() -> None:
    made = sweep.from_block({"a": np.arange(2), "b": (np.float64(0.5), True), "c": "1:2", "d": range(1)}, 1)
    axes = [[value for (value,) in axis.values] for axis in made.blocks[0].axes]
    assert axes == [[0, 1], [0.5, True], [1, 2], [0]]
    assert [type(value) for value in axes[0] + axes[1]] == [int, int, float, bool]


def read(path: Path) -> tuple[tuple[str, ...], list[list[Any]]]:
    names, rows = sweep.read_points(path)
    return names, list(rows)


TABLE = (("a", "b"), [[1, "x"], [0.5, None], [True, "y, z"]])


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("p.csv", '\ufeffa, b\r\n1,x\r\n\r\n0.5,\r\ntrue,"y, z"\r\n'),
        ("p.TSV", "a\tb\n1\tx\n0.5\t\ntrue\ty, z"),
        ("p.jsonl", '{"a":1,"b":"x"}\n\n{"b":null,"a":0.5}\n{"a":true,"b":"y, z"}\n'),
        ("p.json", '[{"a":1,"b":"x"},{"b":null,"a":0.5},{"a":true,"b":"y, z"}]'),
    ],
)
def test_a_points_file_is_read_by_its_suffix(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content, newline="")
    assert read(tmp_path / name) == TABLE


def test_a_parquet_file_of_points_is_read(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1, None], "b": ["x", "y"]}), tmp_path / "p.parquet")
    assert read(tmp_path / "p.parquet") == (("a", "b"), [[1, "x"], [None, "y"]])
    pq.write_table(pa.table({"a": [[1]]}), tmp_path / "p.parquet")
    with pytest.raises(CjError, match="a of point 1: a list is no value"):
        read(tmp_path / "p.parquet")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("p.csv", "", "names no parameters"),
        ("p.csv", "a,a\n1,2\n", "a is given twice"),
        ("p.csv", "a,b c\n1,2\n", "not a parameter name"),
        ("p.csv", "a,b\n1,2\n\n1,2,3\n", "line 4: 3 values where 2 are named"),
        ("p.csv", "a,b\n1\n", "line 2: 1 values"),
        ("p.csv", "a\n1\nnan\n", "line 3: nan is not a finite number"),
        ("p.csv", 'a\n"1"x\n', "line 2"),
        ("p.csv", "a\n\udcff\n", "not UTF-8"),
        ("p.json", "{}", "not a list"),
        ("p.json", "[", "p.json: "),
        ("p.json", "[7]", "entry 1 is not an object"),
        ("p.json", '[{"a":1},{"b":1}]', "entry 2: other names than in the first: a, b"),
        ("p.json", "[]", "names no parameters"),
        ("p.jsonl", '{"a":1}\n{"a":\n', "line 2"),
        ("p.jsonl", '{"a":1}\n[1]\n', "line 2 is not an object"),
        ("p.jsonl", '{"a":1,"a":2}\n', "a is given twice"),
        ("p.jsonl", '{"a":1}\n\n{"a":{}}\n', "a of point 2: a dict is no value"),
        ("p.jsonl", '{"a":NaN}\n', "not a finite number"),
        ("p.parquet", "PAR1", "not a Parquet file"),
        ("p.xlsx", "", "are not read from .xlsx"),
    ],
)
def test_a_wrong_points_file_is_refused(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content, errors="surrogateescape")
    with pytest.raises(CjError, match=message):
        read(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "content"),
    [("p.csv", "x\na\0b\n"), ("p.jsonl", '{"x": "a\\u0000b"}\n'), ("p.txt", "echo a\0b\n")],
)
def test_what_no_command_line_can_hold_is_refused(tmp_path: Path, name: str, content: str) -> None:
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(CjError, match="holds a NUL"):
        list((sweep.read_commands if name == "p.txt" else sweep.read_points)(path)[1])


def test_an_absent_points_file_and_one_without_rows_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CjError, match="no points file"):
        sweep.read_points(tmp_path / "p.csv")
    (tmp_path / "p.csv").write_text("a\n")
    names, rows = sweep.read_points(tmp_path / "p.csv")
    with pytest.raises(CjError, match="the sweep is empty"):
        sweep.explicit(names, rows, 1)


@pytest.mark.parametrize("repeat", [1, 2])
def test_explicit_points_lie_in_files_of_ten_thousand(tmp_path: Path, repeat: int) -> None:
    rows = [[k, f"ü{k}"] for k in range(20_001)]
    made, files = sweep.explicit(("k", "name"), rows, repeat)
    (tmp_path / "points").mkdir()
    for name, content in files:
        (tmp_path / name).write_bytes(content)
    assert sorted(path.name for path in (tmp_path / "points").iterdir()) == [
        "00000.jsonl",
        "00001.jsonl",
        "00002.jsonl",
    ]
    assert (made.kind, made.explicit, count(made)) == ("points", 20_001, 20_001 * repeat)
    tasks = [1, 10_000 * repeat, 10_000 * repeat + 1, count(made), 5]
    found = list(points(made, tasks, str(tmp_path)))
    assert found == [point(made, task, str(tmp_path)) for task in tasks]
    assert [made.params["k"] for made in found[:4]] == [0, 9_999, 10_000, 20_000]
    for task in (0, count(made) + 1):
        with pytest.raises(IndexError):
            list(points(made, [task], str(tmp_path)))


@pytest.mark.parametrize("content", ["", "7\n", "[1, 2]\n", '{"a": 1}\n', "[1\n", "[" * 100_000 + "\n"])
def test_a_file_of_points_that_lists_no_point_is_refused(tmp_path: Path, content: str) -> None:
    made, _ = sweep.explicit(("k",), [[1]], 1)
    (tmp_path / "points").mkdir()
    (tmp_path / "points" / "00000.jsonl").write_text(content)
    with pytest.raises((ValueError, IndexError, RecursionError)):
        list(points(made, [1], str(tmp_path)))
    with pytest.raises((ValueError, IndexError, RecursionError)):
        point(made, 1, str(tmp_path))


def test_explicit_points_come_from_python_too() -> None:
    made, files = sweep.from_rows([{"a": 1, "b": "x"}, {"b": "y", "a": np.float64(2.5)}], 1)
    assert (made.names, made.explicit) == (("a", "b"), 2)
    assert list(files) == [("points/00000.jsonl", b'[1,"x"]\n[2.5,"y"]\n')]
    with pytest.raises(CjError, match="empty"):
        sweep.from_rows([], 1)


def test_a_large_points_file_is_read_as_it_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("a,b\n" + "1,2\n" * 5 + "ragged\n")
    names, rows = sweep.read_points(tmp_path / "p.csv")
    assert names == ("a", "b")
    assert [next(rows) for _ in range(5)] == [[1, 2]] * 5
    with pytest.raises(CjError, match="line 7"):
        next(rows)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_survives_its_way_through_a_specification(value: float) -> None:
    (found,) = values(repr(value))
    assert found == value
    assert math.copysign(1, found) == math.copysign(1, value)


def test_reading_a_csv_of_points_does_not_import_pyarrow() -> None:
    program = "import sys; from cjledger import sweep; sys.exit('pyarrow' in sys.modules)"
    assert subprocess.run((sys.executable, "-c", program)).returncode == 0


def test_points_files_are_lines_of_json() -> None:
    _, files = sweep.explicit(("a",), [["\u2028\r\n"]], 1)
    ((_, content),) = files
    assert [json.loads(line) for line in io.StringIO(content.decode())] == [["\u2028\r\n"]]


def test_a_range_that_no_package_could_have_is_refused_at_once() -> None:
    for length in (10**12, 10**30):
        with pytest.raises(CjError, match="more values than any package"):
            sweep.from_block({"x": range(length), "y": [1]}, 1)


def test_a_manifest_with_a_range_has_the_format_that_older_readers_refuse() -> None:
    for length, number in ((999, 1), (1000, 2)):
        swept = sweep.from_specs([f"x=1:{length}"], 1)
        raw = json.loads(manifest_to_bytes(manifest_of(Program("script", "a.py"), swept)))
        assert raw["format"] == number
