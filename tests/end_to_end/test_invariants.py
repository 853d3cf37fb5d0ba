"""The invariants of docs/design.md, one test each; the fifth and the seventh are in test_killed too."""

from __future__ import annotations

import hashlib
import json
import os
import signal
from pathlib import Path

from tests.shells import NEST, Shell

HELLO = "print('hello')\n"


def test_invariant_1_a_package_is_never_rewritten(shell: Shell) -> None:
    shell.write("hello.py", HELLO)
    first = shell.launch("run", "hello.py", "local")
    second = shell.launch("run", "hello.py", "local")
    cluster = str(shell.folder / ".git/cj/local/repo.git")
    for refspec in (
        f"+{second}:refs/cj/inbox/{first}",
        f"+{second}:refs/cj/packages/{first}",
        f":refs/cj/packages/{first}",
        f"{second}:refs/heads/main",
    ):
        assert "[remote rejected]" in shell.run("git", "push", cluster, refspec, code=1).stderr
    bare = Shell(shell.folder / ".git/cj/local/repo.git")
    assert bare.git("rev-parse", f"refs/cj/packages/{first}") == first


def test_invariant_2_launching_changes_nothing_of_the_persons(shell: Shell) -> None:
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


def test_invariant_3_a_package_alone_suffices_to_run_again(shell: Shell, tmp_path: Path) -> None:
    shell.write("PT.py", NEST)
    package = shell.launch("parrun", "PT.py", "local", "--seed", "7")
    mine = shell.cj("show", f"{package}/6/results.txt")
    shell.run("git", "clone", "-q", "--mirror", ".", str(tmp_path / "m.git"))
    bare = Shell(tmp_path)
    bare.run("git", "--git-dir=m.git", "worktree", "add", "-q", "--detach", "again", package)
    Shell(tmp_path / "again").run("python3", "-I", ".cj/reproduce_PT.py", "6")
    assert (tmp_path / "again/results.txt").read_text() == mine


def test_invariant_4_each_file_on_the_cluster_has_one_writer(shell: Shell) -> None:
    shell.write("t.py", "import os, sys\nprint(os.getppid())\n")
    package = shell.launch("run", "t.py", "local", "--sweep", "x=1:64", "--jobs", "4")
    blocks = shell.folder / f".git/cj/local/packages/{package}/submissions/1/blocks"
    tasks: list[int] = []
    for claim in sorted(blocks.glob("*.claim")):
        element = json.loads(claim.read_text().splitlines()[0])["element"]
        records = [json.loads(line) for line in claim.with_suffix(".records").read_text().splitlines()]
        assert {record["element"] for record in records} == {element}
        tasks += [record["task"] for record in records]
        at = 0
        for record in records:  # appended, never rewritten: offsets follow one another
            for output in record["outputs"]:
                assert output["offset"] == at
                at += output["bytes"]
    assert sorted(tasks) == list(range(1, 65))
    assert len(list(blocks.iterdir())) <= 3 * len(list(blocks.glob("*.claim")))


def test_invariant_5_intent_precedes_the_act_and_no_act_happens_twice(shell: Shell, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    shell.write("hello.py", f"open({str(ran)!r}, 'a').write('x')\n")
    package = shell.launch("run", "hello.py", "local")
    submission = shell.folder / f".git/cj/local/packages/{package}/submissions/1"
    intent, receipt = (
        json.loads((submission / name).read_text()) for name in ("intent.json", "receipt.json")
    )
    assert intent["created"] <= receipt["submitted"]
    for _ in range(2):
        shell.cj("submit", package, "--wait")
    assert ran.read_text() == "x"
    events = shell.git("log", "--format=%s", "--reverse", "--glob=refs/cj/ledger/*").splitlines()
    assert [event.split()[0] for event in events][:2] == ["launched", "submitted"]


def test_invariant_6_a_tasks_record_outranks_the_scheduler(shell: Shell, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    shell.write(
        "w.py",
        "import os, sys, time\nif sys.argv[-1] == '2':\n"
        f"    open({str(gate)!r}, 'w').write(str(os.getppid()))\n    time.sleep(600)\n",
    )
    package = shell.lines("run", "w.py", "local", "--sweep", "x=1:3", "--jobs", "1")[0]["package"]
    while not (gate.exists() and gate.read_text()):
        shell.cj("state")
    job = shell.folder / f".git/cj/local/scheduler/cj-{package[:12]}-1"
    for name in ("owner-1.json", "element-1-1.json"):  # the scheduler first: it would start another element
        os.kill(json.loads((job / name).read_text())["pid"], signal.SIGKILL)
    shell.cj("state", "--watch")
    states = {task["task"]: task["state"] for task in shell.lines("state", "--tasks")}
    assert states == {1: "COMPLETED", 2: "LOST", 3: "LOST"}


def test_invariant_7_harvest_and_reduce_can_be_repeated(shell: Shell) -> None:
    shell.write("PT.py", NEST)
    shell.launch("parrun", "PT.py", "local")
    first = shell.cj("reduce", "results.txt")
    assert shell.lines("harvest")[0]["rows"] == 0
    assert shell.cj("reduce", "results.txt") == first


def test_invariant_8_what_comes_from_a_cluster_is_data(shell: Shell) -> None:
    shell.write(
        "evil.py",
        "import sys\n"
        "open('o.csv', 'w').write('a,b\\n\\x1b[2J\\x9b31m,__import__(\"os\").system(\"id\")\\n')\n"
        "open('x\\x1b[31m.txt', 'w').write('1')\nsys.exit('\\x1b]0;title\\x07boom')\n",
    )
    package = shell.launch("run", "evil.py", "local")
    for words in (
        ("state",),
        ("show", f"{package}/1"),
        ("ls",),
        ("log",),
        ("query", "SELECT * FROM records"),
    ):
        done = shell.run("git", "cj", *words)
        assert "\x1b" not in done.stdout + done.stderr
        assert "\x9b" not in done.stdout + done.stderr
    blocks = shell.folder / f".git/cj/local/packages/{package}/submissions/1/blocks"
    (blocks / "000001-02.claim").write_text('{"job":"x","element":1,"incarnation":2,"host":"h","pid":1}\n')
    (blocks / "000001-02.records").write_bytes(b"\x80\x04rubbish, not a record\n{}\n[1]\n")
    shell.cj("harvest")
    assert shell.lines("state", "--tasks")[0]["task"] == 1


def test_invariant_9_every_row_leads_back_to_commit_task_parameters_and_seed(shell: Shell) -> None:
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


def test_invariant_10_cost_grows_with_what_changed_not_with_history(shell: Shell, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    shell.write("hello.py", HELLO)

    def processes() -> int:
        trace.unlink(missing_ok=True)
        traced = Shell(shell.folder, {"GIT_TRACE2_EVENT": str(trace)})
        traced.cj("run", "hello.py", "local")
        lines = trace.read_text().splitlines()
        return sum('"event":"start"' in line for line in lines)

    def advertised() -> int:
        return shell.git("receive-pack", "--advertise-refs", ".git/cj/local/repo.git").count(" refs/")

    shell.launch("run", "hello.py", "local")
    before, refs = processes(), advertised()
    for _ in range(12):
        shell.cj("run", "hello.py", "local")
    assert processes() == before
    assert advertised() == refs
