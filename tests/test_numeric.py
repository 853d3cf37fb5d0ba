from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cjledger.languages.python.names import UncertainError
from cjledger.languages.python.numeric import NpFloat, Vector, arange, array, linspace, numpy_arithmetic

ordinary = st.floats(-1e6, 1e6, allow_nan=False) | st.integers(-1000, 1000)


def same_bits(ours: Sequence[Any], theirs: Any) -> bool:
    return np.array(list(ours), dtype=theirs.dtype).tobytes() == theirs.tobytes() and len(ours) == len(theirs)


@settings(max_examples=400, deadline=None)
@given(ordinary, ordinary, st.floats(1e-3, 1e3) | st.integers(-20, 20))
def test_arange_is_numpys_bit_for_bit(start: float, stop: float, step: float) -> None:
    if step == 0 or abs((stop - start) / step) > 1e4:
        return
    assert same_bits(arange(start, stop, step), np.arange(start, stop, step))


@settings(max_examples=400, deadline=None)
@given(ordinary, ordinary, st.integers(0, 200), st.booleans())
def test_linspace_is_numpys_bit_for_bit(start: float, stop: float, num: int, endpoint: bool) -> None:
    assert same_bits(linspace(start, stop, num, endpoint), np.linspace(start, stop, num, endpoint))


@given(
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1)
    | st.lists(st.floats(-1e9, 1e9) | st.integers(-9, 9))
)
def test_array_is_numpys_bit_for_bit(values: list[Any]) -> None:
    assert same_bits(array(values), np.array(values))


def test_what_numpy_would_do_otherwise_is_left_to_numpy() -> None:
    calls: list[Callable[[], Any]] = [
        lambda: arange(0, 1, 0),
        lambda: arange(0, 2**60, 1.5),
        lambda: linspace(0, 1, 3, dtype=int),
        lambda: array([[1], [2]]),
        lambda: array([1, "a"]),
        lambda: array([2**63]),
    ]
    for call in calls:
        with pytest.raises(UncertainError):
            call()


@given(st.lists(st.floats(-1e9, 1e9), min_size=1), ordinary, st.sampled_from("+-*/"))
def test_arithmetic_of_arrays_is_numpys_bit_for_bit(values: list[float], other: float, operator: str) -> None:
    if other == 0 and operator == "/":
        return
    with np.errstate(over="ignore"):
        theirs = {"+": np.add, "-": np.subtract, "*": np.multiply, "/": np.divide}[operator](
            np.array(values), other
        )
    if not np.isfinite(theirs).all():
        return  # what is at the edge of floating point is not computed here
    ours = numpy_arithmetic(operator, Vector(map(NpFloat, values)), other)
    assert same_bits(ours, theirs)
