"""The schedulers: each a module with the same few functions, asked for by name."""

import importlib
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from cjnode.errors import NodeError

MODULES = {"local": "cjnode.schedulers.local"}

# What ``.cj/job.sh`` is made of; it knows neither package nor submission, which come as arguments.
JobSpec = NamedTuple(
    "JobSpec",
    [
        ("python", str),  # the program that runs the worker
        ("setup", List[str]),  # shell lines run before it
        ("resources", Dict[str, Any]),  # the manifest's
    ],
)

# One submission of a package: what a scheduler is asked to start.
Job = NamedTuple(
    "Job",
    [
        ("name", str),  # cj-<id12>-<n>: found again by it
        ("package", str),
        ("submission", int),
        ("elements", int),
        ("resources", Dict[str, Any]),
    ],
)


def module(scheduler: str) -> Any:
    """The scheduler's module."""
    if scheduler not in MODULES:
        raise NodeError(
            "this cluster's cjnode knows no scheduler %r" % scheduler,
            "one of: %s" % ", ".join(sorted(MODULES)),
        )
    return importlib.import_module(MODULES[scheduler])


def batch_script(scheduler: str, spec: JobSpec) -> str:
    """The text of ``.cj/job.sh``. Pure."""
    return str(module(scheduler).batch_script(spec))


def submit(scheduler: str, root: str, job: Job) -> str:
    """Start a job and return its ID. Raises NodeError with the scheduler's own words."""
    return str(module(scheduler).submit(root, job))


def find(scheduler: str, root: str, name: str) -> Optional[str]:
    """The ID of the job of that name, if the scheduler has or had it."""
    found: Optional[str] = module(scheduler).find(root, name)
    return found


def poll(scheduler: str, root: str, jobs: List[str]) -> Dict[str, str]:
    """PENDING, RUNNING or HELD for each job that is there; a job that is not, is gone or unknown."""
    found: Dict[str, str] = module(scheduler).poll(root, jobs)
    return found


def cancel(scheduler: str, root: str, job: str) -> None:
    """End a job. Nothing happens to one that has ended."""
    module(scheduler).cancel(root, job)


def hold(scheduler: str, root: str, job: str) -> None:
    """Keep a job that has not started from starting."""
    module(scheduler).hold(root, job)


def release(scheduler: str, root: str, job: str) -> None:
    """Let a held job start."""
    module(scheduler).release(root, job)


def limits(scheduler: str, root: str) -> Dict[str, Optional[int]]:
    """What the site allows: ``elements`` of one job, ``jobs`` at once; None without a limit."""
    found: Dict[str, Optional[int]] = module(scheduler).limits(root)
    return found


def index_lines(element: str, incarnation: str, job: str) -> Tuple[str, ...]:
    """Shell lines that set the element's variables from the scheduler's own."""
    return (
        'CJ_ELEMENT="%s" CJ_INCARNATION="%s" CJ_JOB_ID="%s"' % (element, incarnation, job),
        "export CJ_ELEMENT CJ_INCARNATION CJ_JOB_ID",
    )
