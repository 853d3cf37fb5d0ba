"""What a function returned, as rows: one JSON object a line."""

import json
import math
from types import GeneratorType
from typing import Any, Dict, List

_WAY_OUT = "return a dict, a list of dicts, a number, a string, None, or a data frame"

# Values of these types are what they are in JSON, but for the numbers that are not finite.
_PLAIN_TYPES = frozenset((str, int, float, bool, type(None)))
_INFINITE = frozenset((math.inf, -math.inf))

# json.dumps makes an encoder for each call; a function's task may take less time than that.
_ENCODE = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode


def rows_of(value: Any) -> List[Dict[str, Any]]:
    """The rows of a function's result. Raises TypeError for what is not tabular."""
    if value is None:
        return []
    if isinstance(value, dict):
        return [_row(value)]
    for method, words in (("to_dicts", ()), ("to_dict", ("records",))):
        if hasattr(value, method) and hasattr(value, "columns"):
            return [_row(row) for row in getattr(value, method)(*words)]
    if isinstance(value, (list, tuple, GeneratorType)):
        rows = list(value)
        strange = [row for row in rows if not isinstance(row, dict)]
        if strange:
            raise TypeError(
                "the function returned a %s holding %s; %s" % (type(value).__name__, _a(strange[0]), _WAY_OUT)
            )
        return [_row(row) for row in rows]
    plain = _plain(value, "the function returned")
    if isinstance(plain, list):
        raise TypeError("the function returned %s; %s" % (_a(value), _WAY_OUT))
    return [{"value": plain}]


def rows_to_bytes(rows: List[Dict[str, Any]]) -> bytes:
    """Rows as JSON lines; numbers that are not finite as the strings that the formats name."""
    lines = [_ENCODE(row) + "\n" for row in rows]
    try:
        return "".join(lines).encode("utf-8")
    except UnicodeEncodeError:  # half a surrogate pair, as file names can hold
        return "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows).encode("ascii")


def _row(row: Dict[Any, Any]) -> Dict[str, Any]:
    for key, value in row.items():
        if type(key) is not str or type(value) not in _PLAIN_TYPES or value != value or value in _INFINITE:
            break
    else:
        return row
    return {_key(key): _plain(value, "the function returned, in %r," % (key,)) for key, value in row.items()}


def _key(key: Any) -> str:
    if not isinstance(key, str):
        raise TypeError("the function returned a dict with the key %r; keys are strings" % (key,))
    return str.__str__(key)


def _plain(value: Any, where: str) -> Any:
    """A JSON value; NumPy's, pandas' and tensors' numbers and arrays become plain ones."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return _number(float(value))
    if isinstance(value, dict):
        return {_key(key): _plain(item, where) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, where) for item in value]
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if hasattr(value, "tolist"):
        plain = value.tolist()
        if type(plain) is not type(value):
            return _plain(plain, where)
    raise TypeError("%s %s; %s" % (where, _a(value), _WAY_OUT))


def _number(value: float) -> Any:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return value


def _a(value: Any) -> str:
    kind = type(value)
    return "a %s" % (
        kind.__name__ if kind.__module__ == "builtins" else kind.__module__ + "." + kind.__name__
    )
