"""Fields of a cluster's replies, read with care: what comes from there is data, and may be anything.

Each function raises CjError for what is not of the type that docs/formats.md gives it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from cjledger.cluster.transport import Json, printable
from cjledger.errors import CjError
from cjnode.vocabulary import STATES, is_package_id

_MOST_BINS = 40
_LONGEST = 1 << 53  # beyond it numbers of other programs' JSON are rounded


def one(lines: Sequence[Json], verb: str) -> Json:
    """The only line of a reply."""
    if not lines:
        _refuse(f"{verb}: it is empty")
    return lines[0]


def last(lines: Sequence[Json], verb: str) -> Json:
    """The line that ends a reply."""
    if not lines:
        _refuse(f"{verb}: it is empty")
    return lines[-1]


def text(line: Json, name: str) -> str:
    """A text on one line, without what a terminal would obey."""
    value = line.get(name)
    if not isinstance(value, str):
        _refuse(f"{name} is no text")
    return _plain(value)


def count(line: Json, name: str) -> int:
    """A whole number from 0."""
    value = line.get(name)
    if type(value) is not int or not 0 <= value < _LONGEST:
        _refuse(f"{name} is no count")
    return value


def number(line: Json, name: str) -> float:
    """A number, finite and of a size that means something."""
    value = line.get(name)
    if not _is_number(value):
        _refuse(f"{name} is no number")
    return float(line[name])


def texts(line: Json, name: str) -> tuple[str, ...]:
    """A list of texts."""
    value = line.get(name)
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        _refuse(f"{name} is no list of texts")
    return tuple(_plain(item) for item in value)


def named_texts(line: Json, name: str) -> dict[str, str]:
    """Texts by name."""
    return {_plain(key): text(dict(_object(line, name)), key) for key in _object(line, name)}


def counts(line: Json, name: str) -> dict[str, int]:
    """Counts by name."""
    return {_plain(key): count(dict(_object(line, name)), key) for key in _object(line, name)}


def limits(line: Json, name: str) -> dict[str, int | None]:
    """Counts by name, None where there is no limit."""
    there = dict(_object(line, name))
    return {_plain(key): None if there[key] is None else count(there, key) for key in there}


def package_id(line: Json) -> str:
    """The ID of a package, which need not be known here."""
    value = text(line, "package")
    if not is_package_id(value):
        _refuse("package is no package ID")
    return value


def flag(line: Json, name: str) -> bool:
    """A truth value."""
    value = line.get(name)
    if not isinstance(value, bool):
        _refuse(f"{name} is neither true nor false")
    return value


def package_fields(line: Json, package_id: str, tasks: int) -> dict[str, Any]:
    """A package's line of ``state``, which must be that package's, with no more tasks than it has."""
    if line.get("package") != package_id:
        _refuse(f"it is not about {package_id[:12]}")
    states = counts(line, "counts")
    if not set(states) <= set(STATES) or sum(states.values()) > tasks:
        _refuse("counts are not those of the package's tasks")
    seconds = line.get("seconds")
    if not isinstance(seconds, list) or len(seconds) != 2 or not all(map(_is_number, seconds)):
        _refuse("seconds are not a sum and a count")
    return {
        "counts": {state: number for state, number in states.items() if number},
        "final": flag(line, "final"),
        "jobs": texts(line, "jobs"),
        "seconds": (float(seconds[0]), int(seconds[1])),
        "problems": texts(line, "problems"),
        "reasons": counts(line, "reasons") if line.get("reasons") else {},
        "submissions": count(line, "submissions") if "submissions" in line else 0,
        **_told_spread(line),
        **{name: count(line, name) for name in ("left", "workers") if line.get(name)},
    }


def _told_spread(line: Json) -> dict[str, Any]:
    told = line.get("spread") or {}
    return {"spread": {_plain(str(name)): _spread(told, name) for name in told}} if told else {}


def _spread(spread: object, name: str) -> dict[str, Any]:
    figures = spread.get(name) if isinstance(spread, Mapping) else None
    counts = figures.get("counts") if isinstance(figures, Mapping) else None
    if not isinstance(figures, Mapping) or not isinstance(counts, list) or len(counts) > _MOST_BINS:
        _refuse("spread has no counts")
    found = dict(figures)
    return {
        **{key: number(found, key) for key in ("low", "middle", "high")},
        "counts": [count({"spread": value}, "spread") for value in counts],
    }


_TASK_TEXTS = ("job", "started", "ended", "host", "error", "note")
_TASK_COUNTS = ("attempt", "exit_code")


def task_fields(line: Json, tasks: int) -> dict[str, Any]:
    """A task's line of ``state``; what is not known there is None."""
    task = count(line, "task")
    if not 1 <= task <= tasks or line.get("state") not in STATES:
        _refuse("a line is not about a task of the package")
    found: dict[str, Any] = {"task": task, "state": line["state"]}
    found.update((name, None if line.get(name) is None else text(line, name)) for name in _TASK_TEXTS)
    found.update((name, None if line.get(name) is None else count(line, name)) for name in _TASK_COUNTS)
    memory = line.get("max_rss_mb")
    if memory is not None and not _is_number(memory):
        _refuse("max_rss_mb is no number")
    earlier = line.get("earlier") or []
    if not isinstance(earlier, list) or not all(isinstance(each, dict) for each in earlier):
        _refuse("earlier is no list of attempts")
    if earlier:
        found["earlier"] = tuple(_attempt_fields(each, task, tasks) for each in earlier)
    return {**found, "max_rss_mb": memory}


def _attempt_fields(line: Json, task: int, tasks: int) -> dict[str, Any]:
    fields = task_fields({**line, "task": task, "earlier": None}, tasks)
    return {name: fields[name] for name in fields if name != "task"}


def _object(line: Json, name: str) -> Mapping[str, Any]:
    value = line.get(name)
    if not isinstance(value, Mapping):
        _refuse(f"{name} is no object")
    return value


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and isinstance(value, int | float) and abs(value) < _LONGEST


def _plain(value: str) -> str:
    return printable(value).replace("\n", " ")


def _refuse(why: str) -> NoReturn:
    raise CjError(f"the cluster's reply cannot be read: {why}", "git cj doctor")
