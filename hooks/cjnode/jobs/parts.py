"""The parts of a submission: as many jobs as the site's limits ask for, and which of them are submitted."""

import os
from typing import Any, Dict, Iterator, List, NamedTuple, Optional

from cjnode.errors import NodeError
from cjnode.files import create_json, now, read_json
from cjnode.records import layout
from cjnode.schedulers import Limits

MOST_ELEMENTS = 10000
# A site that takes N elements at once gets them in pieces: with parts of N, nothing could be sent before
# the person's queue is empty.
PIECES = 4

Part = NamedTuple(
    "Part",
    [
        ("number", int),  # from 1
        ("first", int),  # the element that the job's index 1 is
        ("elements", int),
        ("job", Optional[str]),  # None before the receipt
    ],
)


def divide(elements: int, limits: Limits) -> List[List[int]]:
    """The parts of so many elements, each ``[first element, elements]``. Pure."""
    size = elements
    if limits.array is not None:
        size = min(size, limits.array)
    if limits.queued is not None:
        size = min(size, max(1, limits.queued // PIECES))
    size = max(1, size)
    return [[first, min(size, elements - first + 1)] for first in range(1, elements + 1, size)]


def throttle(jobs: Optional[int], parts: List[Part], number: int) -> Optional[int]:
    """How many elements of one part may run at once, so that all together are at most ``jobs``. Pure.

    More parts than ``jobs`` run one element each: a part whose elements never run would never end.
    """
    if jobs is None:
        return None
    each, more = divmod(jobs, len(parts))
    return max(1, each + (1 if number <= more else 0))


def read_parts(submission: str, intent: Dict[str, Any]) -> List[Part]:
    """The parts that an intent names and those that were added, each with the job of its receipt.

    Raises NodeError when a receipt cannot be read.
    """
    listed = list(intent.get("parts") or [[1, int(intent.get("elements") or 1)]])
    listed += [[added["first"], added["elements"]] for added in _added(submission, len(listed) + 1)]
    return [
        Part(number, int(first), int(elements), receipt(submission, number))
        for number, (first, elements) in enumerate(listed, 1)
    ]


def _added(submission: str, number: int) -> Iterator[Dict[str, Any]]:
    """The parts that were added, from this number on."""
    while True:
        added = read_json(_added_path(submission, number))
        if added is None:
            return
        yield added
        number += 1


def _added_path(submission: str, number: int) -> str:
    return os.path.join(submission, "part-%d.json" % number)


# A part that was added, and whether by this call.
Added = NamedTuple("Added", [("number", int), ("is_new", bool)])


def add_part(submission: str, intent: Dict[str, Any], elements: int, token: str) -> Added:
    """A further part of so many elements, made unless the same token made one before.

    Parts are numbered on and created only, so of many that ask with one token one is first, and the others
    come upon what it made.
    """
    listed = intent.get("parts") or [[1, int(intent.get("elements") or 1)]]
    while True:
        added = list(_added(submission, len(listed) + 1))
        for number, each in enumerate(added, len(listed) + 1):
            if each.get("token") == token:
                return Added(number, False)
        first, last = listed[-1] if not added else (added[-1]["first"], added[-1]["elements"])
        number = len(listed) + len(added) + 1
        fields = {"first": first + last, "elements": elements, "token": token, "created": now()}
        if create_json(_added_path(submission, number), fields):
            return Added(number, True)


def receipt(submission: str, part: int) -> Optional[str]:
    """The job of a part; None before it has one."""
    path = layout.part_path(submission, "receipt", part)
    found = read_json(path)
    if found is None:
        return None
    if not isinstance(found.get("job"), str):
        raise NodeError("%s names no job" % os.path.basename(path), "git cj doctor")
    return str(found["job"])


def jobs(parts: List[Part]) -> List[str]:
    """The jobs of the parts that have one."""
    return [part.job for part in parts if part.job is not None]
