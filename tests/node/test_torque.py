"""Torque: strict programs that replay answers; its commands over Slurm are in the contract suite."""

from __future__ import annotations

from pathlib import Path

import pytest

from cjnode.errors import NodeError
from cjnode.schedulers import (
    Account,
    Element,
    FullError,
    JobSpec,
    Limits,
    Status,
    UnclearError,
    commands,
    torque,
    torque_answers,
)

from .replay_kit import Replay, install, recording
from .scheduler_kit import NOTHING

ARRAY, PLAIN, WAITING = "673175[].login", "673176.login", "673177.login"
NAME = "cj-8ab7a5aa0123-1"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Replay:
    return install(tmp_path, monkeypatch, "torque")


def root(site: Replay) -> str:
    return str(site.root)


def queue() -> str:
    return recording("torque_queue.xml").replace("OWNER", commands.user())


def test_what_is_asked_for_stands_in_the_script() -> None:
    asked = {
        "nodes": 4,
        "tasks_per_node": 2,
        "cpus": 16,
        "gpus": 1,
        "memory_mb": 1000,
        "walltime_s": 95400,
        "alloc": ["-q short"],
    }
    script = torque.batch_script(JobSpec("python3", [], asked))
    assert [line for line in script.split("\n") if line.startswith("#PBS")] == [
        "#PBS -S /bin/sh",
        "#PBS -r n",
        "#PBS -l nodes=4:ppn=32:gpus=1",
        "#PBS -l mem=4000mb",
        "#PBS -l walltime=26:30:00",
        "#PBS -q short",
    ]
    assert "#PBS -l" not in torque.batch_script(JobSpec("python3", [], NOTHING))


def test_a_part_is_an_array_unless_it_has_one_element(site: Replay) -> None:
    site.says("qsub", "673175[].login\n")
    assert torque.submit(root(site), site.job(elements=10, jobs=3, cpus=2, walltime_s=60)) == ARRAY
    site.says("qsub", "673176.login\n")
    assert torque.submit(root(site), site.job(elements=1)) == PLAIN
    script = f"packages/{site.job().package}/submissions/1/job-1.sh"
    head = ["qsub", "-N", NAME, "-j", "oe", "-o", "/dev/null"]
    assert site.calls() == [[*head, "-t", "1-10%3", script], [*head, script]]


@pytest.mark.parametrize(
    ("err", "kind"),
    [
        (
            "qsub: submit error (Maximum number of jobs already in queue for user MSG=total number of current"
            " user's jobs exceeds the queue limit: user mia@login, queue batch)\n",
            FullError,
        ),
        ("pbs_iff: cannot connect to login:15001 - timeout, errno=110\n", UnclearError),
        ("qsub: cannot connect to server login (errno=111) Connection refused\n", UnclearError),
        ("qsub: submit error (Unknown queue MSG=cannot locate queue)\n", NodeError),
        (
            "qsub: submit error (Job exceeds queue resource limits MSG=cannot satisfy queue max walltime)",
            NodeError,
        ),
    ],
)
def test_a_refusal_is_told_from_what_may_pass(site: Replay, err: str, kind: type) -> None:
    site.says("qsub", err=err, code=1)
    with pytest.raises(NodeError) as refusal:
        torque.submit(root(site), site.job())
    assert type(refusal.value) is kind
    assert "submit error" not in refusal.value.error


def test_a_qstat_that_fails_without_a_word_is_told(site: Replay) -> None:
    site.says("qstat", code=1)
    with pytest.raises(NodeError, match="it said nothing at all"):
        torque.find(root(site), NAME)


def test_no_id_leaves_it_unclear(site: Replay) -> None:
    with pytest.raises(UnclearError):
        torque.submit(root(site), site.job())


def test_each_job_has_its_status_from_one_question(site: Replay) -> None:
    site.says("qstat", queue(), "qstat: Unknown Job Id Error 99.login\n", 153)
    found = torque.poll(root(site), [ARRAY, PLAIN, WAITING, "673178[].login", "99.login"])
    assert found == {
        ARRAY: Status(
            "RUNNING",
            "Q",
            "6-8",
            {
                1: Element("COMPLETED", ""),
                2: Element("FAILED", ""),
                3: Element("TIMEOUT", "exit status -11"),
                4: Element("CANCELLED", ""),
                5: Element("RUNNING", ""),
                6: Element("PENDING", "Q"),
                7: Element("PENDING", "slot limit"),
                8: Element("HELD", "H"),
            },
        ),
        PLAIN: Status("ENDED", "", "", {1: Element("FAILED", "")}),
        WAITING: Status("PENDING", "Q", "1", {1: Element("PENDING", "Q")}),
        "673178[].login": Status("PENDING", "Q", "", {}),
    }
    assert len(site.calls()) == 1


@pytest.mark.parametrize(
    ("out", "err", "code"),
    [
        ("", "", 0),
        ("", "qstat: cannot connect to server login (errno=111) Connection refused\n", 111),
        ("<Data><Job><Job_Id>673175[].login", "", 0),
    ],
)
def test_silence_about_a_job_is_no_answer(site: Replay, out: str, err: str, code: int) -> None:
    site.says("qstat", out, err, code)
    with pytest.raises(NodeError, match="qstat"):
        torque.poll(root(site), [ARRAY])


def test_a_job_is_found_by_its_exact_name(site: Replay) -> None:
    site.says("qstat", queue())
    assert torque.find(root(site), NAME) == [ARRAY]
    assert torque.find(root(site), NAME.replace("-1", "-2")) == [PLAIN]
    assert torque.find(root(site), "cj-8ab7a5aa0123-11") == []


def test_what_completed_is_accounted_for_while_it_is_shown(site: Replay) -> None:
    site.says("qstat", queue())
    assert torque.accounts(root(site), [ARRAY, PLAIN]) == {
        ARRAY: {
            1: Account("COMPLETED", 0, "", 2.8),
            2: Account("FAILED", 1, "", 2.8),
            3: Account("TIMEOUT", None, "exit status -11", 2.8),
            4: Account("CANCELLED", 143, "", 2.8),
        },
        PLAIN: {1: Account("FAILED", 137, "", 2.8)},
    }


def test_acts_on_a_job_that_is_gone_do_nothing(site: Replay) -> None:
    for program, act in (("qdel", torque.cancel), ("qhold", torque.hold), ("qrls", torque.release)):
        site.says(program, err=f"{program}: Unknown Job Id Error 99.login\n", code=153)
        act(root(site), "99.login")
        site.says(program, err=f"{program}: cannot connect to server login\n", code=111)
        with pytest.raises(NodeError, match="cannot connect"):
            act(root(site), ARRAY)


def test_the_servers_limits_are_read(site: Replay) -> None:
    server = "Server: login\n    server_state = Active\n    max_job_array_size = 1000\n"
    site.says("qstat", server + "    max_user_queuable = 500\n")
    site.says("qstat", queue())
    # One runs, three wait in the array; one waits alone; an array shown as a whole counts for nothing.
    assert torque.limits(root(site)) == Limits(1000, 500, 5)
    assert torque_answers.limits("Server: login\n    server_state = Active\n") == Limits(None, None, 0)
