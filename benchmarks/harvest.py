"""Harvest 100,000 rows of 100,000 tasks, against polars reading and parsing the same bytes once.

The harvest checks each output's SHA-256, joins the parameters, and writes both shards; the baseline does
`polars.read_ndjson` of the records and `polars.read_csv` of the joined outputs, and nothing else.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from pathlib import Path

import polars

from cjledger.harvest.gathering import gather
from cjledger.harvest.manifest import Frame, Results
from cjledger.model import Axis, Block, Manifest, Program, Resources, Sweep

PACKAGE = "8ab7a5aa" * 5
BLOCK = 250


def frames(tasks: int) -> Iterator[Frame]:
    """What `pull` sends after all tasks ended, each with a `results.csv` of a header and one row."""
    for first in range(1, tasks + 1, BLOCK):
        records: list[str] = []
        data = b""
        for task in range(first, min(first + BLOCK, tasks + 1)):
            content = b"value,error,steps\n%r,%r,%d\n" % (task / 7, 1 / task, task)
            output = {"path": "results.csv", "offset": len(data), "bytes": len(content)}
            records.append(_record(task, {**output, "sha256": sha256(content).hexdigest()}))
            data += content
        block = f"1/{(first - 1) // BLOCK + 1:06d}-01"
        yield Frame(block, "".join(records).encode(), 0, ((0, data),))


def _record(task: int, output: dict[str, object]) -> str:
    moment = f"2026-01-31T12:00:00.{task % 1000000:06d}Z"
    record = {
        "task": task,
        "attempt": 1,
        "state": "COMPLETED",
        "exit_code": 0,
        "signal": 0,
        "started": moment,
        "ended": moment,
        "seconds": 0.011 + task / 1e7,
        "host": "n1",
        "job": "cj-8ab7a5aa0123-1",
        "element": 1,
        "max_rss_mb": 34.1,
        "cpu_s": 0.01,
        "seed": task * 6364136223846793005 % 2**63,
        "error": "",
        "note": "",
        "outputs": [output],
    }
    return json.dumps(record, separators=(",", ":")) + "\n"


def manifest(tasks: int) -> Manifest:
    """A grid of two axes."""
    rows = Axis(("a",), tuple((i / 10,) for i in range(tasks // 100)))
    columns = Axis(("b",), tuple((j,) for j in range(100)))
    sweep = Sweep("grid", (Block((rows, columns)),), (), ("a", "b"), 0, 1, None)
    words = ("local", "local", "python3", (), "", "", "", "", None, None, (), (), (), "0")
    return Manifest(Program("script", "PT.py"), sweep, tasks, 1, ("**",), (), Resources(), *words)


def ratio(tasks: int, repeats: int) -> None:
    """Print the ratio of the medians; the two take turns, so that other load meets both."""
    given, package = list(frames(tasks)), manifest(tasks)
    records = b"".join(frame.records for frame in given)
    rows = b"".join(data for frame in given for _, data in frame.data)

    def baseline() -> None:
        polars.read_ndjson(records)
        polars.read_csv(rows)

    seconds: dict[Callable[[], None], list[float]] = {baseline: [], lambda: harvest(package, given): []}
    for _ in range(repeats):
        for work, spent in seconds.items():
            start = time.perf_counter()
            work()
            spent.append(time.perf_counter() - start)
    once, whole = (statistics.median(spent) for spent in seconds.values())
    size = (len(records) + len(rows)) / 1e6
    figure(
        f"harvest of {tasks} rows from {tasks} tasks",
        whole / once,
        "times",
        1.5,
        f"{whole:.2f} s against {once:.2f} s for polars reading the same {size:.0f} MB once",
    )


def harvest(package: Manifest, given: Iterable[Frame]) -> None:
    """All that a harvest does between the wire and git."""
    results, shards = gather(package, PACKAGE, lambda tasks: (), Results(PACKAGE), given)
    assert [shard.rows for shard, _ in shards] == [package.tasks, package.tasks]
    assert not results.broken


def figure(name: str, value: float, unit: str, limit: float | None, detail: str) -> None:
    """Print one figure as `run.py` reads it."""
    about = {"name": name, "value": value, "unit": unit, "sense": "at most", "limit": limit, "detail": detail}
    print(json.dumps(about), flush=True)


def peak_mb(tasks: int, what: str) -> float:
    """The peak memory of a new process that makes the frames and harvests them, or does not."""
    command = (sys.executable, __file__, "--tasks", str(tasks), "--only", what)
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _high_water_mb() -> float:
    """Since this program began: a child's ru_maxrss would count its parent's memory."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--tasks", type=int, default=100_000)
    options.add_argument("--repeats", type=int, default=7)
    options.add_argument("--only", choices=("frames", "harvest"))
    chosen = options.parse_args()
    if chosen.only:
        made = list(frames(chosen.tasks))
        if chosen.only == "harvest":
            harvest(manifest(chosen.tasks), made)
        print(_high_water_mb())
        return
    ratio(chosen.tasks, chosen.repeats)
    whole, idle = peak_mb(chosen.tasks, "harvest"), peak_mb(chosen.tasks, "frames")
    detail = f"of which {idle:.0f} MB are the imports and the frames"
    figure(f"peak memory of a harvest of {chosen.tasks} rows", whole, "MB", None, detail)


if __name__ == "__main__":
    main()
