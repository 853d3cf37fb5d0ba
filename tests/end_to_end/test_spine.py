"""Launch, state, harvest, reduce, audit, checkout: the way of the data, typed as a person would."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

from tests.shells import NEST, Shell


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_a_script_runs_as_one_task(shell: Shell) -> None:
    shell.write("hello.py", "print('hello')\nopen('out.csv', 'w').write('a,b\\n1,2.5\\n')\n")
    launched = shell.lines("run", "hello.py", "local", "-m", "first", "--wait")[0]
    assert set(launched) >= {"package", "ref", "tasks", "cluster", "jobs"}
    assert (launched["tasks"], launched["cluster"], len(launched["jobs"])) == (1, "local", 1)
    assert shell.git("rev-parse", launched["ref"]) == launched["package"]
    state = shell.lines("state")[0]
    assert state["counts"] == {"COMPLETED": 1}
    assert state["final"] is True
    assert rows(shell.cj("reduce", "out.csv"))[0]["b"] == "2.5"
    assert shell.cj("show", "@/1", "--out") == "hello\n"


def test_every_iteration_of_a_nest_is_a_task(shell: Shell) -> None:
    shell.write("PT.py", NEST)
    package = shell.launch("parrun", "PT.py", "local", "-m", "Test PT", "--seed", "7")
    table = rows(shell.cj("reduce", "results.txt", package[:8]))
    assert len(table) == 12
    assert [row["cj_task"] for row in table] == [str(k) for k in range(1, 13)]
    assert [(float(r["delta"]), int(r["epsilon"])) for r in table] == [
        (d, e) for d in (0.1, 0.2, 0.3) for e in (1, 2, 3, 4)
    ]


def test_the_same_seed_gives_the_same_table(shell: Shell) -> None:
    shell.write("PT.py", NEST)
    first = shell.launch("parrun", "PT.py", "local", "--seed", "7")
    second = shell.launch("parrun", "PT.py", "local", "--seed", "7", "--jobs", "1")
    third = shell.launch("parrun", "PT.py", "local", "--seed", "8")
    tables = [
        (shell.cj("reduce", "results.txt", package, "-o", "t.txt") and (shell.folder / "t.txt").read_text())
        or (shell.folder / "t.txt").read_text()
        for package in (first, second, third)
    ]
    assert tables[0] == tables[1] != tables[2]


def test_git_log_is_the_audit_trail(shell: Shell) -> None:
    shell.write("hello.py", "print(1)\n")
    package = shell.launch("run", "hello.py", "local", "-m", "why I ran it")
    out = shell.git("log", "--glob=refs/cj/packages/*", "--format=%H %s%n%b")
    assert out.startswith(f"{package} why I ran it")
    assert "Cj-Program: hello.py" in out
    assert "Cj-Tasks: 1" in out
    assert package in shell.git("log", "--glob=refs/cj/*", "--format=%H")


def test_any_past_experiment_is_checked_out_exactly(shell: Shell, tmp_path: Path) -> None:
    shell.write("hello.py", "print(1)\n")
    shell.write("data/untracked.bin", "x\0y")
    package = shell.launch("run", "hello.py", "local")
    shell.write("hello.py", "print(2)\n")
    shell.cj("checkout", package[:8], str(tmp_path / "then"))
    then = tmp_path / "then"
    assert (then / "hello.py").read_text() == "print(1)\n"
    assert (then / "data/untracked.bin").read_text() == "x\0y"
    manifest = json.loads((then / ".cj/package.json").read_text())
    assert manifest["program"]["path"] == "hello.py"


def test_a_pattern_means_the_same_to_a_launch_and_to_its_tasks(shell: Shell, tmp_path: Path) -> None:
    """What it names are earlier outputs, which tasks must not see; an input elsewhere stays."""
    shell.write("data/in.csv", "7\n")
    shell.write("old.csv", "1\n")
    text = (
        "import os\nopen('new.csv', 'w').write(open('data/in.csv').read() + str(os.path.exists('old.csv')))\n"
    )
    shell.write("copy.py", text)
    shell.cj("run", "copy.py", "local", "--out", "*.csv", "--wait")
    shell.cj("get", "@/1", "-o", str(tmp_path / "got"))
    assert [path.read_text() for path in (tmp_path / "got").rglob("new.csv")] == ["7\nFalse"]


def test_a_launch_of_several_tasks_tells_of_it(shell: Shell) -> None:
    shell.write("p.py", "import random\nrandom.seed(0)\nprint(random.random())\n")
    told = "p.py:2: random.seed(0) gives every task the same numbers"
    words = ("git", "cj", "run", "p.py", "local", "--no-submit")
    assert (
        "p.py:2: random.seed(0) gives every task the same numbers"
        in shell.run(*words, "--repeat", "2").stderr
    )
    assert told not in shell.run(*words).stderr
