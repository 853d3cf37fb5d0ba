"""What the scheduler was asked last: one query for all jobs, and not more often than a site likes."""

import datetime
import os
from typing import Any, Dict, List, NamedTuple, Optional

from cjnode import files, schedulers
from cjnode.errors import NodeError
from cjnode.records import layout
from cjnode.schedulers import Element, Limits, Status

EVERY_S = 30.0
LIMITS_S = 86400.0  # what a site allows changes rarely

TIME = "%Y-%m-%dT%H:%M:%S.%fZ"

# What the scheduler said of jobs.
Answer = NamedTuple(
    "Answer",
    [
        ("words", Optional[Dict[str, Status]]),  # None when it gave no answer
        ("jobs", List[str]),  # those that it was asked after
        ("trouble", str),
        ("at", str),
    ],
)


def ask(root: str, scheduler: str, jobs: List[str], fresh: bool) -> Answer:
    """What the scheduler says of jobs: an answer not older than 30 s is used again unless ``fresh``.

    Who comes while another asks waits for that answer. A job that was not asked after is not known.
    """
    if not jobs:
        return Answer({}, [], "", files.now())
    if scheduler == "local":
        return _poll(root, scheduler, jobs)
    path = layout.asked_path(root, "asked.json")
    began = files.now()
    try:
        with files.locked(path + ".lock", True):
            known = _read(path)
            # One that began after us is as new as ours would be.
            if known and age_s(known.at) < _every_s() and (known.at >= began or not fresh):
                return known
            words = (known.words or {}) if known else {}
            there = [job for job, word in words.items() if word.state != "ENDED"]
            answer = _poll(root, scheduler, sorted(set(jobs).union(there)))
            files.replace(path, files.json_bytes(answer._asdict()))
            return answer
    except OSError:  # a full disk does not hide what the scheduler says
        return _poll(root, scheduler, jobs)


def _every_s() -> float:
    return float(os.environ.get("CJ_ASK_S", EVERY_S))


def outdate(root: str) -> None:
    """Have the scheduler asked anew: what it said of jobs was changed since."""
    files.forget(layout.asked_path(root, "asked.json"))


def age_s(at: str) -> float:
    """The seconds since a time of ours; endless for one to come, when a clock was set back."""
    passed = between_s(at, files.now())
    return passed if passed >= 0 else float("inf")


def between_s(first: str, second: str) -> float:
    """The seconds from one time of ours to another. Raises ValueError for what is none."""
    return (_time(second) - _time(first)).total_seconds()


def _time(at: str) -> datetime.datetime:
    return datetime.datetime.strptime(at, TIME)


def _poll(root: str, scheduler: str, jobs: List[str]) -> Answer:
    at = files.now()
    try:
        return Answer(schedulers.poll(scheduler, root, jobs), jobs, "", at)
    except (NodeError, OSError, ValueError) as problem:
        # No answer is not a death: nothing is called gone on the strength of it.
        return Answer(None, jobs, "the scheduler did not answer: %s" % problem, at)


def _read(path: str) -> Optional[Answer]:
    try:
        fields = files.read_json(path)
        if fields is None:
            return None
        words = fields["words"]
        parsed = None if words is None else {str(job): _status(word) for job, word in words.items()}
        answer = Answer(parsed, list(fields["jobs"]), str(fields["trouble"]), str(fields["at"]))
        _time(answer.at)
        return answer
    except (NodeError, OSError, ValueError, KeyError, TypeError):
        return None  # the next answer replaces it


def _status(word: Any) -> Status:
    state, reason, waiting, elements = word
    return Status(state, reason, waiting, {int(index): Element(*each) for index, each in elements.items()})


def limits(root: str, scheduler: str, fresh: bool) -> Limits:
    """What the site allows; the elements that are there now only when asked ``fresh``."""
    if scheduler == "local":
        return schedulers.limits(scheduler, root)
    path = layout.asked_path(root, "allowed.json")
    if not fresh:
        try:
            known = files.read_json(path)
            if known is not None and age_s(str(known["at"])) < LIMITS_S:
                return Limits(known["array"], known["queued"], 0)
        except (NodeError, ValueError, KeyError):
            pass
    found = schedulers.limits(scheduler, root)
    fields = {"at": files.now(), "array": found.array, "queued": found.queued}
    files.replace(path, files.json_bytes(fields))
    return found
