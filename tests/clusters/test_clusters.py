"""The test clusters are real, and leave nothing running."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.clusters.far import Far
from tests.clusters.fixtures import or_skip, place
from tests.clusters.keeper import Keeper
from tests.clusters.ports import wait_until
from tests.clusters.sge import Sge
from tests.clusters.slurm import Slurm
from tests.clusters.sshd import Site, Sshd, sshd

HOLDER = """\
import sys
from pathlib import Path
from tests.clusters.keeper import Keeper
keeper = Keeper(Path(sys.argv[1]))
# A server whose child has a session of its own and outlives it, as slurmstepd does.
keeper.start(("sh", "-c", "setsid sleep 1000 & sleep 1000"), Path(sys.argv[1], "log"))
print("ready", flush=True)
sys.stdin.read()
"""


def folder_is_quiet(folder: Path) -> bool:
    for entry in os.listdir("/proc"):
        with contextlib.suppress(OSError):
            if entry.isdigit() and os.readlink(f"/proc/{entry}/cwd") == str(folder):
                return False
    return True


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_servers_end_with_whoever_started_them(tmp_path: Path, number: int) -> None:
    top = Path(__file__).resolve().parents[2]
    with subprocess.Popen(
        (sys.executable, "-c", HOLDER, str(tmp_path)), stdin=-1, stdout=-1, cwd=top
    ) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == b"ready\n"
        assert not folder_is_quiet(tmp_path)
        holder.send_signal(number)
    wait_until(lambda: folder_is_quiet(tmp_path), "the end of the servers")


def test_servers_end_with_their_keeper(tmp_path: Path) -> None:
    keeper = Keeper(tmp_path)
    keeper.start(("sleep", "1000"), tmp_path / "log")
    os.kill(int((tmp_path / "keeper.pid").read_text()), signal.SIGKILL)
    wait_until(lambda: folder_is_quiet(tmp_path), "the end of the servers")
    keeper.close()


def test_slurm_runs_an_array(slurm: Slurm, tmp_path: Path) -> None:
    script = tmp_path / "job.sh"
    script.write_text("#!/bin/sh\necho $SLURM_ARRAY_TASK_ID\n")
    slurm.run("sbatch", "--wait", "--array=1-20", "-o", f"{tmp_path}/out-%a", str(script))
    printed = [(tmp_path / f"out-{index}").read_text() for index in range(1, 21)]
    assert printed == [f"{index}\n" for index in range(1, 21)]


def test_sge_runs_an_array(sge: Sge, tmp_path: Path) -> None:
    script = tmp_path / "job.sh"
    script.write_text("#!/bin/sh\necho $SGE_TASK_ID\n")
    out = f"{tmp_path}/out-$TASK_ID"
    sge.run("qsub", "-sync", "y", "-t", "1-20", "-j", "y", "-o", out, str(script))
    printed = [(tmp_path / f"out-{index}").read_text() for index in range(1, 21)]
    assert printed == [f"{index}\n" for index in range(1, 21)]


def test_a_login_has_a_home_of_its_own(sshd: Sshd) -> None:
    assert sshd.run("pwd; echo $HOME").split() == [str(sshd.home), str(sshd.home)]


def test_a_second_factor_is_good_once() -> None:
    with place() as folder, or_skip(), sshd(folder / "ssh", site=Site("two", two_factor=True)) as two:

        def code(answer: str) -> int:
            words = ("ssh", "-F", str(two.config), "-o", "NumberOfPasswordPrompts=1", "two", "true")
            env = {**os.environ, **two.askpass(answer)}
            return subprocess.run(words, env=env, stdin=subprocess.DEVNULL, capture_output=True).returncode

        two.code("424242")
        assert [code("111111"), code("424242"), code("424242")] == [255, 0, 255]


@pytest.mark.parametrize(
    ("scheduler", "words"), [("slurm", "sinfo -h"), ("sge", "qhost"), ("torque", "pbsnodes")]
)
def test_a_login_has_its_scheduler(far: Callable[[str], Far], scheduler: str, words: str) -> None:
    assert far(scheduler).sshd.run(words)
