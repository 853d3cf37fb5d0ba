"""Pauses on a cluster: what is queued is held, what starts all the same ends, and others take up the rest."""

from __future__ import annotations

import os
import subprocess

import pytest

from .cluster_kit import Site
from .conftest import PYTHONS
from .fake_slurm import FakeSlurm
from .test_waiting import end, run, sent, state


def part(site: Site, package: str, job: str, number: int, *elements: int) -> None:
    """Run elements of a part that was added."""
    for element in elements:
        variables = {"SLURM_ARRAY_JOB_ID": job, "SLURM_ARRAY_TASK_ID": str(element)}
        script = site.submission(package) / f"job-{number}.sh"
        subprocess.run(("/bin/sh", script), env={**os.environ, **variables}, check=True)


def test_what_is_queued_is_held_and_released(site: Site, slurm: FakeSlurm) -> None:
    package = sent(site)
    assert site.verb("pause", {"package": package}) == {"package": package, "jobs": ["7"], "changed": True}
    line = state(site, package)
    words = f"paused: git cj resume {package[:8]}"
    assert (line["counts"], line["reasons"], line["final"]) == ({"HELD": 2}, {words: 2}, False)
    assert site.verb("resume", {"package": package})["jobs"] == ["7"]
    assert [words for words in slurm.calls("scontrol") if words[0] in ("uhold", "release")] == [
        ["uhold", "7"],
        ["release", "7"],
    ]
    assert not site.verb("resume", {"package": package})["changed"]
    assert run(site, package, "7") == [0, 0]
    end(slurm, "7")
    assert state(site, package)["counts"] == {"COMPLETED": 2}
    assert len(slurm.calls("sbatch")) == 1


@pytest.mark.parametrize("site", PYTHONS, indirect=True)
def test_elements_that_start_in_a_pause_leave_their_tasks_to_others(site: Site, slurm: FakeSlurm) -> None:
    package = sent(site)
    site.verb("pause", {"package": package})
    assert run(site, package, "7") == [0, 0]
    end(slurm, "7")
    line = state(site, package)
    assert (line["counts"], line["problems"]) == ({"HELD": 2}, [])
    assert site.verb("resume", {"package": package})["jobs"] == ["8"]
    assert site.verb("resume", {"package": package})["jobs"] == ["8"]  # released, and not made again
    assert len(slurm.calls("sbatch")) == 2
    part(site, package, "8", 2, 1, 2)
    end(slurm, "8")
    assert state(site, package)["counts"] == {"COMPLETED": 2}


def test_workers_that_left_in_a_pause_are_replaced_though_the_scheduler_shows_them(
    site: Site, slurm: FakeSlurm
) -> None:
    package = sent(site)
    name = f"cj-{package[:12]}-1"
    site.verb("pause", {"package": package})
    assert run(site, package, "7") == [0, 0]
    slurm.say("rows", f"7_1|RUNNING|None|{name}\n7_2|RUNNING|None|{name}\n")
    assert "8" in site.verb("resume", {"package": package})["jobs"]
    (slurm.folder / "rows").unlink()
    part(site, package, "8", 2, 1, 2)
    end(slurm, "7", "8")
    assert state(site, package)["counts"] == {"COMPLETED": 2}


def test_what_is_not_submitted_is_not_while_it_is_paused(site: Site, slurm: FakeSlurm) -> None:
    slurm.will("full")
    package = sent(site)
    site.verb("pause", {"package": package})
    slurm.will()
    assert state(site, package)["counts"] == {"HELD": 2}
    assert slurm.jobs() == []
    site.verb("resume", {"package": package})
    assert state(site, package)["jobs"] == ["7"]
