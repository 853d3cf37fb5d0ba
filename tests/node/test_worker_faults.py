"""Faults among several workers: damaged claims, a disk that takes no writes, clocks, a cancellation."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cjnode.records import claims

from .work_kit import Bench

SCRIPT = """\
import os, sys, time
open({root!r} + "/at-" + sys.argv[2] + "-" + os.environ["CJ_ATTEMPT"], "a").write("1")
time.sleep({seconds})
"""


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "root", environment={"CJ_GIVE_S": "0.05", "CJ_IDLE_S": "5"})


def until(is_so: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def slow(bench: Bench, tasks: int, seconds: float, *, elements: int = 2) -> None:
    (bench.root / "marks").mkdir(parents=True)
    text = SCRIPT.format(root=str(bench.root / "marks"), seconds=seconds)
    bench.package({"main.py": text}, tasks=tasks, block=tasks, elements=elements)


def marks(bench: Bench) -> list[str]:
    return sorted(path.name for path in (bench.root / "marks").iterdir())


def ended(*workers: subprocess.Popen[bytes]) -> list[int]:
    for worker in workers:
        words = worker.communicate(timeout=90)[1]
        assert b"Traceback" not in words, words.decode()
    return [worker.returncode for worker in workers]


def ran_once_an_attempt(bench: Bench) -> None:
    """Nothing ran twice unless an attempt says so."""
    assert all((bench.root / "marks" / name).read_text() == "1" for name in marks(bench))


def test_a_claim_cut_off_under_its_holder_is_mended(bench: Bench) -> None:
    slow(bench, 4, 0.4)
    worker = bench.start()
    until(lambda: "at-1-1" in marks(bench))
    claim = bench.submission / "blocks" / "000001-01.claim"
    os.truncate(claim, 0)
    until(lambda: "at-3-1" in marks(bench))
    found = claims.read_claim(str(claim))
    assert found is not None
    assert found[0].element == 1
    assert found[1].task in (2, 3)
    assert ended(worker) == [0]
    assert {k: (r.state, r.attempt) for k, r in bench.records().items()} == dict.fromkeys(
        range(1, 5), ("COMPLETED", 1)
    )


def test_what_a_dead_holder_of_a_damaged_claim_left_runs_as_a_further_attempt(bench: Bench) -> None:
    slow(bench, 4, 0.4)
    worker = bench.start()
    until(lambda: "at-3-1" in marks(bench))
    worker.kill()
    worker.communicate()
    os.truncate(bench.submission / "blocks" / "000001-01.claim", 20)
    assert ended(bench.start(incarnation=2)) == [0]
    records = bench.records()
    assert {k: r.state for k, r in records.items()} == dict.fromkeys(range(1, 5), "COMPLETED")
    assert (records[1].attempt, records[3].attempt) == (1, 2)
    ran_once_an_attempt(bench)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own that can be filled and made read-only."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ("mount", "-t", "tmpfs", "-o", "size=16m,mode=700", "tmpfs", str(folder))
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting needs root")
    yield folder
    subprocess.run(("umount", "-l", str(folder)), check=True)


def test_workers_outlast_a_full_and_then_read_only_disk(small_disk: Path, tmp_path: Path) -> None:
    bench = Bench(small_disk / "root", environment={"CJ_GIVE_S": "0.05", "CJ_IDLE_S": "30"})
    away = tmp_path / "marks"
    away.mkdir()
    text = SCRIPT.format(root=str(away), seconds=0.2)
    bench.package({"main.py": text}, tasks=20, block=10, elements=2)
    workers = [bench.start(element=element) for element in (1, 2)]
    until(lambda: len(list(away.iterdir())) >= 3)
    try:
        with (small_disk / "fill").open("wb") as file:
            while True:
                file.write(b"0" * 4096)
    except OSError:
        pass
    time.sleep(1)  # each worker has come to a record that it cannot write
    assert all(worker.poll() is None for worker in workers)
    (small_disk / "fill").unlink()
    remount = ("mount", "-o", "remount,{}", str(small_disk))
    until(lambda: len(list(away.iterdir())) >= 8)
    # A file that is open for writing keeps the kernel from making all of it read-only: as bind it goes.
    done = subprocess.run([word.format("ro") for word in remount], capture_output=True)
    time.sleep(1)
    if done.returncode == 0:
        subprocess.run([word.format("rw") for word in remount], check=True)
    assert ended(*workers) == [0, 0]
    records = bench.records()
    assert {k: (r.state, r.attempt) for k, r in records.items()} == dict.fromkeys(
        range(1, 21), ("COMPLETED", 1)
    )
    assert all(path.read_text() == "1" for path in away.iterdir())


def test_clocks_that_differ_by_an_hour_change_nothing(bench: Bench) -> None:
    slow(bench, 16, 0.3)
    later = "import time; real = time.time; time.time = lambda: real() + 3600"
    first = bench.start(element=1)
    until(lambda: "at-1-1" in marks(bench))
    assert ended(first, bench.start(element=2, preamble=later)) == [0, 0]
    records = bench.records()
    assert sorted(records) == list(range(1, 17))
    assert {record.element for record in records.values()} == {1, 2}
    ran_once_an_attempt(bench)


def test_a_cancellation_in_the_middle_reaches_every_part_of_a_block(bench: Bench) -> None:
    slow(bench, 30, 0.3, elements=3)
    workers = [bench.start(element=element) for element in (1, 2, 3)]
    until(lambda: len(marks(bench)) >= 6)
    order = bench.submission / "cancel" / "t.json"
    order.with_suffix(".tmp").write_text(json.dumps({"format": 1, "tasks": "1-30"}))
    order.with_suffix(".tmp").rename(order)
    assert set(ended(*workers)) <= {0, 1}
    records = bench.records()
    assert sorted(records) == list(range(1, 31))
    assert {record.state for record in records.values()} == {"COMPLETED", "CANCELLED"}
    ran_once_an_attempt(bench)


def test_an_idle_worker_ends_though_another_died_holding_tasks(bench: Bench) -> None:
    bench.environment["CJ_IDLE_S"] = "1"
    slow(bench, 6, 30)
    first = bench.start(element=1)
    until(lambda: "at-1-1" in marks(bench))
    first.send_signal(signal.SIGKILL)
    first.communicate()
    assert ended(bench.start(element=2)) == [0]
    assert bench.records() == {}
    assert not (bench.submission / "exhausted").exists()
    assert list((bench.submission / "asks").iterdir()) == []
