"""Workers that are added, asked to end, succeeded or freed of what they held, while others go on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from cjnode.jobs.parts import add_part, read_parts
from cjnode.records import blocks, claims
from cjnode.records.blocks import Record
from cjnode.records.claims import Claim
from cjnode.schedulers import JobSpec, slurm

from .cluster_kit import Site, new_site, resources, wait_for
from .fake_slurm import FakeSlurm

MAIN = """\
import os, time
open({root!r} + "/began", "a").write(os.environ["CJ_TASK"] + "\\n")
time.sleep({seconds})
open({root!r} + "/ran", "a").write(os.environ["CJ_TASK"] + "\\n")
"""


def sent(site: Site, tasks: int, seconds: float, *, until_done: bool = False, **wanted: Any) -> str:
    asked = resources(jobs=None, **wanted)
    package = site.package(
        scheduler="slurm",
        job=slurm.batch_script(JobSpec(sys.executable, [], asked)),
        tasks=tasks,
        main=MAIN.format(root=str(site.root), seconds=seconds),
        resources=asked,
        until_done=until_done,
    )
    assert site.send(package)[0]["job"] == "7"
    return package


def start(
    site: Site, package: str, index: int, *, part: int = 1, job: str = "7", **more: str
) -> subprocess.Popen[bytes]:
    """Start an element as slurmd would."""
    variables = {"SLURM_ARRAY_JOB_ID": job, "SLURM_ARRAY_TASK_ID": str(index), "SLURM_RESTART_COUNT": "0"}
    return subprocess.Popen(
        ("/bin/sh", site.submission(package) / f"job-{part}.sh"),
        env={**os.environ, "CJ_IDLE_S": "1", "CJ_GIVE_S": "0.1", **variables, **more},
    )


def records(site: Site, package: str) -> list[Record]:
    found = []
    for path in sorted((site.submission(package) / "blocks").glob("*.records")):
        found += [blocks.record_from_line(line) for line in blocks.whole_lines(path.read_bytes())]
    return sorted(found, key=lambda record: (record.task, record.attempt))


def lines(site: Site, verb: str, request: dict[str, Any]) -> list[dict[str, Any]]:
    done = subprocess.run(
        (site.python, "-I", "-S", site.root / "cjnode.pyz", verb, "--root", site.root),
        input=json.dumps(request).encode(),
        capture_output=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def state(site: Site, package: str) -> dict[str, Any]:
    return site.verb("state", {"packages": [package], "fresh": True})


def gone(site: Site, slurm: FakeSlurm, package: str) -> None:
    """Let the scheduler know none of the jobs any more, for longer than the grace period."""
    slurm.say("rows", "")
    state(site, package)
    for path in site.submission(package).glob("gone*.json"):
        fields = json.loads(path.read_text())
        path.write_text(json.dumps({**fields, "first": "2020-01-01T00:00:00.000000Z"}))


def test_workers_end_before_their_walltime_and_what_is_left_is_pending(site: Site, slurm: FakeSlurm) -> None:
    package = sent(site, 40, 0.5, workers=2, walltime_s=5)
    assert [start(site, package, index).wait(timeout=60) for index in (1, 2)] == [0, 0]
    done = records(site, package)
    assert {record.state for record in done} == {"COMPLETED"}
    assert 2 <= len(done) < 40
    gone(site, slurm, package)
    told = state(site, package)
    assert told["counts"] == {"COMPLETED": len(done), "PENDING": 40 - len(done)}
    assert not told["final"]
    assert len(slurm.jobs()) == 1


def finish(site: Site, slurm: FakeSlurm, package: str, tasks: int) -> None:
    """Run each successor as it comes, until all tasks have a record."""
    for number in range(1, 12):
        if len(records(site, package)) == tasks:
            break
        assert len(slurm.jobs()) == number + 1, (site.root / "log").exists()
        elements = slurm.jobs()[-1][2]
        again = [
            start(site, package, index, part=number + 1, job=str(7 + number))
            for index in range(1, elements + 1)
        ]
        assert {process.wait(timeout=60) for process in again} == {0}
    done = records(site, package)
    assert [(record.task, record.state) for record in done] == [(k, "COMPLETED") for k in range(1, tasks + 1)]
    assert state(site, package)["final"]


def test_a_successor_is_submitted_once_and_finishes_what_was_left(site: Site, slurm: FakeSlurm) -> None:
    package = sent(site, 24, 0.5, workers=3, walltime_s=4, until_done=True)
    running = [start(site, package, index) for index in (1, 2, 3)]
    assert [process.wait(timeout=60) for process in running] == [0, 0, 0]
    finish(site, slurm, package, 24)


@pytest.mark.parametrize("word", ["kill-before", "kill-after"])
def test_a_worker_killed_while_it_submits_its_successor_leaves_it_to_whoever_looks(
    site: Site, slurm: FakeSlurm, word: str
) -> None:
    package = sent(site, 24, 0.5, workers=2, walltime_s=4, until_done=True)
    slurm.will(word)
    running = [start(site, package, index) for index in (1, 2)]
    assert -signal.SIGKILL in [process.wait(timeout=60) for process in running]
    # The scheduler tells of the jobs that it has: the first has ended.
    wait_for(lambda: not state(site, package)["final"] and len(slurm.jobs()) == 2)
    finish(site, slurm, package, 24)


def test_a_task_longer_than_the_walltime_leaves_the_others_to_a_successor(
    site: Site, slurm: FakeSlurm
) -> None:
    package = sent(site, 4, 100, workers=2, walltime_s=31, until_done=True)
    process = start(site, package, 1)
    wait_for((site.root / "began").exists)
    time.sleep(1.1)
    process.terminate()  # as Slurm does at the limit
    assert process.wait(timeout=60) == 143
    (record,) = records(site, package)
    assert record.state == "TIMEOUT"
    assert len(slurm.jobs()) == 2


def test_a_part_is_added_once_for_each_token(tmp_path: Path) -> None:
    intent = {"parts": [[1, 3], [4, 2]]}
    assert add_part(str(tmp_path), intent, 5, "a") == (3, True)
    assert add_part(str(tmp_path), intent, 7, "b") == (4, True)
    assert add_part(str(tmp_path), intent, 5, "a") == (3, False)
    found = [(part.number, part.first, part.elements) for part in read_parts(str(tmp_path), intent)]
    assert found == [(1, 1, 3), (2, 4, 2), (3, 6, 5), (4, 11, 7)]


def test_workers_are_shown_added_and_asked_to_end(tmp_path: Path) -> None:
    site = new_site(tmp_path / "site")
    main = MAIN.format(root=str(site.root), seconds=0.4)
    package = site.package(job=None, tasks=40, main=main, resources=resources(jobs=None, workers=2))
    assert "error" not in site.send(package)[0]
    wait_for((site.root / "ran").exists)
    *shown, last = lines(site, "workers", {"package": package})
    assert last == {"package": package, "submission": 1}
    assert {(each["element"], each["state"]) for each in shown} == {(1, "RUNNING"), (2, "RUNNING")}
    assert all(each["host"] and each["block"] for each in shown)
    assert site.verb("state", {"packages": [package], "spread": True})["workers"] == 2
    request = {"package": package, "add": 2, "token": "t"}
    *shown, last = lines(site, "workers", request)
    job = f"cj-{package[:12]}-1-2"
    assert last["jobs"] == [job]
    assert lines(site, "workers", request)[-1]["jobs"] == [job]  # asked again, it is the same
    wait_for(lambda: {record.element for record in records(site, package)} > {1, 2})
    assert lines(site, "workers", {"package": package, "stop": 3, "token": "s"})[-1]["stopped"] == "2-4"
    done = site.root / "scheduler" / job / "done.json"
    wait_for(done.exists)
    site.finished(package)
    assert [record.task for record in records(site, package)] == list(range(1, 41))
    assert {record.state for record in records(site, package)} == {"COMPLETED"}
    assert state(site, package)["counts"] == {"COMPLETED": 40}
    assert "no task left" in site.verb("workers", request)["error"]


def test_when_all_workers_were_asked_to_end_the_rest_waits_for_others(tmp_path: Path) -> None:
    site = new_site(tmp_path / "site")
    main = MAIN.format(root=str(site.root), seconds=0.3)
    package = site.package(job=None, tasks=20, main=main, resources=resources(jobs=None, workers=2))
    assert "error" not in site.send(package)[0]
    wait_for((site.root / "ran").exists)
    lines(site, "workers", {"package": package, "stop": 2, "token": "s"})
    site.finished(package)
    wait_for(lambda: state(site, package)["counts"].get("RUNNING", 0) == 0)
    time.sleep(2.1)  # the grace period of `local`
    told = state(site, package)
    assert set(told["counts"]) == {"COMPLETED", "PENDING"}
    lines(site, "workers", {"package": package, "add": 3, "token": "t"})
    wait_for(lambda: state(site, package)["final"])
    assert state(site, package)["counts"] == {"COMPLETED": 20}


def claimed(site: Site, package: str, block: int, element: int, task: int, age_s: float) -> Path:
    path = site.submission(package) / "blocks" / f"{block:06d}-01.claim"
    fd = claims.create_claim(str(path), Claim("7", element, 1, "n1", 9))
    assert fd is not None
    claims.write_current(fd, task, 1, "2026-01-31T12:00:00.000000Z")
    os.close(fd)
    os.utime(path, (time.time() - age_s,) * 2)
    return path


def test_only_what_scheduler_and_age_call_dead_is_freed(site: Site, slurm: FakeSlurm) -> None:
    package = sent(site, 12, 0, workers=4)
    name = f"cj-{package[:12]}-1"
    claimed(site, package, 1, 1, 1, 9999)  # dead
    claimed(site, package, 2, 2, 3, 9999)  # silent, and the scheduler says it runs
    claimed(site, package, 3, 3, 5, 1)  # ended, and wrote a moment ago
    torn = claimed(site, package, 4, 4, 7, 9999)
    torn.write_bytes(b"")
    os.utime(torn, (time.time() - 9999,) * 2)
    slurm.say("rows", f"7_2|RUNNING|None|{name}\n")
    assert site_recover(site, package) == {"blocks": 1, "doubtful": 1, "workers": 1}
    given = [path.name for path in (site.submission(package) / "blocks").glob("*.given")]
    assert given == ["000001-02.given"]
    slurm.say("queue", "down")
    assert "error" in site.verb("recover", {"package": package})
    slurm.say("queue", "")
    slurm.say("rows", "")
    assert site_recover(site, package) == {"blocks": 2, "doubtful": 1, "workers": 0}
    # Whoever comes takes up what was freed, the attempt that was cut off first.
    lines(site, "workers", {"package": package, "add": 1, "token": "t"})
    assert start(site, package, 1, part=2, job="8").wait(timeout=60) == 0
    found = [(record.task, record.attempt, record.state) for record in records(site, package)]
    assert (1, 1, "NODE_FAIL") in found
    assert (1, 2, "COMPLETED") in found
    assert (3, 1, "NODE_FAIL") in found
    assert 5 not in {task for task, _, _ in found}


def site_recover(site: Site, package: str) -> dict[str, Any]:
    reply = site.verb("recover", {"package": package})
    del reply["package"]
    return reply


def test_an_hour_s_difference_between_clocks_frees_nobody(site: Site, slurm: FakeSlurm) -> None:
    package = sent(site, 4, 0, workers=2)
    claimed(site, package, 1, 1, 1, 1)
    slurm.say("rows", "")
    clock = "import time; real = time.time; time.time = lambda: real() + 3600\n"
    code = f"{clock}import sys; sys.path.insert(0, {str(site.root / 'cjnode.pyz')!r})\n"
    code += f"from cjnode.__main__ import main; sys.exit(main(['recover', '--root', {str(site.root)!r}]))"
    done = subprocess.run(
        (sys.executable, "-I", "-S", "-c", code),
        input=json.dumps({"package": package}).encode(),
        capture_output=True,
        check=True,
    )
    assert json.loads(done.stdout)["blocks"] == 0
    assert json.loads(done.stdout)["doubtful"] == 1
