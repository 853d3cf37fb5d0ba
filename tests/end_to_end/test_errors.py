"""Failures grouped by what they said, with the variables that were held where it happened."""

from __future__ import annotations

import pytest

from tests.clusters.ports import wait_until
from tests.shells import Shell

SCRIPT = """
import sys
x = int(sys.argv[2])
def solve(size):
    matrix = [size] * 3
    if size % 2:
        raise ValueError(f"singular at {size}")
    if size == 4:
        sys.exit(9)
solve(x)
"""
FUNCTION = """
def solve(x):
    matrix = [x] * 3
    if x % 2:
        raise ValueError(f"singular at {x}")
    return {"y": x}
"""


def test_failures_are_grouped_by_their_last_line(shell: Shell) -> None:
    shell.write("p.py", SCRIPT)
    package = shell.launch("run", "p.py", "local", "--sweep", "x=1:5")
    first, second = shell.lines("errors")
    assert (first["package"], first["state"], first["tasks"], first["count"]) == (
        package,
        "FAILED",
        "1,3,5",
        3,
    )
    assert (first["example"], first["params"], first["error"]) == (1, {"x": 1}, "ValueError: singular at 1")
    assert first["said"].startswith("Traceback (most recent call last):")
    assert "p.py, line 10, in <module>\n    x = 1\n" in first["variables"]
    assert "in solve\n    size = 1\n    matrix = [1, 1, 1]\n" in first["variables"]
    assert (second["tasks"], second["error"], second["variables"]) == ("4", "exit code 9", "")


def test_exit_codes_are_causes_and_what_was_cancelled_is_one_thing(shell: Shell) -> None:
    shell.write("p.py", "import os, sys\nos._exit(int(sys.argv[2]))\n")
    shell.launch("run", "p.py", "local", "--sweep", "x=3,5,137,5")
    found = [(each["tasks"], each["error"]) for each in shell.lines("errors")]
    assert found == [("2,4", "exit code 5"), ("1", "exit code 3"), ("3", "exit code 137")]
    shell.write("p.py", "import time\ntime.sleep(60)\n")
    shell.cj("run", "p.py", "local", "--sweep", "x=1:4", "--jobs", "1")
    wait_until(lambda: "RUNNING" in shell.lines("state")[0]["counts"], "a task that runs")
    shell.cj("cancel")
    wait_until(lambda: shell.lines("state")[0]["final"], "the end")
    assert [(each["tasks"], each["state"]) for each in shell.lines("errors")] == [("1-4", "CANCELLED")]


def test_a_person_reads_counts_an_example_and_its_variables(shell: Shell) -> None:
    shell.write("p.py", SCRIPT)
    package = shell.launch("run", "p.py", "local", "--sweep", "x=1:5")
    shown = shell.cj("errors").splitlines()
    assert shown[0] == f"{package[:12]}  4 of 5 tasks did not complete, in 2 ways"
    assert shown[2] == "3 tasks FAILED: ValueError: singular at 1"
    assert shown[3:5] == ["  tasks 1,3,5, for example 1", "  x=1"]
    assert "      matrix = [1, 1, 1]" in [line[2:] for line in shown]
    assert f"  all it printed: git cj show {package[:8]}/1 --err" in shown


def test_the_package_s_files_are_shown_by_their_names_and_what_never_ran_as_such(shell: Shell) -> None:
    shell.write("sub/p.py", "raise ValueError('wrong')\n")
    shell.launch("run", "sub/p.py", "local")
    assert '      File "sub/p.py", line 1, in <module>' in shell.cj("errors").splitlines()
    shell.write("wait.py", "import time\ntime.sleep(600)\n")
    package = shell.lines("run", "wait.py", "local", "--sweep", "x=1,2", "--jobs", "1")[0]["package"]
    shell.cj("cancel", f"{package}/2")
    shown = shell.cj("errors", f"{package}/2")
    shell.cj("cancel")
    assert shown == f"{package[:12]}  1 of 2 tasks did not complete\n\n1 task CANCELLED\n  task 2\n  x=2\n"


@pytest.mark.parametrize("words", [("--sweep", "x=1:5")])
def test_a_function_s_variables_are_kept_too(shell: Shell, words: tuple[str, ...]) -> None:
    shell.write("m.py", FUNCTION)
    shell.launch("run", "m.py:solve", "local", *words)
    (failure,) = shell.lines("errors")
    assert failure["variables"] == "m.py, line 5, in solve\n    x = 1\n    matrix = [1, 1, 1]\n"


def test_where_nothing_failed_it_says_so(shell: Shell) -> None:
    shell.write("p.py", "print(1)\n")
    package = shell.launch("run", "p.py", "local")
    assert shell.cj("errors") == f"{package[:12]}  0 of 1 tasks did not complete\n"
