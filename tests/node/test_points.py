"""Points by number, and task numbers as people write them, in every interpreter of the node half."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cjnode.package.points import (
    count,
    format_tasks,
    parse_tasks,
    points,
    sweep_from_json,
    sweep_to_json,
)

from .conftest import HOOKS


@given(st.sets(st.integers(1, 60)).map(sorted).filter(bool))
def test_task_numbers_survive_their_text(tasks: list[int]) -> None:
    assert list(parse_tasks(format_tasks(tasks))) == tasks


@pytest.mark.parametrize(
    ("text", "tasks"), [("7", [7]), ("3, 5-6", [3, 5, 6]), ("5-6,1,5", [1, 5, 6]), (" 2 - 3 ", [2, 3])]
)
def test_task_numbers_are_read_ascending_each_once(text: str, tasks: list[int]) -> None:
    assert list(parse_tasks(text)) == tasks


@pytest.mark.parametrize("text", ["", "0", "-3", "3-", "5-4", "a", "1,,2", "1-2-3", "+1", "1_0", "٣"])
def test_what_are_no_task_numbers_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a range of tasks"):
        parse_tasks(text)


def test_a_range_beyond_any_package_is_refused_before_it_is_made() -> None:
    with pytest.raises(ValueError, match="no package has a task"):
        parse_tasks("1-100000000000")


PROGRAM = """
import json
from cjnode.package.points import *
axis = lambda name, n: {"names": [name], "values": [[k] for k in range(n)]}
sweep = sweep_from_json({
    "kind": "grid",
    "blocks": [{"axes": [axis("a", 3), axis("b", 2)]}, {"axes": [axis("c", 2)]}],
    "removed": [0, 5], "names": ["a", "b", "c"], "explicit": 0, "repeat": 2, "loops": None,
})
print(json.dumps([p.params for p in points(sweep, range(1, count(sweep) + 1), "")]))
"""


def test_every_interpreter_gives_the_same_points(node_python: str) -> None:
    out = subprocess.run(
        (node_python, "-c", PROGRAM),
        check=True,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": str(HOOKS)},
    ).stdout
    grid = [{"a": a, "b": b} for a in range(3) for b in range(2)][1:5]
    union = [*grid, {"c": 0}, {"c": 1}]
    assert json.loads(out) == [{**one, "cj_repeat": r} for one in union for r in (1, 2)]


def progression(first: int, step: int, many: int) -> list[int]:
    return [first + step * k for k in range(many)]


VALUES = st.one_of(
    st.builds(progression, st.integers(-9, 9), st.integers(-9, 9), st.integers(2, 9)),
    st.lists(st.floats(), min_size=2, max_size=9),
    st.lists(st.one_of(st.integers(), st.floats(), st.booleans(), st.text()), min_size=2, max_size=9),
)


@given(VALUES, st.booleans())
def test_long_axes_in_little_memory_have_the_same_values(values: list[object], paired: bool) -> None:
    names = ["x", "y"] if paired else ["x"]
    axis = {"names": names, "values": [[value] * len(names) for value in values]}
    data: dict[str, Any] = {"kind": "grid", "blocks": [{"axes": [axis]}], "removed": [], "names": names}
    data |= {"explicit": 0, "repeat": 1, "loops": None}
    sweep = sweep_from_json(data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cjnode.package.axes.LONG_AXIS", 2)
        small = sweep_from_json(data)
        again = sweep_from_json(json.loads(json.dumps(sweep_to_json(small))))
    tasks = range(1, count(sweep) + 1)
    assert repr([point.params for point in points(small, tasks, "")]) == repr(
        [point.params for point in points(sweep, tasks, "")]
    )
    assert again == small or "nan" in repr(values)


@pytest.mark.parametrize(
    "given",
    [[0, 0, 1000], [0, 1, 0], [0, 1, -1], [0, 1, 10**30], [0.5, 1, 1000], [True, 1, 1000], [0, 1], None],
)
def test_a_range_made_by_hand_is_refused(given: object) -> None:
    data = {"kind": "grid", "blocks": [{"axes": [{"names": ["x"], "range": given}]}], "removed": []}
    with pytest.raises((TypeError, ValueError)):
        sweep_from_json({**data, "names": ["x"], "explicit": 0, "repeat": 1, "loops": None})
