"""How many workers a launch has when nobody says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cjledger.commands import sizing
from cjledger.model import Cluster, Program, Resources
from cjledger.project import Project, open_project
from tests.snapshots import new_repo

PROGRAM = Program("script", "p.py")
FAR = Cluster("far", "slurm")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    folder = new_repo(tmp_path / "repo")
    found = open_project(folder, tmp_path / "none.toml")
    (found.repo.cj_dir / "state").mkdir(parents=True)
    return found


def seen(project: Project, name: str, seconds: float, count: int, program: str = "p.py") -> None:
    fields = {"state": {"program": program, "cluster": "far", "seconds": [seconds, count]}, "tasks": []}
    (project.repo.cj_dir / "state" / f"{name}.json").write_text(json.dumps(fields))


def test_nothing_is_known_of_a_new_program(project: Project) -> None:
    seen(project, "a", 100.0, 10, "other.py")
    (project.repo.cj_dir / "state" / "b.json").write_text("{")
    assert sizing.workers(project, PROGRAM, 5000, Resources(), FAR) is None


@pytest.mark.parametrize(
    ("each_s", "tasks", "resources", "workers"),
    [
        (0.5, 6000, Resources(), 10),
        (0.001, 6000, Resources(), 1),
        (400.0, 6000, Resources(), None),  # one task each
        (1.0, 6000, Resources(walltime_s=60), 200),
        (0.5, 99, Resources(), None),
        (0.5, 6000, Resources(workers=3), None),
        (0.5, 6000, Resources(cpus=2), None),
    ],
)
def test_workers_have_enough_to_do_and_end_in_their_time(
    project: Project, each_s: float, tasks: int, resources: Resources, workers: int | None
) -> None:
    seen(project, "a", each_s * 10, 10)
    assert sizing.workers(project, PROGRAM, tasks, resources, FAR) == workers
