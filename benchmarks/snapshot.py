"""The snapshot against `git status -uall` (100,000 files) and against a shell's floor (10,000 files).

Each repository has 1 edited and 5 untracked files and a warm index. The sides take turns, so that load on the
machine falls on both; the figure is the ratio of the medians. The detail has the ratio of processor time too,
which other people's load cannot bend, but which counts a second core's help as cost.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from cjledger import gitrepo, snapshot

FLOOR = """
cp -p .git/index .git/floor-index
GIT_INDEX_FILE=.git/floor-index git add -A && GIT_INDEX_FILE=.git/floor-index git write-tree
rm -f .git/floor-index
"""


def make(top: Path, files: int) -> None:
    """A repository of small files, 100 a folder, committed, its index warm, then made dirty."""
    for number in range(files):
        folder = top / f"d{number // 1000:03}" / f"s{number // 100 % 10}"
        if number % 100 == 0:
            folder.mkdir(parents=True)
        (folder / f"f{number % 100}.txt").write_text(f"line {number}\n")
    script = "git init -q && git config gc.auto 0 && git add -A && git commit -qm 1 && git gc -q"
    identity = {"GIT_AUTHOR_NAME": "b", "GIT_AUTHOR_EMAIL": "b@example.org"}
    identity |= {"GIT_COMMITTER_NAME": "b", "GIT_COMMITTER_EMAIL": "b@example.org"}
    subprocess.run(["sh", "-c", script], cwd=top, check=True, env={**os.environ, **identity})
    time.sleep(1.1)  # past the racy second, as after any pause of a person
    subprocess.run(["git", "status"], cwd=top, check=True, stdout=subprocess.DEVNULL)
    (top / "d000/s0/f0.txt").write_text("edited\n")
    for number in range(5):
        (top / f"new{number}.txt").write_text("new\n")
    time.sleep(0.1)


def command(top: Path, *words: str) -> Callable[[], None]:
    return lambda: _run(top, words)


def _run(top: Path, words: tuple[str, ...]) -> None:
    subprocess.run(
        words, cwd=top, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    )


class Comparison(NamedTuple):
    own_s: float
    baseline_s: float
    processor: float  # ratio of processor time


def compare(ours: Callable[[], object], theirs: Callable[[], object], repeats: int) -> Comparison:
    """Run both in turn; the medians."""
    walls: tuple[list[float], list[float]] = ([], [])
    loads: tuple[list[float], list[float]] = ([], [])
    for turn in range(repeats + 1):
        for side, act in enumerate((ours, theirs)):
            wall, before = time.perf_counter(), os.times()
            act()
            after = os.times()
            if turn:  # the first turn warms the caches
                walls[side].append(time.perf_counter() - wall)
                loads[side].append(sum(after[:4]) - sum(before[:4]))
    own, baseline = (statistics.median(side) for side in walls)
    return Comparison(own, baseline, statistics.fmean(loads[0]) / statistics.fmean(loads[1]))


def measure(name: str, files: int, baseline: tuple[str, ...], limit: float | None, repeats: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        top = Path(folder)
        make(top, files)
        repo = gitrepo.discover(top)
        found = compare(lambda: snapshot.take(repo), command(top, *baseline), repeats)
    times = f"{found.own_s:.3f} s against {found.baseline_s:.3f} s"
    figure = {
        "name": name,
        "value": round(found.own_s / found.baseline_s, 2),
        "unit": "times",
        "sense": "at most",
        "limit": limit,
        "detail": f"{times}; {found.processor:.2f} times the processor time",
    }
    print(json.dumps(figure), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=15)
    repeats = parser.parse_args().repeats
    status = ("git", "status", "-uall")
    measure("snapshot of 100,000 files to git status -uall", 100_000, status, 1.5, repeats)
    floor = ("sh", "-c", FLOOR)
    measure("snapshot of 10,000 files to cp index, git add -A, git write-tree", 10_000, floor, None, repeats)


if __name__ == "__main__":
    main()
