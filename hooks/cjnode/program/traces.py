"""What the program's variables held when it failed, frame by frame, as text."""

import os
from types import FrameType, TracebackType
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

MOST_FRAMES = 20
MOST_NAMES = 30
LONGEST_VALUE = 300
DEEPEST = 10

_AROUND: Dict[type, Tuple[str, str]] = {
    list: ("[", "]"),
    tuple: ("(", ")"),
    dict: ("{", "}"),
    set: ("{", "}"),
    frozenset: ("frozenset({", "})"),
}


def lines(trace: Optional[TracebackType], tops: Sequence[str]) -> List[str]:
    """The frames of files below ``tops``, the innermost last: where, then a line a variable."""
    frames = []
    while trace is not None:
        place = _place(trace.tb_frame.f_code.co_filename, tops)
        if place:
            frames.append((place, trace.tb_lineno, trace.tb_frame))
        trace = trace.tb_next
    found: List[str] = []
    for place, line, frame in frames[-MOST_FRAMES:]:
        found.append("%s, line %d, in %s" % (place, line, frame.f_code.co_name))
        found += _variables(frame)
    return found


def _place(name: str, tops: Sequence[str]) -> str:
    """A file of the program's, relative to the top it lies below; empty for any other."""
    for top in tops:
        path = os.path.relpath(name, top) if name.startswith(top + os.sep) else ""
        if path and not path.startswith(".cj" + os.sep):
            return path
    return ""


def _variables(frame: FrameType) -> Iterator[str]:
    # A module's own names begin with what Python puts there; functions and modules tell nothing.
    names = [name for name, value in frame.f_locals.items() if not name.startswith("__") and _tells(value)]
    for name in names[:MOST_NAMES]:
        yield "    %s = %s" % (name, _shown(frame.f_locals[name]))
    if len(names) > MOST_NAMES:
        yield "    … and %d more" % (len(names) - MOST_NAMES)


def _tells(value: object) -> bool:
    return type(value).__name__ not in ("module", "function", "builtin_function_or_method", "type")


def _shown(value: object) -> str:
    text, is_whole = "", True
    try:
        for piece in _pieces(value, DEEPEST):
            text += piece
            if len(text) > LONGEST_VALUE:
                is_whole = False  # of millions of elements the rest is not looked at
                break
    except BaseException as problem:  # a repr may raise anything, and the failure has been reported
        return "<repr failed: %s>" % type(problem).__name__
    text = " ".join(text.split())
    return text if is_whole and len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 1] + "…"


def _pieces(value: Any, depth: int) -> Iterator[str]:
    """What ``repr`` says of a value, of the large built-in ones piece by piece."""
    kind = type(value)
    if kind in (str, bytes, bytearray):
        yield repr(value[:LONGEST_VALUE])
    elif kind not in _AROUND or not value:
        yield repr(value)
    elif depth == 0:
        yield "…"
    else:
        before, after = _AROUND[kind]
        yield before
        for number, item in enumerate(value):
            yield ", " if number else ""
            yield from _pieces(item, depth - 1)
            if kind is dict:
                yield ": "
                yield from _pieces(value[item], depth - 1)
        yield "," + after if kind is tuple and len(value) == 1 else after
