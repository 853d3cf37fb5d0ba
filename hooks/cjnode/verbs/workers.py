"""Verb ``workers``: show a package's workers, add some, or ask some to end after their present task."""

import os
import re
from typing import Any, BinaryIO, Dict, List, Optional

from cjnode.errors import NodeError
from cjnode.files import canonical, create_json, forget, read_json
from cjnode.jobs import answers
from cjnode.jobs.parts import MOST_ELEMENTS, add_part, divide, read_parts
from cjnode.jobs.submissions import Submission
from cjnode.package.points import format_tasks
from cjnode.records import asks, blocks, layout
from cjnode.status import roster
from cjnode.status.progress import Progress, look, unsettled, waits
from cjnode.status.roster import Worker
from cjnode.submission import experiment

_TOKEN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,80}\Z")


def workers(root: str, request: Dict[str, Any], out: BinaryIO) -> None:
    """The verb: ``{"package":…,"add":n,"stop":n,"token":…}``; a line a worker, last what was done."""
    package = request.get("package")
    layout.present_package(root, package)
    add, stop = _count(request, "add"), _count(request, "stop")
    token = request.get("token") or ""
    if (add or stop) and not (isinstance(token, str) and _TOKEN.match(token)):
        raise NodeError("workers: not a token: %r" % (token,))
    progress = look(root, str(package), False)
    submission = _open_submission(progress)
    last: Dict[str, Any] = {"package": package, "submission": submission.number if submission else 0}
    if submission is None:
        if add or stop:
            short = str(package)
            raise NodeError("package %s has no task left to run" % short[:12], "git cj retry " + short[:8])
        out.write(canonical(last) + b"\n")
        return
    scheduler = layout.scheduler(root)
    listed = roster.workers(root, scheduler, submission)
    if stop:
        last["stopped"] = _stop(submission, listed, stop, token)
    if add:
        last["jobs"] = _add(root, scheduler, str(package), submission, add, token)
        listed = roster.workers(root, scheduler, _again(submission))
    for worker in listed:
        out.write(canonical(dict(worker._asdict())) + b"\n")
    out.write(canonical(last) + b"\n")


def _count(request: Dict[str, Any], name: str) -> int:
    value = request.get(name) or 0
    if type(value) is not int or not 0 <= value <= MOST_ELEMENTS:
        raise NodeError("workers: %s is not a count up to %d: %r" % (name, MOST_ELEMENTS, value))
    return value


def _open_submission(progress: Progress) -> Optional[Submission]:
    """The newest submission that has tasks without a record."""
    submissions: List[Submission] = progress.submissions
    left = [each for each in submissions if waits(progress, each) or unsettled(progress, each)]
    return left[-1] if left else None


def _again(submission: Submission) -> Submission:
    intent = read_json(os.path.join(submission.path, "intent.json")) or {}
    return submission._replace(parts=read_parts(submission.path, intent))


def _stop(submission: Submission, listed: List[Worker], count: int, token: str) -> str:
    """Ask so many elements to end: those that have not begun first, then the last ones."""
    path = os.path.join(asks.folder(submission.path), "stop-%s.json" % token)
    known = read_json(path)
    if known is None:
        chosen = sorted(
            (each for each in listed if each.state in ("RUNNING", "PENDING")),
            key=lambda each: (each.state == "RUNNING", -each.element),
        )[:count]
        if not chosen:
            raise NodeError("no worker is there", "git cj state")
        os.makedirs(asks.folder(submission.path), 0o700, exist_ok=True)
        elements = format_tasks(sorted(each.element for each in chosen))
        create_json(path, {"elements": elements})
        known = read_json(path) or {"elements": elements}
    return str(known["elements"])


def _add(
    root: str, scheduler: str, package: str, submission: Submission, count: int, token: str
) -> List[str]:
    """Submit a further part of so many elements, once for each token."""
    intent = read_json(os.path.join(submission.path, "intent.json"))
    if intent is None:
        raise NodeError("submission %d has no intent" % submission.number, "git cj doctor")
    if "rounds" not in intent:
        raise NodeError(
            "this package was made before workers could be added", "git cj retry when it has ended"
        )
    return add_elements(root, scheduler, package, submission, intent, count, token)


def add_elements(
    root: str,
    scheduler: str,
    package: str,
    submission: Submission,
    intent: Dict[str, Any],
    count: int,
    token: str,
) -> List[str]:
    """Submit further parts of so many elements in all, once for each token; the jobs they are in."""
    forget(blocks.exhausted_path(submission.path))
    pieces = divide(count, answers.limits(root, scheduler, False))
    made = [
        add_part(submission.path, intent, elements, "%s-%d" % (token, number)).number
        for number, (_, elements) in enumerate(pieces, 1)
    ]
    experiment.bring(root, package, submission.number, True)
    parts = read_parts(submission.path, intent)
    return [part.job for part in parts if part.number in made and part.job is not None]
