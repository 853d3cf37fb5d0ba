"""Verbs ``hold`` and ``release``: keep what has not started of a package from starting, and let it."""

import os
from typing import Any, BinaryIO, Dict, Iterator, List, Tuple

from cjnode import files, schedulers
from cjnode.errors import NodeError
from cjnode.files import create_json, forget
from cjnode.jobs import answers
from cjnode.jobs.submissions import Submission, read_submission
from cjnode.records import blocks, layout
from cjnode.schedulers import Status
from cjnode.submission.drain import drain


def hold(root: str, request: Dict[str, Any], out: BinaryIO) -> None:
    """The verb: ``{"package":…}``. What is not submitted yet is not submitted before the release."""
    scheduler = layout.scheduler(root)
    held: List[str] = []
    started: List[str] = []
    kept = False
    for submission, jobs in listed(root, request):
        kept = keep_back(submission) or kept
        for job in jobs:
            (held if hold_job(root, scheduler, job) else started).append(job)
    answers.outdate(root)
    if started and not held and not kept:
        words = "nothing can be held: %s has started" % ", ".join(started)
        raise NodeError(words, "git cj pause " + request["package"][:8])
    out.write(files.canonical({"package": request["package"], "jobs": held}) + b"\n")


def release(root: str, request: Dict[str, Any], out: BinaryIO) -> None:
    """The verb: ``{"package":…}``."""
    jobs, changed = let_go(root, request)
    fields = {"package": request["package"], "jobs": jobs, "changed": changed}
    out.write(files.canonical(fields) + b"\n")
    drain(root, [request["package"]])


def let_go(root: str, request: Dict[str, Any]) -> Tuple[List[str], bool]:
    """Release the jobs of a package, and what of it is not submitted yet.

    Returns the jobs that were there, and whether any was held, as far as its scheduler shows that.
    """
    scheduler, released, changed = layout.scheduler(root), [], False
    for submission, jobs in listed(root, request):
        path = os.path.join(submission.path, "held")
        changed = changed or os.path.exists(path) or any(map(_is_held, jobs.values()))
        forget(path)
        for job in jobs:
            schedulers.release(scheduler, root, job)
            released.append(job)
    answers.outdate(root)
    return released, changed


def _is_held(status: Status) -> bool:
    """Whether anything of a job is held."""
    return "HELD" in (status.state, *(element.state for element in status.elements.values()))


def keep_back(submission: Submission) -> bool:
    """Keep what of a submission is not with the scheduler yet from being submitted; whether there is such."""
    waits = any(part.job is None for part in submission.parts)
    if waits:
        create_json(os.path.join(submission.path, "held"), {})
    return waits


def hold_job(root: str, scheduler: str, job: str) -> bool:
    """Keep what has not started of a job from starting; False for one of ``local`` that has started."""
    try:
        schedulers.hold(scheduler, root, job)
    except NodeError:
        if scheduler != "local":
            raise
        return False
    return True


def listed(root: str, request: Dict[str, Any]) -> Iterator[Tuple[Submission, Dict[str, Status]]]:
    """The submissions of the package, each with its jobs that the scheduler still has."""
    folder = layout.present_package(root, request.get("package"))
    found = [read_submission(folder, number) for number in blocks.list_submissions(folder)]
    known = sorted({part.job for each in found for part in each.parts if part.job is not None})
    there = schedulers.poll(layout.scheduler(root), root, known) if known else {}
    for each in found:
        jobs = [part.job for part in each.parts if part.job is not None]
        yield each, {job: there[job] for job in jobs if job in there and there[job].state != "ENDED"}
