"""A launch from 10,000 files against a shell script that does git's part; the 1,000th against the first.

The shell script copies the index, adds, writes the tree and the commit, and pushes to a bare repository.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FILES = 10_000
ROUNDS = 9
HISTORY = 1000

BASELINE = """
set -e
cp -p .git/index "$INDEX"
export GIT_INDEX_FILE="$INDEX"
git add -A
commit=$(git commit-tree "$(git write-tree)" -m baseline)
git push -q "$BARE" "$commit:refs/cj/packages/$commit"
"""


def run(folder: Path, *words: str, **extra: str) -> float:
    environment = {**os.environ, **extra, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed program has its compiled modules
    start = time.perf_counter()
    subprocess.run(words, cwd=folder, env=environment, check=True, capture_output=True)
    return time.perf_counter() - start


def repository(folder: Path, files: int) -> Path:
    work = folder / "work"
    for number in range(files):
        path = work / f"d{number % 100:02d}" / f"f{number:05d}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"content of {number}\n")
    (work / "hello.py").write_text("print('hello')\n")
    run(work, "git", "init", "-q")
    run(work, "git", "add", "-A")
    run(work, "git", "-c", "user.name=b", "-c", "user.email=b@example.org", "commit", "-qm", "start")
    run(folder, "git", "init", "-q", "--bare", "bare.git")
    return work


def edit(work: Path, number: int) -> None:
    (work / "d00" / "f00000.txt").write_text(f"edited {number}\n")
    (work / f"untracked-{number % 5}.txt").write_text(f"new {number}\n")


def baseline(work: Path, number: int) -> float:
    edit(work, number)
    names = {f"GIT_{r}_{p}": "b" for r in ("AUTHOR", "COMMITTER") for p in ("NAME", "EMAIL")}
    index, bare = str(work.parent / "index"), str(work.parent / "bare.git")
    return run(work, "sh", "-c", BASELINE, INDEX=index, BARE=bare, **names)


def launch(work: Path, number: int) -> float:
    edit(work, number)
    seconds = run(work, "git", "cj", "run", "hello.py", "local")
    run(work, "git", "cj", "state", "--watch")  # not while the job still runs beside us
    return seconds


def against_the_script(folder: Path) -> None:
    work = repository(folder, FILES)
    for number in range(2):
        baseline(work, number), launch(work, number)
    pairs = [(launch(work, number), baseline(work, number)) for number in range(2, 2 + ROUNDS)]
    ours, floor = (statistics.median(side) for side in zip(*pairs, strict=True))
    figure(
        f"launch of one task, {FILES:,} files",
        statistics.median(a / b for a, b in pairs),
        3.0,
        f"{ours * 1000:.0f} ms against {floor * 1000:.0f} ms for the shell script",
    )


def after_many(folder: Path) -> None:
    work = repository(folder, 100)
    launch(work, 0)
    first = statistics.median(launch(work, number) for number in range(1, 1 + ROUNDS))
    for number in range(ROUNDS, HISTORY - ROUNDS):
        edit(work, number)
        run(work, "git", "cj", "run", "hello.py", "local")
    last = statistics.median(launch(work, number) for number in range(HISTORY - ROUNDS, HISTORY))
    detail = f"{last * 1000:.0f} ms against {first * 1000:.0f} ms, medians of {ROUNDS}"
    figure(f"the {HISTORY:,}th launch against the first", last / first, 1.2, detail)


def figure(name: str, value: float, limit: float, detail: str) -> None:
    print(json.dumps({"name": name, "value": value, "limit": limit, "detail": detail}), flush=True)


def main() -> None:
    for measure in (against_the_script, after_many):
        folder = Path(tempfile.mkdtemp(prefix="cj-bench-"))
        try:
            measure(folder)
        finally:
            subprocess.run(("chmod", "-R", "u+w", str(folder)), check=False)
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
