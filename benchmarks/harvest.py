"""Harvest 100,000 rows of 100,000 tasks, against polars reading and parsing the same bytes once.

Prints one line of JSON: the medians, their ratio, and the peak memory of a process that harvests alone.
The harvest checks each output's SHA-256, joins the parameters, and writes both shards; the baseline does
`polars.read_ndjson` of the records and `polars.read_csv` of the joined outputs, and nothing else.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from hashlib import sha256

import polars

from cjledger.harvest.gathering import gather
from cjledger.harvest.manifest import Frame, Results
from cjledger.model import Axis, Block, Manifest, Program, Resources, Sweep

PACKAGE = "8ab7a5aa" * 5
BLOCK = 250


def frames(tasks: int) -> list[Frame]:
    """What `pull` sends after all tasks ended, each with a `results.csv` of a header and one row."""
    made: list[Frame] = []
    for first in range(1, tasks + 1, BLOCK):
        records: list[str] = []
        data = b""
        for task in range(first, min(first + BLOCK, tasks + 1)):
            content = b"value,error,steps\n%r,%r,%d\n" % (task / 7, 1 / task, task)
            output = {"path": "results.csv", "offset": len(data), "bytes": len(content)}
            records.append(_record(task, {**output, "sha256": sha256(content).hexdigest()}))
            data += content
        block = f"1/{(first - 1) // BLOCK + 1:06d}-01"
        made.append(Frame(block, "".join(records).encode(), 0, ((0, data),)))
    return made


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


def median_s(work: Callable[[], object], repeats: int) -> float:
    """The median of several runs."""
    seconds: list[float] = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def peak_mb(tasks: int, what: str) -> float:
    """The peak memory of a new process that makes the frames and does one of the two."""
    command = (sys.executable, __file__, "--tasks", str(tasks), "--only", what)
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--tasks", type=int, default=100_000)
    options.add_argument("--repeats", type=int, default=5)
    options.add_argument("--only", choices=("nothing", "harvest", "baseline"))
    chosen = options.parse_args()
    given, package = frames(chosen.tasks), manifest(chosen.tasks)
    records = b"".join(frame.records for frame in given)
    rows = b"".join(data for frame in given for _, data in frame.data)

    def baseline() -> None:
        polars.read_ndjson(records)
        polars.read_csv(rows)

    def harvest() -> None:
        results, shards = gather(package, PACKAGE, lambda tasks: (), Results(PACKAGE), given)
        assert [shard.rows for shard, _ in shards] == [chosen.tasks, chosen.tasks]
        assert not results.broken

    if chosen.only:
        {"nothing": lambda: None, "harvest": harvest, "baseline": baseline}[chosen.only]()
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        return
    harvest_s, baseline_s = median_s(harvest, chosen.repeats), median_s(baseline, chosen.repeats)
    figures = {
        "benchmark": "harvest",
        "rows": chosen.tasks,
        "ratio": round(harvest_s / baseline_s, 2),
        "limit": 1.5,
        "harvest_s": round(harvest_s, 3),
        "baseline_s": round(baseline_s, 3),
        "input_mb": round((len(records) + len(rows)) / 1e6, 1),
        "peak_mb": {what: round(peak_mb(chosen.tasks, what)) for what in ("nothing", "harvest", "baseline")},
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
