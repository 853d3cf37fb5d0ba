"""Tasks that do harm: each costs its own rows, is named, and never the harvest."""

from __future__ import annotations

import csv
import io
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.shells import Shell

HARM = """
import os, shutil, signal, sys, time

deed = os.environ["CJ_PARAM_deed"]


def good():
    with open("results.csv", "w") as out:
        out.write("a,b\\n1,0.5\\n2,1.5\\n")


def write(content):
    with open("results.csv", "wb") as out:
        out.write(content)


good()
if deed == "prints":
    for _ in range(100):
        sys.stdout.write("x" * 999999 + "\\n")
elif deed == "binary":
    write(os.urandom(3000) + b"\\0\\xff")
elif deed == "deletes":
    shutil.rmtree(os.getcwd(), ignore_errors=True)
elif deed == "forks":
    if os.fork() == 0:
        os.setsid()
        with open(os.environ["CJ_SUBMIT_DIR"] + "/../child", "w") as out:
            out.write(str(os.getpid()))
        time.sleep(1000)
    while not os.path.exists(os.environ["CJ_SUBMIT_DIR"] + "/../child"):
        time.sleep(0.01)
elif deed == "ignores":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(1000)
elif deed == "silent":
    os.remove("results.csv")
elif deed == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
elif deed == "ragged":
    write(b"a,b\\n1,2\\n1,2,3,4\\n5\\n")
elif deed == "unclosed":
    write(b'a,b\\n1,"two\\n')
elif deed == "headless":
    write(b"7,8\\n")
elif deed == "words":
    write(b"a,b\\nfoo,bar\\n")
elif deed == "empty":
    write(b"")
elif deed == "other":
    write(b"x,y,z\\n1,2,3\\n")
elif deed == "folder":
    os.remove("results.csv")
    os.mkdir("results.csv")
elif deed == "link":
    os.remove("results.csv")
    os.symlink("/etc/passwd", "results.csv")
elif deed == "controls":
    sys.exit("\\x1b[31mred\\x1b]0;title\\x07")
elif deed == "leaves":
    os._exit(0)
"""
DEEDS = (
    *("fine", "prints", "binary", "deletes", "forks", "ignores", "silent", "killed", "ragged", "unclosed"),
    *("headless", "words", "empty", "other", "folder", "link", "controls", "leaves", "well"),
)


@pytest.fixture(scope="module")
def harm(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """A package of which every task but two does harm, to its end."""
    folder = tmp_path_factory.mktemp("harm") / "work"
    folder.mkdir()
    shell = Shell(folder)
    for name in ("AUTHOR", "COMMITTER"):
        shell.environment |= {f"GIT_{name}_NAME": "Mia", f"GIT_{name}_EMAIL": "mia@example.org"}
    shell.git("init", "-q", "-b", "main")
    shell.write("harm.py", HARM)
    sweep = f"deed={','.join(DEEDS)}"
    shell.launch("run", "harm.py", "local", "--sweep", sweep, "--time", "1s", "--jobs", "4")
    return shell


def by_deed(shell: Shell) -> dict[str, dict[str, object]]:
    return {line["params"]["deed"]: line for line in shell.lines("state", "--tasks")}


def test_each_task_ends_in_its_own_state(harm: Shell) -> None:
    states = by_deed(harm)
    assert len(states) == len(DEEDS)
    others = {"ignores": "TIMEOUT", "killed": "FAILED", "controls": "FAILED"}
    assert {deed: line["state"] for deed, line in states.items()} == {
        deed: others.get(deed, "COMPLETED") for deed in DEEDS
    }
    assert states["killed"]["exit_code"] == 137
    assert states["killed"]["note"] == "ended by SIGKILL"
    assert "time limit" in str(states["ignores"]["note"])
    assert "process left behind" in str(states["forks"]["note"])
    assert "shortened" in str(states["prints"]["note"])
    assert "results.csv" in str(states["link"]["note"])
    assert "\x1b" not in str(states["controls"]["error"])
    assert states["silent"]["error"] == states["silent"]["note"] == ""
    assert harm.lines("state")[0]["counts"] == {"COMPLETED": 16, "FAILED": 2, "TIMEOUT": 1}


def test_nothing_of_the_tasks_goes_on_or_stays(harm: Shell) -> None:
    root = harm.folder / ".git/cj/local/packages"
    child = int(next(root.parent.rglob("child"), harm.folder / "child").read_text())
    assert not alive(child)
    assert [path for path in root.glob("*/scratch/*") if path.exists()] == []
    out = harm.run("git", "cj", "show", f"@/{DEEDS.index('prints') + 1}", "--out").stdout
    assert len(out) < 20_000_000
    assert out.startswith("x" * 1000)


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{process}/stat").read_text().split()[2] != "Z"


def test_broken_tables_cost_their_own_rows_and_are_named(harm: Shell) -> None:
    done = harm.run("git", "cj", "reduce", "results.csv")
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    whole = [deed for deed in DEEDS if deed in ("fine", "prints", "forks", "leaves", "well")]
    assert [row["deed"] for row in rows if row["b"] in ("0.5", "1.5")] == [d for d in whole for _ in "12"]
    assert [(row["a"], row["b"]) for row in rows if row["deed"] == "words"] == [("foo", "bar")]
    assert [row["z"] for row in rows if row["deed"] == "other"] == ["3"]
    assert {row["deed"] for row in rows} == {*whole, "words", "other"}
    number = {deed: DEEDS.index(deed) + 1 for deed in DEEDS}
    for deed, why in (
        ("binary", "results.csv: line "),
        ("ragged", "results.csv: line 3: 4 fields, not 2"),
        ("unclosed", "results.csv: line 2: "),
        ("headless", "results.csv: line 1: a row where the other tasks have the names of columns"),
    ):
        assert f"left out: task {number[deed]}, attempt 1: {why}" in done.stderr
    assert "7 of 19 tasks are in" in done.stderr
    assert f"COMPLETED, but results.csv has no rows: {number['empty']}" in done.stderr
    assert "TIMEOUT: " in done.stderr
    assert "FAILED: " in done.stderr
    missing = [line for line in done.stderr.splitlines() if "but left no results.csv" in line]
    assert len(missing) == 1
    for deed in ("deletes", "silent", "folder", "link"):
        assert str(number[deed]) in missing[0].rpartition(": ")[2].replace("-", ",").split(",")


def test_a_repeated_harvest_and_every_other_reader_stand_the_broken_tables(harm: Shell) -> None:
    assert harm.lines("harvest")[0]["rows"] == 0
    assert len(harm.lines("query", "SELECT a, b FROM results WHERE deed = 'fine'")) == 2
    found = {line["task"] for line in harm.lines("sanity", "exists", "results.csv")}
    assert DEEDS.index("silent") + 1 in found
    assert DEEDS.index("binary") + 1 in {
        line["task"] for line in harm.lines("sanity", "lines", "results.csv")
    }
    assert harm.lines("fsck") == []
    for words in (("state",), ("log",), ("ls",), ("harvest",), ("sanity", "exists", "results.csv")):
        done = harm.run("git", "cj", *words)
        for line in (done.stdout + done.stderr).splitlines():
            assert not set(line) & set("\x1b\x07"), line
        assert max(map(len, done.stdout.splitlines())) <= 80


def until(condition: Callable[[], bool]) -> None:
    """Wait for what another process does."""
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_worker_that_is_killed_costs_no_row(shell: Shell, tmp_path: Path) -> None:
    """Everything that runs for the package dies at once, as when a node goes down, and is run again."""
    gate, pids = tmp_path / "gate", tmp_path / "pids"
    pids.mkdir()
    shell.write(
        "slow.py",
        f"""
import os, time
open({str(pids)!r} + "/%d" % os.getpid(), "w").close()
open("results.csv", "w").write("a\\n" + os.environ["CJ_TASK"] + "\\n")
while not os.path.exists({str(gate)!r}):
    time.sleep(0.01)
""",
    )
    package = shell.lines("run", "slow.py", "local", "--repeat", "2", "--jobs", "2")[0]["package"]
    until(lambda: len(list(pids.iterdir())) == 2)
    for path in pids.iterdir():
        os.kill(int(path.name), 9)
    gate.touch()
    shell.cj("state", package, "--watch")
    states = [line["state"] for line in shell.lines("state", package, "--tasks")]
    assert states == ["FAILED", "FAILED"]
    shell.cj("retry", package, "--wait")
    table = shell.cj("reduce", "results.csv", package).splitlines()
    assert [line.rpartition(",")[2] for line in table] == ["a", "1", "2"]
