"""A package's submissions as their folders tell: intent, receipt, refusal, cancellations, job logs."""

import os
import re
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Set

from cjnode.errors import NodeError
from cjnode.files import canonical, read_json
from cjnode.jobs.parts import Part, jobs, read_parts
from cjnode.package.points import parse_tasks
from cjnode.records import blocks, layout, partition
from cjnode.records.partition import Partition

MOST_DEATHS = 3  # how often a task may take its worker down before it is left as NODE_FAIL

TAIL_BYTES = 2000
TAIL_LINES = 5
TAILS = 3

Submission = NamedTuple(
    "Submission",
    [
        ("number", int),
        ("path", str),
        ("tasks", Sequence[int]),
        ("attempt", int),  # of its tasks when they run first
        ("partition", Partition),
        ("elements", int),
        ("parts", List[Part]),
        ("problem", str),  # why it is not with the scheduler, or empty
        ("first", int),  # the attempt that was asked for: further ones are retries
        ("resources", Optional[Dict[str, Any]]),  # where they are not the manifest's
        ("source", int),  # the submission whose failures it runs again by itself; 0: it was asked for
        ("most", Dict[str, int]),  # of memory_mb and walltime_s, where the site tells
        ("slots", int),  # how many tasks an element runs at a time
    ],
)


def read_submission(package_path: str, number: int) -> Submission:
    """Read what a submission's folder says of it; what is missing is said in ``problem``."""
    path = blocks.submission_folder(package_path, number)
    try:
        intent = read_json(os.path.join(path, "intent.json"))
        if intent is None:
            return _unreadable(number, path, "submission %d has no intent" % number)
        tasks = partition.in_order(parse_tasks(str(intent["tasks"])), intent.get("order"))
        attempt, shared = int(intent["attempt"]), partition.of_intent(intent, len(tasks))
        elements = int(intent.get("elements") or 1)
        first, source = int(intent.get("first") or attempt), int(intent.get("source") or 0)
        parts = read_parts(path, intent)
        refused = _refusal(path, parts)
    except (NodeError, OSError, ValueError, KeyError, TypeError) as bad:
        reason = "its intent or receipt has no %s" % bad if isinstance(bad, KeyError) else str(bad)
        return _unreadable(number, path, "submission %d: %s" % (number, reason))
    submitted = jobs(parts)
    problem = "" if submitted else "submission %d is not with the scheduler: it has no receipt" % number
    if refused:
        problem = "the scheduler refused submission %d: %s" % (number, refused)
        if not submitted and not (number == 1 and cancelled_tasks(path).issuperset(tasks)):
            tasks = []  # it answers for no task: what an earlier submission recorded stays true
    asked, slots = intent.get("resources"), int(intent.get("slots") or 1)
    most = dict(intent.get("most") or {})
    return Submission(
        number, path, tasks, attempt, shared, elements, parts, problem, first, asked, source, most, slots
    )


def _unreadable(number: int, path: str, problem: str) -> Submission:
    return Submission(number, path, [], 0, Partition(0, ()), 1, [], problem, 0, None, 0, {}, 1)


def _refusal(path: str, parts: List[Part]) -> str:
    """What the scheduler said when it refused a part that has no receipt."""
    for part in parts:
        refused = read_json(layout.part_path(path, "refused", part.number)) if part.job is None else None
        if refused:
            return str(refused.get("error") or canonical(refused).decode("utf-8")).strip()
    return ""


def read_cancelled(submission: Submission) -> Set[int]:
    """The tasks that cancel files name. A file that cannot be read cancels nothing."""
    return cancelled_tasks(submission.path)


def cancelled_tasks(submission_path: str) -> Set[int]:
    """As ``read_cancelled``, of a submission's folder."""
    cancelled: Set[int] = set()
    folder = blocks.cancel_folder(submission_path)
    try:
        names = sorted(name for name in os.listdir(folder) if name.endswith(".json"))
    except OSError:
        return cancelled
    for name in names:
        try:
            order = read_json(os.path.join(folder, name))
            cancelled.update(parse_tasks(str(order["tasks"])) if order else [])
        except (NodeError, OSError, ValueError, KeyError):
            continue
    return cancelled


def taken_by_later(submission: Submission) -> Set[int]:
    """The tasks that later submissions run: somebody retried them, or this job was thought to be gone."""
    package = os.path.dirname(os.path.dirname(submission.path))
    found: Set[int] = set()
    for number in blocks.list_submissions(package):
        if number > submission.number:
            try:
                intent = read_json(os.path.join(blocks.submission_folder(package, number), "intent.json"))
                found.update(parse_tasks(str(intent["tasks"])) if intent else [])
            except (NodeError, OSError, ValueError, KeyError):
                continue
    return found


def why_given_up(submission_path: str) -> str:
    """Why a submission was cancelled before it ran, by what it waited for; empty when it was not."""
    try:
        found = read_json(os.path.join(blocks.cancel_folder(submission_path), "after.json"))
    except NodeError:
        return ""
    return str(found.get("why") or "") if found else ""


def log_tails(submission: Submission) -> List[str]:
    """The last lines of the first elements' logs that hold any, or of the log that all share."""
    shared = _tail(layout.elements_log_path(submission.path))
    found = ["the elements of submission %d said: %s" % (submission.number, shared)] if shared else []
    try:
        names = os.listdir(submission.path)
    except OSError:
        return found
    elements = sorted(int(m.group(1)) for m in (re.match(r"element-([0-9]+)\.log\Z", n) for n in names) if m)
    for element in elements:
        lines = _tail(blocks.element_log_path(submission.path, element))
        if lines:
            found.append("element %d of submission %d said: %s" % (element, submission.number, lines))
        if len(found) == TAILS:
            break
    return found


def _tail(path: str) -> str:
    try:
        with open(path, "rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - TAIL_BYTES))
            lines = file.read(TAIL_BYTES).decode("utf-8", "replace").split("\n")
    except OSError:
        return ""
    return "\n".join([line for line in lines if line.strip()][-TAIL_LINES:])


def intents(root: str, package: str) -> Dict[int, Dict[str, Any]]:
    """The intents of a package's submissions by number; who was killed before one left a folder without."""
    folder = layout.checked_package(root, package)
    found = {}
    for number in blocks.list_submissions(folder):
        intent = read_json(os.path.join(blocks.submission_folder(folder, number), "intent.json"))
        if intent is not None:
            found[number] = intent
    return found
