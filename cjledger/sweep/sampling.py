"""Sampled points: distributions in the place of values, and how the samples are spread over them."""

from __future__ import annotations

import hashlib
import importlib
import itertools
import math
import random
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from statistics import NormalDist
from typing import Any, NamedTuple

from cjledger.errors import CjError
from cjledger.model import Sweep
from cjledger.sweep.blocks import values_of
from cjledger.sweep.spec import Scalar, SpecError, check_names, parse_values
from cjledger.sweep.table import explicit

DESIGNS = ("random", "lhs", "sobol")
EXAMPLE = "--sweep 'rate=loguniform(1e-4,1e-1)' --samples 100"

_CALL = r"(?s)\s*([a-z]+)\s*\((.*)\)\s*\Z"
_STEPS = 2**53  # a draw from [0, 1) has so many values
_INSIDE = 1 / _STEPS  # a normal variable has no value at 0 or 1


class _Axis(NamedTuple):
    name: str
    draw: Callable[[float], Scalar] | None  # from [0, 1); None for an axis of values
    values: Sequence[Scalar]


def from_samples(
    axes: Sequence[str | tuple[str, Any]], samples: int, design: str, seed: int, repeat: int
) -> tuple[Sweep, list[tuple[str, bytes]]]:
    """The product of the axes with values, and at each of its points the same ``samples`` draws.

    An axis is ``NAME=SPEC``, or from Python a name and its specification or values.
    The draws depend on ``seed``, ``samples``, ``design`` and the distributions alone. ``random`` draws
    independently; ``lhs`` is a Latin hypercube, ``sobol`` a scrambled Sobol' sequence, both by
    scipy.stats.qmc. Returns the sweep and its files below ``.cj``.
    """
    if samples < 1:
        raise CjError(f"--samples {samples}: there is nothing to run", EXAMPLE)
    if design not in DESIGNS:
        raise CjError(f"there is no design {design}", f"--design {' or '.join(DESIGNS)}")
    listed = [_axis(axis) if isinstance(axis, str) else _given(*axis) for axis in axes]
    names = [axis.name for axis in listed]
    check_names(names, "--sweep")
    drawn = [axis for axis in listed if axis.draw]
    rows = [_draw(drawn, row) for row in _unit(len(drawn), samples, design, seed)]
    sweep, files = explicit(names, _rows(listed, rows), repeat)
    return sweep, list(files)


def _rows(axes: Sequence[_Axis], drawn: Sequence[Sequence[Scalar]]) -> Iterator[list[Scalar]]:
    for point in itertools.product(*(axis.values for axis in axes if not axis.draw)):
        for row in drawn:
            given, sampled = iter(point), iter(row)
            yield [next(sampled) if axis.draw else next(given) for axis in axes]


def _draw(axes: Sequence[_Axis], row: Sequence[float]) -> list[Scalar]:
    return [axis.draw(u) for axis, u in zip(axes, row, strict=True) if axis.draw]


def _unit(dimensions: int, samples: int, design: str, seed: int) -> list[list[float]]:
    """Points of the unit cube, (samples, dimensions)."""
    digest = hashlib.sha256(f"cj-sample-1:{seed}".encode()).digest()
    own = int.from_bytes(digest[:8])
    if design == "random":
        generator = random.Random(own)
        return [[generator.random() for _ in range(dimensions)] for _ in range(samples)]
    try:
        # Here, and not above: it takes half a second, which other launches need not wait for.
        qmc = importlib.import_module("scipy.stats.qmc")
    except ImportError:
        raise CjError(f"--design {design} needs scipy", "pip install scipy, or --design random") from None
    sampler = {"lhs": qmc.LatinHypercube, "sobol": qmc.Sobol}[design](d=dimensions, rng=own)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that Sobol' points are balanced for powers of two only
        drawn: list[list[float]] = sampler.random(samples).tolist()
    return drawn


def _axis(spec: str) -> _Axis:
    name, equals, text = spec.partition("=")
    name = name.strip()
    if not equals:
        raise CjError(f"--sweep {spec}: there is no =", EXAMPLE)
    try:
        call = re.match(_CALL, text)
        if call and call[1] in _DISTRIBUTIONS:
            return _Axis(name, _DISTRIBUTIONS[call[1]](parse_values(call[2])), [])
        return _Axis(name, None, parse_values(text))
    except SpecError as problem:
        raise CjError(f"--sweep {spec}: {problem}", problem.hint(f"{name}=", "--sweep")) from problem


def _given(name: Any, value: Any) -> _Axis:
    if isinstance(value, str):
        return _axis(f"{name}={value}")
    return _Axis(str(name), None, values_of(value, f"sweep: {name}"))


def _two(name: str, given: Sequence[Scalar], right: str) -> tuple[float, float]:
    numbers = [value for value in given if isinstance(value, int | float) and not isinstance(value, bool)]
    if len(given) != 2 or len(numbers) != 2:
        raise SpecError(f"{name} takes two numbers", right)
    return numbers[0], numbers[1]


def _uniform(given: Sequence[Scalar]) -> Callable[[float], Scalar]:
    low, high = _bounds("uniform", given, "uniform(0,1)")
    return lambda u: low + u * (high - low)


def _loguniform(given: Sequence[Scalar]) -> Callable[[float], Scalar]:
    low, high = _bounds("loguniform", given, "loguniform(1e-4,1e-1)")
    if low <= 0:
        raise SpecError("the logarithm of its bounds must exist: both above 0", "loguniform(1e-4,1e-1)")
    return lambda u: math.exp(math.log(low) + u * (math.log(high) - math.log(low)))


def _bounds(name: str, given: Sequence[Scalar], right: str) -> tuple[float, float]:
    low, high = _two(name, given, right)
    if not low < high or not math.isfinite(float(high) - float(low)):
        raise SpecError(f"{name} takes a lower and a higher bound", right)
    return low, high


def _normal(given: Sequence[Scalar]) -> Callable[[float], Scalar]:
    mean, deviation = _two("normal", given, "normal(0,1)")
    if deviation <= 0:
        raise SpecError("the standard deviation must be above 0", "normal(0,1)")
    inverse = NormalDist(float(mean), float(deviation)).inv_cdf
    return lambda u: inverse(min(max(u, _INSIDE), 1 - _INSIDE))


def _randint(given: Sequence[Scalar]) -> Callable[[float], Scalar]:
    low, high = _two("randint", given, "randint(1,6)")
    if not isinstance(low, int) or not isinstance(high, int) or low > high:
        raise SpecError("randint takes the lowest and the highest whole number", "randint(1,6)")
    if high - low >= _STEPS:
        raise SpecError("randint draws from at most 2**53 numbers", "uniform(0,1e18)")
    first, count = low, high - low + 1
    return lambda u: first + min(int(u * count), count - 1)


def _choice(given: Sequence[Scalar]) -> Callable[[float], Scalar]:
    values = list(given)
    return lambda u: values[min(int(u * len(values)), len(values) - 1)]


_DISTRIBUTIONS: dict[str, Callable[[Sequence[Scalar]], Callable[[float], Scalar]]] = {
    "uniform": _uniform,
    "loguniform": _loguniform,
    "normal": _normal,
    "randint": _randint,
    "choice": _choice,
}
