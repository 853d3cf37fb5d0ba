"""Run every benchmark beside this file and write docs/benchmarks.md: python benchmarks/run.py [NAME…].

With names the others' figures stay as they were.


A benchmark is a script that prints one JSON object a line for each figure:
{"name": "launch of one task", "value": 2.1, "unit": "times", "sense": "at most", "limit": 3.0,
 "detail": "0.31 s against 0.15 s for the shell script"}
`sense` is "at most" or "at least"; without a limit (null) the figure is only stated. What a benchmark prints
on stderr is shown as it runs. Exit status 1 when a benchmark fails or a figure misses its limit.
"""

import json
import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPORT = HERE.parent / "docs" / "benchmarks.md"


@dataclass(frozen=True)
class Figure:
    """One measured number and what it may be."""

    benchmark: str
    name: str
    value: float
    unit: str = "times"
    sense: str = "at most"
    limit: float | None = None
    detail: str = ""

    @property
    def verdict(self) -> str:
        """``met``, ``MISSED`` or ``stated``."""
        if self.limit is None:
            return "stated"
        met = self.value <= self.limit if self.sense == "at most" else self.value >= self.limit
        return "met" if met else "MISSED"


def figures(benchmark: str, output: str) -> list[Figure]:
    """The figures in what a benchmark printed."""
    return [Figure(benchmark, **json.loads(line)) for line in output.splitlines() if line.startswith("{")]


def table(found: list[Figure], others: list[str]) -> str:
    """The figures as a Markdown table, with the ``others``' rows."""
    lines = []
    for figure in found:
        limit = f"{figure.sense} {figure.limit:g}" if figure.limit is not None else ""
        value = f"{figure.value:{',.0f' if figure.value >= 100 else '.3g'}} {figure.unit}"
        cells = (figure.benchmark, figure.name, value, limit, figure.verdict, figure.detail)
        lines.append("| " + " | ".join(cells) + " |")
    head = ["| benchmark | figure | value | limit | verdict | measured |", "|---|---|---|---|---|---|"]
    return "\n".join(head + sorted(lines + others, key=_benchmark))


def rows(text: str, without: set[str]) -> list[str]:
    """The rows of an earlier report, less those of some benchmarks."""
    found = [line for line in text.splitlines() if line.startswith("| ")]
    return [line for line in found if _benchmark(line) not in {"benchmark", *without}]


def _benchmark(row: str) -> str:
    return row.split(" | ")[0].removeprefix("| ")


def report(found: list[Figure], failed: list[str], facts: dict[str, str], others: list[str]) -> str:
    """The text of docs/benchmarks.md."""
    parts = [
        "# Benchmarks",
        "Every figure is measured in one run against a baseline measured beside it. Made by",
        "    make bench",
        "\n".join(f"- {name}: {value}" for name, value in facts.items()),
        table(found, others),
    ]
    if failed:
        parts.append("Did not finish: " + ", ".join(failed) + ".")
    return "\n\n".join(parts) + "\n"


def machine() -> dict[str, str]:
    """What the figures were measured on."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        named = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = named[0].partition(":")[2].strip() if named else model
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    git = subprocess.run(["git", "--version"], capture_output=True, text=True, check=True).stdout
    return {
        "processor": f"{model}, {len(os.sched_getaffinity(0))} cores",
        "memory": f"{memory:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        "git": git.split()[2],
    }


def main(names: list[str]) -> int:
    """Run the named benchmarks, or all of them."""
    scripts = sorted(path for path in HERE.glob("*.py") if path.name != Path(__file__).name)
    found: list[Figure] = []
    failed: list[str] = []
    for script in scripts:
        if names and script.stem not in names:
            continue
        print(f"{script.stem} …", file=sys.stderr, flush=True)
        done = subprocess.run([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
        found += figures(script.stem, done.stdout)
        if done.returncode:
            failed.append(script.stem)
    ran = {script.stem for script in scripts if not names or script.stem in names}
    others = rows(REPORT.read_text(encoding="utf-8"), ran) if names and REPORT.exists() else []
    text = report(found, failed, machine(), others)
    print(text)
    REPORT.write_text(text, encoding="utf-8")
    return int(bool(failed) or any(figure.verdict == "MISSED" for figure in found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
