"""What is told of a package and of its tasks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cjledger.commands import waiting
from cjledger.model import After, Manifest
from cjledger.project import Project, Target

_ANOTHER = "waits for another job"


@dataclass(frozen=True)
class TaskState:
    """One task as last known; None where nothing is known."""

    task: int
    attempt: int | None
    state: str
    job: str | None
    exit_code: int | None
    started: str | None
    ended: str | None
    host: str | None
    max_rss_mb: float | None
    error: str | None = None
    note: str | None = None
    params: dict[str, Any] = field(default_factory=dict)
    earlier: tuple[dict[str, Any], ...] = ()  # the attempts before, as they ended


@dataclass(frozen=True)
class PackageState:
    """Counts of a package's tasks by state. ``seconds`` is the summed run time and over how many tasks."""

    package_id: str
    cluster: str
    program: str
    tasks: int
    counts: dict[str, int]
    final: bool
    jobs: tuple[str, ...] = ()
    seconds: tuple[float, int] = (0.0, 0)
    problems: tuple[str, ...] = ()
    reasons: dict[str, int] = field(default_factory=dict)  # why tasks wait, in plain words
    spread: dict[str, Any] = field(default_factory=dict)  # seconds and memory of the latest tasks
    submissions: int = 0  # the number of the last one; 0: not known
    workers: int = 0  # elements that run, where that was asked for
    left: int = 0  # tasks whose workers have all ended, and that nobody will run unless some are added
    then: str | None = None  # the package that runs after it
    elsewhere: bool = False  # its cluster cannot be asked from here: only a sync tells more


def awaited(after: After) -> str:
    """What is waited for of a package, in words that follow "it waits for"."""
    return f"{after.package[:12]} to {'end' if after.when == 'any' else 'complete'}"


def reasons(manifest: Manifest, found: Mapping[str, int]) -> dict[str, int]:
    """Why tasks wait; schedulers know of other jobs alone, the manifest of which packages."""
    names = " and ".join(map(awaited, manifest.after))
    return {
        f"it waits for {names}" if names and _ANOTHER in words else words: count
        for words, count in found.items()
    }


def unsubmitted(project: Project, target: Target, manifest: Manifest) -> tuple[PackageState, list[TaskState]]:
    """What is told of a package that its cluster has not."""
    why = waiting.why(project, target.package_id)
    word, problem = "PENDING", f"not submitted: git cj submit {target.package_id[:8]}"
    if why is not None:
        word, problem = "WAITING", ""
    elif told := waiting.given_up(project, target.package_id):
        word, problem = "CANCELLED", told
    found = PackageState(
        target.package_id,
        manifest.cluster,
        manifest.program.name,
        manifest.tasks,
        {word: manifest.tasks},
        word == "CANCELLED",
        problems=(problem,) if problem else (),
        reasons={why: manifest.tasks} if why else {},
    )
    return found, [
        TaskState(task, None, word, None, None, None, None, None, None)
        for task in range(1, manifest.tasks + 1)
    ]
