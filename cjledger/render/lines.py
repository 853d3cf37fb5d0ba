"""Single lines: a package's state, progress, and JSON."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from pathlib import PurePath
from typing import Any

from cjledger.quantities import not_finite
from cjledger.render.figures import duration
from cjledger.render.plain import UNSAFE, plain
from cjledger.render.widths import NAME, columns_of, fit

# The order people care about: what ended well, what did not, what goes on.
_ORDER = (
    "COMPLETED FAILED TIMEOUT OUT_OF_MEMORY NODE_FAIL LOST CANCELLED RUNNING PENDING WAITING HELD".split()  # noqa: SIM905
)
_COLOURS = {
    "COMPLETED": "32",
    "RUNNING": "36",
    "PENDING": "33",
    "WAITING": "33",
    "HELD": "33",
    "CANCELLED": "35",
    **dict.fromkeys(("FAILED", "TIMEOUT", "OUT_OF_MEMORY", "NODE_FAIL", "LOST"), "31"),
}
_GOING_ON = ("RUNNING", "PENDING", "WAITING", "HELD")


def paint(text: str, code: str, colour: bool) -> str:
    """The text in an ANSI style, or as it is."""
    return f"\x1b[{code}m{text}\x1b[0m" if colour else text


def paint_state(text: str) -> str:
    """A state's name in its colour; other text as it is."""
    return paint(text, _COLOURS[text], True) if text in _COLOURS else text


def ended(counts: Mapping[str, int]) -> int:
    """How many tasks will not change any more."""
    return sum(count for state, count in counts.items() if state not in _GOING_ON)


def counts_words(counts: Mapping[str, int] | None, colour: bool = False, unknown: str = "") -> str:
    """``440 COMPLETED, 1 FAILED``; ``unknown`` or ``not asked yet`` where nothing is known."""
    if counts is None:
        return unknown or "not asked yet"
    known = [state for state in _ORDER if counts.get(state)]
    others = sorted(state for state in counts if state not in _ORDER and counts[state])
    return ", ".join(
        f"{counts[state]} {paint_state(state) if colour else plain(state)}" for state in [*known, *others]
    )


def state_line(
    package_id: str,
    cluster: str,
    program: str,
    tasks: int,
    counts: Mapping[str, int],
    colour: bool = False,
    width: int = 80,
) -> str:
    """A package's state: ``8ab7a5aa0123  local  PT.py  441 tasks: 440 COMPLETED, 1 FAILED``.

    A long name of the program is cut, not the counts.
    """
    noun = "task" if tasks == 1 else "tasks"
    before, after = f"{package_id[:12]}  {plain(cluster)}  ", f"  {tasks} {noun}: "
    return _named_line(before, program, after, counts or None, colour, width, "not known")


def launch_line(
    package_id: str,
    when: str,
    program: str,
    cluster: str,
    tasks: int,
    counts: Mapping[str, int] | None,
    colour: bool = False,
    width: int = 80,
    submitted: bool = True,
) -> str:
    """A launch: ``8ab7a5aa0123  2026-01-31 12:00  PT.py on local, 441 tasks: 441 COMPLETED``."""
    noun = "task" if tasks == 1 else "tasks"
    after = f" on {plain(cluster)}, {tasks} {noun}: "
    unknown = "" if submitted else "not submitted"
    return _named_line(f"{package_id[:12]}  {when}  ", program, after, counts, colour, width, unknown)


def _named_line(
    before: str,
    name: str,
    after: str,
    counts: Mapping[str, int] | None,
    colour: bool,
    width: int,
    unknown: str = "",
) -> str:
    """A line of which the name is cut where it is too long; many counts go to a line of their own."""
    words = counts_words(counts, unknown=unknown)
    shown, fixed = plain(name), columns_of(before + after)
    is_wide = fixed + min(columns_of(shown), NAME) + columns_of(words) > width
    room = width - fixed - (0 if is_wide else columns_of(words))
    line = f"{before}{fit(shown, max(NAME, room))}{after}"
    return (line.rstrip() + "\n    " if is_wide else line) + counts_words(counts, colour, unknown)


def progress_line(tasks: int, counts: Mapping[str, int], rate: float | None, width: int = 80) -> str:
    """A bar, counts by state, tasks a second, and the time left at that rate."""
    done = ended(counts)
    share = done / tasks if tasks else 1.0
    parts = [f"{done}/{tasks}", f"{math.floor(share * 100)} %", counts_words(counts)]
    if rate:
        parts.append(f"{rate:.1f}/s" if rate < 100 else f"{rate:.0f}/s")
        if done < tasks:
            parts.append(f"{duration((tasks - done) / rate)} left")
    text = "  ".join(parts)
    room = width - len(text) - 4
    if room < 10:
        return text if len(text) <= width else text[: width - 1] + "…"
    length = min(room, 30)
    filled = math.floor(share * length)
    return f"[{'#' * filled}{'.' * (length - filled)}]  {text}"


def json_line(value: Any) -> str:
    """One line of JSON: compact, keys in the given order, non-finite numbers as the strings of the formats.

    Characters that a terminal would act on are written as escapes.
    """
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_default)
    except ValueError:
        text = json.dumps(_finite(value), ensure_ascii=False, separators=(",", ":"), default=_default)
    if text.isascii():
        return text.replace("\x7f", "\\u007f")
    return UNSAFE.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    units = found.group().encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))


def _default(value: object) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, PurePath):
        return str(value)
    raise TypeError(f"{type(value).__name__} is no JSON value")


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return not_finite(value)
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return _finite(asdict(value))
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_finite(item) for item in value]
    return value
