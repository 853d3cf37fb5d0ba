"""Launch, state, harvest, reduce, audit, checkout: the way of the data, typed as a person would."""

from __future__ import annotations

import csv
import hashlib
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


def test_launching_changes_nothing_of_the_persons(shell: Shell) -> None:
    """Invariant 2."""
    shell.write("hello.py", "print(1)\n")
    shell.write("README", "edited\n")
    shell.git("add", "hello.py")

    def everything() -> dict[str, str]:
        seen = {
            str(path.relative_to(shell.folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(shell.folder.rglob("*"))
            if path.is_file() and ".git" not in path.relative_to(shell.folder).parts[:1]
        }
        for name in ("index", "HEAD", "config", "logs/HEAD"):
            seen[name] = hashlib.sha256((shell.folder / ".git" / name).read_bytes()).hexdigest()
        seen["refs"] = shell.git("for-each-ref", "refs/heads", "refs/tags", "refs/stash")
        return seen

    before = everything()
    (shell.folder / ".git/index.lock").touch()
    shell.launch("run", "hello.py", "local")
    (shell.folder / ".git/index.lock").unlink()
    assert everything() == before


def test_a_package_alone_suffices_to_run_again(shell: Shell, tmp_path: Path) -> None:
    """Invariant 3: git and the language, nothing else."""
    shell.write("PT.py", NEST)
    package = shell.launch("parrun", "PT.py", "local", "--seed", "7")
    mine = shell.cj("show", f"{package}/6/results.txt")
    shell.run("git", "clone", "-q", "--mirror", ".", str(tmp_path / "m.git"))
    bare = Shell(tmp_path)
    bare.run("git", "--git-dir=m.git", "worktree", "add", "-q", "--detach", "again", package)
    Shell(tmp_path / "again").run("python3", "-I", ".cj/reproduce_PT.py", "6")
    assert (tmp_path / "again/results.txt").read_text() == mine


def test_every_row_leads_back_to_commit_task_parameters_and_seed(shell: Shell) -> None:
    """Invariant 9."""
    shell.write("PT.py", NEST)
    package = shell.launch("parrun", "PT.py", "local", "--seed", "7")
    for line in (
        shell.cj("reduce", "results.txt", "-o", "all.jsonl")
        or (shell.folder / "all.jsonl").read_text().splitlines()
    ):
        row = json.loads(line)
        shown = shell.lines("show", f"{row['cj_package']}/{row['cj_task']}")[0]
        assert row["cj_package"] == package
        assert shown["params"] == {"delta": row["delta"], "epsilon": row["epsilon"]}
        assert isinstance(shown["seed"], int)
