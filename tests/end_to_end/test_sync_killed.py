"""A sync that is killed anywhere is finished by the next one; and remotes of other kinds."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.clusters.far import Far
from tests.end_to_end.test_sync import hub, machine, refs
from tests.shells import Shell

# Kills whoever starts the n-th git, before or after that git has run.
SHIM = """\
#!/bin/sh
n=$(($(cat {folder}/count) + 1))
echo $n >{folder}/count
if [ "$n" = "$(cat {folder}/before)" ]; then kill -9 $PPID; exit 1; fi
{git} "$@"
code=$?
if [ "$n" = "$(cat {folder}/after)" ]; then kill -9 $PPID; fi
exit $code
"""


@pytest.fixture
def shim(tmp_path: Path) -> Path:
    folder = tmp_path / "shim"
    folder.mkdir()
    program = folder / "git"
    program.write_text(SHIM.format(folder=folder, git=shutil.which("git")))
    program.chmod(0o755)
    return folder


def killed(shell: Shell, shim: Path, place: str, number: int) -> int:
    """Sync, killed where it is told; how many times git was started."""
    for name in ("count", "before", "after"):
        (shim / name).write_text(str(number if name == place else 0))
    watched = Shell(
        shell.folder, {"PATH": f"{shim}:{Path(shutil.which('git-cj') or '').parent}:/usr/bin:/bin"}
    )
    watched.run("git-cj", "sync", code=None if number else 0)
    return int((shim / "count").read_text())


@pytest.mark.slow
@pytest.mark.parametrize("place", ["before", "after"])
def test_a_sync_killed_around_any_git_is_finished_by_the_next(
    tmp_path: Path, shim: Path, place: str, programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{programs}:{shim.parent}:/usr/bin:/bin")
    first = tmp_path / "first"
    first.mkdir()
    Shell(first).run("git", "init", "-q", "--bare", "hub.git")
    mia, ben = machine(first, "mia"), machine(first, "ben")
    mia.launch("parrun", "p.py", "local")
    mia.cj("harvest")
    mia.cj("sync")
    ben.launch("parrun", "p.py", "local")
    ben.cj("harvest")
    shutil.copytree(first, tmp_path / "whole")
    calls = killed(Shell(tmp_path / "whole" / "ben"), shim, place, 0)
    expected = hub(tmp_path / "whole")
    assert len(expected) == 6
    assert refs(Shell(tmp_path / "whole" / "ben")) == expected
    for number in range(1, calls + 1):
        folder = tmp_path / "again"
        shutil.copytree(first, folder)
        killed(Shell(folder / "ben"), shim, place, number)
        Shell(folder / "ben").cj("sync")
        assert hub(folder) == refs(Shell(folder / "ben")) == expected, number
        shutil.rmtree(folder)


def test_a_remote_behind_ssh_is_reached_as_the_repository_says(
    far: Callable[[str], Far], tmp_path: Path
) -> None:
    server = far("local").sshd
    Shell(tmp_path).run("git", "init", "-q", "--bare", "hub.git")
    mia, ben = machine(tmp_path, "mia"), machine(tmp_path, "ben")
    for shell in (mia, ben):
        shell.git("remote", "set-url", "origin", f"{server.site.alias}:{tmp_path}/hub.git")
        shell.git("config", "core.sshCommand", str(server.folder / "bin" / "ssh"))
    mia.launch("run", "p.py", "local")
    mia.cj("harvest")
    mia.cj("sync")
    ben.cj("sync")
    assert refs(mia) == refs(ben) == hub(tmp_path)


def test_repositories_with_longer_hashes_are_shared_too(tmp_path: Path) -> None:
    Shell(tmp_path).run("git", "init", "-q", "--bare", "--object-format=sha256", "hub.git")
    machines = []
    for name in ("mia", "ben"):
        (tmp_path / name).mkdir()
        shell = Shell(tmp_path / name)
        shell.run("git", "init", "-q", "--object-format=sha256")
        shell.run("git", "remote", "add", "origin", "../hub.git")
        machines.append(shell)
    mia, ben = machines
    package = mia.launch("run", "-c", "echo 1 > r.csv", "local")
    mia.cj("harvest")
    mia.cj("sync")
    ben.cj("sync")
    assert len(package) == 64
    assert refs(mia) == refs(ben) == hub(tmp_path)


def test_a_clone_without_history_sends_its_packages(tmp_path: Path) -> None:
    Shell(tmp_path).run("git", "init", "-q", "--bare", "hub.git")
    mia = machine(tmp_path, "mia")
    mia.write("more.txt", "more\n")
    mia.git("add", "-A")
    mia.git("commit", "-qm", "more")
    mia.git("push", "-q", "origin", "main")
    Shell(tmp_path).run("git", "clone", "-q", "--depth=1", f"file://{tmp_path}/hub.git", "ben")
    ben = Shell(tmp_path / "ben")
    package = ben.launch("run", "-c", "echo hello", "local")
    ben.cj("sync")
    assert f"refs/cj/packages/{package}" in hub(tmp_path)
    mia.cj("sync")
    assert refs(mia) == refs(ben) == hub(tmp_path)


def test_a_repository_that_was_moved_still_sends(tmp_path: Path) -> None:
    Shell(tmp_path).run("git", "init", "-q", "--bare", "hub.git")
    mia = machine(tmp_path, "mia")
    mia.launch("run", "-c", "echo hello", "local")
    (tmp_path / "mia").rename(tmp_path / "moved")
    moved = Shell(tmp_path / "moved")
    moved.cj("sync")
    moved.launch("run", "-c", "echo again", "local")
    moved.cj("sync")
    assert refs(moved) == hub(tmp_path)
