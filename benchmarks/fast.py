"""Short tasks against a process each, and against other tools: `python benchmarks/fast.py [--quick]`.

2,000 scripts that import numpy and print a number, and trivial functions; the other tools run the same tasks
on the same two cores, in an environment made from peers/requirements.txt, which is kept in the user's cache
for the next time. Of a tool that is slow some tasks are run and the rate is taken from these.
Our seconds are those of the whole command: the launch, the workers' start, every record and output kept. The
others' clock runs when they have started, from the first submission to the last result.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SCRIPT = "import sys\nimport numpy\nprint(numpy.sqrt(float(sys.argv[2])))\n"
FUNCTION = "def square(x):\n    return {'y': x * x}\n"
SCRIPTS, FUNCTIONS = 2000, 200_000

# How many tasks are enough to know a tool's rate.
ENOUGH = {
    "subprocesses": (100, 0),
    "joblib": (100, FUNCTIONS),
    "dask": (100, 5000),
    "parsl": (100, 5000),
    "hyperqueue": (100, 40),
    "submitit": (10, 10),
}


def figure(name: str, value: float, unit: str, sense: str, limit: float | None, detail: str = "") -> None:
    """Print one figure as `run.py` reads it."""
    about = {"name": name, "value": value, "unit": unit, "sense": sense, "limit": limit, "detail": detail}
    print(json.dumps(about), flush=True)


def peers() -> Path:
    """The other tools' Python."""
    wanted = HERE / "peers" / "requirements.txt"
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cjledger-peers"
    folder = cache / hashlib.sha256(wanted.read_bytes()).hexdigest()[:16]
    python = folder / "bin" / "python"
    if not (folder / "whole").exists():
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run((sys.executable, "-m", "venv", str(folder)), check=True)
        install = (str(python), "-m", "pip", "--quiet", "--disable-pip-version-check", "install", "-r")
        subprocess.run((*install, str(wanted)), check=True)
        (folder / "whole").touch()
    return python


def theirs(python: Path, tool: str, kind: str, tasks: int) -> dict[str, Any] | None:
    """The rate of a tool; None when it does not run here."""
    with tempfile.TemporaryDirectory(prefix="cj-peer-") as folder:
        (Path(folder) / "task.py").write_text(SCRIPT)
        environment = {**os.environ, "PATH": f"{python.parent}:{os.environ['PATH']}"}
        words = (str(python), str(HERE / "peers" / "rate.py"), tool, kind, str(tasks))
        try:
            done = subprocess.run(
                words, cwd=folder, env=environment, capture_output=True, text=True, timeout=300
            )
            return dict(json.loads(next(line for line in done.stdout.splitlines() if line.startswith("{"))))
        except (subprocess.TimeoutExpired, StopIteration) as problem:
            print(f"{tool} {kind}: {problem!r}", file=sys.stderr)
            return None


def ours(program: str, tasks: int) -> dict[str, Any]:
    """Our rate: a launch of all tasks, waited for."""
    folder = Path(tempfile.mkdtemp(prefix="cj-bench-"))
    bin_folder = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{bin_folder}:{os.environ['PATH']}"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)

    def run(*words: str) -> tuple[str, float]:
        with tempfile.TemporaryFile() as out:
            process = subprocess.Popen(words, cwd=folder, env=environment, stdout=out)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            out.seek(0)
            if process.returncode:
                raise SystemExit(f"{words}: exit {process.returncode}")
            return out.read().decode(), usage.ru_maxrss / 1024

    try:
        (folder / "t.py").write_text(SCRIPT)
        (folder / "f.py").write_text(FUNCTION)
        run("git", "init", "-q")
        run("git", "cj", "run", program, "local", "--sweep", "x=1", "--wait", "--json")
        start = time.perf_counter()
        words = ("git", "cj", "run", program, "local", "--sweep", f"x=1:{tasks}", "--jobs", "2")
        out, peak = run(*words, "--wait", "--json")
        seconds = time.perf_counter() - start
        package = json.loads(out.splitlines()[0])["package"]
        root = folder / ".git/cj/local/packages" / package
        files = sum(1 for path in root.rglob("*") if path.is_file())
        return {"rate": tasks / seconds, "peak_mb": peak, "files": files}
    finally:
        subprocess.run(("chmod", "-R", "u+w", str(folder)), check=False)
        shutil.rmtree(folder)


def _detail(found: dict[str, Any], tasks: int) -> str:
    return f"{tasks:,} tasks, peak memory {found['peak_mb']:.0f} MB, {found['files']:,} files"


def compare(python: Path, kind: str, program: str, tasks: int, part: float) -> None:
    """State our rate and the others', and ours to each that has a limit."""
    index = 0 if kind == "script" else 1
    mine = ours(program, tasks)
    figure(f"{kind} tasks: git cj", mine["rate"], "a second", "at least", None, _detail(mine, tasks))
    limits = {"script": {"subprocesses": 10.0, "parsl": 2.0, "dask": 2.0}, "function": {"joblib": 1.0}}[kind]
    for tool, enough in ENOUGH.items():
        count = int(enough[index] * part)
        found = theirs(python, tool, kind, count) if count else None
        if found is None:
            continue
        figure(f"{kind} tasks: {tool}", found["rate"], "a second", "at least", None, _detail(found, count))
        if tool in limits:
            words = f"{mine['rate']:,.0f} against {found['rate']:,.0f} tasks a second"
            ratio = mine["rate"] / found["rate"]
            figure(f"{kind} tasks: git cj to {tool}", ratio, "times", "at least", limits[tool], words)


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--quick", action="store_true", help="a tenth of the tasks")
    part = 0.1 if options.parse_args().quick else 1.0
    python = peers()
    compare(python, "script", "t.py", int(SCRIPTS * part), part)
    compare(python, "function", "f.py:square", int(FUNCTIONS * part), part)


if __name__ == "__main__":
    main()
