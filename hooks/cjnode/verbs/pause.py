"""Verbs ``pause`` and ``resume``: workers end after their present tasks, none begins; then it goes on.

``packages/<id>/paused.json`` is what workers look at. What they left of their blocks is free for those that
``resume`` adds, as parts of the same submission: a task is run by whoever claims it, once.
"""

import os
from typing import Any, BinaryIO, Dict, List

from cjnode import files
from cjnode.files import create_json, forget, now, read_json
from cjnode.jobs import answers
from cjnode.jobs.submissions import Submission
from cjnode.records import layout
from cjnode.status import roster
from cjnode.status.progress import board_of, look, unsettled, waits
from cjnode.submission.drain import drain
from cjnode.verbs import hold
from cjnode.verbs.workers import add_elements


def pause(root: str, request: Dict[str, Any], out: BinaryIO) -> None:
    """The verb: ``{"package":…}``. Nothing more of the package begins before ``resume``."""
    layout.present_package(root, request.get("package"))
    # First: what begins while we look for what waits sees it.
    changed = create_json(layout.paused_path(root, request["package"]), {"at": now()})
    scheduler, held = layout.scheduler(root), []
    for submission, jobs in hold.listed(root, request):
        hold.keep_back(submission)
        for job, status in jobs.items():
            if status.waiting or status.state in ("PENDING", "WAITING"):
                # One that has just started: its workers see the pause themselves.
                held += [job] if hold.hold_job(root, scheduler, job) else []
    answers.outdate(root)
    _answer(request, held, changed, out)


def resume(root: str, request: Dict[str, Any], out: BinaryIO) -> None:
    """The verb: ``{"package":…}``. Lets go on what was paused, with workers for those that have ended."""
    layout.present_package(root, request.get("package"))
    package = request["package"]
    path = layout.paused_path(root, package)
    changed = os.path.exists(path)
    forget(path)
    jobs, released = hold.let_go(root, request)
    progress = look(root, package, False)
    for submission in progress.submissions:
        if waits(progress, submission) or unsettled(progress, submission):
            jobs += _add_workers(root, package, submission)
    answers.outdate(root)
    _answer(request, jobs, changed or released, out)
    drain(root, [package])


def _add_workers(root: str, package: str, submission: Submission) -> List[str]:
    """Submit as many workers as there are too few for what nobody holds; the jobs they are in."""
    intent = read_json(os.path.join(submission.path, "intent.json"))
    board = board_of(submission)
    left = sum(len(board.places(each.block)) for each in board.free)
    if intent is None or "rounds" not in intent or not left:
        return []
    scheduler = layout.scheduler(root)
    listed = roster.workers(root, scheduler, submission)
    # One without a block may have left in the pause: a scheduler shows it a while longer.
    alive = sum(
        each.state == "PENDING" or (each.state == "RUNNING" and each.block is not None) for each in listed
    )
    wanted = min(left, submission.elements) - alive
    if wanted <= 0:
        return []
    # The same for whoever resumes at the same time.
    token = "resume-%d" % len(submission.parts)
    return add_elements(root, scheduler, package, submission, intent, wanted, token)


def _answer(request: Dict[str, Any], jobs: List[str], changed: bool, out: BinaryIO) -> None:
    fields = {"package": request["package"], "jobs": jobs, "changed": changed}
    out.write(files.canonical(fields) + b"\n")
