"""The values of one axis as they are typed: lists, ranges and a few functions. Nothing is evaluated."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from cjledger.errors import CjError

if TYPE_CHECKING:
    from fractions import Fraction

Scalar = bool | int | float | str | None

LONGEST_AXIS = 2_000_000  # its values are written out in the manifest; two axes make the same grid in a line

EXAMPLE = "--sweep delta=0.1:0.1:0.9"
_NAMES = "name each column, such as delta; in a .csv commas part them"

# Patterns are compiled when they are used: a launch without a sweep waits for none of them.
_NAME = r"[A-Za-z_][A-Za-z0-9_]*\Z"
# A number written with leading zeros (007) is a label: reading it as 7 would lose them.
_INTEGER = r"[+-]?(?:0|[1-9][0-9]*)\Z"
_NUMBER = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?\Z"
_LABEL = r"[+-]?0[0-9]+\Z"
_CALL = r"(?s)([A-Za-z_][A-Za-z0-9_.]*)\s*\((.*)\)\Z"
_WORDS: dict[str, Scalar] = {
    "true": True,
    "True": True,
    "false": False,
    "False": False,
    "null": None,
    "None": None,
}
_NOT_FINITE = frozenset(["nan", "inf", "infinity"])


DISTRIBUTIONS = ("uniform", "loguniform", "normal", "randint", "choice")


def is_sampled(spec: str) -> bool:
    """Whether ``NAME=SPEC`` names a distribution."""
    call = re.match(_CALL, spec.partition("=")[2].strip())
    return call is not None and call[1] in DISTRIBUTIONS


class SpecError(ValueError):
    """What is wrong with a specification, and right ones for the hint."""

    def __init__(self, why: str, *right: str) -> None:
        super().__init__(why)
        self.right = right

    def hint(self, before: str, option: str = "") -> str:
        """The right ones after ``before``; as a shell takes them with ``option``."""
        words = [before + right for right in self.right or ("",)]
        return " or ".join(f"{option} {_shell_word(word)}" if option else word for word in words)


def _shell_word(text: str) -> str:
    """Double quotes around single ones: ``shlex.quote`` writes what nobody can read."""
    return f'"{text}"' if "'" in text and not re.search(r'["$`\\!]', text) else shlex.quote(text)


def check_name(name: str, origin: str) -> None:
    """Refuse a parameter name that could not be ``--name``, ``CJ_PARAM_name`` or a keyword argument."""
    if not re.match(_NAME, name):
        raise CjError(
            f"{origin}: {name!r} is not a parameter name: letters, digits and _ only, no digit first",
            EXAMPLE if origin.startswith("--sweep") else _NAMES,
        )
    if name.startswith("cj_"):
        raise CjError(
            f"{origin}: names that start with cj_ are the tool's own: {name}", f"call it {name[3:] or 'x'}"
        )


def check_names(names: Sequence[str], origin: str) -> None:
    """Refuse names of a sweep that are wrong or given twice."""
    for name in names:
        check_name(name, origin)
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise CjError(
            f"{origin}: {', '.join(twice)} is given twice", "give each parameter one list of values"
        )


def scalar(text: str) -> Scalar:
    """An unquoted word as a value: int, float, true, false, null, else the text. Raises SpecError."""
    if text in _WORDS:
        return _WORDS[text]
    if re.match(_INTEGER, text):
        return _whole(text)
    if re.match(_NUMBER, text) and not re.match(_LABEL, text):
        value = float(text)
        if not math.isfinite(value):
            raise SpecError(f"{text} is too large for a number", f'"{text}"')
        return value
    if text.lstrip("+-").lower() in _NOT_FINITE:
        raise SpecError(f"{text} is not a finite number; quote it if it is a word", f'"{text}"')
    if "\0" in text:
        raise SpecError(f"{text!r} holds a NUL, which no command line can", text.replace("\0", ""))
    return text


def _whole(text: str) -> int:
    if len(text) > 300:  # Python itself refuses 4,300 digits
        raise SpecError(f"{text[:9]}… is too large for a number", "1e300")
    return int(text)


def parse_values(text: str) -> Sequence[Scalar]:
    """All values of a specification, in order; a range alone stays one. Raises SpecError."""
    text = text.strip()
    if text.startswith("[") and text.endswith("]"):
        text = text[1:-1].strip()
    if not text:
        raise SpecError("there is no value", "0.1,0.2")
    values: list[Scalar] = []
    items = list(_items(text))
    for item, quoted in items:
        expanded = [item] if quoted else _expand(item)
        if len(items) == 1:
            return expanded
        values.extend(expanded)
        _check_length(len(values))
    return values


def _check_length(length: int) -> None:
    if length > LONGEST_AXIS:
        raise SpecError(f"{length} values are too many for one parameter", "1:1000")


def _items(text: str) -> Iterator[tuple[str, bool]]:
    """The items between the commas outside quotes and parentheses, and whether each was quoted."""
    at = 0
    while at <= len(text):
        while text[at : at + 1].isspace():
            at += 1
        if text[at : at + 1] in ("'", '"') and at < len(text):
            item, at = _quoted(text, at)
            yield item, True
        else:
            end = _plain_end(text, at)
            item, at = text[at:end].strip(), end
            if not item:
                raise SpecError("a value is missing at a comma", "1,2")
            yield item, False
        if at < len(text) and text[at] != ",":
            raise SpecError(f"there is something between a quote and the comma: {text[at:]!r}", '"a","b"')
        at += 1


def _quoted(text: str, start: int) -> tuple[str, int]:
    mark, at, pieces = text[start], start + 1, []
    while True:
        end = text.find(mark, at)
        if end < 0:
            raise SpecError(f"the quote {mark} is not closed", "'a, b','c'")
        pieces.append(text[at:end])
        if text[end + 1 : end + 2] != mark:  # doubled, it stands for itself
            rest = end + 1
            while text[rest : rest + 1].isspace():
                rest += 1
            return mark.join(pieces), rest
        at = end + 2


def _plain_end(text: str, start: int) -> int:
    depth = 0
    for at in range(start, len(text)):
        depth += (text[at] == "(") - (text[at] == ")")
        if depth < 0 or (text[at] == "," and depth == 0):
            if depth < 0:
                break
            return at
    if depth:
        raise SpecError("a parenthesis has no partner; quote it if it is text", "'f(x'")
    return len(text)


def _expand(item: str) -> Sequence[Scalar]:
    call = re.match(_CALL, item)
    if call:
        return _called(call.group(1), call.group(2))
    parts = [part.strip() for part in item.split(":")]
    numbers = [bool(re.match(_NUMBER, part)) for part in parts]
    if 2 <= len(parts) <= 3 and all(numbers):
        return _colon_range(parts)
    if len(parts) > 1 and any(numbers):
        text = item.replace("'", "''")
        raise SpecError(f"{item} is not a range; quote it if it is text", "0.1:0.1:0.9", f"'{text}'")
    if item.startswith("[") or item.endswith("]"):
        raise SpecError("lists do not nest", "1,2,3")
    return [scalar(item)]


def _colon_range(parts: list[str]) -> Sequence[Scalar]:
    """``start:stop`` or ``start:step:stop``, both ends included, in exact arithmetic."""
    start, stop = _exact(parts[0]), _exact(parts[-1])
    step = _exact(parts[1] if len(parts) == 3 else "1")
    size = parts[1].lstrip("+-") if step and len(parts) == 3 else "1"
    right = f"{parts[0]}:{'-' if stop < start else ''}{size}:{parts[-1]}"
    if step == 0:
        raise SpecError("the step is 0", right)
    steps = math.floor((stop - start) / step)
    if steps < 0:
        raise SpecError("the range is empty: the step leads away from the end", right)
    _check_length(steps + 1)
    if all(re.match(_INTEGER, part) for part in parts):  # a million fractions would take five seconds
        first, pace = int(start), int(step)
        return range(first, first + steps * pace + (1 if pace > 0 else -1), pace)
    # Exact sums, rounded once: 0.1:0.1:0.9 has the 0.3 that a program spells 0.3.
    return [float(start + k * step) for k in range(steps + 1)]


def _exact(text: str) -> Fraction:
    from fractions import Fraction  # it brings decimal, for which every launch would wait

    scalar(text)  # refuses what overflows
    exponent = re.search(r"[eE]([+-]?[0-9]+)\Z", text)
    if exponent and abs(int(exponent.group(1))) > 400:  # its exact form would fill the memory
        return Fraction(float(text))
    return Fraction(text)


def _called(name: str, arguments: str) -> Sequence[Scalar]:
    if name not in _FUNCTIONS:
        known = ", ".join(_FUNCTIONS)
        raise SpecError(f"there is no function {name} here, only {known}; quote text", "linspace(0,1,11)")
    numbers = [part.strip() for part in arguments.split(",")]
    if not all(re.match(_NUMBER, part) for part in numbers):
        raise SpecError(f"the arguments of {name} are numbers", _RIGHT[name])
    return _FUNCTIONS[name](numbers)


def linspace(start: float, stop: float, number: int) -> list[float]:
    """NumPy's ``linspace``, bit for bit: the same operations on doubles in the same order."""
    if number == 1:
        return [0.0 * (stop - start) + start]
    delta = stop - start
    step = delta / (number - 1)
    if step == 0:
        values = [k / (number - 1) * delta + start for k in range(number)]
    else:
        values = [k * step + start for k in range(number)]
    return [*values[:-1], stop]


def _spaced(name: str, numbers: list[str]) -> list[float]:
    if len(numbers) != 3 or not re.match(_INTEGER, numbers[2]) or _whole(numbers[2]) < 1:
        raise SpecError(f"{name} takes a start, a stop and how many values", _RIGHT[name])
    _check_length(int(numbers[2]))
    values = linspace(float(numbers[0]), float(numbers[1]), int(numbers[2]))
    if not all(map(math.isfinite, values)):
        raise SpecError("its values are not all finite numbers", _RIGHT[name])
    return values


def _linspace(numbers: list[str]) -> list[float]:
    return _spaced("linspace", numbers)


def _logspace(numbers: list[str]) -> list[float]:
    try:
        return [math.pow(10.0, exponent) for exponent in _spaced("logspace", numbers)]
    except OverflowError:
        raise SpecError("its values are not all finite numbers", _RIGHT["logspace"]) from None


def _range(numbers: list[str]) -> Sequence[int]:
    if len(numbers) > 3 or not all(re.match(_INTEGER, part) for part in numbers):
        raise SpecError("range takes one to three whole numbers", _RIGHT["range"], "0:0.5:2")
    whole = [_whole(part) for part in numbers]
    if len(whole) == 3 and whole[2] == 0:
        raise SpecError("the step is 0", _RIGHT["range"])
    values = range(*whole)
    if not values:
        raise SpecError("the range is empty", _RIGHT["range"])
    _check_length(len(values))
    return values


_FUNCTIONS: dict[str, Callable[[list[str]], Sequence[Any]]] = {
    "linspace": _linspace,
    "logspace": _logspace,
    "range": _range,
}
_RIGHT = {"linspace": "linspace(0,1,11)", "logspace": "logspace(-3,0,4)", "range": "range(0,10,2)"}
