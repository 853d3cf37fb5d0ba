"""A scheduler's programs are found where the site has them, and none is waited for without end."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from cjnode.schedulers import commands
from tests.clusters.ports import wait_until


def program(folder: Path, name: str, text: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)


def site(root: Path, **fields: object) -> None:
    (root / "site.json").write_text(json.dumps({"format": 1, **fields}))


def is_gone(number: str) -> bool:
    try:
        return Path(f"/proc/{number.strip()}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_programs_are_found_where_the_site_has_them(tmp_path: Path) -> None:
    program(tmp_path / "far", "sbatch9", 'echo "$SITE $LC_ALL"; echo oops >&2; exit 3')
    site(tmp_path, path=[str(tmp_path / "far")], environment={"SITE": "here", "HOME": "/not/mine"})
    assert commands.run(str(tmp_path), ["sbatch9"]) == commands.Done(3, "here C\n", "oops\n")
    assert commands.environment(str(tmp_path))["HOME"] == os.environ["HOME"]


def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(commands.MissingError, match="sbatch9: "):
        commands.run(str(tmp_path), ["sbatch9"])


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_program_that_hangs_is_ended_with_what_it_started(tmp_path: Path) -> None:
    program(tmp_path, "hangs", "sleep 1000 & echo $! >child; wait")
    with pytest.raises(commands.SilentError, match="gave no answer in 1 s"):
        commands.run(str(tmp_path), [str(tmp_path / "hangs")], timeout_s=1)
    wait_until(lambda: is_gone((tmp_path / "child").read_text()), "the end of the child")


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_program_is_ended_when_it_says_what_is_not_waited_for(tmp_path: Path) -> None:
    program(tmp_path, "says", "echo begun; sleep 1000 & echo $! >child; echo 'no room, sleeping' >&2; wait")
    done = commands.run(str(tmp_path), [str(tmp_path / "says")], until=b"no room")
    assert done == commands.Done(-9, "begun\n", "no room, sleeping\n")
    wait_until(lambda: is_gone((tmp_path / "child").read_text()), "the end of the child")
    assert commands.run(str(tmp_path), ["sh", "-c", "echo fine"], until=b"no room").out == "fine\n"


def test_a_job_gets_the_login_and_the_site_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site(tmp_path, path=[], environment={"MODULEPATH": "/m"})
    for name in os.environ:
        monkeypatch.delenv(name)
    given = {"HOME": "/h", "PATH": "/bin", "LANG": "C.UTF-8", "SLURM_CONF": "/c", "SBATCH_ACCOUNT": "a"}
    dropped = {"GIT_DIR": ".", "SSH_CLIENT": "x", "TOKEN": "x", "SLURM_ARRAY_TASK_ID": "1", "CJ_TASK": "1"}
    for name, value in {**given, **dropped}.items():
        monkeypatch.setenv(name, value)
    assert commands.job_environment(str(tmp_path)) == {**given, "MODULEPATH": "/m"}
