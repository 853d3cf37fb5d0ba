"""The variables of a program that failed, as text."""

from __future__ import annotations

from typing import Any

import pytest

from cjnode.program import traces


def shown(value: Any) -> str:
    """What is kept of a variable that a failed function held."""
    try:
        raise ValueError("no")
    except ValueError as problem:
        found = traces.lines(problem.__traceback__, [__file__.rpartition("/")[0]])
    (line,) = [line for line in found if line.startswith("    value = ")]
    return line.partition(" = ")[2]


@pytest.mark.parametrize(
    "value",
    [
        [1, (2,), {"a": {3}, "b": frozenset([4])}, b"c", "it's", None, 1.5],
        ((), [], {}, set(), frozenset(), "", (1, 2)),
        bytearray(b"x"),
    ],
    ids=str,
)
def test_a_value_is_shown_as_python_shows_it(value: Any) -> None:
    assert shown(value) == repr(value)


def test_of_a_large_value_only_the_beginning_is_looked_at() -> None:
    class Loud:
        asked = 0

        def __repr__(self) -> str:
            Loud.asked += 1
            return "loud"

    for large in ([Loud()] * 100_000, {"inner": [[Loud()] * 100_000]}, tuple([Loud()] * 100_000)):
        text = shown(large)
        assert len(text) == traces.LONGEST_VALUE
        assert text.endswith("…")
    assert 0 < Loud.asked < 1000
    assert shown("x" * 10**6) == "'" + "x" * (traces.LONGEST_VALUE - 2) + "…"


def test_a_value_that_holds_itself_ends() -> None:
    value: list[Any] = []
    value.append(value)
    assert shown(value) == "[" * traces.DEEPEST + "…" + "]" * traces.DEEPEST
