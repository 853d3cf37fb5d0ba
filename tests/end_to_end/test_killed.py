"""kill -9 at every rename and process start of a launch and of a harvest, then the same command again."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from tests.shells import Shell

# Loaded by every Python of the command: the first one that starts (git cj itself) counts its acts.
SHIM = """
import os, signal, subprocess, sys
target = int(os.environ.pop("KILL_AT", "0"))
if target:
    count = 0
    def counted(act):
        def wrapped(*args, **kwargs):
            global count
            count += 1
            if count == target:
                os.kill(os.getpid(), signal.SIGKILL)
            return act(*args, **kwargs)
        return wrapped
    for name in ("rename", "replace", "link"):
        setattr(os, name, counted(getattr(os, name)))
    subprocess.Popen.__init__ = counted(subprocess.Popen.__init__)
"""


@pytest.fixture
def killer(shell: Shell, tmp_path: Path) -> Shell:
    folder = tmp_path / "shim"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(SHIM)
    shell.environment["PYTHONPATH"] = str(folder)
    return shell


def kill_at(shell: Shell, number: int, *words: str) -> bool:
    """Run ``git-cj WORDS`` and kill it at its n-th rename or process start; False when it ended before."""
    killed = Shell(shell.folder, {**shell.environment, "KILL_AT": str(number)})
    done = killed.run("git-cj", *words, code=None)
    assert done.returncode in (0, -9), done.stderr
    return done.returncode == -9


def persons(shell: Shell) -> dict[str, str]:
    names = [*shell.git("ls-files", "-co").splitlines(), ".git/index", ".git/HEAD", ".git/config"]
    return {name: hashlib.sha256((shell.folder / name).read_bytes()).hexdigest() for name in names}


def test_a_launch_killed_anywhere_leaves_no_package_or_a_whole_one_that_runs_once(
    killer: Shell, tmp_path: Path
) -> None:
    """Invariants 2, 5 and 7."""
    ran = tmp_path / "ran"
    killer.write("hello.py", f"import os\nopen({str(ran)!r}, 'a').write(os.environ['CJ_PACKAGE'] + '\\n')\n")
    killer.launch("run", "hello.py", "local")
    before = persons(killer)
    number = 1
    while kill_at(killer, number, "run", "hello.py", "local"):
        assert persons(killer) == before
        number += 1
    assert number > 10
    assert killer.cj("fsck").endswith("nothing wrong\n")
    packages = killer.git("for-each-ref", "--format=%(refname:lstrip=3)", "refs/cj/packages").split()
    for package in packages:
        killer.cj("submit", package, "--wait")
        assert killer.lines("state", package)[0]["counts"] == {"COMPLETED": 1}
    assert sorted(ran.read_text().split()) == sorted(packages)
    leftovers = [path.name for path in (killer.folder / ".git/cj").iterdir() if "index" in path.name]
    assert leftovers == []


def test_a_harvest_killed_anywhere_neither_loses_nor_doubles_a_row(killer: Shell) -> None:
    """Invariant 7."""
    killer.write("one.py", "import sys\nopen('o.csv', 'w').write(f'x\\n{sys.argv[-1]}\\n')\n")
    package = killer.launch("run", "one.py", "local", "--sweep", "x=1:5")
    killer.cj("harvest")
    table = killer.cj("reduce", "o.csv")
    results = f"refs/cj/results/{package}"
    number = 1
    while True:
        killer.git("update-ref", "-d", results)
        for shard in (killer.folder / ".git/cj/shards").iterdir():
            shard.unlink()
        killed = kill_at(killer, number, "harvest")
        assert killer.cj("reduce", "o.csv") == table
        if not killed:
            break
        number += 1
    assert number > 5
    killer.cj("fsck")


def test_harvests_and_reduces_at_once_bring_each_row_once(shell: Shell) -> None:
    shell.write("one.py", "import sys\nopen('o.csv', 'w').write(f'x\\n{sys.argv[-1]}\\n')\n")
    shell.launch("run", "one.py", "local", "--sweep", "x=1:9")
    words = [("harvest",), ("reduce", "o.csv"), ("harvest",), ("reduce", "o.csv")]
    running = [shell.start("git-cj", *given) for given in words]
    assert [process.wait(60) for process in running] == [0] * 4
    assert [row["x"] for row in map(json.loads, shell.cj("reduce", "o.csv", "--json").splitlines())] == list(
        range(1, 10)
    )
    assert "nothing wrong" in shell.cj("fsck")


@pytest.mark.slow
def test_what_runs_after_a_launch_killed_anywhere_runs_once(killer: Shell, tmp_path: Path) -> None:
    first, last = tmp_path / "first", tmp_path / "last"
    note = "import os\nopen({!r}, 'a').write(os.environ['CJ_PACKAGE'] + '\\n')\n"
    killer.write("hello.py", note.format(str(first)))
    killer.write("after.py", note.format(str(last)))
    killer.launch("run", "hello.py", "local")
    number = 1
    while kill_at(killer, number, "run", "hello.py", "local", "--then", "after.py"):
        newest = killer.lines("log")[0]
        if newest["then"]:  # by now it was launched, and perhaps finished before
            killer.cj("submit", newest["package"], "--wait")
            told = killer.lines("state", newest["package"])[0]
            assert (told["counts"], told["then"]["counts"]) == ({"COMPLETED": 1}, {"COMPLETED": 1})
        number += 1
    assert number > 15
    killer.cj("state", "@", "--watch")
    assert killer.cj("fsck").endswith("nothing wrong\n")
    launched = [each for each in killer.lines("log", "--all") if each["then"]]
    assert set(first.read_text().split()) >= {launch["package"] for launch in launched}
    assert sorted(last.read_text().split()) == sorted(launch["then"] for launch in launched)
    assert list((killer.folder / ".git/cj/waiting").glob("*.json")) == []
