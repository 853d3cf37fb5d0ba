"""Which local job goes first: none starts while one of a higher priority is waiting or running.

``ROOT/scheduler/ahead/`` names the jobs whose priority is above 0, so that the others need not look at all.
"""

import os

from cjnode import processes
from cjnode.files import create_once, forget, read_json
from cjnode.schedulers import localjobs

WAITS = "jobs of a higher priority go first"


def enter(root: str, job: str) -> None:
    """Let a job whose priority is above 0 be looked for by those that it goes before."""
    os.makedirs(_ahead(root), 0o700, exist_ok=True)
    create_once(os.path.join(_ahead(root), job), b"")


def leave(root: str, job: str) -> None:
    """Let a job that has ended be looked for no more."""
    if os.path.isdir(_ahead(root)):
        forget(os.path.join(_ahead(root), job))


def is_behind(root: str, job: str) -> bool:
    """Whether a job has to wait for another one."""
    own = _priority(root, job)
    return any(
        other != job and _priority(root, other) > own and _goes(root, other)
        for other in (
            localjobs.names(_ahead(root)) if own >= 0 else localjobs.names(os.path.join(root, "scheduler"))
        )
        if localjobs.is_job(other)
    )


def _goes(root: str, job: str) -> bool:
    """Whether a job is there and will run, or does."""
    folder = localjobs.job_folder(root, job)
    if localjobs.is_done(folder) or os.path.exists(os.path.join(folder, "held")):
        return False
    owner = localjobs.owner(folder)
    return owner is not None and processes.alive(owner)


def _priority(root: str, job: str) -> int:
    fields = read_json(os.path.join(localjobs.job_folder(root, job), "job.json"))
    return int((fields or {}).get("priority") or 0)


def _ahead(root: str) -> str:
    return os.path.join(root, "scheduler", "ahead")
