"""Submissions of tasks that failed and are to run again by themselves: once, whoever looks and however often.

The next submission's intent is created only, and says the tasks, the attempt and what it has. Of two who look
at once, or of one and a person who retries, the first has that number; the other looks again.
"""

import hashlib
import os
from typing import Any, Dict, List, Tuple

from cjnode.errors import NodeError
from cjnode.files import age_s, create_json, read_json
from cjnode.jobs.acting import BusyError
from cjnode.jobs.submissions import cancelled_tasks
from cjnode.package.points import format_tasks, parse_tasks
from cjnode.records import blocks, layout
from cjnode.status.due import Due
from cjnode.status.progress import Progress, look
from cjnode.status.standing import Standing, standings
from cjnode.submission import submit
from cjnode.submission.experiment import submit_package
from cjnode.submission.submit import Request
from cjnode.vocabulary import FINAL_STATES

# While other tasks of the package go on, what is due is collected for so long: each submission is a job.
COLLECT_S = 600.0


def _next_number(progress: Progress) -> int:
    """The number that the package's next submission has."""
    return 1 + max([each.number for each in progress.submissions if each.attempt] or [0])


def tend(root: str, package: str) -> None:
    """Submit what of a package is to run again by itself, as whoever looks at it does."""
    try:
        wants_it = bool((layout.read_manifest(root, package) or {}).get("retry"))
    except NodeError:
        return  # whoever asks for it is told
    if not wants_it:
        return
    run_again(root, standings(root, [look(root, package, False)], False)[0])


def run_again(root: str, found: Standing) -> None:
    """Submit what failed and is to run again; nothing of that is the asker's trouble: ``found`` tells it."""
    if found.is_paused or found.is_settled:
        return
    progress, waiting = found.progress, {each.task for each in found.due}
    others = sum(each.state not in FINAL_STATES for task, each in found.opened.items() if task not in waiting)
    try:
        progress.problems.extend(_finish(root, progress))
        if found.due and others > found.left and _is_recent(progress):
            for each in found.due:
                words = "others of the package, to be submitted again after %s" % each.ended.state
                found.reasons[words] = found.reasons.get(words, 0) + 1
        else:
            progress.problems.extend(_bring(root, progress, found.due))
    except OSError as problem:
        progress.problems.append("what failed cannot be submitted again: %s" % problem.strerror)


def _finish(root: str, progress: Progress) -> List[str]:
    """Submit what was cut off at that; what went wrong, in words."""
    problems = []
    for each in progress.submissions:
        if each.source and each.tasks and any(part.job is None for part in each.parts):
            problems += _try(root, progress.package, each.number)
    return problems


def _bring(root: str, progress: Progress, due: List[Due]) -> List[str]:
    """Submit what is due; what went wrong, in words."""
    problems = []
    number = _next_number(progress)
    for group in _groups(due):
        if not _create(root, progress, number, group):
            break  # another was first
        problems += _try(root, progress.package, number)
        number += 1
    return problems


def _is_recent(progress: Progress) -> bool:
    """Whether the package was submitted, or submitted again, a moment ago."""
    newest = max(progress.submissions, key=lambda each: each.number)
    return (age_s(os.path.join(newest.path, "intent.json")) or 0.0) < COLLECT_S


def _groups(due: List[Due]) -> List[List[Due]]:
    """What can be one submission: the same attempt of the same, after the same submission."""
    found: Dict[Tuple[Any, ...], List[Due]] = {}
    for each in due:
        had = each.resources
        key = (each.submission.number, each.attempt, had.get("memory_mb") or 0, had.get("walltime_s") or 0)
        found.setdefault(key, []).append(each)
    return [found[key] for key in sorted(found)]


def _create(root: str, progress: Progress, number: int, group: List[Due]) -> bool:
    """Write the submission's intent; whether it is there, and this one."""
    first = group[0]
    tasks = format_tasks([each.task for each in group])
    causes: Dict[str, List[int]] = {}
    for each in group:
        causes.setdefault(each.ended.state, []).append(each.task)
    more: Dict[str, Any] = {
        "first": first.submission.first,
        "source": first.submission.number,
        "resources": first.resources,
        "causes": {state: format_tasks(causes[state]) for state in sorted(causes)},
    }
    unrecorded = _unrecorded(group)
    if unrecorded:
        more["unrecorded"] = unrecorded
    words = [progress.package, "%d" % number, tasks, "%d" % first.attempt]
    token = hashlib.sha256("\0".join(["again"] + words).encode("ascii")).hexdigest()[:16]
    request = Request(progress.package, number, token, tasks, first.attempt, None, None, [], more)
    try:
        submit.intend(root, request)
    except NodeError:
        return False
    return True


def _unrecorded(group: List[Due]) -> List[Dict[str, Any]]:
    """The attempts that left no record, for the worker that runs the next ones."""
    found: Dict[Tuple[int, str, str], List[int]] = {}
    for each in group:
        if each.note:
            found.setdefault((each.ended.number, each.ended.state, each.note), []).append(each.task)
    return [
        {"tasks": format_tasks(found[key]), "attempt": key[0], "state": key[1], "note": key[2]}
        for key in sorted(found)
    ]


def _try(root: str, package: str, number: int) -> List[str]:
    """Submit what an intent says, unless it is done or was cancelled meanwhile."""
    folder = layout.submission_path(root, package, number)
    try:
        intent = read_json(os.path.join(folder, "intent.json"))
        if intent is None or not _carry_cancellations(root, package, folder, intent):
            return []
        request = Request(
            package, number, intent["token"], intent["tasks"], intent["attempt"], intent["jobs"], None, [], {}
        )
        submit_package(root, request)
    except BusyError:
        return []  # the next look finishes it
    except NodeError as problem:
        return ["submission %d is not with the scheduler: %s" % (number, problem.error)]
    return []


def _carry_cancellations(root: str, package: str, folder: str, intent: Dict[str, Any]) -> bool:
    """Cancel what was cancelled of the tasks before the intent could be seen; whether any is left.

    Who cancels looks for submissions after that, so that one of the two sees the other.
    """
    tasks = set(parse_tasks(intent["tasks"]))
    source = layout.submission_path(root, package, int(intent["source"]))
    gone = tasks & cancelled_tasks(source)
    if gone:
        name = os.path.join(blocks.cancel_folder(folder), "again.json")
        create_json(name, {"tasks": format_tasks(sorted(gone))})
    return bool(tasks - cancelled_tasks(folder))
