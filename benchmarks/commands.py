"""What it costs to ask: ``git cj log`` and ``state`` of a finished package, against importing typer."""

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

ROUNDS = 15
PROGRAM = "for x in range(20):\n    print(x)\n"


def run(folder: Path, *words: str) -> float:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed program has its compiled modules
    start = time.perf_counter()
    subprocess.run(words, cwd=folder, env=environment, check=True, capture_output=True)
    return time.perf_counter() - start


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="cj-bench-"))
    try:
        (folder / "loop.py").write_text(PROGRAM)
        run(folder, "git", "init", "-q")
        run(folder, "git", "cj", "parrun", "loop.py", "local", "--wait")
        for verb in ("log", "state"):
            run(folder, "git", "cj", verb)
            pairs = [
                (run(folder, "git", "cj", verb), run(folder, sys.executable, "-c", "import typer"))
                for _ in range(ROUNDS)
            ]
            ours, floor = (statistics.median(side) * 1000 for side in zip(*pairs, strict=True))
            ratio = statistics.median(a / b for a, b in pairs)
            detail = f"{ours:.0f} ms against {floor:.0f} ms for `python -c 'import typer'`"
            print(json.dumps({"name": f"git cj {verb}", "value": ratio, "limit": 4.0, "detail": detail}))
    finally:
        subprocess.run(("chmod", "-R", "u+w", str(folder)), check=False)
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
