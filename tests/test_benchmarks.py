"""The report of the benchmarks says what was measured."""

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

PATH = Path(__file__).parent.parent / "benchmarks" / "run.py"


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Any:
    specification = importlib.util.spec_from_file_location("benchmarks_run", PATH)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    monkeypatch.setitem(sys.modules, "benchmarks_run", module)
    specification.loader.exec_module(module)
    return module


def test_a_figure_meets_or_misses_its_limit_or_is_stated(run: Any) -> None:
    output = """noise
{"name": "a", "value": 2.0, "limit": 3.0}
{"name": "b", "value": 3.5, "limit": 3.0, "detail": "7 s against 2 s"}
{"name": "c", "value": 140, "unit": "tasks/s", "sense": "at least", "limit": 150}
{"name": "d", "value": 900, "unit": "MB"}
"""
    found = run.figures("launch", output)
    assert [figure.verdict for figure in found] == ["met", "MISSED", "MISSED", "stated"]
    assert "| launch | b | 3.5 times | at most 3 | MISSED | 7 s against 2 s |" in run.table(found, [])
    assert "| launch | d | 900 MB |  | stated |  |" in run.table(found, [])


def test_the_report_names_what_did_not_finish(run: Any) -> None:
    text = run.report([], ["harvest"], {"git": "2.39.5"}, [])
    assert "- git: 2.39.5" in text
    assert "Did not finish: harvest." in text


def test_a_report_of_some_benchmarks_keeps_the_others_rows(run: Any) -> None:
    before = run.report(run.figures("tasks", '{"name": "old", "value": 1.0}'), [], {}, [])
    before = run.report(run.figures("launch", '{"name": "a", "value": 9.0}'), [], {}, run.rows(before, set()))
    kept = run.rows(before, {"launch"})
    after = run.report(run.figures("launch", '{"name": "a", "value": 2.0}'), [], {}, kept)
    assert [line.split(" | ")[2] for line in after.splitlines() if line.startswith("| ")][1:] == [
        "2 times",
        "1 times",
    ]
