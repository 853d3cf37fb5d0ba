"""Several at once, and workers killed, while tasks fail and run again: each attempt runs once."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.clusters.far import Far
from tests.clusters.laptops import laptop
from tests.clusters.ports import wait_until
from tests.end_to_end.test_retries import WAITS, Lab
from tests.shells import Shell


@pytest.fixture
def lab(shell: Shell, tmp_path: Path) -> Lab:
    folder = tmp_path / "lab"
    folder.mkdir()
    return Lab(shell, folder)


def elements(shell: Shell, package: str) -> list[int]:
    """The processes of the package's workers here."""
    found = []
    for path in sorted(
        (shell.folder / ".git/cj/local/scheduler").glob(f"cj-{package[:12]}-*/element-*.json")
    ):
        process = int(json.loads(path.read_text())["pid"])
        try:
            words = Path(f"/proc/{process}/cmdline").read_bytes()
        except OSError:
            continue
        if package.encode() in words:
            found.append(process)
    return found


def test_workers_killed_while_tasks_fail_double_no_attempt(lab: Lab) -> None:
    lab.program("time.sleep(0.1)\nsys.exit(attempt == 1 and task % 3 == 0)")
    words = ("--sweep", "x=1:12", "--workers", "3", "--jobs", "3")
    package = lab.launched(*words, "--retries", "9")
    chance, killed = random.Random(7), 0
    wait_until(lambda: len(lab.ran()) > 2, "the first tasks")
    while killed < 4:
        alive = elements(lab.shell, package)
        if not alive:
            break
        try:
            os.kill(chance.choice(alive), signal.SIGKILL)
            killed += 1
        except ProcessLookupError:
            pass
        time.sleep(chance.uniform(0.1, 0.5))
    lab.shell.cj("state", package, "--watch")
    assert killed
    assert len(lab.ran()) == len(set(lab.ran()))
    assert [state for _, state in lab.tasks(package)] == ["COMPLETED"] * 12
    lab.program("")
    assert lab.table(package) == lab.table(lab.launched(*words, "--wait"))


def test_retry_recover_cancel_and_extend_while_workers_run_and_harvests_go_on(lab: Lab) -> None:
    lab.program(
        f"if attempt == 1:\n    {WAITS.strip().replace(chr(10), chr(10) + '    ')}\nsys.exit(attempt < 2)"
    )
    package = lab.launched("--sweep", "x=1:6", "--workers", "3", "--jobs", "3", "--retries", "2")
    wait_until(lambda: len(lab.ran()) == 3, "running tasks")
    verbs = (
        ("retry", package),
        ("recover", package),
        ("harvest", package),
        ("cancel", f"{package}/6"),
        ("extend", package, "--sweep", "x=7,8"),
        ("harvest", package),
        ("retry", package),
        ("workers", package, "+1"),
    )
    beside = [lab.shell.start("git-cj", *words) for words in verbs]
    lab.go()
    codes = [each.wait(240) for each in beside]
    assert codes[1:6] == [0] * 5
    lab.shell.cj("state", package, "--watch")
    more = str(lab.shell.lines("log")[0]["package"])
    lab.shell.cj("state", more, "--watch")
    states = [state for _, state in lab.tasks(package)]
    assert (states[:5], states[5] in ("CANCELLED", "COMPLETED")) == (["COMPLETED"] * 5, True)
    assert [state for _, state in lab.tasks(more)] == ["COMPLETED"] * 2
    mine = [each for each in lab.ran() if int(each.partition("/")[0]) > 2]
    assert len(mine) == len(set(mine))  # the extension's tasks are numbered from 1 too
    rows = [row for row in lab.table(package) if row[0] > 2]
    assert rows == [(k, k * k) for k, state in enumerate(states, 1) if k > 2 and state == "COMPLETED"]


def test_two_people_who_retry_at_once_make_one_further_attempt(
    far: Callable[[str], Far], tmp_path: Path
) -> None:
    """On one account of a cluster, each from a machine of their own."""
    mia, ben = (laptop(tmp_path / name, far("local"), root=tmp_path / "root") for name in ("mia", "ben"))
    mia.run("git", "init", "-q", "--bare", "../hub.git")
    for shell in (mia, ben):
        shell.run("git", "remote", "add", "origin", "../hub.git")
    lab = Lab(mia, tmp_path)
    lab.program("sys.exit(attempt == 1 and task < 3)")
    launched = mia.lines("run", "task.py", far("local").name, "--sweep", "x=1:3", "--wait")
    package = str(launched[0]["package"])
    mia.cj("sync")
    ben.cj("sync")
    assert ben.lines("state", package)[0]["counts"] == {"FAILED": 2, "COMPLETED": 1}
    again = [shell.start("git-cj", "retry", package) for shell in (mia, ben, mia, ben)]
    codes = [each.wait(120) for each in again]
    assert 0 in codes
    for shell in (mia, ben):
        shell.cj("state", package, "--watch")
    assert sorted(lab.ran()) == ["1/1", "1/2", "2/1", "2/2", "3/1"]
    assert ben.lines("retry", package)[0]["count"] == 0
    assert lab.tasks(package) == [(2, "COMPLETED"), (2, "COMPLETED"), (1, "COMPLETED")]
