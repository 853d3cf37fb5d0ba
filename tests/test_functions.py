from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from cjledger.model import Program
from cjnode.program.rows import rows_of, rows_to_bytes
from tests.package_kit import PYTHONS, SINGLE, by_hand, forked, grid, package_in

FUNCTION = """\
import random, os
print("loading", random.random())
def fit(x, y=2, **more):
    print("fitting", random.random())
    return [{"sum": x + y, "more": sorted(more)}, {"sum": float("nan"), "at": os.getcwd()}]
def strict(x): return x
def wrong(x): return object()
def boom(x):
    raise ValueError("no fit")
"""


@pytest.mark.parametrize("python", PYTHONS)
def test_a_function_gets_keyword_arguments_and_its_rows_come_back(python: str, tmp_path: Path) -> None:
    program = Program("function", "sub/model.py", function="fit", workdir="sub")
    package, _ = package_in(tmp_path, program, grid(x=(1, 2), z=("a",)), FUNCTION)
    done = by_hand(package, "--rows", str(tmp_path / "rows"), "2", python=python)
    assert (done.returncode, done.stderr) == (0, "")
    rows = (tmp_path / "rows").read_text()
    assert rows == f'{{"sum": 4, "more": ["z"]}}\n{{"sum": "NaN", "at": "{tmp_path}/sub"}}\n'
    code, out, _, lines = forked(package, 2, tmp_path)
    assert (code, lines.decode(), out) == (0, rows, done.stdout)


def test_a_function_that_does_not_fit_says_why(tmp_path: Path) -> None:
    def words(function: str) -> list[str]:
        program = Program("function", "model.py", function=function)
        package, _ = package_in(tmp_path, program, grid(x=(1,), z=("a",)), FUNCTION)
        return by_hand(package, "1").stderr.splitlines()

    assert words("strict") == [
        "TypeError: strict() does not accept what the sweep gives (x, z): "
        "got an unexpected keyword argument 'z'"
    ]
    assert "has no attribute 'nothing'" in words("nothing")[-1]


def test_what_a_function_raises_or_cannot_return_is_told(tmp_path: Path) -> None:
    for function, last in (
        ("boom", "ValueError: no fit"),
        (
            "wrong",
            "TypeError: the function returned a object; return a dict, a list of dicts, a number, "
            "a string, None, or a data frame",
        ),
    ):
        program = Program("function", "model.py", function=function)
        package, _ = package_in(tmp_path, program, grid(x=(1,)), FUNCTION)
        done = by_hand(package, "1")
        assert (done.returncode, done.stderr.splitlines()[-1]) == (1, last)


def test_a_function_of_a_package_may_import_its_neighbours(tmp_path: Path) -> None:
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab/__init__.py").write_text("")
    (tmp_path / "lab/sizes.py").write_text("N = 5\n")
    program = Program("function", "lab/model.py", function="fit")
    text = "from . import sizes\ndef fit():\n    return sizes.N\n"
    package, _ = package_in(tmp_path, program, SINGLE, text)
    assert by_hand(package, "1").stdout == '{"value": 5}\n'


def test_replicates_reach_the_environment_but_not_the_function(tmp_path: Path) -> None:
    program = Program("function", "model.py", function="strict")
    package, _ = package_in(tmp_path, program, grid(x=(1, 2))._replace(repeat=2), FUNCTION)
    assert by_hand(package, "4").stdout.splitlines()[-1] == '{"value": 2}'


def test_rows_are_made_of_what_researchers_return() -> None:
    assert rows_of(None) == []
    assert rows_of(3) == [{"value": 3}]
    assert rows_of("word") == [{"value": "word"}]
    assert rows_of(np.float32(0.5)) == [{"value": 0.5}]
    assert rows_of(np.array(2)) == [{"value": 2}]
    assert rows_of({"a": np.arange(3), "b": np.bool_(True), "c": None}) == [
        {"a": [0, 1, 2], "b": True, "c": None}
    ]
    assert rows_of({"k": k} for k in range(2)) == [{"k": 0}, {"k": 1}]
    assert rows_of(pd.DataFrame({"a": [1, 2], "b": [0.5, math.nan]})) == [
        {"a": 1, "b": 0.5},
        {"a": 2, "b": "NaN"},
    ]
    assert rows_of(pl.DataFrame({"a": [1, 2], "b": ["x", None]})) == [{"a": 1, "b": "x"}, {"a": 2, "b": None}]
    assert rows_of({"when": pd.Timestamp("2026-01-01"), "far": -math.inf}) == [
        {"when": "2026-01-01T00:00:00", "far": "-Infinity"}
    ]
    assert rows_to_bytes([{"ä": "\ud800"}]) == b'{"\\u00e4": "\\ud800"}\n'


def test_what_is_no_row_is_refused_in_words() -> None:
    values: list[Any] = [[1, 2], np.arange(3), object(), {1: 2}, b"bytes", {"a": {1, 2}}, 1j]
    for value in values:
        with pytest.raises(TypeError, match="the function returned"):
            rows_of(value)
