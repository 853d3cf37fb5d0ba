"""What a submission's folder remembers of the scheduler's answers: jobs not seen, elements that ended.

All of it is derived: when it is lost, it is asked again.
"""

import os
from typing import Any, Dict, List, NamedTuple, Tuple

from cjnode import files, schedulers
from cjnode.errors import NodeError
from cjnode.jobs import answers
from cjnode.jobs.parts import Part
from cjnode.jobs.submissions import Submission
from cjnode.records import layout
from cjnode.schedulers import Account, Status

# How long a job must be out of the scheduler's sight before its tasks are called lost.
GRACE_S = {"local": 2.0}
OTHER_GRACE_S = 60.0

ENDED = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "OUT_OF_MEMORY", "NODE_FAIL")

# What is remembered of a submission's elements.
Memory = NamedTuple(
    "Memory",
    [
        ("ended", Dict[int, Account]),
        ("unseen", Dict[int, str]),  # elements at work by their claims and not by the scheduler: since when
        ("accounted", List[str]),  # jobs that accounting was asked about
    ],
)


def grace_s(scheduler: str) -> float:
    """The grace period of a scheduler."""
    return GRACE_S.get(scheduler) or float(os.environ.get("CJ_LOST_S", OTHER_GRACE_S))


def _gone_path(submission: Submission, part: int) -> str:
    return layout.part_path(submission.path, "gone", part)


def seen_gone(submission: Submission, part: int) -> Tuple[str, bool]:
    """When the part's job was first seen to be gone (empty: never), and whether that was confirmed."""
    try:
        seen = files.read_json(_gone_path(submission, part)) or {}
        first = str(seen.get("first") or "")
        answers.age_s(first)
        return first, bool(seen.get("second"))
    except (NodeError, OSError, ValueError):
        return "", False


def note_gone(submission: Submission, part: int, at: str, grace: float) -> bool:
    """Write down that the part's job is not to be seen; True when that is so for the grace period.

    Two login nodes may look, whose clocks differ: the file system's must agree that the time has passed.
    """
    path = _gone_path(submission, part)
    first, confirmed = seen_gone(submission, part)
    if confirmed:
        return True
    passed = min(answers.between_s(first, at), files.age_s(path) or 0.0) if first else -1.0
    if 0 <= passed < grace:
        return False
    second = at if passed >= grace else None  # less than nothing: a clock was set back, and it begins anew
    files.replace(path, files.json_bytes({"first": first if second else at, "second": second}))
    return second is not None


def forget_gone(submission: Submission, part: int) -> None:
    """The part's job was seen."""
    try:
        os.unlink(_gone_path(submission, part))
    except OSError:
        pass


def _memory_path(submission: Submission) -> str:
    return os.path.join(submission.path, "ends.json")


def remember(submission: Submission) -> Memory:
    """What was written down of the submission's elements."""
    try:
        fields = files.read_json(_memory_path(submission)) or {}
        return Memory(
            {int(element): Account(*end) for element, end in fields.get("ended", {}).items()},
            {int(element): str(since) for element, since in fields.get("unseen", {}).items()},
            [str(job) for job in fields.get("accounted", [])],
        )
    except (NodeError, OSError, ValueError, TypeError, AttributeError):
        return Memory({}, {}, [])


def write_down(submission: Submission, before: Memory, memory: Memory) -> None:
    """Keep what was learnt."""
    if memory == before:
        return
    fields: Dict[str, Any] = {
        "ended": {"%d" % element: list(end) for element, end in sorted(memory.ended.items())},
        "unseen": {"%d" % element: since for element, since in sorted(memory.unseen.items())},
        "accounted": memory.accounted,
    }
    files.replace(_memory_path(submission), files.json_bytes(fields))


def listed_ends(part: Part, status: Status) -> Dict[int, Account]:
    """The elements of a part that the scheduler lists as ended, by their number in the submission."""
    return {
        part.first + index - 1: Account(element.state, None, element.reason, None)
        for index, element in status.elements.items()
        if element.state in ENDED
    }


def account(root: str, scheduler: str, parts: List[Part]) -> Dict[int, Account]:
    """How accounting says that elements of these parts ended; empty where there is none."""
    jobs = [part.job for part in parts if part.job is not None]
    try:
        told = schedulers.accounts(scheduler, root, jobs)
    except NodeError:
        return {}
    found = {}
    for part in parts:
        for index, known in told.get(part.job or "", {}).items():
            found[part.first + index - 1] = known
    return found
