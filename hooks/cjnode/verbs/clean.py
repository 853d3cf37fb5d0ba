"""Verb ``clean``: free what a package takes on the cluster."""

import glob
import os
import time
from typing import Any, BinaryIO, Dict, List

from cjnode import files, schedulers
from cjnode.errors import NodeError
from cjnode.files import forget, read_json
from cjnode.records import blocks, layout
from cjnode.repository import expand, gitbare
from cjnode.schedulers import localjobs
from cjnode.verbs.cancel import all_jobs
from cjnode.vocabulary import INBOX, PACKAGES

ENDING_S = 40  # longer than a job's own grace
_GONE = ".gone"


def clean(root: str, request: Dict[str, Any], out: BinaryIO) -> None:
    """The verb: ``{"package":…}``. Ends what still runs of the package, then removes it."""
    folder = layout.checked_package(root, request.get("package"))
    package = request["package"]
    jobs = _jobs(root, package, folder)
    busy = _end(root, jobs)
    if busy:
        raise NodeError(
            "package %s still has a job that does not end: %s" % (package[:12], ", ".join(busy)),
            "git cj clean %s again in a while" % package[:8],
        )
    if os.path.isdir(folder):
        # Renamed first: half a package must not look like one.
        os.rename(folder, "%s.%d%s" % (folder, os.getpid(), _GONE))
    # Those of calls that were killed, too.
    freed = sum(map(_freed, glob.glob(glob.escape(folder) + ".*" + _GONE)))
    forget(layout.wish_path(root, package))
    for job in jobs if layout.scheduler(root) == "local" else ():
        freed += expand.remove(localjobs.job_folder(root, job))
    repo = gitbare.repo_path(root)
    with gitbare.RefMoves(repo) as moves:
        moves.do(["delete %s%s" % (prefix, package) for prefix in (INBOX, PACKAGES)])
    gitbare.run(repo, "-c", "gc.auto=5000", "-c", "gc.autoDetach=false", "gc", "--auto", "--quiet")
    out.write(files.canonical({"package": package, "freed": freed}) + b"\n")


def _freed(folder: str) -> int:
    try:
        return expand.remove(folder)
    except FileNotFoundError:
        return 0  # another call is at it


def _end(root: str, jobs: List[str]) -> List[str]:
    """End jobs, and wait a while for it. Returns those that are still there."""
    scheduler = layout.scheduler(root)
    busy = _there(scheduler, root, jobs)
    for job in busy:
        schedulers.cancel(scheduler, root, job)
    deadline = time.monotonic() + ENDING_S
    while busy and time.monotonic() < deadline:
        time.sleep(0.02 if scheduler == "local" else 1.0)
        busy = _there(scheduler, root, busy)
    return busy


def _there(scheduler: str, root: str, jobs: List[str]) -> List[str]:
    found = schedulers.poll(scheduler, root, jobs) if jobs else {}
    return sorted(job for job, status in found.items() if status.state != "ENDED")


def _jobs(root: str, package: str, folder: str) -> List[str]:
    """Every job of the package; what waits for its submission is forgotten first."""
    scheduler, found = layout.scheduler(root), []
    for number in blocks.list_submissions(folder):
        forget(layout.mark_path(root, package, number))
        path = blocks.submission_folder(folder, number)
        intent = read_json(os.path.join(path, "intent.json"))
        if intent is not None:
            found += all_jobs(root, scheduler, path, package, intent)
    return found
