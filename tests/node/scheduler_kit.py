"""A cluster's root on a real scheduler, without a package: job scripts are what a test says."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from cjnode import schedulers
from cjnode.schedulers import Job, JobSpec, Status, part_script
from tests.clusters.far import login
from tests.clusters.ports import wait_until

REAL = ("slurm", "sge", "torque")
PACKAGE = "8ab7a5aa0123" + "0" * 28
NOTHING: dict[str, Any] = {
    "nodes": None,
    "tasks_per_node": None,
    "cpus": None,
    "gpus": None,
    "memory_mb": None,
    "walltime_s": None,
    "alloc": [],
    "jobs": None,
}
# An element says who it is, then waits until the test lets it go on.
TELL = 'echo "$CJ_ELEMENT $CJ_RESTARTS $CJ_JOB_ID $CJ_NODELIST"'
WAIT = 'while [ ! -e "$ROOT/go" ]; do sleep 0.1; done'


@dataclass
class Desk:
    """A root from which jobs are submitted; each submission is a name of its own."""

    scheduler: str
    root: Path
    setup: tuple[str, ...] = (TELL, WAIT, "exit 0")
    names: list[str] = field(default_factory=list)

    @property
    def folder(self) -> Path:
        return self.root / "packages" / PACKAGE / "submissions" / "1"

    @property
    def log(self) -> Path:
        return self.folder / "elements.log"

    def job(self, elements: int = 1, first: int = 1, **asked: Any) -> Job:
        """A part ready to be handed over."""
        self.folder.mkdir(parents=True, exist_ok=True)
        code = self.root / "packages" / PACKAGE / "code" / ".cj"
        code.mkdir(parents=True, exist_ok=True)
        resources = {**NOTHING, **asked}
        text = schedulers.batch_script(self.scheduler, JobSpec("python3", list(self.setup), resources))
        (code / "job.sh").write_text(text)
        script = self.folder / f"job-{len(self.names) + 1}.sh"
        script.write_text(part_script(text, str(self.root), PACKAGE, 1, first, str(self.log)))
        # The root's own name is in it: test runs share a scheduler.
        name = f"cj-{os.getpid():06x}{abs(hash(self.root)) % 16**6:06x}-{len(self.names) + 1}"
        self.names.append(name)
        return Job(name, PACKAGE, 1, first, elements, str(script), str(self.log), resources, 0, [])

    def submit(self, job: Job) -> str:
        return schedulers.submit(self.scheduler, str(self.root), job)

    def poll(self, *jobs: str) -> dict[str, Status]:
        return schedulers.poll(self.scheduler, str(self.root), list(jobs))

    def wait(self, job: str, true: Callable[[Status | None], bool], what: str) -> Status | None:
        """Poll until the job's status is what is waited for."""
        last: list[Status | None] = [None]

        def look() -> bool:
            last[0] = self.poll(job).get(job)
            return true(last[0])

        wait_until(look, what, 60)
        return last[0]

    def wait_for_end(self, *jobs: str) -> None:
        self.go()
        for job in jobs:
            self.wait(job, is_over, f"the end of job {job}")

    def go(self) -> None:
        (self.root / "go").touch()

    def told(self) -> list[list[str]]:
        """What the elements said, in order of their numbers."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return sorted((line.split() for line in lines if line[:1].isdigit()), key=lambda words: int(words[0]))


def is_over(status: Status | None) -> bool:
    """Whether none of a job's elements will run again."""
    return status is None or status.state == "ENDED"


def desk(scheduler: str, root: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Desk:
    """A desk at the real scheduler, with the environment of a login there."""
    root.mkdir(mode=0o700)
    if scheduler == "torque":
        variables, path = login(scheduler, request.getfixturevalue("far")(scheduler).backend)
    else:
        backend = request.getfixturevalue("real_slurm" if scheduler == "slurm" else scheduler)
        variables, path = backend.variables, backend.path
    enter(variables, path, monkeypatch)
    return Desk(scheduler, root)


def enter(variables: dict[str, str], path: Iterable[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Give this process what a login on a cluster has."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PATH", os.pathsep.join((*path, os.environ["PATH"])))
