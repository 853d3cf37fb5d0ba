"""Cancel tasks, and free what a package takes on the cluster."""

import os
import re
import time
from typing import Any, BinaryIO, Dict, List, Set

from cjnode import blocks, expand, gitbare, layout, schedulers
from cjnode.adopt import INBOX, PACKAGES
from cjnode.attempts import Attempt, read_attempts
from cjnode.errors import NodeError
from cjnode.files import create_json, read_json
from cjnode.points import LARGEST_TASK, format_tasks, parse_tasks
from cjnode.schedulers import pool

ENDING_S = 40  # longer than a job's own grace

_TOKEN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,80}\Z")


def cancel(root: str, request: Dict[str, Any], out: BinaryIO) -> None:
    """The verb: ``{"package":…,"tasks":"…" or null,"token":…}``; null is all tasks, and the jobs end."""
    folder = layout.checked_package(root, request.get("package"))
    token = request.get("token")
    if not isinstance(token, str) or not _TOKEN.match(token):
        raise NodeError("cancel: not a token: %r" % (token,))
    named: Set[int] = set()
    if request.get("tasks"):
        try:
            named = set(parse_tasks(request["tasks"]))
        except (ValueError, AttributeError) as problem:
            raise NodeError("cancel: %s" % problem)
    if not os.path.isdir(folder):
        raise NodeError("package %s is not on this cluster" % request["package"][:12], "git cj state")
    cancelled = 0
    for number in blocks.list_submissions(folder):
        cancelled += _cancel_submission(root, request["package"], number, named, token)
    out.write(blocks.canonical({"package": request["package"], "cancelled": cancelled}) + b"\n")


def _cancel_submission(root: str, package: str, number: int, named: Set[int], token: str) -> int:
    """Cancel tasks (none named: all) of one submission; return how many had no record yet."""
    path = layout.submission_path(root, package, number)
    intent = read_json(os.path.join(path, "intent.json"))
    if intent is None:
        return 0
    tasks = [task for task in parse_tasks(intent["tasks"]) if not named or task in named]
    open_tasks = sorted(set(tasks) - _recorded(path, number))
    if not open_tasks:
        return 0
    os.makedirs(blocks.cancel_folder(path), 0o700, exist_ok=True)
    create_json(
        os.path.join(blocks.cancel_folder(path), token + ".json"), {"tasks": format_tasks(open_tasks)}
    )
    receipt = read_json(os.path.join(path, "receipt.json"))
    if not named and receipt is not None:
        schedulers.cancel(_scheduler(root), root, receipt["job"])
    return len(open_tasks)


def _recorded(path: str, number: int) -> Set[int]:
    """The tasks of a submission that have a record."""
    found: Dict[int, Attempt] = {}
    for block in blocks.list_blocks(path, number):
        if block.records:
            name = blocks.block_path(path, block.id.block, block.id.generation, "records")
            read_attempts(name, LARGEST_TASK, False, found)
    return set(found)


def _scheduler(root: str) -> str:
    cluster = read_json(os.path.join(root, "cluster.json"))
    return str(cluster["scheduler"]) if cluster else "local"


def clean(root: str, request: Dict[str, Any], out: BinaryIO) -> None:
    """The verb: ``{"package":…}``. Ends what still runs of the package, then removes it."""
    folder = layout.checked_package(root, request.get("package"))
    package = request["package"]
    jobs = _jobs(folder)
    busy = _end(root, jobs)
    if busy:
        raise NodeError(
            "package %s still has a job that does not end: %s" % (package[:12], ", ".join(busy)),
            "git cj clean %s again in a while" % package[:8],
        )
    freed = 0
    if os.path.isdir(folder):
        # Renamed first: half a package must not look like one.
        aside = "%s.%d.gone" % (folder, os.getpid())
        os.rename(folder, aside)
        freed = expand.remove(aside)
    for job in jobs:
        freed += expand.remove(pool.job_folder(root, job))
    repo = layout.repo_path(root)
    steps = "".join("delete %s%s\n" % (prefix, package) for prefix in (INBOX, PACKAGES))
    gitbare.run(repo, "update-ref", "--stdin", stdin=steps.encode("ascii"))
    gitbare.run(repo, "-c", "gc.auto=5000", "-c", "gc.autoDetach=false", "gc", "--auto", "--quiet")
    out.write(blocks.canonical({"package": package, "freed": freed}) + b"\n")


def _end(root: str, jobs: List[str]) -> List[str]:
    """End jobs, and wait a while for it. Returns those that are still there."""
    scheduler = _scheduler(root)
    busy = sorted(schedulers.poll(scheduler, root, jobs))
    for job in busy:
        schedulers.cancel(scheduler, root, job)
    deadline = time.monotonic() + ENDING_S
    while busy and time.monotonic() < deadline:
        time.sleep(0.02)
        busy = sorted(schedulers.poll(scheduler, root, busy))
    return busy


def _jobs(folder: str) -> List[str]:
    found = []
    for number in blocks.list_submissions(folder):
        receipt = read_json(os.path.join(blocks.submission_folder(folder, number), "receipt.json"))
        if receipt is not None:
            found.append(str(receipt["job"]))
    return found
