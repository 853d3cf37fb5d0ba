"""NumPy's ranges in plain Python, bit for bit, so that counting tasks needs no NumPy.

The formulas are those of NumPy's ``arange`` (its C code fills ``start + i * delta``, ``delta`` being the
difference of the first two elements) and of ``numpy/_core/function_base.py``. ``logspace`` and ``geomspace``
are not here: NumPy's power has its own last bits on processors with AVX-512 (5 % of the values differ).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from cjledger.languages.python.names import UncertainError

LONGEST = 2_000_000  # elements that are worth writing out here
_EXACT = 2**53
_INT64 = range(-(2**63), 2**63)


class NpInt(int):
    """Stands for a ``numpy.int64``."""


class NpFloat(float):
    """Stands for a ``numpy.float64``."""


class Vector(tuple[Any, ...]):
    """Stands for a one-dimensional array of NpInt, NpFloat, bool or str."""


def arange(*arguments: Any, **words: Any) -> Vector:
    """``numpy.arange`` of plain numbers."""
    given = dict(zip(("start", "stop", "step"), arguments, strict=False))
    if set(words) - {"start", "stop", "step"} or set(words) & set(given):
        raise UncertainError("arange with dtype")
    given.update(words)
    if "stop" not in given:
        given = {"start": 0, "stop": given.get("start"), **{k: v for k, v in given.items() if k == "step"}}
    start, stop, step = given["start"], given["stop"], given.get("step", 1)
    _numbers(start, stop, step)
    if step == 0:
        raise UncertainError("arange with step 0")
    if all(isinstance(each, int) for each in (start, stop, step)):
        return Vector(NpInt(each) for each in _short(range(start, stop, step)))
    width = (stop - start) / step
    if not math.isfinite(width) or (width == 0 and stop != start):
        raise UncertainError("arange at the edge of floating point")
    length = math.ceil(width)
    if length <= 0:
        return Vector()
    first, second = float(start), float(start + step)
    delta = second - first
    rest = (NpFloat(first + i * delta) for i in range(2, len(_short(range(length)))))
    return _finite(Vector((NpFloat(first), NpFloat(second), *rest)[:length]))


def linspace(start: Any, stop: Any, num: Any = 50, endpoint: Any = True, **words: Any) -> Vector:
    """``numpy.linspace`` of plain numbers."""
    _numbers(start, stop)
    if words or type(endpoint) is not bool or isinstance(num, bool) or not isinstance(num, int) or num < 0:
        raise UncertainError("linspace with other arguments than start, stop, num, endpoint")
    first, last = start * 1.0, stop * 1.0
    delta = last - first
    div = num - 1 if endpoint else num
    step = delta / div if div > 0 else math.nan
    values: list[float] = []
    for i in range(len(_short(range(num)))):
        scaled = i * delta if div <= 0 else float(i) / div * delta if step == 0 else i * step
        values.append(scaled + first)
    if endpoint and num > 1:
        values[-1] = last
    return _finite(Vector(NpFloat(value) for value in values))


def array(values: Any, **words: Any) -> Vector:
    """``numpy.array`` of a list of plain numbers or strings."""
    if words or not isinstance(values, (list, tuple, range)):
        raise UncertainError("array of something else than a list of numbers")
    elements = list(_short(values))
    if isinstance(values, Vector):
        return values
    kinds = {type(each) for each in elements}
    if kinds == {bool} or kinds == {str}:
        return Vector(elements)
    if elements and kinds <= {int, NpInt} and all(each in _INT64 for each in elements):
        return Vector(NpInt(each) for each in elements)
    if kinds <= {int, float, NpInt, NpFloat} and all(
        abs(each) <= _EXACT for each in elements if each == each
    ):
        return Vector(NpFloat(each) for each in elements)
    raise UncertainError("array of something else than numbers of one kind")


ARRAYS: dict[str, Callable[..., Vector]] = {
    "arange": arange,
    "linspace": linspace,
    "array": array,
    "asarray": array,
}


def numpy_arithmetic(operator: str, left: Any, right: Any) -> Any:
    """``+ - * /`` of NumPy's stand-ins with plain numbers, where it is what Python's floats give."""
    if isinstance(left, Vector) and not isinstance(right, Vector):
        return Vector(numpy_arithmetic(operator, each, right) for each in left)
    if isinstance(right, Vector) and not isinstance(left, Vector):
        return Vector(numpy_arithmetic(operator, left, each) for each in right)
    for each in (left, right):
        if isinstance(each, bool) or not isinstance(each, (int, float)):
            raise UncertainError("arithmetic of arrays")
    integers = isinstance(left, int) and isinstance(right, int)
    if operator == "/" and right == 0:
        raise UncertainError("division by zero")
    result = {"+": lambda: left + right, "-": lambda: left - right, "*": lambda: left * right}.get(
        operator, lambda: left / right
    )()
    if operator not in "+-*/" or ((not integers or operator == "/") and _wide(left, right)):
        raise UncertainError("arithmetic of arrays")
    if integers and operator != "/":
        if result not in _INT64:
            raise UncertainError("arithmetic that overflows")
        return NpInt(result)
    if not math.isfinite(result):
        raise UncertainError("arithmetic at the edge of floating point")
    return NpFloat(result)


def _wide(*numbers: Any) -> bool:
    return any(isinstance(each, int) and abs(each) > _EXACT for each in numbers)


def _numbers(*values: Any) -> None:
    for value in values:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or abs(value) > _EXACT:
            raise UncertainError("a range of something else than ordinary numbers")
        if not math.isfinite(value):
            raise UncertainError("a range that is not finite")


def _short(values: Any) -> Any:
    if len(values) > LONGEST:
        raise UncertainError("a long range")
    return values


def _finite(values: Vector) -> Vector:
    if not all(map(math.isfinite, values)):
        raise UncertainError("a range that is not finite")
    return values
