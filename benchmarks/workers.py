"""A simulated cluster: workers as processes over one folder, claiming, giving and recording as real ones do.

`python benchmarks/workers.py [--workers N] [--tasks N]`, a quarter of an hour on two quiet cores. The tasks
sleep; their durations are spread evenly over two decades on a logarithmic scale. Times are a fifth of those
of a real cluster: a task of 2 s stands for one of 10 s, and what workers wait before they look again is a
fifth too. Once with files as they are, once with 5 ms added to every operation on a file, unscaled, as on a
busy network file system. The longest task may be begun last: 10 s while 430 pass are a share of 2 % by
themselves.

Told are tasks without a record, tasks with two, and the idle share: of all workers' time from the first claim
to the last record, what was not spent in tasks.
"""

from __future__ import annotations

import argparse
import builtins
import collections
import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "hooks"))

from cjnode.jobs.submissions import Submission
from cjnode.records import asks, partition
from cjnode.records.blocks import Record
from cjnode.records.claims import Claim
from cjnode.worker import idling
from cjnode.worker.attempt import stamp
from cjnode.worker.claiming import Claimant, Claims, Held

SCALE = 5.0
LATENCY_S = 0.005
SHORTEST_S, LONGEST_S = 0.1, 10.0
LOOK_S = 0.3  # how often a worker looks about while a task runs
IDLE_SHARE = 0.05
FILE_FUNCTIONS = (
    "open",
    "close",
    "link",
    "unlink",
    "listdir",
    "stat",
    "pwrite",
    "write",
    "fsync",
    "mkdir",
    "utime",
)


def durations(tasks: int) -> list[float]:
    """How long each task sleeps: the same in every run."""
    chance = random.Random(7)
    return [SHORTEST_S * (LONGEST_S / SHORTEST_S) ** chance.random() for _ in range(tasks)]


def slow_files() -> None:
    """Let every operation on a file take longer, in this process."""

    def slowed(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*words: Any, **more: Any) -> Any:
            time.sleep(LATENCY_S)
            return real(*words, **more)

        return call

    for name in FILE_FUNCTIONS:
        setattr(os, name, slowed(getattr(os, name)))
    builtins.open = slowed(builtins.open)  # type: ignore[assignment]


def work(submission: Submission, element: int, sleeps: list[float]) -> None:
    """One worker, from its first claim until nothing is left."""
    claim = Claim("simulated", element, 1, f"n{element}", os.getpid())
    ranks = submission.elements
    claims = Claims(
        submission,
        Claimant(claim, element - 1, ranks, True, frozenset()),
        None,
        lambda: False,
        lambda block: False,
    )
    while True:
        held = claims.next()
        if held is None:
            return
        run_block(held, element, sleeps)


def run_block(held: Held, element: int, sleeps: list[float]) -> None:
    """What a worker does with a block of scripts, their processes left out."""
    holding, journal, done = held.holding, held.journal, 0
    while done < len(holding.turns):
        turn = holding.turns[done]
        holding.begins(done + 1)
        began = time.time()
        journal.now_at(turn.task, turn.attempt, stamp(began))
        end = time.monotonic() + sleeps[turn.task - 1]
        while (left := end - time.monotonic()) > 0:
            time.sleep(min(left, LOOK_S))
            if left > LOOK_S:
                holding.look(journal.touch)  # beside the task, which is a process of its own
        ended = time.time()
        journal.commit(record(turn.task, turn.attempt, element, began, ended))
        done += 1
        holding.ended(done)
        holding.look(journal.touch)
    journal.sync()
    journal.close()


def record(task: int, attempt: int, element: int, began: float, ended: float) -> Record:
    """How a task ended."""
    return Record(
        task=task,
        attempt=attempt,
        state="COMPLETED",
        exit_code=0,
        signal=0,
        started=stamp(began),
        ended=stamp(ended),
        seconds=round(ended - began, 6),
        host=f"n{element}",
        job="simulated",
        element=element,
        max_rss_mb=None,
        cpu_s=None,
        seed=task,
        error="",
        note="",
        environment="",
        outputs=(),
    )


def simulate(folder: Path, workers: int, sleeps: list[float], slow: bool) -> float:
    """Run all workers to their end; the seconds from their start to the last record."""
    shared = partition.factored(len(sleeps), workers)
    (folder / "blocks").mkdir()
    tasks = list(range(1, len(sleeps) + 1))
    fields = dict.fromkeys(Submission._fields, 0)
    fields.update(number=1, path=str(folder), tasks=tasks, attempt=1, partition=shared, elements=workers)
    submission = Submission(**fields)
    reader, writer = os.pipe()
    children = []
    for element in range(1, workers + 1):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                os.close(writer)
                os.read(reader, 1)  # until all are there
                if slow:
                    slow_files()
                work(submission, element, sleeps)
                code = 0
            finally:
                os._exit(code)
        children.append(child)
    os.close(reader)
    began = time.time()
    os.close(writer)
    failed = sum(os.waitpid(child, 0)[1] != 0 for child in children)
    if failed:
        print(f"{failed} workers failed", file=sys.stderr)
    newest = max(path.stat().st_mtime for path in (folder / "blocks").glob("*.records"))
    return newest - began


def measure(workers: int, tasks: int, slow: bool) -> None:
    """One simulation and its figures."""
    sleeps = durations(tasks)
    folder = Path(tempfile.mkdtemp(prefix="cj-workers-"))
    try:
        span = simulate(folder, workers, sleeps, slow)
        ran: collections.Counter[int] = collections.Counter()
        for path in (folder / "blocks").glob("*.records"):
            ran.update(json.loads(line)["task"] for line in path.read_bytes().splitlines())
        files = len(list((folder / "blocks").iterdir()))
    finally:
        shutil.rmtree(folder)
    given = f"{workers} workers, {tasks} tasks, {files} files" + (", 5 ms an operation" if slow else "")
    idle = 1 - sum(sleeps) / (workers * span)
    name = "with slow files" if slow else "with fast files"
    figure(f"tasks lost {name}", tasks - len(ran), "tasks", 0, given)
    figure(f"tasks run twice {name}", sum(count - 1 for count in ran.values()), "tasks", 0, given)
    detail = f"{sum(sleeps):.0f} s of tasks in {span:.1f} s; {given}"
    figure(f"idle share {name}", idle, "of all time", IDLE_SHARE, detail)


def figure(name: str, value: float, unit: str, limit: float, detail: str) -> None:
    """Print one figure as `run.py` reads it."""
    about = {"name": name, "value": value, "unit": unit, "sense": "at most", "limit": limit, "detail": detail}
    print(json.dumps(about), flush=True)


def main() -> None:
    """Measure with files as they are, then with slow ones."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=1000)
    parser.add_argument("--tasks", type=int, default=200_000)
    options = parser.parse_args()
    os.environ.update(CJ_GIVE_S=str(3 / SCALE), CJ_IDLE_S=str(60 / SCALE))
    asks.LOOKS_A_SECOND *= SCALE
    asks.LEAST_PAUSE_S /= SCALE
    idling.FIRST_PAUSE_S /= SCALE
    for slow in (False, True):
        measure(options.workers, options.tasks, slow)


if __name__ == "__main__":
    main()
