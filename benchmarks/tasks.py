"""10,000 trivial Python script tasks on 2 cores: tasks a second, memory of the whole tree of processes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TASKS = 10_000
AT_LEAST = 150.0
SAMPLES_S = 0.5


def cj(folder: Path, *words: str) -> str:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    done = subprocess.run(
        ("git", "cj", *words), cwd=folder, env=environment, check=True, capture_output=True, text=True
    )
    return done.stdout


def resident_mb(root: Path) -> float:
    """Proportional memory of every process that has something of ``root`` on its command line."""
    total = 0
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            words = (entry / "cmdline").read_bytes()
            if str(root).encode() in words:
                lines = (entry / "smaps_rollup").read_text().splitlines()
                total += int(next(line for line in lines if line.startswith("Pss:")).split()[1])
        except (OSError, StopIteration):
            continue
    return total / 1024


def files(root: Path) -> int:
    return sum(len(names) for _, _, names in os.walk(root / "submissions"))


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="cj-bench-"))
    try:
        (folder / "t.py").write_text("import sys\nprint(sys.argv[-1])\n")
        subprocess.run(("git", "init", "-q"), cwd=folder, check=True)
        cj(folder, "run", "t.py", "local", "--wait")
        start = time.perf_counter()
        words = ("run", "t.py", "local", "--sweep", f"x=1:{TASKS}", "--jobs", "2", "--json")
        package = json.loads(cj(folder, *words).splitlines()[0])["package"]
        peak, state = 0.0, {"final": False}
        while not state["final"]:
            peak = max(peak, resident_mb(folder))
            time.sleep(SAMPLES_S)
            state = json.loads(cj(folder, "state", package, "--json"))
        rate = TASKS / (time.perf_counter() - start)
        root = folder / ".git/cj/local/packages" / package
        detail = f"{TASKS:,} tasks, launch and polling included; {files(root)} files on the cluster"
        print(
            json.dumps(
                {
                    "name": "script tasks",
                    "value": rate,
                    "unit": "a second",
                    "sense": "at least",
                    "limit": AT_LEAST,
                    "detail": detail,
                }
            )
        )
        print(json.dumps({"name": "peak memory of all its processes", "value": peak, "unit": "MB"}))
    finally:
        subprocess.run(("chmod", "-R", "u+w", str(folder)), check=False)
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
