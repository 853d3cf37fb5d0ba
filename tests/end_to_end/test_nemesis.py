"""Real Slurm, real sshd, and someone who kills whatever runs: in the end each task has run once."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.clusters.far import Far
from tests.clusters.laptops import laptop
from tests.node.conftest import PYTHONS
from tests.old_git import VERSIONS, old_git
from tests.shells import Shell

# A folder with a real old git's programs, where somebody built one; read before the tests are sealed.
REAL = os.environ.get("CJ_OLD_GIT")

COUNTED = """\
import os
with open({marks!r}, "a") as marks:
    marks.write(os.environ["CJ_PACKAGE"] + "/" + os.environ["CJ_TASK"] + "\\n")
print("done")
"""


def there(
    far: Callable[[str], Far], tmp_path: Path, python: str = sys.executable, scheduler: str = "slurm"
) -> Shell:
    """A repository, a cluster of its own root called ``slurm``, and a program whose tasks are counted."""
    shell = laptop(tmp_path / "work", far(scheduler), root=tmp_path / "root")
    table = shell.folder / ".cjledger.toml"
    named = table.read_text().replace(f"[cluster.{scheduler}]", "[cluster.slurm]")
    table.write_text(named.replace(sys.executable, python))
    shell.write("count.py", COUNTED.format(marks=str(tmp_path / "marks")))
    return shell


def marks(tmp_path: Path) -> list[str]:
    path = tmp_path / "marks"
    return sorted(path.read_text().splitlines()) if path.exists() else []


def submitting(root: Path) -> list[int]:
    """The processes of a submission, here and there: hooks, node half, pushes, and what they started.

    Jobs are Slurm's own, and are left alone: what a job that dies costs is another test's.
    """
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            variables = (folder / "environ").read_bytes().decode(errors="replace")
        except OSError:
            continue
        ours = str(root) in words or "CJ_SUBMITTING=" in variables or "git-receive-pack" in words
        if ours and "SLURM_JOB_ID=" not in variables and f"{root}" in words + variables:
            found.append(int(folder.name))
    return found


@pytest.mark.slow
def test_f11_f12_ten_packages_while_their_processes_are_killed_run_each_task_once(
    far: Callable[[str], Far], tmp_path: Path
) -> None:
    shell = there(far, tmp_path)
    shell.timeout_s = 300
    shell.launch("run", "count.py", "slurm", "-m", "set up")
    packages = [
        str(shell.lines("run", "count.py", "slurm", "--sweep", "x=1:3", "--no-submit")[0]["package"])
        for _ in range(10)
    ]
    chance = random.Random(7)
    killed = 0
    for package in packages:
        launching = shell.start("git", "cj", "submit", package)
        while launching.poll() is None:
            victims = [*submitting(tmp_path / "root"), launching.pid]
            victim = chance.choice(victims)
            if chance.random() < 0.3 and victim != os.getpid():
                try:
                    os.kill(victim, signal.SIGKILL)
                    killed += 1
                except ProcessLookupError:
                    continue
    for package in packages:
        shell.cj("submit", package)
    for package in packages:
        shell.cj("state", package, "--watch")
        assert shell.lines("state", package)[0]["counts"] == {"COMPLETED": 3}
    assert killed > 10
    ran = [mark for mark in marks(tmp_path) if mark.partition("/")[0] in packages]
    assert ran == sorted(f"{package}/{task}" for package in packages for task in (1, 2, 3))
    assert shell.cj("fsck")
    listed = subprocess.run(
        ("git", f"--git-dir={tmp_path}/root/repo.git", "fsck", "--no-dangling"), capture_output=True
    )
    assert listed.returncode == 0


def test_f28_the_oldest_python_does_the_whole_of_it_on_slurm(
    far: Callable[[str], Far], tmp_path: Path
) -> None:
    if len(PYTHONS) == 1:
        pytest.skip("no Python 3.6")
    shell = there(far, tmp_path, PYTHONS[1])
    package = shell.launch("run", "count.py", "slurm", "--sweep", "x=1:5")
    assert (tmp_path / "root/python").read_text() == f"{PYTHONS[1]}\n"
    assert marks(tmp_path) == [f"{package}/{task}" for task in range(1, 6)]
    assert shell.cj("show", f"{package}/2", "--out") == "done\n"
    shell.write("fails.py", "import sys\nsys.exit(int(sys.argv[2]) % 2)\n")
    failing = shell.launch("run", "fails.py", "slurm", "--sweep", "x=1:4")
    assert shell.lines("state", failing)[0]["counts"] == {"COMPLETED": 2, "FAILED": 2}
    shell.cj("retry", failing, "--wait")
    attempts = {
        line["task"]: line["attempt"] for line in shell.lines("state", failing, "--tasks") if "task" in line
    }
    assert attempts == {1: 2, 2: 1, 3: 2, 4: 1}
    shell.write(
        "waits.py",
        f"import os, time\nwhile not os.path.exists({str(tmp_path / 'go')!r}):\n    time.sleep(0.1)\n",
    )
    waiting = str(shell.lines("run", "waits.py", "slurm", "--sweep", "x=1:2")[0]["package"])
    shell.cj("cancel", waiting)
    shell.cj("state", waiting, "--watch")
    assert shell.lines("state", waiting)[0]["counts"] == {"CANCELLED": 2}
    shell.cj("summary", "slurm")
    assert " failure " not in shell.cj("doctor", "slurm")
    shell.cj("clean", package)
    assert shell.cj("show", f"{package}/2", "--out") == "done\n"


@pytest.mark.parametrize(
    ("version", "scheduler"), [((1, 8), "slurm"), ((2, 18), "local"), ((2, 31), "local")], ids=str
)
def test_f28_an_old_git_there_takes_and_frees_packages(
    far: Callable[[str], Far], tmp_path: Path, version: tuple[int, int], scheduler: str
) -> None:
    shell = there(far, tmp_path, scheduler=scheduler)
    server = far(scheduler).sshd
    server.at_login(f'PATH={REAL or old_git(tmp_path / "old", version)}:"$PATH"\n')
    try:
        assert REAL or f" {VERSIONS[version]}" in shell.cj("init", "slurm")
        first = shell.launch("run", "count.py", "slurm", "--sweep", "x=1:3")
        shell.write("more.py", "print(2)\n")
        second = shell.launch("run", "more.py", "slurm")
        assert marks(tmp_path) == [f"{first}/{task}" for task in (1, 2, 3)]
        shell.cj("rerun", f"{first}/2", "--yes", "--wait")
        assert marks(tmp_path).count(f"{first}/2") == 2
        assert " failure " not in shell.cj("doctor", "slurm")
        shell.cj("clean", first)
        listed = shell.run(
            "git", f"--git-dir={tmp_path}/root/repo.git", "for-each-ref", "--format=%(refname)"
        )
        names = [name for name in listed.stdout.split() if "/tip/" not in name]
        assert names == [f"refs/cj/packages/{second}"]
        assert shell.cj("show", f"{first}/3", "--out") == "done\n"
    finally:
        server.at_login("")


@pytest.mark.parametrize("version", [(1, 8), (2, 18)], ids=str)
def test_f28_a_git_too_old_for_longer_hashes_is_told(
    far: Callable[[str], Far], tmp_path: Path, version: tuple[int, int]
) -> None:
    shell = there(far, tmp_path, scheduler="local")
    shutil.rmtree(shell.folder / ".git")
    shell.git("init", "-q", "-b", "main", "--object-format=sha256")
    shell.git("add", "-A")
    shell.git("commit", "-qm", "start")
    server = far("local").sshd
    server.at_login(f'PATH={old_git(tmp_path / "old", version)}:"$PATH"\n')
    try:
        told = shell.refused("init", "slurm")
    finally:
        server.at_login("")
    assert f"git {VERSIONS[version]} there knows no SHA-256 repositories" in told
    assert "hint: make git 2.29 or newer available to logins there" in told
    assert not (tmp_path / "root" / "repo.git" / "HEAD").exists()
    shell.cj("init", "slurm")
