"""The snapshot against `git status -uall` (100,000 files) and against a shell's floor (10,000 files).

Each repository has 1 edited and 5 untracked files and a warm index. The sides take turns, so that load on the
machine falls on both; the medians' ratio is printed as one line of JSON. `processor` is the same ratio of
processor time, which other people's load cannot bend.
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
    script = "git init -q && git add -A && git commit -qm 1 && git gc -q"
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


def compare(ours: Callable[[], object], theirs: Callable[[], object], repeats: int) -> dict[str, float]:
    """Medians in milliseconds of both, taken in turn, and their ratios."""
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
    own, other = (statistics.median(side) * 1000 for side in walls)
    processor = statistics.fmean(loads[0]) / statistics.fmean(loads[1])
    return {
        "ms": round(own, 1),
        "baseline_ms": round(other, 1),
        "ratio": round(own / other, 2),
        "processor": round(processor, 2),
    }


def measure(files: int, baseline: tuple[str, ...], repeats: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        top = Path(folder)
        make(top, files)
        repo = gitrepo.discover(top)
        return compare(lambda: snapshot.take(repo), command(top, *baseline), repeats)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=15)
    repeats = parser.parse_args().repeats
    status = measure(100_000, ("git", "status", "-uall"), repeats)
    floor = measure(10_000, ("sh", "-c", FLOOR), repeats)
    print(
        json.dumps(
            {"benchmark": "snapshot", "100k to git status -uall": status, "10k to a shell's git add": floor}
        )
    )


if __name__ == "__main__":
    main()
