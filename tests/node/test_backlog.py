"""What the site does not take now waits, is told, and is submitted by later calls of any verb."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

from cjnode.jobs.parts import Part, divide, throttle
from cjnode.schedulers import Limits

from .cluster_kit import Site, resources
from .fake_slurm import FakeSlurm

FULL = "Slurm takes no more jobs now: QOSMaxSubmitJobPerUserLimit"


def package(site: Site, tasks: int, **changes: Any) -> str:
    job = "#!/bin/sh\nexit 0\n"
    found = {"resources": resources(jobs=None), **changes}
    return site.package(scheduler="slurm", job=job, tasks=tasks, **found)


def state(site: Site, sent: str, **more: Any) -> dict[str, Any]:
    return site.verb("state", {"packages": [sent], "fresh": True, **more})


def limit_arrays(site: Site, slurm: FakeSlurm, size: int) -> None:
    """Change MaxArraySize, and let nobody remember what it was when the cluster was set up."""
    slurm.say("array", str(size))
    for name in ("limits.json", "allowed.json"):
        (site.root / "scheduler" / name).unlink(missing_ok=True)


def names(sent: str, *parts: int) -> list[str]:
    whole = f"cj-{sent[:12]}-1"
    return [whole if part == 1 else f"{whole}-{part}" for part in parts]


def due(site: Site) -> None:
    """Let 30 s pass since the backlog was looked at."""
    last = site.root / "backlog" / ".last"
    if last.exists():
        os.utime(last, (1, 1))


@pytest.mark.parametrize(
    ("elements", "array", "queued", "parts"),
    [
        (5, None, None, [[1, 5]]),
        (5, 5, None, [[1, 5]]),
        (5, 2, None, [[1, 2], [3, 2], [5, 1]]),
        (5, 1000, 8, [[1, 2], [3, 2], [5, 1]]),
        (3, None, 1, [[1, 1], [2, 1], [3, 1]]),
        (1, 1, 1, [[1, 1]]),
    ],
)
def test_parts_are_as_large_as_the_site_takes(
    elements: int, array: int | None, queued: int | None, parts: list[list[int]]
) -> None:
    assert divide(elements, Limits(array, queued, 0)) == parts


@pytest.mark.parametrize(
    ("jobs", "count", "each"),
    [(None, 2, [None, None]), (5, 1, [5]), (5, 2, [3, 2]), (3, 3, [1, 1, 1]), (1, 3, [1, 1, 1])],
)
def test_parts_share_what_may_run_at_once(jobs: int | None, count: int, each: list[int | None]) -> None:
    parts = [Part(number, 1, 1, None) for number in range(1, count + 1)]
    assert [throttle(jobs, parts, number) for number in range(1, count + 1)] == each


def test_an_array_over_the_limit_is_several_jobs(site: Site, slurm: FakeSlurm) -> None:
    limit_arrays(site, slurm, 4)  # indices up to 3
    sent = package(site, 7, resources=resources(jobs=5))
    jobs = ["7", "8", "9"]
    assert site.send(sent) == [{"package": sent, "submission": 1, "job": "7", "jobs": jobs}]
    assert slurm.jobs() == [
        (*each, elements) for *each, elements in zip(jobs, names(sent, 1, 2, 3), (3, 3, 1), strict=True)
    ]
    arrays = [[word for word in call if word.startswith("--array")] for call in slurm.calls("sbatch")]
    assert arrays == [["--array=1-3%2"], ["--array=1-3%2"], []]  # one element is no array
    intent = json.loads((site.submission(sent) / "intent.json").read_bytes())
    assert (intent["parts"], intent["elements"], intent["rounds"]) == ([[1, 3], [4, 3], [7, 1]], 7, [[1, 7]])
    last = (site.submission(sent) / "job-3.sh").read_text().splitlines()[-1]
    assert last.endswith(f"'{sent}' '1' '7'")
    assert state(site, sent)["jobs"] == jobs
    assert sorted(path.name for path in site.submission(sent).glob("receipt*")) == [
        "receipt-2.json",
        "receipt-3.json",
        "receipt.json",
    ]


def test_more_tasks_than_elements_share_blocks(site: Site, slurm: FakeSlurm) -> None:
    sent = package(site, 25_000)
    assert "error" not in site.send(sent)[0]
    intent = json.loads((site.submission(sent) / "intent.json").read_bytes())
    assert (intent["elements"], intent["rounds"]) == (500, [[25, 500], [13, 500], [12, 500]])


def test_what_a_full_site_refuses_waits_and_is_told(site: Site, slurm: FakeSlurm) -> None:
    limit_arrays(site, slurm, 4)
    slurm.will("ok", "full", "full")
    sent = package(site, 7)
    (answer,) = site.send(sent)
    assert answer == {
        "package": sent,
        "submission": 1,
        "job": "7",
        "jobs": ["7"],
        "waiting": 4,
        "why": FULL,
    }
    line = state(site, sent)  # a call about the package tries again at once
    assert (
        line["reasons"]
        == {
            f"not submitted yet: {FULL}": 4,
            "it waits for free nodes": 3,
        }
        or line["reasons"].get(f"not submitted yet: {FULL}") == 4
    )
    assert line["counts"] == {"PENDING": 7}
    assert not line["final"]
    line = state(site, sent)
    assert line["jobs"] == ["7", "8", "9"]
    assert list((site.root / "backlog").glob("*.json")) == []


def test_any_later_verb_submits_what_waits_but_not_more_often_than_every_30_s(
    site: Site, slurm: FakeSlurm
) -> None:
    slurm.will("full")
    sent = package(site, 3)
    assert site.send(sent)[0]["job"] == ""
    other = package(site, 2, seed=2)
    slurm.will("full", "full", "full")
    site.send(other)  # its hook looks at the backlog after its own
    tried = len(slurm.calls("sbatch"))
    for _ in range(3):
        site.verb("pull", {"package": other, "positions": {}})
    assert len(slurm.calls("sbatch")) == tried
    slurm.will()
    due(site)
    site.verb("pull", {"package": other, "positions": {}})
    assert sorted(called for _, called, _ in slurm.jobs()) == sorted(names(sent, 1) + names(other, 1))


def test_who_watches_does_not_try_a_full_site_again_and_again(site: Site, slurm: FakeSlurm) -> None:
    slurm.will("full")
    sent = package(site, 3)
    site.send(sent)
    for _ in range(3):
        assert state(site, sent, fresh=False)["reasons"] == {f"not submitted yet: {FULL}": 3}
    assert len(slurm.calls("sbatch")) == 1
    due(site)
    assert state(site, sent, fresh=False)["jobs"] == ["7"]


def test_max_jobs_bounds_what_is_there_at_once(site: Site, slurm: FakeSlurm) -> None:
    sent = package(site, 6, max_jobs=4)
    (answer,) = site.send(sent)
    assert (answer["jobs"], answer["waiting"]) == (["7", "8", "9", "10"], 2)
    assert answer["why"] == "the site takes 4 elements of yours at once, and has 4"
    with (slurm.folder / "cancelled").open("a") as file:
        file.write("7\n8\n")
    assert state(site, sent)["jobs"] == ["7", "8", "9", "10", "11", "12"]


def test_a_cancelled_package_waits_no_more(site: Site, slurm: FakeSlurm) -> None:
    limit_arrays(site, slurm, 4)
    slurm.will("ok", "full")
    sent = package(site, 7)
    site.send(sent)
    assert site.verb("cancel", {"package": sent, "tasks": None, "token": "t"})["cancelled"] == 7
    assert slurm.calls("scancel") == [["7"]]
    due(site)
    line = state(site, sent)
    assert (line["counts"], line["final"], line["reasons"]) == ({"CANCELLED": 7}, True, {})
    assert slurm.jobs() == []
    # Nor does asking for it again bring it back: that is a new submission's part.
    assert site.verb("submit", {"package": sent, "submission": 1, "token": sent})["jobs"] == ["7"]
    assert slurm.jobs() == []


def test_what_is_held_is_not_submitted_before_its_release(site: Site, slurm: FakeSlurm) -> None:
    limit_arrays(site, slurm, 4)
    slurm.will("ok", "full")
    sent = package(site, 7)
    site.send(sent)
    assert site.verb("hold", {"package": sent}) == {"package": sent, "jobs": ["7"]}
    line = state(site, sent)
    assert line["jobs"] == ["7"]
    assert line["counts"] == {"PENDING": 3, "HELD": 4}  # the scripts' squeue knows no holds
    assert line["reasons"]["not submitted yet: it is held"] == 4
    assert site.verb("release", {"package": sent}) == {"package": sent, "jobs": ["7"], "changed": True}
    assert [call[-2:] for call in slurm.calls("scontrol") if "show" not in call] == [
        ["uhold", "7"],
        ["release", "7"],
    ]
    assert state(site, sent)["jobs"] == ["7", "8", "9"]


def test_a_later_part_that_is_refused_leaves_the_earlier_ones(site: Site, slurm: FakeSlurm) -> None:
    limit_arrays(site, slurm, 4)
    slurm.will("ok", "refuse")
    sent = package(site, 5)
    (answer,) = site.send(sent)
    assert answer["error"] == "sbatch refused: invalid partition specified: nosuch"
    line = state(site, sent)
    assert (line["jobs"], line["counts"]) == (["7"], {"PENDING": 5})
    assert line["problems"] == [
        "the scheduler refused submission 1: sbatch refused: invalid partition specified: nosuch"
    ]
    assert site.verb("submit", {"package": sent, "submission": 1, "token": sent})["jobs"] == ["7", "8"]


def test_a_clean_package_leaves_no_job_and_nothing_that_waits(site: Site, slurm: FakeSlurm) -> None:
    limit_arrays(site, slurm, 4)
    slurm.will("ok", "full")
    sent = package(site, 7)
    site.send(sent)
    assert site.verb("clean", {"package": sent})["freed"] > 0
    assert slurm.jobs() == []
    assert list((site.root / "backlog").glob("*.json")) == []
    assert list((site.root / "packages").iterdir()) == []


def test_a_clean_frees_what_one_that_was_killed_left(site: Site, slurm: FakeSlurm) -> None:
    sent = package(site, 2)
    site.send(sent)
    wish = site.root / "wishes" / f"{sent}.json"
    wish.parent.mkdir(exist_ok=True)
    wish.write_text('{"format":1,"priority":5}\n')
    left = site.root / "packages" / f"{sent}.123.gone"
    (site.root / "packages" / sent).rename(left)
    assert site.verb("clean", {"package": sent})["freed"] > 0
    assert list((site.root / "packages").iterdir()) == []
    assert not wish.exists()
