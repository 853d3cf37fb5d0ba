"""One event of the ledger: what a commit of a chain has to say. Pure.

Chains come from other people's machines too, so a commit that says something else is no entry.
"""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import Any, NamedTuple

from cjnode.vocabulary import is_package_id

_EVENT = re.compile(r"[a-z]{1,40}")
_NUMBER = re.compile(r"[1-9][0-9]{0,14}")
_TRAILER = re.compile(r"^(Cj-\w+): (.*)", re.MULTILINE)
_TEXTS = ("program", "cluster", "message", "author")


class Entry(NamedTuple):
    """One event: what happened to a package, when, and where it stands in the chain."""

    id: str
    parents: tuple[str, ...]
    when: str
    agent: str
    event: str
    package_id: str
    sequence: int
    last: str
    data: dict[str, Any]


def parse(raw: str, agent: str) -> Entry:
    """Read one entry: commit, parents, date and message with U+001F between. Raises ValueError."""
    commit, parents, when, body = raw.split("\x1f", 3)
    datetime.fromisoformat(when)
    trailers = dict(_TRAILER.findall(body))
    try:
        event, package_id, last = trailers["Cj-Event"], trailers["Cj-Package"], trailers["Cj-Last"]
        number, data = trailers["Cj-Sequence"], json.loads(trailers["Cj-Data"])
    except KeyError as problem:
        raise ValueError(f"it has no {problem.args[0]}") from None
    except RecursionError:
        raise ValueError("its Cj-Data is nested too deep") from None
    if not is_package_id(package_id) or not is_package_id(last):
        raise ValueError("its Cj-Package or Cj-Last is no package ID")
    if not _EVENT.fullmatch(event) or not _NUMBER.fullmatch(number):
        raise ValueError("its Cj-Event is no word, or its Cj-Sequence no number")
    if type(data) is not dict:
        raise ValueError("its Cj-Data is no object")
    fault = _fault(event, data)
    if fault:
        raise ValueError(f"its Cj-Data is wrong in: {fault}")
    return Entry(commit, tuple(parents.split()), when, agent, event, package_id, int(number), last, data)


def _fault(event: str, data: dict[str, Any]) -> str:
    """The first field of an entry's data that readers could not use; empty when there is none."""
    if "why" in data and type(data["why"]) is not str:
        return "why"
    if "data" in data and not (type(data["data"]) is list and all(type(x) is dict for x in data["data"])):
        return "data"
    return _launch_fault(data) if event == "launched" else ""


def _launch_fault(data: dict[str, Any]) -> str:
    for name in _TEXTS:
        if type(data.get(name)) is not str:
            return name
    if type(data.get("tasks")) is not int or not 0 < data["tasks"] < 1 << 53:
        return "tasks"
    if not is_moment(data.get("created")):
        return "created"
    for name in ("then", "extends"):
        if name in data and not (type(data[name]) is str and is_package_id(data[name])):
            return name
    after = data.get("after", [])
    return "" if type(after) is list and all(type(each) is str for each in after) else "after"


def is_moment(value: Any) -> bool:
    """Whether this is a time with its zone."""
    try:
        return type(value) is str and datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False
