"""Verb ``cancel``: name tasks that are not to run; without names, end the jobs too."""

import os
import re
from typing import Any, BinaryIO, Dict, List, Set, Tuple

from cjnode import files, schedulers
from cjnode.errors import NodeError
from cjnode.files import create_json, forget, read_json
from cjnode.jobs import answers
from cjnode.jobs.parts import read_parts
from cjnode.jobs.submissions import read_submission
from cjnode.package.axes import LARGEST_TASK
from cjnode.package.points import format_tasks, parse_tasks
from cjnode.records import blocks, layout
from cjnode.records.attempts import Attempt, read_attempts
from cjnode.records.cancelling import Cancelled
from cjnode.status.repeats import followed

_TOKEN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,80}\Z")


def cancel(root: str, request: Dict[str, Any], out: BinaryIO) -> None:
    """The verb: ``{"package":…,"tasks":"…" or null,"token":…}``; null is all tasks, and the jobs end."""
    layout.checked_package(root, request.get("package"))
    token = request.get("token")
    if not isinstance(token, str) or not _TOKEN.match(token):
        raise NodeError("cancel: not a token: %r" % (token,))
    named: Set[int] = set()
    if request.get("tasks"):
        try:
            named = set(parse_tasks(request["tasks"]))
        except (ValueError, AttributeError) as problem:
            raise NodeError("cancel: %s" % problem)
    folder = layout.present_package(root, request["package"])
    found: Dict[int, Tuple[Set[int], Set[int]]] = {}  # the last of each are those that this cancels
    seen: List[int] = []
    while seen != blocks.list_submissions(folder):
        # Further submissions may be made meanwhile; one that comes after this looks at what is cancelled.
        new = [number for number in blocks.list_submissions(folder) if number not in seen]
        seen = sorted(seen + new)
        for number in new:
            found[number] = _cancel_submission(root, request["package"], number, named, token)
    cancelled = 0
    later: Set[int] = set()
    for number in sorted(found, reverse=True):
        tasks, new_tasks = found[number]
        cancelled += len(new_tasks - later)  # of a task the last submission tells
        later |= tasks
    out.write(files.canonical({"package": request["package"], "cancelled": cancelled}) + b"\n")


def _cancel_submission(
    root: str, package: str, number: int, named: Set[int], token: str
) -> Tuple[Set[int], Set[int]]:
    """Cancel tasks (none named: all) of one submission; return them, and those that it is news to."""
    path = layout.submission_path(root, package, number)
    intent = read_json(os.path.join(path, "intent.json"))
    if intent is None:
        return set(), set()
    tasks = {task for task in parse_tasks(intent["tasks"]) if not named or task in named}
    open_tasks = tasks - _recorded(root, package, path, number)
    if not open_tasks:
        return tasks, open_tasks
    folder = blocks.cancel_folder(path)
    os.makedirs(folder, 0o700, exist_ok=True)
    # The same request, sent again since its answer was lost, counts what it counted before.
    before = Cancelled(folder, but=token + ".json").now()
    create_json(os.path.join(folder, token + ".json"), {"tasks": format_tasks(sorted(open_tasks))})
    if not named:
        forget(layout.mark_path(root, package, number))
        scheduler = layout.scheduler(root)
        for job in all_jobs(root, scheduler, path, package, intent):
            schedulers.cancel(scheduler, root, job)
        answers.outdate(root)
    return tasks, open_tasks - before


def all_jobs(root: str, scheduler: str, path: str, package: str, intent: Dict[str, Any]) -> List[str]:
    """The jobs of a submission, those included whose receipts were cut off."""
    found = []
    names = os.listdir(path)
    for part in read_parts(path, intent):
        if part.job is not None:
            found.append(part.job)
        elif any(name.startswith("acting-%d-" % part.number) for name in names):
            name = layout.job_name(package, int(os.path.basename(path)), part.number)
            try:
                found += schedulers.find(scheduler, root, name)
            except NodeError:
                pass  # its elements find every task cancelled
    return found


def _recorded(root: str, package: str, path: str, number: int) -> Set[int]:
    """The tasks of a submission that are at their end; one whose worker died may run again, for one."""
    found: Dict[int, Attempt] = {}
    for block in blocks.list_blocks(path, number):
        if block.records:
            name = blocks.block_path(path, block.id.block, block.id.generation, "records")
            read_attempts(name, LARGEST_TASK, False, found)
    at_end = {task for task, ended in found.items() if ended.state != "NODE_FAIL"}
    manifest = layout.read_manifest(root, package) or {}
    if not manifest.get("retry"):
        return at_end
    folder = layout.checked_package(root, package)
    later = [read_submission(folder, each) for each in blocks.list_submissions(folder) if each > number]
    mine = {task: ended for task, ended in found.items() if not any(task in each.tasks for each in later)}
    return at_end.difference(followed(manifest, read_submission(folder, number), mine))
