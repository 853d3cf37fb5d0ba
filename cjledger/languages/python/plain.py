"""Python's own operators and functions that a nest's iterables may use, with bounds on their size."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from cjledger.languages.python.names import UncertainError
from cjledger.languages.python.numeric import LONGEST, NpFloat, NpInt, Vector, numpy_arithmetic

_HUGE = 10**18


class OneShot(list[Any]):
    """What an iterator would give; it can be gone through once only."""


def arithmetic(operator: str, left: Any, right: Any) -> Any:
    """The result of a binary operator on literals."""
    if any(isinstance(each, (Vector, NpInt, NpFloat)) for each in (left, right)):
        return numpy_arithmetic(operator, left, right)
    numbers = all(type(each) in (int, float, bool) for each in (left, right))
    if not numbers:
        if operator == "+" and type(left) is type(right) and type(left) in (list, tuple, str):
            return left + right
        if operator == "*" and {type(left), type(right)} in ({list, int}, {tuple, int}, {str, int}):
            count = left if isinstance(left, int) else right
            if count <= LONGEST:
                return left * right
        raise UncertainError(f"{operator} of {type(left).__name__} and {type(right).__name__}")
    if max(abs(left), abs(right)) > _HUGE or (operator == "**" and max(abs(left), abs(right)) > 1000):
        raise UncertainError("arithmetic of huge numbers")
    operations: dict[str, Callable[[], Any]] = {
        "+": lambda: left + right,
        "-": lambda: left - right,
        "*": lambda: left * right,
        "/": lambda: left / right,
        "//": lambda: left // right,
        "%": lambda: left % right,
        "**": lambda: left**right,
    }
    return operations[operator]()


def _listed(values: Any) -> list[Any]:
    if not isinstance(values, (list, tuple, str, range)) or len(values) > LONGEST:
        raise UncertainError("something else than a list of moderate length")
    return list(values)


def _sequence(values: Any) -> Any:
    if isinstance(values, OneShot) or not isinstance(values, (list, tuple, str, range)):
        raise UncertainError("the length of something without one")
    return values


def _plain(*values: Any) -> None:
    if not all(type(value) in (int, float, bool, str, NpInt, NpFloat) for value in values):
        raise UncertainError("a conversion of something else than a number")


def _range(*arguments: Any) -> range:
    if any(isinstance(each, float) for each in arguments):
        raise UncertainError("range of a fraction")
    return range(*map(int, arguments))


def product(*iterables: Any, repeat: int = 1) -> OneShot:
    """``itertools.product``."""
    lists = [_listed(each) for each in iterables] * repeat
    size = 1
    for each in lists:
        size *= len(each)
    if size > LONGEST:
        raise UncertainError("a product of more than moderate length")
    return OneShot(itertools.product(*lists))


def _sorted(values: Any, reverse: bool = False) -> list[Any]:
    return sorted(_listed(values), reverse=reverse)


def _int(value: Any = 0) -> int:
    _plain(value)
    return int(value)


def _float(value: Any = 0.0) -> float:
    _plain(value)
    return float(value)


BUILTINS: dict[str, Callable[..., Any]] = {
    "range": _range,
    "len": lambda values: len(_sequence(values)),
    "enumerate": lambda values, start=0: OneShot(enumerate(_listed(values), start)),
    "zip": lambda *values, strict=False: OneShot(zip(*map(_listed, values), strict=strict)),
    "reversed": lambda values: OneShot(reversed(_listed(_sequence(values)))),
    "sorted": _sorted,
    "list": lambda values=(): _listed(values),
    "tuple": lambda values=(): tuple(_listed(values)),
    "int": _int,
    "float": _float,
}
