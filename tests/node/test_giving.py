"""Workers that give parts of their blocks to workers without any, and let go of what they do not finish."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cjnode.records import partition
from cjnode.records.board import Board, Free
from cjnode.records.partition import Partition

from .work_kit import Bench

SCRIPT = """\
import sys, time
open({root!r} + "/at-" + sys.argv[2], "w")
time.sleep({seconds})
open({root!r} + "/ran", "a").write(sys.argv[2] + "\\n")
"""
MODULE = """\
import time
def f(x):
    open({root!r} + "/at-%d" % x, "w")
    time.sleep({seconds})
    open({root!r} + "/ran", "a").write("%d\\n" % x)
    return {{"y": x}}
"""


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "root", environment={"CJ_GIVE_S": "0.05", "CJ_IDLE_S": "20"})


def until(is_so: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def slow(bench: Bench, kind: str, tasks: int, seconds: float, *, elements: int = 2, block: int = 0) -> None:
    """One block of tasks that take so long."""
    text = (MODULE if kind == "function" else SCRIPT).format(root=str(bench.root), seconds=seconds)
    bench.package({"main.py": text}, kind=kind, tasks=tasks, block=block or tasks, elements=elements)


def names(bench: Bench) -> list[str]:
    return sorted(path.name for path in (bench.submission / "blocks").iterdir())


def ran(bench: Bench) -> list[int]:
    return sorted(map(int, (bench.root / "ran").read_text().split()))


def ended(*workers: subprocess.Popen[bytes]) -> list[int]:
    for worker in workers:
        words = worker.communicate(timeout=60)[1]
        assert b"Traceback" not in words, words.decode()
    return [worker.returncode for worker in workers]


@pytest.mark.parametrize("kind", ["script", "function"])
def test_a_worker_without_work_gets_a_part_of_another_s_block(
    bench: Bench, kind: str, node_python: str
) -> None:
    bench.python = node_python
    slow(bench, kind, 16, 0.4)
    first = bench.start(element=1)
    until((bench.root / "at-1").exists)
    assert ended(first, bench.start(element=2)) == [0, 0]
    assert ran(bench) == list(range(1, 17))
    records = bench.records()
    assert {records[k].state for k in range(1, 17)} == {"COMPLETED"}
    assert {record.element for record in records.values()} == {1, 2}
    assert [name for name in names(bench) if name.endswith("given")] == []
    assert len(names(bench)) <= 3 * sum(name.endswith("claim") for name in names(bench))
    assert os.listdir(bench.submission / "asks") == []
    assert (bench.submission / "exhausted").exists()


def test_nothing_is_given_that_takes_no_longer_than_to_give_it(bench: Bench) -> None:
    bench.environment["CJ_GIVE_S"] = "1000"
    slow(bench, "script", 4, 0.3)
    first = bench.start(element=1)
    until((bench.root / "at-1").exists)
    assert ended(first, bench.start(element=2)) == [0, 0]
    assert {record.element for record in bench.records().values()} == {1}


@pytest.mark.parametrize("kind", ["script", "function"])
def test_what_a_worker_leaves_that_was_asked_to_end_is_taken_up(bench: Bench, kind: str) -> None:
    slow(bench, kind, 6, 0.5)
    bench.environment["CJ_GIVE_S"] = "1000"
    first = bench.start(element=1)
    until((bench.root / "at-2").exists)
    second = bench.start(element=2)
    until(lambda: list(bench.submission.glob("asks/idle-2-*")))
    first.send_signal(signal.SIGTERM)
    assert ended(first, second) == [143, 0]
    states = [(k, r.state, r.element) for k, r in sorted(bench.records().items())]
    cut_off = [k for k, state, _ in states if state == "CANCELLED"]
    assert len(cut_off) <= 1  # a worker of `local` that is ended cancels what it is at
    assert len(states) == 6
    assert [element for _, _, element in states][-1] == 2
    assert sorted([*ran(bench), *cut_off]) == list(range(1, 7))


@pytest.mark.parametrize("kind", ["script", "function"])
def test_a_worker_ends_after_its_present_task_when_that_is_asked(bench: Bench, kind: str) -> None:
    slow(bench, kind, 6, 0.7)
    worker = bench.start(element=1)
    until((bench.root / "at-1").exists)
    (bench.submission / "asks").mkdir()
    (bench.submission / "asks/stop-t.json").write_text(json.dumps({"format": 1, "elements": "1"}))
    assert ended(worker) == [0]
    done = bench.records()
    assert 0 < len(done) < 6
    assert {record.state for record in done.values()} == {"COMPLETED"}
    assert [name for name in names(bench) if name.endswith("given")] == ["000001-02.given"]
    assert ended(bench.start(element=2)) == [0]
    assert ran(bench) == list(range(1, 7))


def test_a_board_tells_what_is_free_by_names_alone(tmp_path: Path) -> None:
    (tmp_path / "blocks").mkdir()
    shared = Partition(10, ((4, 2), (2, 1)))
    board = Board(str(tmp_path), shared)
    board.look()
    assert board.free == [Free(1, 1), Free(2, 1), Free(3, 1)]
    for name in ("000001-01.claim", "000001-01.records", "000002-01.claim", "x", "000002-02.given"):
        (tmp_path / "blocks" / name).touch()
    board.cut(2, 4)
    board.look()
    assert board.cuts == [2]
    assert partition.cut_number(shared, 2) == 5
    assert board.free == [Free(3, 1), Free(2, 2), Free(5, 1)]
    assert board.held == [Free(1, 1)]
    assert (board.places(1), board.places(5), board.places(2)) == (range(2), range(2, 4), range(4, 8))
    (tmp_path / "blocks" / "000005-01.claim").touch()
    board.taken(Free(5, 1))
    board.look()
    assert Free(5, 1) not in board.free


def test_no_cut_is_overlooked_while_its_block_is_being_claimed(tmp_path: Path) -> None:
    folder = tmp_path / "blocks"
    folder.mkdir()
    for number in range(4000):  # so many that a listing takes a while
        (folder / f"{number:06d}-01.records").touch()
    shared = Partition(20_000, ((20_000, 1),))
    claimer = os.fork()
    if not claimer:
        for place in range(1, 10_000):
            (folder / f"{place + 1:06d}-01.given").touch()
            if place > 20:
                (folder / f"{place - 19:06d}-01.claim").touch()
                (folder / f"{place - 19:06d}-01.given").unlink()
        os._exit(0)
    known: set[int] = set()
    while os.waitpid(claimer, os.WNOHANG) == (0, 0):
        board = Board(str(tmp_path), shared)
        board.look(surely=True)
        assert known <= set(board.cuts)
        known.update(board.cuts)
    assert known


@pytest.mark.parametrize("kind", ["script", "function"])
def test_workers_killed_at_random_lose_and_double_nothing(bench: Bench, kind: str) -> None:
    slow(bench, kind, 40, 0.1, elements=4, block=20)
    chance = random.Random(7)
    incarnations = dict.fromkeys(range(1, 5), 1)
    workers = {element: bench.start(element=element) for element in incarnations}
    kills = 6
    deadline = time.monotonic() + 100
    while workers:
        assert time.monotonic() < deadline
        time.sleep(0.3)
        if kills and len(workers) > 1:
            kills -= 1
            chance.choice(list(workers.values())).kill()
        for element, worker in list(workers.items()):
            if worker.poll() is None:
                continue
            del workers[element]
            worker.communicate()
            if worker.returncode == -9:  # its scheduler starts it again
                incarnations[element] += 1
                workers[element] = bench.start(element=element, incarnation=incarnations[element])
    counts = bench.records()
    assert sorted(counts) == list(range(1, 41))
    assert {record.state for record in counts.values()} <= {"COMPLETED", "NODE_FAIL"}
    # Whatever ran twice has an attempt of a worker that died.
    died = {record.task for _, record in bench.every_record() if record.state == "NODE_FAIL"}
    again = {task for task in ran(bench) if ran(bench).count(task) > 1}
    assert again <= died | {task for task, record in counts.items() if record.attempt > 1}
