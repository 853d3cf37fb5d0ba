"""F10: a cluster whose disk is full or out of inodes: it says so, loses nothing and runs nothing twice."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.clusters.far import Far
from tests.clusters.laptops import laptop
from tests.clusters.ports import wait_until
from tests.shells import Shell
from tests.small_disk import Disk, small_disk

# Leaves a mark outside the cluster's root, and nothing in it: what a full disk has no room for is the record.
PROGRAM = """\
import os, time
with open({marks!r}, "a") as marks:
    marks.write(os.environ["CJ_PACKAGE"] + "/" + os.environ["CJ_TASK"] + "\\n")
while not os.path.exists({go!r}):
    time.sleep(0.02)
"""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with small_disk(tmp_path / "disk", megabytes=16, inodes=2000) as made:
        yield made


@pytest.fixture(params=["local", "slurm"])
def there(request: pytest.FixtureRequest, far: Callable[[str], Far], tmp_path: Path, disk: Disk) -> Shell:
    """A repository whose cluster, called ``far``, has its root on the small disk, and is set up."""
    cluster = far(request.param)
    shell = laptop(tmp_path / "work", cluster, root=disk.folder / "root")
    config = shell.folder / ".cjledger.toml"
    config.write_text(config.read_text().replace(f"[cluster.{cluster.name}]", "[cluster.far]"))
    shell.cj("init", "far")
    shell.write("p.py", PROGRAM.format(marks=str(tmp_path / "marks"), go=str(tmp_path / "go")))
    return shell


def marks(tmp_path: Path) -> list[str]:
    path = tmp_path / "marks"
    return sorted(path.read_text().splitlines()) if path.exists() else []


def finished(shell: Shell, package: str) -> dict[str, int]:
    """What the next commands make of a package once there is room again."""
    shell.cj("submit", package)
    found = counts(shell, package)
    if found.get("LOST"):  # its elements found the disk full: where the scheduler is `local` they expand it
        assert "git cj retry" in shell.lines("state", package)[0]["problems"][0]
        shell.cj("retry", package, "--wait")
        found = counts(shell, package)
    return found


def counts(shell: Shell, package: str) -> dict[str, int]:
    shell.cj("state", package, "--watch")
    found: dict[str, int] = shell.lines("state", package)[0]["counts"]
    return found


def test_f10_a_launch_onto_a_full_disk_says_how_full_and_submit_makes_up_for_it(
    there: Shell, disk: Disk, tmp_path: Path
) -> None:
    (tmp_path / "go").touch()
    packages, refused = [], 0
    for step, room in enumerate((0, 40_000, 300_000, 700_000)):
        there.write("data", "".join(f"{n * n % (97 + step)}," for n in range(90_000)))
        disk.leave(room)
        done = there.run("git", "cj", "run", "p.py", "far", "--sweep", "x=1:3", code=None)
        package = str(there.lines("log", "-n", "1")[0]["package"])
        if done.returncode:
            refused += 1
            assert done.returncode == 1, done.stderr
            assert re.search(
                rf"the disk of {disk.folder}/root takes no more: .* of 16.8 MB are free", done.stderr
            )
            assert "hint: git cj clean old packages there, or free space otherwise" in done.stderr
            assert "is kept" in done.stderr
            assert not [mark for mark in marks(tmp_path) if mark.startswith(package)]
        there.cj("state", package)  # can be asked, however full it is there
        disk.free()
        assert finished(there, package) == {"COMPLETED": 3}, done.stderr
        packages.append(package)
    assert refused >= 2
    assert marks(tmp_path) == sorted(f"{package}/{task}" for package in packages for task in (1, 2, 3))
    assert not list((disk.folder / "root").rglob("*.tmp"))


def test_f10_a_disk_without_inodes_says_so_and_submit_makes_up_for_it(
    there: Shell, disk: Disk, tmp_path: Path
) -> None:
    (tmp_path / "go").touch()
    packages, said = [], ""
    for step, room in enumerate((0, 9)):
        there.write("data", str(step))
        disk.leave_files(room)
        said += there.run("git", "cj", "run", "p.py", "far", code=None).stderr
        disk.free()
        package = str(there.lines("log", "-n", "1")[0]["package"])
        assert finished(there, package) == {"COMPLETED": 1}
        packages.append(package)
    assert "no inode of 2000 is free" in said
    assert marks(tmp_path) == sorted(f"{package}/1" for package in packages)


def test_f10_tasks_that_end_while_the_disk_is_full_are_recorded_when_there_is_room(
    there: Shell, disk: Disk, tmp_path: Path
) -> None:
    package = str(there.lines("run", "p.py", "far", "--sweep", "x=1:4")[0]["package"])
    wait_until(lambda: bool(marks(tmp_path)), "a running task", 60)
    disk.leave(0)
    (tmp_path / "go").touch()
    state = there.lines("state", package, "--fresh")[0]
    assert not state["final"]
    assert "COMPLETED" not in state["counts"]
    disk.free()
    assert counts(there, package) == {"COMPLETED": 4}
    assert marks(tmp_path) == sorted(f"{package}/{task}" for task in range(1, 5))


def test_f10_a_disk_that_was_full_for_too_long_costs_an_attempt_and_no_result(
    far: Callable[[str], Far], disk: Disk, tmp_path: Path
) -> None:
    cluster = far("slurm")
    shell = laptop(tmp_path / "work", cluster, root=disk.folder / "root")
    config = shell.folder / ".cjledger.toml"
    config.write_text(config.read_text() + 'setup = ["export CJ_RETRY_S=1"]\n')
    shell.write("p.py", PROGRAM.format(marks=str(tmp_path / "marks"), go=str(tmp_path / "go")))
    package = str(shell.lines("run", "p.py", "slurm", "--sweep", "x=1:2")[0]["package"])
    wait_until(lambda: len(marks(tmp_path)) == 2, "running tasks", 60)
    disk.leave(0)
    (tmp_path / "go").touch()
    cluster.wait_until_empty()
    assert set(shell.lines("state", package, "--fresh")[0]["counts"]) == {"FAILED"}
    disk.free()
    shell.cj("retry", package, "--wait")
    assert counts(shell, package) == {"COMPLETED": 2}
