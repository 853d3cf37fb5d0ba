"""1,000,000 tasks from the launch to the table: `python benchmarks/million.py [--tasks N]`.

- the launch of a grid against one of 10 points, and of explicit random points against git's part of it:
  `git hash-object -w` of the same bytes and a push of them;
- the tasks, called in process by two workers, against a bare loop that calls the function and appends the row
  and the record, made by json, to two files;
- harvest and reduce against polars reading the same JSON lines, records and rows;
- `git cj state` against reading the records once (a Python loop with json), and again against `git cj log`.

Each command's peak memory is that of the largest of its processes.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

FUNCTION = "def area(x, y=0):\n    return {'y': x * x, 'z': x / 7}\n"
BASELINE_LOOP = """\
import json, sys
from area import area
record = json.loads(sys.argv[2])
with open("rows.jsonl", "w") as rows, open("records.jsonl", "w") as records:
    for x in range(1, int(sys.argv[1]) + 1):
        rows.write(json.dumps(area(x)) + "\\n")
        record["task"] = x
        records.write(json.dumps(record, separators=(",", ":")) + "\\n")
"""
READ_ONCE = """\
import json, sys
for path in sys.argv[1:]:
    with open(path, "rb") as file:
        for line in file:
            json.loads(line)
"""
POLARS = """\
import polars
polars.read_ndjson("loop/records.jsonl")
polars.read_ndjson("loop/rows.jsonl")
"""
PUSH = """\
set -e
git hash-object -w "$@" > blobs
for file in "$@"; do echo "${file##*/}"; done | paste blobs - | sed 's/^/100644 blob /' > listing
commit=$(git commit-tree "$(git mktree < listing)" -m baseline)
git push -q bare.git "$commit:refs/heads/points"
"""
MOST_FILES = 5000


@dataclass(frozen=True)
class Spent:
    """What a command took, and the memory of the largest of its processes."""

    seconds: float
    peak_mb: float


def figure(name: str, value: float, unit: str, limit: float | None, detail: str) -> None:
    """Print one figure as `run.py` reads it."""
    about = {"name": name, "value": value, "unit": unit, "sense": "at most", "limit": limit, "detail": detail}
    print(json.dumps(about), flush=True)


def run(folder: Path, *words: str) -> tuple[Spent, str]:
    """Run a command to its end."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed program has its compiled modules
    for who in ("AUTHOR", "COMMITTER"):
        environment |= {f"GIT_{who}_NAME": "b", f"GIT_{who}_EMAIL": "b@example.org"}
    start = time.perf_counter()
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen(words, cwd=folder, env=environment, stdout=out, stderr=subprocess.PIPE)
        assert process.stderr is not None
        complaints = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - start
        out.seek(0)
        text = out.read().decode()
    if process.returncode:
        raise SystemExit(f"{' '.join(words)[:200]}: exit {process.returncode}\n{complaints.decode()}")
    return Spent(seconds, usage.ru_maxrss / 1024), text


def cj(folder: Path, *words: str) -> tuple[Spent, str]:
    return run(folder, "git", "cj", *words)


def in_turn(rounds: int, *measures: Callable[[], Spent]) -> list[Spent]:
    """The medians of several measures that take turns, so that other load meets all."""
    found: list[list[Spent]] = [[] for _ in measures]
    for _ in range(rounds):
        for spent, measure in zip(found, measures, strict=True):
            spent.append(measure())
    return [Spent(statistics.median(s.seconds for s in each), max(s.peak_mb for s in each)) for each in found]


def repository(folder: Path) -> None:
    (folder / "area.py").write_text(FUNCTION)
    run(folder, "git", "init", "-q")
    run(folder, "git", "init", "-q", "--bare", "bare.git")
    (folder / ".gitignore").write_text(
        "/bare.git\n/points.csv\n/loop\n/points\n/listing\n/blobs\n/table.csv\n"
    )
    cj(folder, "run", "area.py:area", "local", "--sweep", "x=1", "--wait")


def launches(folder: Path, tasks: int, rounds: int) -> None:
    """Launches that are not run: a cluster that holds what it gets would measure the same."""

    def launch(*words: str) -> Spent:
        spent, out = cj(folder, "run", "area.py:area", "local", *words, "--json")
        package = json.loads(out.splitlines()[0])["package"]
        cj(folder, "cancel", package)
        return spent

    ten, many = in_turn(
        rounds,
        lambda: launch("--sweep", "x=1:10"),
        lambda: launch("--sweep", f"x=1:{tasks // 1000}", "--sweep", "y=1:1000"),
    )
    figure(
        f"launch of a grid of {tasks:,} points against one of 10",
        many.seconds / ten.seconds,
        "times",
        1.5,
        f"{many.seconds:.2f} s against {ten.seconds:.2f} s; peak memory {many.peak_mb:.0f} MB",
    )
    chance = random.Random(1)
    lines = [f"{chance.random()!r}\n" for _ in range(tasks)]
    (folder / "points.csv").write_text("x\n" + "".join(lines))
    (folder / "points").mkdir()
    for at in range(0, tasks, 10_000):
        rows = "".join(f"[{line.strip()}]\n" for line in lines[at : at + 10_000])
        (folder / "points" / f"{at // 10_000:05d}.jsonl").write_text(rows)
    files = sorted(str(path) for path in (folder / "points").iterdir())

    def push() -> Spent:
        shutil.rmtree(folder / "bare.git")
        run(folder, "git", "init", "-q", "--bare", "bare.git")
        return run(folder, "sh", "-c", PUSH, "sh", *files)[0]

    points, floor = in_turn(1, lambda: launch("--points", "points.csv"), push)
    figure(
        f"launch of {tasks:,} explicit random points against hash-object and push of the same bytes",
        points.seconds / floor.seconds,
        "times",
        2.0,
        f"{points.seconds:.2f} s against {floor.seconds:.2f} s; peak memory {points.peak_mb:.0f} MB",
    )


def tasks_in_process(folder: Path, tasks: int) -> tuple[str, list[Path]]:
    """Launch and run all tasks; the package and its blocks' files."""
    words = ("area.py:area", "local", "--sweep", f"x=1:{tasks}", "--jobs", "2", "--json", "--wait")
    spent, out = cj(folder, "run", *words)
    package = str(json.loads(out.splitlines()[0])["package"])
    root = folder / ".git/cj/local/packages" / package
    files = sorted(path for path in root.rglob("*") if path.is_file())
    blocks = [path for path in files if path.parent.name == "blocks"]
    records = next(path for path in blocks if path.suffix == ".records")
    with records.open() as lines:
        lines.readline()  # the first has more outputs than the others
        line = lines.readline().strip()
    (folder / "loop").mkdir()
    (folder / "loop" / "area.py").write_text(FUNCTION)
    bare, _ = run(folder / "loop", sys.executable, "-c", BASELINE_LOOP, str(tasks), line)
    figure(
        f"{tasks:,} tasks in process, 2 workers, against a bare loop",
        spent.seconds / bare.seconds,
        "times",
        4.0,
        f"{spent.seconds:.1f} s, launch and waiting included, against {bare.seconds:.1f} s; "
        f"{tasks / spent.seconds:,.0f} tasks a second; peak memory {spent.peak_mb:.0f} MB",
    )
    per_block = len(blocks) / len({path.stem for path in blocks})
    count = len(list(root.rglob("*")))
    figure("files on the cluster", count, "files", MOST_FILES, f"{per_block:.2g} a block")
    return package, blocks


def results(folder: Path, package: str, blocks: list[Path], tasks: int) -> None:
    read, _ = run(folder, sys.executable, "-c", POLARS)
    harvest, _ = cj(folder, "harvest", package)
    reduce, _ = cj(folder, "reduce", "-o", "table.csv", package)
    whole = harvest.seconds + reduce.seconds
    figure(
        f"harvest and reduce of {tasks:,} tasks against polars reading the same lines",
        whole / read.seconds,
        "times",
        2.0,
        f"{harvest.seconds:.1f} s and {reduce.seconds:.1f} s against {read.seconds:.1f} s for "
        f"{sum(path.stat().st_size for path in blocks) / 1e6:.0f} MB; "
        f"peak memory {max(harvest.peak_mb, reduce.peak_mb):.0f} MB against {read.peak_mb:.0f}",
    )
    made = sum(1 for _ in _shards(folder))
    figure("shards of the harvest", made, "files", None, "")


def _shards(folder: Path) -> Iterator[Path]:
    yield from (folder / ".git/cj/shards").glob("*.parquet")


def states(folder: Path, package: str, blocks: list[Path], tasks: int, rounds: int) -> None:
    records = [str(path) for path in blocks if path.suffix == ".records"]
    known = folder / ".git/cj/state" / f"{package}.json"
    once, _ = run(folder, sys.executable, "-c", READ_ONCE, *records)

    def anew() -> Spent:
        known.unlink(missing_ok=True)
        for kept in (folder / ".git/cj/local/packages" / package).glob("submissions/*/tally"):
            kept.unlink()
        return cj(folder, "state", package)[0]

    first = anew()
    figure(
        f"state of {tasks:,} tasks against reading the records once",
        first.seconds / once.seconds,
        "times",
        3.0,
        f"{first.seconds:.2f} s against {once.seconds:.2f} s; peak memory {first.peak_mb:.0f} MB",
    )
    again, log = in_turn(rounds, lambda: cj(folder, "state", package)[0], lambda: cj(folder, "log")[0])
    figure(
        "state again, nothing new, against git cj log",
        again.seconds / log.seconds,
        "times",
        1.2,
        f"{again.seconds * 1000:.0f} ms against {log.seconds * 1000:.0f} ms",
    )


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--tasks", type=int, default=1_000_000)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--keep", action="store_true", help="leave the folder for a look")
    chosen = options.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="cj-bench-"))
    try:
        repository(folder)
        launches(folder, chosen.tasks, chosen.rounds)
        package, blocks = tasks_in_process(folder, chosen.tasks)
        states(folder, package, blocks, chosen.tasks, chosen.rounds)
        results(folder, package, blocks, chosen.tasks)
    finally:
        if chosen.keep:
            print(folder, file=sys.stderr)
        else:
            subprocess.run(("chmod", "-R", "u+w", str(folder)), check=False)
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
