"""The embedded scheduler: a job is a detached pool of processes on this machine.

``ROOT/scheduler/<job>/`` holds job.json, owner-<k>.json (the k-th pool that ran it, made by create-only),
element-<e>-<i>.json (the i-th start of element e), held, log and, when all is over, done.json.
"""

import os
import signal
from typing import Dict, List, Optional

from cjnode import processes
from cjnode.errors import NodeError
from cjnode.files import create_json
from cjnode.processes import Identity
from cjnode.schedulers import Account, Job, JobSpec, Limits, Status, job_script, localjobs, pool, ranks

__all__ = ["JobSpec", "batch_script"]


def batch_script(spec: JobSpec) -> str:
    """The text of ``.cj/job.sh``: one element of a job."""
    variables = (
        'CJ_ELEMENT="${CJ_ELEMENT:-1}" CJ_INCARNATION="${CJ_INCARNATION:-1}" CJ_JOB_ID="${CJ_JOB_ID:-}"',
        "export CJ_ELEMENT CJ_INCARNATION CJ_JOB_ID",
    )
    return job_script(spec, [], variables)


def submit(root: str, job: Job) -> str:
    """Start a job's pool and return its name. A pool of that name that lives goes on alone."""
    folder = localjobs.job_folder(root, job.name)
    os.makedirs(folder, 0o700, exist_ok=True)
    fields = {"package": job.package, "submission": job.submission, "elements": job.elements}
    if job.first > 1:
        fields["first"] = job.first
    if job.priority:
        fields["priority"] = job.priority
    create_json(os.path.join(folder, "job.json"), fields)
    if job.priority > 0:
        ranks.enter(root, job.name)
    if not pool.launch(root, job.name):
        raise NodeError("the job's pool of processes did not start: see %s/log" % folder, "git cj doctor")
    return job.name


def find(root: str, name: str) -> List[str]:
    """The job of that name when it runs or has run; not when its pool died before the end."""
    folder = localjobs.job_folder(root, name)
    return [name] if localjobs.is_done(folder) or _owner_lives(folder) else []


def poll(root: str, jobs: List[str]) -> Dict[str, Status]:
    """PENDING, RUNNING or HELD for each living job."""
    found = {}
    for job in jobs:
        folder = localjobs.job_folder(root, job)
        if localjobs.is_done(folder):
            continue
        elements = localjobs.elements(folder)
        if _owner_lives(folder):
            found[job] = Status("RUNNING", "", "", {}) if elements else _waiting(root, job)
        elif any(processes.alive(who) for who in elements):
            found[job] = Status("RUNNING", "", "", {})
    return found


def _waiting(root: str, job: str) -> Status:
    """What is said of a job that has not started its elements."""
    if os.path.exists(os.path.join(localjobs.job_folder(root, job), "held")):
        return Status("HELD", "", "", {})
    return Status("PENDING", ranks.WAITS if ranks.is_behind(root, job) else "", "", {})


def cancel(root: str, job: str) -> None:
    """End a job: its pool ends the elements, which record what they were at."""
    folder = localjobs.job_folder(root, job)
    owner = localjobs.owner(folder)
    # An orphan of a pool that died has nobody else to end it.
    targets = [owner] if owner and processes.here(owner) else localjobs.elements(folder)
    for who in targets:
        if processes.here(who):
            os.kill(who.pid, signal.SIGTERM)


def hold(root: str, job: str) -> None:
    """Keep a job from starting its elements."""
    folder = localjobs.job_folder(root, job)
    if localjobs.elements(folder):
        raise NodeError("job %s has started" % job, "git cj pause")
    create_json(os.path.join(folder, "held"), {})


def release(root: str, job: str) -> None:
    """Let a held job start."""
    try:
        os.unlink(os.path.join(localjobs.job_folder(root, job), "held"))
    except FileNotFoundError:
        pass


def limits(root: str) -> Limits:
    """There are none."""
    return Limits(None, None, 0)


def accounts(root: str, jobs: List[str]) -> Dict[str, Dict[int, Account]]:
    """There is no accounting."""
    return {}


def explain(reason: str) -> str:
    """There are no reasons."""
    return reason


def _owner_lives(folder: str) -> bool:
    who: Optional[Identity] = localjobs.owner(folder)
    return who is not None and processes.alive(who)
