"""A package's submissions as their folders tell: intent, receipt, refusal, cancellations, job logs."""

import os
import re
from typing import List, NamedTuple, Optional, Set

from cjnode import blocks
from cjnode.blocks import canonical
from cjnode.errors import NodeError
from cjnode.files import read_json
from cjnode.points import parse_tasks

MOST_DEATHS = 3  # how often a task may take its worker down before it is left as NODE_FAIL

TAIL_BYTES = 2000
TAIL_LINES = 5
TAILS = 3

Submission = NamedTuple(
    "Submission",
    [
        ("number", int),
        ("path", str),
        ("tasks", List[int]),
        ("attempt", int),  # of its tasks when they run first
        ("block", int),  # tasks a block
        ("job", Optional[str]),  # None before the receipt
        ("problem", str),  # why it is not with the scheduler, or empty
    ],
)


def read_submission(package_path: str, number: int) -> Submission:
    """Read what a submission's folder says of it; what is missing is said in ``problem``."""
    path = blocks.submission_folder(package_path, number)
    try:
        intent = read_json(os.path.join(path, "intent.json"))
        if intent is None:
            return Submission(number, path, [], 0, 1, None, "submission %d has no intent" % number)
        tasks = parse_tasks(str(intent["tasks"]))
        attempt, block = int(intent["attempt"]), max(1, int(intent["block"]))
        receipt = read_json(os.path.join(path, "receipt.json"))
        job = str(receipt["job"]) if receipt else None
        refused = None if receipt else read_json(os.path.join(path, "refused.json"))
    except (NodeError, OSError, ValueError, KeyError, TypeError) as bad:
        reason = "its intent or receipt has no %s" % bad if isinstance(bad, KeyError) else str(bad)
        return Submission(number, path, [], 0, 1, None, "submission %d: %s" % (number, reason))
    problem = "" if receipt else "submission %d is not with the scheduler: it has no receipt" % number
    if refused:
        # It answers for no task: what an earlier submission recorded stays true.
        words = refused.get("error") or canonical(refused).decode("utf-8")
        tasks, problem = [], "the scheduler refused submission %d: %s" % (number, str(words).strip())
    return Submission(number, path, tasks, attempt, block, job, problem)


def read_cancelled(submission: Submission) -> Set[int]:
    """The tasks that cancel files name. A file that cannot be read cancels nothing."""
    cancelled: Set[int] = set()
    folder = blocks.cancel_folder(submission.path)
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


def log_tails(submission: Submission) -> List[str]:
    """The last lines of the first elements' logs that hold any."""
    found = []
    try:
        names = os.listdir(submission.path)
    except OSError:
        return []
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
