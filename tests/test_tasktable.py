"""The table of a package's tasks at the width of a terminal."""

from __future__ import annotations

from typing import Any

from cjledger.cli.tasktable import task_table
from cjledger.commands.descriptions import TaskState


def _task(number: int, params: dict[str, Any], state: str = "COMPLETED", **more: Any) -> TaskState:
    moment = "2026-01-31T12:00:00Z"
    code = int(state != "COMPLETED")
    return TaskState(number, 1, state, "7_1", code, moment, moment, "n1", 17.0, params=params, **more)


def test_parameters_stand_before_the_words_of_an_error() -> None:
    params = [{"learning_rate": 0.001, "momentum": k / 10, "layers": k} for k in range(3)]
    tasks = [_task(k, each) for k, each in enumerate(params, 1)]
    tasks[2] = _task(3, params[2], "FAILED", error="ValueError: the matrix is singular " * 9)
    lines = task_table(tasks, 80, False).splitlines()
    assert "parameters that differ" in lines[0]
    assert [line.split()[6:8] for line in lines[1:]] == [
        [f"momentum={k / 10:g}", f"layers={k}"] for k in range(3)
    ]
    assert "ValueError: " in lines[3]
    assert max(map(len, lines)) <= 80


def test_of_long_parameters_the_values_are_there() -> None:
    params = [{"learning_rate": 0.001, "weight_decay": k, "batch_size": 32 + k} for k in range(9)]
    tasks = [_task(k, each | {"learning_rate": k}) for k, each in enumerate(params, 1)]
    lines = task_table(
        [*tasks, _task(10, params[0] | {"learning_rate": 7}, "FAILED", error="x" * 99)], 80, False
    ).splitlines()
    assert "learnin…=1 weight_…=0 batch_s…=32" in lines[1]
    assert "learnin…=7 weight_…=0 batch_s…=32  xxxxxxxxxxx" in lines[-1]


def test_parameters_that_fit_and_those_of_one_task_are_all_there() -> None:
    few = [_task(1, {"a": 1, "b": 1}), _task(2, {"a": 1, "b": 2}, "FAILED", error="x" * 200)]
    assert "a=1 b=2     xxx" in task_table(few, 80, False)
    fitting = {"learning_rate": 0.001, "momentum": 0.5, "seed": 1}
    assert "learning_rate=0.001 momentum=0.5 seed=1" in task_table([_task(1, fitting)] * 2, 80, False)
    assert "momentum=0.5" in task_table([_task(1, fitting), _task(2, fitting | {"seed": 2})], 80, False)
    one = [_task(1, {f"n_{k}": k for k in range(6)}, "FAILED", error="x" * 200)]
    assert "n_0=0 n_1=1 n_2=2 n_3=3" in task_table(one, 80, False)


def test_what_a_task_that_completed_has_to_say_is_no_error() -> None:
    note = _task(1, {}, note="2 processes left behind were ended")
    wrong = _task(2, {}, "FAILED", error="no")
    assert task_table([note], 80, False).splitlines()[0].endswith("note")
    assert task_table([wrong], 80, False).splitlines()[0].endswith("error")
    assert task_table([note, wrong], 80, False).splitlines()[0].endswith("error or note")
