"""Elements that run several tasks at a time, in workers side by side."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cjnode.program import reproduce
from cjnode.records import claims
from cjnode.submission.sharing import share

from .work_kit import Bench

# Each task waits until so many are at work.
TOGETHER = """\
import glob, os, sys, time
open({root!r} + "/at-" + {task}, "w")
while len(glob.glob({root!r} + "/at-*")) < 3:
    time.sleep(0.02)
"""


def until(is_so: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "root")


@pytest.mark.parametrize("kind", ["script", "function"])
def test_slots_run_tasks_side_by_side(bench: Bench, kind: str, node_python: str) -> None:
    bench.python = node_python
    text = TOGETHER.format(root=str(bench.root), task="sys.argv[2]")
    if kind == "function":
        body = TOGETHER.format(root=str(bench.root), task="str(x)").replace("\n", "\n    ")
        text = f"def f(x):\n    {body}\n    return x\n"
    bench.package({"main.py": text}, kind=kind, tasks=6, block=2, slots=3)
    records = bench.work()
    assert {k: (record.state, record.element) for k, record in records.items()} == dict.fromkeys(
        range(1, 7), ("COMPLETED", 1)
    )
    assert len({claim.pid for claim in made_claims(bench)}) == 3


def made_claims(bench: Bench) -> list[claims.Claim]:
    found = [claims.read_claim(str(path)) for path in (bench.submission / "blocks").glob("*.claim")]
    return [each[0] for each in found if each is not None]


def test_a_slot_that_is_killed_costs_an_attempt_and_no_other_slot(bench: Bench) -> None:
    script = f"""\
import os, sys, time
open({str(bench.root)!r} + "/at-" + sys.argv[2] + "-" + os.environ["CJ_ATTEMPT"], "w")
while not os.path.exists({str(bench.root)!r} + "/go"):
    time.sleep(0.02)
"""
    bench.package({"main.py": script}, tasks=4, block=2, slots=2)
    worker = bench.start()
    until(lambda: len(list(bench.root.glob("at-*"))) == 2)
    victim = next(claim.pid for claim in made_claims(bench))
    os.kill(victim, signal.SIGKILL)
    until(lambda: list(bench.root.glob("at-*-2")))
    (bench.root / "go").touch()
    assert worker.wait(timeout=60) == 0
    ended = sorted((record.task, record.attempt, record.state) for _, record in bench.every_record())
    (died,) = [task for task, _, state in ended if state == "NODE_FAIL"]
    assert sorted(ended) == sorted(
        [(task, 1, "COMPLETED") for task in range(1, 5) if task != died]
        + [(died, 1, "NODE_FAIL"), (died, 2, "COMPLETED")]
    )
    assert not list((bench.folder / "scratch").iterdir())


def test_slots_end_with_their_element(bench: Bench) -> None:
    script = f"import sys, time\nopen({str(bench.root)!r} + '/at-' + sys.argv[2], 'w')\ntime.sleep(60)\n"
    bench.package({"main.py": script}, tasks=2, block=1, slots=2)
    worker = bench.start()
    until(lambda: len(list(bench.root.glob("at-*"))) == 2)
    worker.terminate()
    assert worker.wait(timeout=30) == 143
    assert {record.state for record in bench.records().values()} == {"CANCELLED"}


@pytest.mark.parametrize(
    ("tasks", "workers", "cpus", "elements", "slots"),
    [(100, 4, 8, 4, 8), (100, None, 8, 100, None), (3, 2, 8, 2, 2), (1, 5, 4, 1, None)],
)
def test_processors_are_slots_where_workers_were_asked_for(
    tasks: int, workers: int | None, cpus: int, elements: int, slots: int | None
) -> None:
    resources = {"workers": workers, "cpus": cpus}
    shared = share({"resources": resources, "scheduler": "slurm"}, tasks, None, None)
    assert (shared.elements, shared.fields.get("slots")) == (elements, slots)
    assert sum(size * count for size, count in shared.fields["rounds"]) == tasks
    assert reproduce.threads(resources) == (1 if workers else 8)
