"""Packages that wait for others on a cluster: dependencies bring their jobs, records let them run."""

from __future__ import annotations

import itertools
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cjnode import schedulers
from cjnode.schedulers import Job, JobSpec, sge
from cjnode.schedulers import slurm as scheduler

from .cluster_kit import Site, resources
from .conftest import PYTHONS
from .fake_slurm import FakeSlurm
from .replay_kit import install

KILLED = Path(__file__).parent / "killed.py"
# Fails while the test says so.
MAIN = "import os, sys\nif os.path.exists({root!r} + '/fail-' + os.environ['CJ_TASK']): sys.exit(3)\n"


def package(site: Site, tasks: int = 2, after: dict[str, str] | None = None, **changes: Any) -> str:
    asked = resources(jobs=None)
    job = scheduler.batch_script(JobSpec(site.python, [], asked))
    waits = [{"package": name, "when": when, "cluster": "local"} for name, when in (after or {}).items()]
    found = {"scheduler": "slurm", "resources": asked, "main": MAIN.format(root=str(site.root)), **changes}
    return site.package(job=job, tasks=tasks, after=waits, **found)


def sent(site: Site, tasks: int = 2, after: dict[str, str] | None = None, **changes: Any) -> str:
    made = package(site, tasks, after, **changes)
    assert "job" in site.send(made)[0]
    return made


def run(site: Site, sent: str, job: str, *, number: int = 1, elements: tuple[int, ...] = (1, 2)) -> list[int]:
    """Run the elements of a job as Slurm would; their exit codes."""
    codes = []
    for element in elements:
        variables = {"SLURM_ARRAY_JOB_ID": job, "SLURM_ARRAY_TASK_ID": str(element)}
        done = subprocess.run(
            ("/bin/sh", site.submission(sent, number) / "job-1.sh"), env={**os.environ, **variables}
        )
        codes.append(done.returncode)
    return codes


def end(slurm: FakeSlurm, *jobs: str) -> None:
    """Let jobs be gone from squeue."""
    with (slurm.folder / "cancelled").open("a") as file:
        file.write("\n".join(jobs) + "\n")


def state(site: Site, sent: str) -> dict[str, Any]:
    return site.verb("state", {"packages": [sent], "fresh": True})


def dependencies(slurm: FakeSlurm) -> list[str]:
    words = [word for call in slurm.calls("sbatch") for word in call]
    return [word.partition("=")[2] for word in words if word.startswith("--dependency=")]


def test_a_job_is_submitted_behind_all_jobs_of_the_other_package(site: Site, slurm: FakeSlurm) -> None:
    slurm.say("array", "2")  # indices up to 1: a part an element
    for name in ("limits.json", "allowed.json"):
        (site.root / "scheduler" / name).unlink(missing_ok=True)
    first = sent(site)
    second = sent(site, 1, {first: "any"})
    assert dependencies(slurm) == ["afterany:7:8"]
    assert state(site, second)["jobs"] == ["9"]
    third = sent(site, 1, {first: "ok", second: "any"}, seed=3)
    assert dependencies(slurm)[1:] == ["afterany:7:8:9"]
    intent = json.loads((site.submission(third) / "intent.json").read_bytes())
    assert intent["after"] == [{"package": first, "when": "ok"}, {"package": second, "when": "any"}]


def test_while_parts_of_the_other_are_not_submitted_it_waits_in_the_backlog(
    site: Site, slurm: FakeSlurm
) -> None:
    slurm.will("full")
    first = sent(site)
    second = package(site, 1, {first: "any"})
    slurm.will("full", "full", "full")
    (answer,) = site.send(second)
    why = f"it waits for {first[:12]} to end"
    assert (answer["job"], answer["waiting"], answer["why"]) == ("", 1, why)
    line = state(site, second)
    assert (line["counts"], line["reasons"]) == ({"WAITING": 1}, {f"not submitted yet: {why}": 1})
    slurm.will()
    state(site, first)
    state(site, second)
    assert dependencies(slurm) == ["afterany:7"]


def test_it_runs_when_all_tasks_of_the_other_completed(site: Site, slurm: FakeSlurm) -> None:
    first = sent(site)
    second = sent(site, 2, {first: "ok"}, seed=2)
    assert run(site, first, "7") == [0, 0]
    end(slurm, "7")
    assert run(site, second, "8") == [0, 0]
    assert state(site, second)["counts"] == {"COMPLETED": 2}


def test_what_has_ended_already_is_waited_for_no_more(site: Site, slurm: FakeSlurm) -> None:
    first = sent(site)
    run(site, first, "7")
    end(slurm, "7")
    second = sent(site, 2, {first: "ok"}, seed=2)
    assert dependencies(slurm) == []
    assert run(site, second, "8") == [0, 0]


def test_it_is_cancelled_when_a_task_of_the_other_failed(site: Site, slurm: FakeSlurm) -> None:
    (site.root / "fail-2").touch()
    first = sent(site)
    second = sent(site, 2, {first: "ok"}, seed=2)
    third = sent(site, 1, {first: "any"}, seed=3)
    assert run(site, first, "7") == [0, 1]
    end(slurm, "7")
    assert run(site, second, "8") == [0, 0]
    assert run(site, third, "9", elements=(1,)) == [0]
    end(slurm, "8", "9")
    line = state(site, second)
    why = f"it never ran: {first[:12]} did not complete 1 of its tasks"
    assert (line["counts"], line["final"], line["problems"]) == ({"CANCELLED": 2}, True, [why])
    assert state(site, third)["counts"] == {"COMPLETED": 1}
    assert list((site.root / "backlog").glob("*.json")) == []


@pytest.mark.parametrize("site", PYTHONS, indirect=True)
def test_one_that_came_too_early_comes_again_behind_the_retry(site: Site, slurm: FakeSlurm) -> None:
    (site.root / "fail-2").touch()
    first = sent(site)
    second = sent(site, 2, {first: "ok"}, seed=2)
    assert run(site, first, "7") == [0, 1]
    end(slurm, "7")
    (site.root / "fail-2").unlink()
    again = {"package": first, "submission": 2, "token": "t", "tasks": "2", "attempt": 2}
    assert site.verb("submit", again)["job"] == "9"
    # Slurm knows nothing of the retry: it starts what waited for job 7 alone.
    assert run(site, second, "8") == [0, 0]
    end(slurm, "8")
    assert state(site, second)["counts"] == {"PENDING": 2}
    assert dependencies(slurm) == ["afterany:7", "afterany:9"]
    assert run(site, first, "9", number=2, elements=(1,)) == [0]
    end(slurm, "9")
    assert run(site, second, "10", number=2) == [0, 0]
    line = state(site, second)
    assert (line["counts"], line["jobs"]) == ({"COMPLETED": 2}, ["8", "10"])
    assert state(site, second)["problems"] == []


def test_a_package_that_is_not_there_is_refused(site: Site, slurm: FakeSlurm) -> None:
    unknown = "1" * 40
    (answer,) = site.send(package(site, 1, {unknown: "ok"}))
    assert answer["error"] == f"package {unknown[:12]}, which it is to wait for, is not on this cluster"
    assert slurm.jobs() == []


def test_one_that_was_removed_has_ended_but_nobody_knows_how(site: Site, slurm: FakeSlurm) -> None:
    slurm.will("full")
    first = sent(site)
    slurm.will("full", "full", "full", "full")
    second, third = sent(site, 1, {first: "ok"}), sent(site, 1, {first: "any"}, seed=3)
    assert "error" not in site.verb("clean", {"package": first})
    slurm.will()
    assert state(site, second)["counts"] == {"CANCELLED": 1}
    assert state(site, third)["jobs"] == ["7"]


def test_a_hook_killed_anywhere_leaves_one_job_behind_the_other(
    site: Site, slurm: FakeSlurm, tmp_path: Path
) -> None:
    first = sent(site)
    wrapper, note = tmp_path / "python", tmp_path / "note"
    words = (shlex.quote(sys.executable), shlex.quote(str(KILLED)))
    wrapper.write_text('#!/bin/sh\nexec {} {} "$@"\n'.format(*words))
    wrapper.chmod(0o700)
    plain = (site.root / "python").read_bytes()
    for number in itertools.count(1):
        made = package(site, 2, {first: "ok"}, seed=number)
        (site.root / "python").write_text(f"{wrapper}\n")
        site.send(made, KILL_AT=str(number), KILL_ROLE="hook", KILL_NOTE=str(note))
        (site.root / "python").write_bytes(plain)
        before = len(dependencies(slurm))
        reply = site.verb("submit", {"package": made, "submission": 1, "token": made})
        named = [job for job in slurm.jobs() if job[1] == f"cj-{made[:12]}-1"]
        assert named == [(reply["job"], f"cj-{made[:12]}-1", 2)], number
        assert len(dependencies(slurm)) - before in (0, 1)
        if not note.exists():
            break
        note.unlink()
    assert number > 10
    assert set(dependencies(slurm)) == {"afterany:7"}


@pytest.mark.parametrize(
    ("family", "given", "words"),
    [
        ("sge", ["3", "4"], ["-hold_jid", "3,4"]),
        ("pbs", ["3[].s", "4.s"], ["-W", "depend=afterany:3[].s:4.s"]),
        ("torque", ["3[].s", "4.s"], ["-W", "depend=afteranyarray:3[].s,afterany:4.s"]),
        ("torque", ["3", "4"], ["-W", "depend=afterany:3:4"]),
        ("lsf", ["3", "4"], ["-w", "ended(3) && ended(4)"]),
    ],
)
def test_each_scheduler_is_told_in_its_words(
    family: str, given: list[str], words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if family == "sge":
        job = Job("cj-8ab7a5aa0123-1", "8" * 40, 1, 1, 1, "/r/job-1.sh", "/r/log", {}, 0, given)
        argv = sge.submit_command("/r", job, {})
    else:
        site = install(tmp_path, monkeypatch, family)
        site.says("bsub" if family == "lsf" else "qsub", out="Job <12> is submitted to queue <q>.\n12.s\n")
        job = site.job(elements=1, alloc=[])._replace(after=given)
        schedulers.submit(family, str(site.root), job)
        argv = site.calls()[-1]
    at = argv.index(words[0])
    assert argv[at : at + 2] == words


@pytest.mark.parametrize("site", PYTHONS, indirect=True)
def test_what_runs_after_all_runs_once_for_whatever_there_is(site: Site, slurm: FakeSlurm) -> None:
    (site.root / "fail-2").touch()
    first = sent(site)
    count = f"open({str(site.root)!r} + '/ran', 'a').write('x')\n"
    asked = {"then_of": {"package": first, "table": None}, "main": count}
    after = sent(site, 1, {first: "any"}, **asked)
    run(site, first, "7")
    end(slurm, "7")
    again = {"package": first, "tasks": "2"}
    assert site.verb("submit", {**again, "submission": 2, "token": "t", "attempt": 2})["job"] == "9"
    assert dependencies(slurm) == ["afterany:7", "afterany:9"]
    assert run(site, after, "8", elements=(1,)) == [0]  # it may not begin any more
    assert not (site.root / "ran").exists()
    run(site, first, "9", number=2, elements=(1,))
    end(slurm, "8", "9")
    assert run(site, after, "10", number=2, elements=(1,)) == [0]
    end(slurm, "10")
    assert (site.root / "ran").read_text() == "x"
    for _ in range(2):
        assert site.verb("submit", {**again, "submission": 3, "token": "u", "attempt": 3})["job"] == "11"
    assert dependencies(slurm)[2:] == ["afterany:11"]
    (site.root / "fail-2").unlink()
    run(site, first, "11", number=3, elements=(1,))
    end(slurm, "11")
    assert run(site, after, "12", number=3, elements=(1,)) == [0]
    assert (site.root / "ran").read_text() == "xx"
    line = state(site, after)
    assert (line["counts"], line["final"]) == ({"COMPLETED": 1}, True)
    rows = (site.submission(after, 3) / "table.jsonl").read_text().splitlines()
    assert [(row["cj_task"], row["cj_attempt"], row["cj_state"]) for row in map(json.loads, rows)] == [
        (1, 1, "COMPLETED"),
        (2, 3, "COMPLETED"),
    ]


def let_run(site: Site, slurm: FakeSlurm, package: str) -> None:
    """Run the jobs of a package, those included that come of looking at it, until none is left."""
    for _ in range(5):
        mine = [job for job in slurm.jobs() if job[1].startswith(f"cj-{package[:12]}-")]
        for job, name, _ in mine:
            run(site, package, job, number=int(name.split("-")[2]), elements=(1,))
            end(slurm, job)
        if state(site, package)["final"] and not mine:
            return


@pytest.mark.slow
def test_a_retry_killed_anywhere_has_what_runs_after_it_run_once_more(
    site: Site, slurm: FakeSlurm, tmp_path: Path
) -> None:
    (site.root / "fail-2").touch()
    first = sent(site)
    count = f"open({str(site.root)!r} + '/ran', 'a').write('x')\n"
    last = sent(site, 1, {first: "any"}, then_of={"package": first, "table": None}, main=count)
    run(site, first, "7")
    end(slurm, "7")
    let_run(site, slurm, last)
    assert (site.root / "ran").read_text() == "x"
    code = f"import sys; sys.path.insert(0, {str(site.root / 'cjnode.pyz')!r})\n"
    code += "from cjnode.__main__ import main\nsys.exit(main(sys.argv[1:]))"
    note, number, at = tmp_path / "note", 1, -1
    while number == 1 or note.exists():
        note.unlink(missing_ok=True)
        number, at = number + 1, at + 2
        again = {"package": first, "submission": number, "token": f"t{number}", "tasks": "2"}
        request = json.dumps({**again, "attempt": number})
        subprocess.run(
            (sys.executable, KILLED, "-c", code, "submit", "--root", site.root),
            input=request.encode(),
            stdout=subprocess.DEVNULL,
            env={**os.environ, "KILL_AT": str(at), "KILL_ROLE": "hook", "KILL_NOTE": str(note)},
        )
        job = site.verb("submit", json.loads(request))["job"]
        run(site, first, job, number=number, elements=(1,))
        end(slurm, job)
        let_run(site, slurm, last)
        assert (site.root / "ran").read_text() == "x" * number, at
    assert at > 10
