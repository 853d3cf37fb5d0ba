"""Elements of a real scheduler's job: run once each, started again, and ended when the scheduler says."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from cjnode.records import blocks, claims
from cjnode.records.blocks import Record
from cjnode.records.claims import Claim
from cjnode.schedulers import JobSpec, slurm
from cjnode.worker import element
from cjnode.worker.element import Lifetime, has_room, incarnation, why_stopped

from .cluster_kit import Site, resources, wait_for

TALLY = "import os, sys\nopen({root!r} + '/tally', 'a').write(os.environ['CJ_TASK'] + '\\n')\n"


def sent(site: Site, main: str, tasks: int, **wanted: Any) -> str:
    asked = resources(jobs=None, **wanted)
    job = slurm.batch_script(JobSpec(sys.executable, [], asked))
    package = site.package(scheduler="slurm", job=job, tasks=tasks, main=main, resources=asked)
    assert site.send(package)[0]["job"] == "7"
    return package


def start(
    site: Site, package: str, index: int, *, job: str = "7", restarts: int = 0
) -> subprocess.Popen[bytes]:
    """Start an element as slurmd would, where there is no git."""
    bare = site.folder / "compute-node"
    if not bare.exists():
        bare.mkdir()
        for name in ("sh", "cat"):
            program = shutil.which(name)
            assert program is not None
            (bare / name).symlink_to(program)
    variables = {
        "SLURM_JOB_ID": str(int(job) + index),
        "SLURM_ARRAY_JOB_ID": job,
        "SLURM_ARRAY_TASK_ID": str(index),
        "SLURM_RESTART_COUNT": str(restarts),
        "SLURM_JOB_NODELIST": "n[1-2]",
    }
    return subprocess.Popen(
        ("/bin/sh", site.submission(package) / "job-1.sh"),
        env={"PATH": str(bare), "HOME": str(site.folder), **variables},
    )


def records(site: Site, package: str) -> list[Record]:
    found = []
    for path in sorted((site.submission(package) / "blocks").glob("*.records")):
        found += [blocks.record_from_line(line) for line in blocks.whole_lines(path.read_bytes())]
    return sorted(found, key=lambda record: (record.task, record.attempt))


def test_a_job_submitted_five_times_runs_each_task_once(site: Site) -> None:
    package = sent(site, TALLY.format(root=str(site.root)), 3)
    many = [start(site, package, index, job=str(job)) for job in range(20, 25) for index in (1, 2, 3)]
    assert {process.wait() for process in many} == {0}
    assert sorted((site.root / "tally").read_text().split()) == ["1", "2", "3"]
    assert [(record.task, record.attempt, record.state) for record in records(site, package)] == [
        (task, 1, "COMPLETED") for task in (1, 2, 3)
    ]
    assert list((site.root / "packages" / package / "scratch").iterdir()) == []


def test_a_task_sees_the_same_variables_whatever_the_scheduler(site: Site) -> None:
    names = [f"CJ_{name}" for name in ("JOB_ID", "TASK", "PACKAGE", "CLUSTER", "NODELIST", "SUBMIT_DIR")]
    names += ["CJ_NAME", "CJ_SEED"]
    main = f"import json, os\njson.dump({{n: os.environ[n] for n in {names!r}}}, open('seen.json', 'w'))\n"
    package = sent(site, main, 1)
    assert start(site, package, 1).wait() == 0
    (data,) = (site.submission(package) / "blocks").glob("*.data")
    (record,) = records(site, package)
    (output,) = [each for each in record.outputs if each.path == "seen.json"]
    seen = json.loads(data.read_bytes()[output.offset : output.offset + output.bytes])
    assert seen == {
        "CJ_JOB_ID": "7",
        "CJ_TASK": "1",
        "CJ_PACKAGE": package,
        "CJ_CLUSTER": "local",
        "CJ_NODELIST": "n[1-2]",
        "CJ_SUBMIT_DIR": str(site.root / "packages" / package / "code"),
        "CJ_NAME": f"cj-{package[:12]}-1",
        "CJ_SEED": str(record.seed),
    }


@pytest.mark.parametrize(
    ("sign", "walltime", "state"),
    [
        (signal.SIGTERM, 30, "TIMEOUT"),
        (signal.SIGUSR1, 120, "TIMEOUT"),
        (signal.SIGTERM, 3600, "NODE_FAIL"),
        (signal.SIGTERM, None, "NODE_FAIL"),
    ],
)
def test_a_stopped_worker_says_why(
    site: Site, sign: signal.Signals, walltime: int | None, state: str
) -> None:
    main = f"import time\nopen({str(site.root)!r} + '/tally', 'a').write('1')\ntime.sleep(100)\n"
    package = sent(site, main, 1, walltime_s=walltime)
    process = start(site, package, 1)
    wait_for((site.root / "tally").exists)
    process.send_signal(sign)
    assert process.wait() == 143
    (record,) = records(site, package)
    assert (record.state, record.signal) == (state, 15)
    assert record.note


def test_an_element_put_back_into_the_queue_runs_its_task_again(site: Site) -> None:
    main = (
        f"import os, time\nopen({str(site.root)!r} + '/tally', 'a').write(os.environ['CJ_ATTEMPT'])\n"
        "time.sleep(100) if os.environ['CJ_ATTEMPT'] == '1' else None\n"
    )
    package = sent(site, main, 1)
    process = start(site, package, 1)
    wait_for((site.root / "tally").exists)
    process.terminate()
    process.wait()
    assert start(site, package, 1, restarts=1).wait() == 0
    assert [(record.attempt, record.state) for record in records(site, package)] == [
        (1, "NODE_FAIL"),
        (2, "COMPLETED"),
    ]


def test_a_task_that_runs_again_can_be_cancelled(site: Site) -> None:
    main = f"import time\nopen({str(site.root)!r} + '/tally', 'a').write('1')\ntime.sleep(100)\n"
    package = sent(site, main, 1)
    tally = site.root / "tally"
    process = start(site, package, 1)
    wait_for(tally.exists)
    process.terminate()
    process.wait()
    process = start(site, package, 1, restarts=1)
    wait_for(lambda: tally.read_text() == "11")
    assert site.verb("cancel", {"package": package, "tasks": None, "token": "t"})["cancelled"] == 1
    process.terminate()
    process.wait()
    assert [record.state for record in records(site, package)] == ["NODE_FAIL", "CANCELLED"]


def test_a_cancelled_task_is_cancelled_although_its_element_was_asked_to_end(site: Site) -> None:
    main = f"import time\nopen({str(site.root)!r} + '/tally', 'a').write('1')\ntime.sleep(100)\n"
    package = sent(site, main, 1)
    process = start(site, package, 1)
    wait_for((site.root / "tally").exists)
    site.verb("cancel", {"package": package, "tasks": None, "token": "t"})
    process.terminate()
    process.wait()
    assert [record.state for record in records(site, package)] == ["CANCELLED"]


def test_a_task_is_begun_only_when_there_is_time_for_it() -> None:
    began = time.monotonic() - 40
    assert has_room(Lifetime(100.0, began, True), 40.0)
    assert not has_room(Lifetime(100.0, began, True), 50.0)
    assert has_room(Lifetime(None, began, True), 1000.0)


def test_the_life_of_an_element_began_with_its_process() -> None:
    life = element.lifetime(10.0)
    assert life.walltime_s == 10.0
    assert life.began <= time.monotonic()
    late = Lifetime(10.0, life.began - 9, True)
    assert why_stopped(late, signal.SIGTERM, True)[0] == "TIMEOUT"
    assert why_stopped(late, signal.SIGTERM, False)[0] == "NODE_FAIL"  # it may end elsewhere


@pytest.mark.parametrize(
    ("variables", "start"),
    [
        ({}, 1),
        ({"CJ_INCARNATION": "3"}, 3),
        ({"CJ_RESTARTS": "0"}, 1),
        ({"CJ_RESTARTS": "2"}, 3),
        ({"CJ_RESTARTS": "+"}, 3),
    ],
)
def test_which_start_of_an_element_it_is(tmp_path: Path, variables: dict[str, str], start: int) -> None:
    folder = tmp_path / "1"
    (folder / "blocks").mkdir(parents=True)
    for block, (job, number, last) in enumerate([("7", 2, 1), ("7", 2, 2), ("7", 3, 4), ("8", 2, 5)], 1):
        path = blocks.block_path(str(folder), block, 1, "claim")
        fd = claims.create_claim(path, Claim(job, number, last, "n1", 9))
        assert fd is not None
        os.close(fd)
    assert incarnation(str(folder), 2, "7", variables) == start


@pytest.mark.parametrize(("job", "number", "start"), [("7", 2, 3), ("8", 2, 1), ("7", 3, 1)])
def test_an_element_that_is_told_nothing_looks_at_its_first_block(
    tmp_path: Path, job: str, number: int, start: int
) -> None:
    folder = tmp_path / "1"
    (folder / "blocks").mkdir(parents=True)
    (folder / "intent.json").write_text('{"format":1,"tasks":"1-4","elements":4,"block":1}')
    for block, (element_number, last) in ((2, (2, 2)), (3, (2, 1))):
        path = blocks.block_path(str(folder), block, 1, "claim")
        fd = claims.create_claim(path, Claim("7", element_number, last, "n1", 9))
        assert fd is not None
        os.close(fd)
    assert incarnation(str(folder), number, job, {"CJ_RESTARTS": "?"}) == start
