"""Experiments that grow: what is done is linked, what is added counts as one with the rest."""

from __future__ import annotations

import csv
import io
from typing import Any

from cjnode.package.points import parse_tasks
from tests.shells import Shell

PROGRAM = """
import os, sys
with open("r.csv", "w") as file:
    file.write("y\\n%d\\n" % (int(sys.argv[2]) ** 2))
"""


def rows(shell: Shell, *words: str) -> list[dict[str, Any]]:
    return list(csv.DictReader(io.StringIO(shell.cj("reduce", *words))))


def test_what_ran_already_is_linked_and_not_run_again(shell: Shell) -> None:
    shell.write("p.py", PROGRAM)
    first = shell.launch("run", "p.py", "local", "--sweep", "x=1,2,3")
    second = shell.lines("run", "p.py", "local", "--sweep", "x=2,3,4,5", "--reuse", "--wait")[0]
    assert second["tasks"] == 2
    table = rows(shell, second["package"])
    assert [(row["cj_package"], row["cj_task"], row["x"], row["y"]) for row in table] == sorted(
        [
            (first, "2", "2", "4"),
            (first, "3", "3", "9"),
            (second["package"], "1", "4", "16"),
            (second["package"], "2", "5", "25"),
        ]
    )


def test_another_code_is_not_reused_but_skip_done_asks_for_points_alone(shell: Shell) -> None:
    shell.write("p.py", PROGRAM)
    shell.launch("run", "p.py", "local", "--sweep", "x=1,2")
    shell.cj("harvest")
    shell.write("p.py", PROGRAM + "# changed\n")
    shell.write("table.csv", "a\n1\n")
    done = shell.run("git", "cj", "run", "p.py", "local", "--sweep", "x=1,2", "--reuse", "--wait")
    assert "nothing is reused: p.py, table.csv changed since" in done.stderr
    shell.cj("harvest")
    assert shell.lines("run", "p.py", "local", "--sweep", "x=1,2,3", "--skip-done", "--wait")[0]["tasks"] == 1


def test_a_seed_that_is_asked_for_must_be_that_of_the_tasks(shell: Shell) -> None:
    shell.write("p.py", PROGRAM)
    shell.launch("run", "p.py", "local", "--sweep", "x=1,2", "--seed", "1")
    shell.cj("harvest")
    again = ("run", "p.py", "local", "--sweep", "x=1,2", "--reuse", "--wait")
    assert shell.lines(*again, "--seed", "2")[0]["tasks"] == 2
    assert shell.lines(*again, "--seed", "1")[0]["tasks"] == 0


def test_where_all_is_done_nothing_runs_and_it_says_where_it_is(shell: Shell) -> None:
    shell.write("p.py", PROGRAM)
    first = shell.launch("run", "p.py", "local", "--sweep", "x=1,2")
    shell.cj("harvest")
    told = shell.cj("run", "p.py", "local", "--sweep", "x=1,2", "--reuse")
    assert told == f"nothing to run: all 2 tasks are done, in {first[:12]} (1-2)\n"
    assert len(shell.lines("log", "--all")) == 1


def test_replicates_of_a_point_are_reused_together(shell: Shell) -> None:
    shell.write("p.py", PROGRAM)
    shell.launch("run", "p.py", "local", "--sweep", "x=1,2", "--repeat", "2")
    shell.cj("harvest")
    more = shell.lines("run", "p.py", "local", "--sweep", "x=2,3", "--repeat", "2", "--reuse", "--wait")[0]
    assert more["tasks"] == 2
    assert [(row["x"], row["cj_repeat"]) for row in rows(shell, more["package"]) if row["x"] == "2"] == [
        ("2", "1"),
        ("2", "2"),
    ]


def test_explicit_points_are_reused_too(shell: Shell) -> None:
    shell.write("p.py", PROGRAM)
    shell.write("a.csv", "x\n1\n2\n")
    shell.write("b.csv", "x\n2\n3\n")
    shell.git("add", "a.csv", "b.csv")
    shell.launch("run", "p.py", "local", "--points", "a.csv")
    shell.cj("harvest")
    assert shell.lines("run", "p.py", "local", "--points", "b.csv", "--reuse", "--wait")[0]["tasks"] == 1


def test_launching_the_same_again_says_so(shell: Shell) -> None:
    shell.write("p.py", PROGRAM)
    first = shell.launch("run", "p.py", "local", "--sweep", "x=1,2")
    again = shell.run("git", "cj", "run", "p.py", "local", "--sweep", "x=1,2")
    assert f"{first[:12]} has the same tasks already" in again.stderr
    other = shell.run("git", "cj", "run", "p.py", "local", "--sweep", "x=1,2,3")
    assert "already" not in other.stderr


def test_an_experiment_is_extended_with_its_own_code_and_read_as_one(shell: Shell) -> None:
    shell.write("p.py", PROGRAM)
    first = shell.launch("run", "p.py", "local", "--sweep", "x=1,2")
    shell.write("p.py", "raise SystemExit('the code of today')\n")
    second = shell.lines("extend", first, "--sweep", "x=3,4", "--wait")[0]["package"]
    third = shell.lines("extend", second, "--sweep", "x=5", "--wait")[0]["package"]
    assert sorted(row["y"] for row in rows(shell, first)) == ["1", "16", "25", "4", "9"]
    assert [row["y"] for row in rows(shell, third)] == ["25"]
    assert shell.git("show", f"{second}:p.py") == PROGRAM.strip()
    (counted,) = shell.lines("query", "SELECT count(*) AS n FROM results", first)
    assert counted == {"n": 5}
    seeds = {shell.lines("show", package)[0]["seed"] for package in (first, second, third)}
    assert len(seeds) == 3


def test_an_extension_has_the_experiment_s_parameters(shell: Shell) -> None:
    shell.write("p.py", PROGRAM)
    first = shell.launch("run", "p.py", "local", "--sweep", "x=1")
    assert "has the parameters x" in shell.refused("extend", first, "--sweep", "y=1")
    assert "--sweep NAME=SPEC" in shell.refused("extend", first)


def test_what_two_packages_link_of_a_third_is_all_read(shell: Shell) -> None:
    shell.write("p.py", PROGRAM)
    first = shell.launch("run", "p.py", "local", "--sweep", "x=1,2")
    shell.cj("harvest")
    second = shell.launch("run", "p.py", "local", "--sweep", "x=1,3", "--reuse")
    shell.cj("harvest")
    shell.launch("extend", second, "--sweep", "x=2,4", "--reuse")
    assert sorted(row["x"] for row in rows(shell, second)) == ["1", "2", "3", "4"]
    assert [row["x"] for row in rows(shell, f"{first}/1", f"{first}/2")] == ["1", "2"]
    assert [row["x"] for row in rows(shell, f"{first}/2", first)] == ["1", "2"]
    assert "there is no task 9" in shell.refused("reduce", f"{first}/1,9")
    assert "there is no task 9" in shell.refused("get", f"{first}/9")


def test_what_others_link_is_not_forgotten_without_a_word(shell: Shell) -> None:
    shell.write("p.py", PROGRAM)
    first = shell.launch("run", "p.py", "local", "--sweep", "x=1,2")
    shell.cj("harvest")
    second = shell.launch("run", "p.py", "local", "--sweep", "x=1,3", "--reuse")
    assert "nobody answered" in shell.refused("clean", first, "--forget")
    said = shell.cj("clean", first, "--forget", "--yes")
    assert f"lost: tasks 1, whose rows count as those of {second[:12]}" in said
    words = f"{second[:12]} lacks tasks 1 of {first[:12]}, which is not here any more"
    assert words in shell.run("git", "cj", "reduce", second).stderr
    assert words in shell.run("git", "cj", "fsck", code=1).stdout


def test_failures_of_what_was_added_are_pointed_at(shell: Shell) -> None:
    shell.write("p.py", "import sys\nsys.exit(int(sys.argv[2]) > 1)\n")
    first = shell.launch("run", "p.py", "local", "--sweep", "x=1,2")
    more = shell.launch("extend", first, "--sweep", "x=3:5")
    told = shell.run("git", "cj", "errors", first)
    assert f"{first[:12]}  1 of 2 tasks did not complete" in told.stdout
    assert f"3 more tasks of {more[:12]}, which belongs to it, did not complete" in told.stderr
    assert f"git cj errors {more[:8]}" in told.stderr
    assert "more tasks" not in shell.run("git", "cj", "errors", f"{first}/2").stderr


def test_a_loop_nest_is_not_extended(shell: Shell) -> None:
    shell.write("l.py", "for x in [1, 2]:\n    print(x)\n")
    package = shell.launch("parrun", "l.py", "local")
    assert "--reuse" in shell.refused("extend", package, "--sweep", "x=3")
    shell.cj("harvest")
    shell.write("l.py", "for x in [1, 2]:\n    print(x)\n")
    assert "nothing to run" in shell.cj("parrun", "l.py", "local", "--reuse")


def test_what_left_other_files_or_stands_for_another_draw_is_not_reused(shell: Shell) -> None:
    shell.write("p.py", PROGRAM)
    shell.write("three.csv", "x\n1\n1\n1\n")
    shell.cj("run", "p.py", "local", "--sweep", "x=1", "--out", "*.log", "--wait")
    again = shell.lines("run", "p.py", "local", "--sweep", "x=1", "--out", "*.csv", "--reuse", "--wait")[0]
    assert again["tasks"] == 1
    draws = ("run", "p.py", "local", "--points", "three.csv", "--out", "*.csv", "--reuse", "--wait")
    assert shell.lines(*draws)[0]["tasks"] == 2
    done = shell.lines(*draws)[0]
    assert (done["tasks"], sum(len(parse_tasks(link["tasks"])) for link in done["linked"])) == (0, 3)


def test_an_extension_alone_says_whose_points_it_adds_to(shell: Shell) -> None:
    shell.write("p.py", PROGRAM)
    first = shell.launch("run", "p.py", "local", "--sweep", "x=1,2", "--wait")
    shell.cj("extend", first, "--sweep", "x=3", "--wait")
    told = shell.run("git", "cj", "reduce").stderr
    assert f"adds points to {first[:12]}: name {first[:8]} for the rows of both" in told
    assert "adds points" not in shell.run("git", "cj", "reduce", first).stderr
