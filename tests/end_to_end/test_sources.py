"""Where points come from besides grids: draws, standard input, a file of commands."""

from __future__ import annotations

import json

import pytest

from tests.shells import Shell

PROGRAM = "import sys; open('r.csv', 'w').write('x\\n' + sys.argv[2] + '\\n')\n"


@pytest.mark.parametrize("design", ["random", "lhs"])
def test_samples_follow_from_the_seed(shell: Shell, design: str) -> None:
    shell.write("p.py", PROGRAM)
    words = ("run", "p.py", "local", "--sweep", "x=loguniform(1e-3,1)", "--samples", "5", "--dry-run")
    first = shell.lines(*words, "--design", design, "--seed", "7")
    assert first[0] == {"tasks": 5, "changed_files": 0, "new_files": 1}
    assert shell.lines(*words, "--design", design, "--seed", "7") == first
    assert shell.lines(*words, "--design", design, "--seed", "8") != first


def test_a_distribution_without_a_number_of_samples_is_refused(shell: Shell) -> None:
    shell.write("p.py", PROGRAM)
    assert "--samples 100" in shell.refused("run", "p.py", "local", "--sweep", "x=uniform(0,1)", code=2)


def test_a_design_without_a_distribution_is_refused(shell: Shell) -> None:
    shell.write("p.py", PROGRAM)
    told = shell.refused("run", "p.py", "local", "--sweep", "x=1,2", "--design", "lhs", code=2)
    assert "--design goes with a distribution" in told


def test_draws_are_counted_before_they_are_made(shell: Shell) -> None:
    shell.write("p.py", PROGRAM)
    words = ("run", "p.py", "local", "--sweep", "x=normal(0,1)", "--samples", "3000000000", "--dry-run")
    assert "3000000000 tasks are more than the configured maximum" in shell.refused(*words)


@pytest.mark.parametrize(
    "text", ['{"x": 1}\n{"x": 2}\n', "x\n1\n2\n", '[{"x": 1}, {"x": 2}]', "x\ty\n1\t1\n2\t2\n"]
)
def test_points_come_from_standard_input(shell: Shell, text: str) -> None:
    shell.write("p.py", PROGRAM)
    shown = shell.cj("run", "p.py", "local", "--points", "-", "--dry-run", "--json", stdin=text)
    assert [json.loads(line).get("params", {}).get("x") for line in shown.splitlines()] == [None, 1, 2]


def test_what_is_wrong_with_standard_input_is_said_of_it(shell: Shell) -> None:
    shell.write("p.py", PROGRAM)
    done = shell.run("git", "cj", "run", "p.py", "local", "--points", "-", code=1, stdin="x,x\n1,2\n")
    assert "error: standard input: x is given twice" in done.stderr


def test_each_line_of_a_file_of_commands_is_a_task(shell: Shell) -> None:
    shell.write("todo", "# three commands\necho 'a  b' > out.txt\n\necho \"$CJ_TASK\" > out.txt\nfalse\n")
    shell.launch("run", "--commands", "todo", "local")
    assert [line["counts"] for line in shell.lines("state")] == [{"COMPLETED": 2, "FAILED": 1}]
    shell.cj("reduce", "out.txt", "-o", "all.txt")
    assert (shell.folder / "all.txt").read_text() == "a  b\n2\n"
