"""Tasks that fail and run again, by themselves or because somebody says so, or several at once."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.clusters.ports import wait_until
from tests.shells import Shell

# Notes that it ran, leaves a table, and does what a test says: by task and attempt.
PROGRAM = """\
import os, sys, time
task, attempt = int(os.environ["CJ_TASK"]), int(os.environ["CJ_ATTEMPT"])
with open({ran!r}, "a") as ran:
    ran.write("%d/%d\\n" % (task, attempt))
with open("table.csv", "w") as out:
    out.write("square\\n%d\\n" % task ** 2)
{rest}
"""


class Lab:
    """A repository, and what its tasks noted."""

    def __init__(self, shell: Shell, folder: Path) -> None:
        self.shell = shell
        self.folder = folder

    def program(self, rest: str) -> None:
        text = PROGRAM.format(ran=str(self.folder / "ran"), rest=rest.replace("GO", repr(self.path("go"))))
        self.shell.write("task.py", text)

    def path(self, name: str) -> str:
        return str(self.folder / name)

    def go(self) -> None:
        (self.folder / "go").touch()

    def ran(self) -> list[str]:
        path = self.folder / "ran"
        return path.read_text().split() if path.exists() else []

    def launched(self, *words: str) -> str:
        return str(self.shell.lines("run", "task.py", "local", *words)[0]["package"])

    def tasks(self, package: str) -> list[tuple[int, str]]:
        """Attempt and state of each task."""
        return [(line["attempt"], line["state"]) for line in self.lines(package)]

    def lines(self, package: str) -> list[dict[str, Any]]:
        return self.shell.lines("state", package, "--tasks")

    def counts(self, package: str) -> dict[str, int]:
        counts: dict[str, int] = self.shell.lines("state", package)[0]["counts"]
        return counts

    def table(self, package: str) -> list[tuple[int, int]]:
        """Task and square of each row."""
        rows = [json.loads(line) for line in self.shell.cj("reduce", package, "--json").splitlines()]
        return [(row["cj_task"], row["square"]) for row in rows]


@pytest.fixture
def lab(shell: Shell, tmp_path: Path) -> Lab:
    folder = tmp_path / "lab"
    folder.mkdir()
    return Lab(shell, folder)


WAITS = "while not os.path.exists(GO):\n    time.sleep(0.02)\n"


def test_what_failed_runs_again_and_the_table_is_the_undisturbed_one(lab: Lab) -> None:
    lab.program("sys.exit(3 if attempt < task else 0)")
    package = lab.launched("--sweep", "x=1:4", "--jobs", "1", "--retries", "2", "--wait")
    assert lab.tasks(package) == [(1, "COMPLETED"), (2, "COMPLETED"), (3, "COMPLETED"), (3, "FAILED")]
    assert sorted(lab.ran()) == ["1/1", "2/1", "2/2", "3/1", "3/2", "3/3", "4/1", "4/2", "4/3"]
    assert lab.table(package) == [(1, 1), (2, 4), (3, 9)]
    earlier = lab.lines(package)[2]["earlier"]
    assert [(each["attempt"], each["state"], each["exit_code"]) for each in earlier] == [
        (1, "FAILED", 3),
        (2, "FAILED", 3),
    ]
    assert "3, after FAILED, FAILED" in lab.shell.cj("state", package, "--tasks")
    shown = lab.shell.cj("show", f"{package}/3")
    assert "  attempt 2      FAILED  exit 3" in shown
    assert "retry:" in lab.shell.cj("show", package)
    lab.program("")
    again = lab.launched("--sweep", "x=1:4", "--wait")
    assert lab.table(again)[:3] == lab.table(package)


def test_while_a_retry_is_due_a_package_is_not_final_and_a_harvest_has_what_completed(lab: Lab) -> None:
    lab.program(f"if task == 3 and attempt == 1:\n    sys.exit(1)\nif attempt == 2:\n    {_indent(WAITS)}")
    package = lab.launched("--sweep", "x=1:3", "--jobs", "1", "--retries", "1")
    wait_until(lambda: "3/2" in lab.ran(), "the second attempt")
    state = lab.shell.lines("state", package)[0]
    assert (state["counts"], state["final"]) == ({"COMPLETED": 2, "RUNNING": 1}, False)
    assert lab.table(package) == [(1, 1), (2, 4)]
    lab.go()
    lab.shell.cj("state", package, "--watch")
    assert lab.table(package) == [(1, 1), (2, 4), (3, 9)]
    assert lab.tasks(package) == [(1, "COMPLETED"), (1, "COMPLETED"), (2, "COMPLETED")]


def _indent(text: str) -> str:
    return text.strip().replace("\n", "\n    ")


def test_memory_runs_out_on_this_machine_and_grows(lab: Lab) -> None:
    lab.program(
        "if task == 1:\n    kept = os.urandom(1 << 20) * 150\n    time.sleep(60 if attempt == 1 else 1)"
    )
    words = ("--mem", "100M", "--retries", "1", "--grow-mem", "+200M")
    package = lab.launched("--sweep", "x=1:2", "--jobs", "1", *words, "--wait")
    assert lab.tasks(package) == [(2, "COMPLETED"), (1, "COMPLETED")]
    first = lab.lines(package)[0]
    assert first["note"] == "asked for memory 300 MB"
    assert [(each["state"], each["exit_code"]) for each in first["earlier"]] == [("OUT_OF_MEMORY", 137)]


def test_who_retries_may_ask_for_more(lab: Lab) -> None:
    lab.program(
        "if task == 1:\n    kept = os.urandom(1 << 20) * 150\n    time.sleep(60 if attempt == 1 else 1)"
    )
    package = lab.launched("--sweep", "x=1:2", "--mem", "100M", "--wait")
    assert lab.tasks(package) == [(1, "OUT_OF_MEMORY"), (1, "COMPLETED")]
    assert "is not an amount of memory" in lab.shell.refused("retry", package, "--mem", "more")
    lab.shell.cj("retry", package, "--mem", "400M", "--time", "1h", "--wait")
    assert lab.tasks(package) == [(2, "COMPLETED"), (1, "COMPLETED")]
    assert lab.lines(package)[0]["note"] == "asked for memory 400 MB, walltime 3600 s"


def test_time_runs_out_on_this_machine_and_grows(lab: Lab) -> None:
    lab.program("time.sleep(60 if attempt == 1 and task == 1 else 0)")
    words = ("--time", "5s", "--retries", "1", "--grow-time", "60x")
    package = lab.launched("--sweep", "x=1:2", "--jobs", "1", *words, "--wait")
    assert lab.tasks(package) == [(2, "COMPLETED"), (1, "COMPLETED")]
    first = lab.lines(package)[0]
    assert first["note"] == "asked for walltime 300 s"
    assert [each["state"] for each in first["earlier"]] == ["TIMEOUT"]


def test_the_configuration_says_what_runs_again(lab: Lab) -> None:
    lab.shell.write(".cjledger.toml", "[cluster.local.retry]\ncount = 1\non = [7]\n")
    lab.program("sys.exit({1: 7, 2: 8}.get(task, 0) if attempt == 1 else 0)")
    package = lab.launched("--sweep", "x=1:3", "--wait")
    assert lab.tasks(package) == [(2, "COMPLETED"), (1, "FAILED"), (1, "COMPLETED")]
    off = lab.launched("--sweep", "x=1:3", "--retries", "0", "--wait")
    assert lab.tasks(off) == [(1, "FAILED"), (1, "FAILED"), (1, "COMPLETED")]


@pytest.mark.parametrize("verb", [("retry",), ("rerun", "--yes")])
def test_many_who_retry_at_once_make_one_further_attempt(lab: Lab, verb: tuple[str, ...]) -> None:
    lab.program("sys.exit(attempt == 1 and task < 3)")
    package = lab.launched("--sweep", "x=1:3", "--wait")
    assert lab.tasks(package) == [(1, "FAILED"), (1, "FAILED"), (1, "COMPLETED")]
    again = [lab.shell.start("git-cj", verb[0], f"{package}/1-2", *verb[1:]) for _ in range(5)]
    codes = [each.wait(120) for each in again]
    assert 0 in codes
    lab.shell.cj("state", package, "--watch")
    if verb[0] == "retry":  # who reruns after that wants another one
        assert sorted(lab.ran()) == ["1/1", "1/2", "2/1", "2/2", "3/1"]
    assert len(lab.ran()) == len(set(lab.ran()))
    assert [state for _, state in lab.tasks(package)] == ["COMPLETED"] * 3


def test_retry_while_workers_run_and_others_look_doubles_no_attempt(lab: Lab) -> None:
    lab.program(f"if attempt == 1 and task > 3:\n    {_indent(WAITS)}\nsys.exit(attempt < 3 and task < 4)")
    package = lab.launched("--sweep", "x=1:5", "--jobs", "3", "--retries", "1")
    verbs = (("retry", package), ("state", package), ("harvest", package), ("retry", f"{package}/1"))
    wait_until(lambda: len(lab.ran()) > 3, "the first attempts")
    beside = [lab.shell.start("git-cj", *words) for words in verbs * 2]
    lab.go()
    assert all(each.wait(120) is not None for each in beside)
    lab.shell.cj("state", package, "--watch")
    lab.shell.run("git", "cj", "retry", package, code=None)
    lab.shell.cj("state", package, "--watch")
    assert len(lab.ran()) == len(set(lab.ran()))
    assert [state for _, state in lab.tasks(package)] == ["COMPLETED"] * 5
    assert lab.table(package) == [(k, k * k) for k in range(1, 6)]


def test_who_takes_tasks_as_they_complete_has_each_once(lab: Lab) -> None:
    lab.shell.write(
        "m.py", "import os\n\ndef f(x):\n    assert x != int(os.environ['CJ_ATTEMPT'])\n    return {'y': x}\n"
    )
    lab.shell.write(
        "steer.py",
        "import cjledger as cj\n"
        "package = cj.launch('m.py:f', points=[{'x': x} for x in (0, 1)], retries=2, retry_on=['FAILED'])\n"
        "for result in package.as_completed(period_s=0.1):\n"
        "    print(result.params['x'], result.state, [row['cj_attempt'] for row in result.rows])\n",
    )
    assert sorted(lab.shell.run(sys.executable, "steer.py").stdout.splitlines()) == [
        "0 COMPLETED [1]",
        "1 COMPLETED [2]",
    ]


def test_what_runs_at_the_end_waits_for_retries(lab: Lab) -> None:
    lab.shell.write(
        "m.py",
        "import os, time\n\ndef f(x):\n    time.sleep(0.2)\n"
        "    assert int(os.environ['CJ_ATTEMPT']) > x % 3\n    return {'y': x}\n",
    )
    lab.shell.write(
        "end.py",
        "import json, os\n"
        f"with open(os.environ['CJ_TABLE']) as table, open({lab.path('ran')!r}, 'a') as ran:\n"
        "    ran.write(','.join(sorted(json.loads(line)['cj_state'] for line in table)) + '\\n')\n",
    )
    words = (
        "run",
        "m.py:f",
        "local",
        "--sweep",
        "x=0:5",
        "--jobs",
        "2",
        "--retries",
        "2",
        "--then",
        "end.py",
    )
    package = str(lab.shell.lines(*words, "--wait")[0]["package"])
    wait_until(lambda: lab.ran() == [",".join(["COMPLETED"] * 6)], "the end", 60)
    lab.shell.cj("state", package, "--watch")
    assert len(lab.ran()) == 1


def test_a_cancel_during_a_retry_ends_it(lab: Lab) -> None:
    lab.program(f"if attempt == 1:\n    sys.exit(1)\n{WAITS}")
    package = lab.launched("--sweep", "x=1:2", "--jobs", "1", "--retries", "5")
    wait_until(lambda: "1/2" in lab.ran(), "the second attempt")
    assert lab.shell.lines("cancel", package)[0]["cancelled"] == 2
    lab.shell.cj("state", package, "--watch")
    assert lab.tasks(package) == [(2, "CANCELLED"), (1, "CANCELLED")]
    lab.go()
    lab.shell.cj("state", package, "--watch")
    assert lab.ran() == ["1/1", "1/2"]
    lab.shell.cj("retry", package, "--wait")
    assert lab.tasks(package) == [(3, "COMPLETED"), (3, "COMPLETED")]


def test_a_job_that_is_gone_is_submitted_again(lab: Lab) -> None:
    """All of its processes killed at once, as by the machine that went down."""
    lab.program(f"if attempt == 1:\n    {_indent(WAITS)}")
    package = lab.launched("--sweep", "x=1:2", "--jobs", "2", "--retries", "1")
    wait_until(lambda: len(lab.ran()) == 2, "the first attempts")
    kill_job(lab.shell.folder / ".git/cj/local/scheduler" / f"cj-{package[:12]}-1")
    lab.shell.cj("state", package, "--watch")
    assert lab.tasks(package) == [(2, "COMPLETED")] * 2
    assert lab.table(package) == [(1, 1), (2, 4)]


def kill_job(folder: Path) -> None:
    """Kill a local job's pool, then its elements."""
    for pattern in ("owner-*.json", "element-*.json"):
        for path in folder.glob(pattern):
            process = json.loads(path.read_text())["pid"]
            os.kill(process, signal.SIGKILL)
