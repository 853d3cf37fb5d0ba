"""PBS Pro and OpenPBS: strict programs that replay recorded answers."""

from __future__ import annotations

import subprocess
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
    pbs,
    pbs_answers,
)

from .replay_kit import PACKAGE, Replay, install, recording

NAME = "cj-8ab7a5aa0123-1"
NO_HISTORY = "qstat: PBS is not configured to maintain job history {job}\n"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Replay:
    return install(tmp_path, monkeypatch, "pbs")


def root(site: Replay) -> str:
    return str(site.root)


def test_what_is_asked_for_stands_in_the_script() -> None:
    asked = {
        "nodes": 4,
        "tasks_per_node": 2,
        "cpus": 16,
        "gpus": 1,
        "memory_mb": 1000,
        "walltime_s": 95400,
        "alloc": ["-q short", "-A thesis"],
    }
    script = pbs.batch_script(JobSpec("/usr/bin/python3", ["module load R"], asked))
    assert [line for line in script.split("\n") if line.startswith("#")] == [
        "#!/bin/sh",
        "#PBS -S /bin/sh",
        "#PBS -l select=4:ncpus=32:mpiprocs=2:ompthreads=16:mem=1000mb:ngpus=1",
        "#PBS -l place=scatter",
        "#PBS -l walltime=26:30:00",
        "#PBS -q short",
        "#PBS -A thesis",
        "# One element of a job: sh .cj/job.sh ROOT PACKAGE SUBMISSION [FIRST]",
    ]
    assert "#PBS -l" not in pbs.batch_script(JobSpec("/usr/bin/python3", [], {}))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"PBS_JOBID": "12.srv"}, "11 ? 12.srv n1,n2"),
        (
            {"PBS_JOBID": "12[3].srv", "PBS_ARRAY_ID": "12[].srv", "PBS_ARRAY_INDEX": "3"},
            "13 ? 12[].srv n1,n2",
        ),
    ],
)
def test_an_element_knows_its_number_its_job_and_its_nodes(
    tmp_path: Path, given: dict[str, str], said: str
) -> None:
    setup = ['echo "$CJ_ELEMENT $CJ_RESTARTS $CJ_JOB_ID $CJ_NODELIST"; exit']
    (tmp_path / "job.sh").write_text(pbs.batch_script(JobSpec("python3", setup, {})))
    (tmp_path / "nodes").write_text("n1\nn1\nn2\n")
    environ = {"PATH": "/usr/bin:/bin", "PBS_NODEFILE": str(tmp_path / "nodes"), **given}
    argv = ("sh", str(tmp_path / "job.sh"), "/root", PACKAGE, "1", "11")
    done = subprocess.run(argv, env=environ, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == (said + "\n", "")


def test_a_part_is_an_array(site: Replay) -> None:
    site.says("qsub", "1234[].srv\n")
    job = site.job(elements=10, cpus=2, walltime_s=60, alloc=["-q short"], nodes=2, jobs=3)
    assert pbs.submit(root(site), job) == "1234[].srv"
    assert site.calls() == [
        ["qsub", "-f", "-N", NAME, "-j", "oe", "-o", "/dev/null", "-J", "1-10%3", job.script]
    ]


def test_a_part_of_one_element_is_no_array(site: Replay) -> None:
    site.says("qsub", "a site's greeting\n1235.srv\n")
    job = site.job(elements=1, jobs=3)
    assert pbs.submit(root(site), job) == "1235.srv"
    assert site.calls() == [["qsub", "-f", "-N", NAME, "-j", "oe", "-o", "/dev/null", "-r", "n", job.script]]


def test_a_job_gets_nothing_of_the_secrets_here(site: Replay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "x")
    site.says("qsub", "1235.srv\n")
    pbs.submit(root(site), site.job())
    assert "SECRET_TOKEN" not in site.last("environ")


@pytest.mark.parametrize(
    ("said", "code", "kind", "hint"),
    [
        ("qsub: would exceed complex's per-user limit of jobs in 'Q' state\n", 169, FullError, ""),
        ("qsub: Maximum number of jobs for user mia already in queue short\n", 169, FullError, ""),
        ("qsub: cannot connect to server srv (errno=111)\n", 111, UnclearError, ""),
        ("qsub: Array job exceeds server or queue size limit\n", 171, NodeError, "max_jobs"),
        ("qsub: Unknown queue\n", 170, NodeError, "qstat -Q "),
        ("qsub: Job violates queue and/or server resource limits\n", 188, NodeError, "ask for less"),
        ("", 1, NodeError, "launch it again"),
    ],
)
def test_a_refusal_is_told_in_its_own_words(
    site: Replay, said: str, code: int, kind: type[NodeError], hint: str
) -> None:
    site.says("qsub", err=said, code=code)
    with pytest.raises(NodeError) as refused:
        pbs.submit(root(site), site.job())
    assert type(refused.value) is kind
    assert refused.value.error == (said.strip() or "qsub failed with exit code 1 and said nothing")
    assert hint in refused.value.hint


def test_no_id_is_unclear(site: Replay) -> None:
    with pytest.raises(UnclearError):
        pbs.submit(root(site), site.job())


def test_wrong_flags_are_refused_by_name(site: Replay) -> None:
    with pytest.raises(NodeError, match="directive error: --partition=x"):
        pbs.submit(root(site), site.job(alloc=["--partition=x"]))


def test_an_old_version_has_no_throttle(site: Replay) -> None:
    site.says("qsub", err="qsub: illegal -J value\n", code=2)
    with pytest.raises(NodeError, match="illegal -J") as refused:
        pbs.submit(root(site), site.job(jobs=3))
    assert refused.value.hint == "this PBS knows no limit on a running array: leave out --jobs"


def test_a_job_is_found_by_its_name(site: Replay) -> None:
    site.says("qselect", "1240[].srv\n99.srv\n")
    assert pbs.find(root(site), NAME) == ["99.srv", "1240[].srv"]
    assert site.calls() == [["qselect", "-x", "-u", commands.user(), "-N", NAME]]


def test_without_a_history_the_living_are_asked_for(site: Replay) -> None:
    site.says("qselect", err="qselect: PBS is not configured to maintain job history\n")
    site.says("qselect", "99.srv\n")
    assert pbs.find(root(site), NAME) == ["99.srv"]
    site.says("qstat", err=NO_HISTORY.format(job="7013474.pbs") + NO_HISTORY.format(job="4.scheduler"))
    site.says("qstat", recording("pbs_plain.txt"))
    assert sorted(pbs.poll(root(site), ["7013474.pbs", "4.scheduler"])) == ["4.scheduler", "7013474.pbs"]
    assert site.calls()[-1] == ["qstat", "-f", "7013474.pbs", "4.scheduler"]


def test_jobs_are_polled_by_one_query(site: Replay) -> None:
    answer = recording("pbs_plain.txt") + recording("pbs_array.txt")
    site.says("qstat", answer, "qstat: Unknown Job Id 9.pbs\n", 153)
    site.says("qstat", recording("pbs_elements.txt"))
    jobs = ["7013474.pbs", "4.scheduler", "5551111[].aqua", "9.pbs"]
    assert pbs.poll(root(site), jobs) == {
        "7013474.pbs": Status(
            "PENDING",
            "Not Running: Insufficient amount of resource: ncpus",
            "1",
            {1: Element("PENDING", "")},
        ),
        "4.scheduler": Status("RUNNING", "", "", {1: Element("RUNNING", "")}),
        "5551111[].aqua": Status("RUNNING", "", "4", {2: Element("RUNNING", ""), 3: Element("RUNNING", "")}),
    }
    # A second one only where some elements of an array have ended and others run.
    assert site.calls() == [["qstat", "-x", "-f", *jobs], ["qstat", "-t", "5551111[].aqua"]]
    assert pbs.poll(root(site), []) == {}


@pytest.mark.parametrize(
    ("err", "code"),
    [("", 0), ("qstat: cannot connect to server srv (errno=111)\n", 111), ("qstat: End of File\n", 35)],
)
def test_an_answer_without_a_job_is_no_answer(site: Replay, err: str, code: int) -> None:
    site.says("qstat", recording("pbs_array.txt"), err, code)
    with pytest.raises(NodeError) as silent:
        pbs.poll(root(site), ["5551111[].aqua", "7.srv"])
    assert silent.value.error == (err.strip() or "qstat said nothing of job 7.srv (exit code 0)")


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"job_state": "H", "Hold_Types": "u"}, ("HELD", "", "1")),
        ({"job_state": "H", "Hold_Types": "s", "depend": "afterok:1.srv"}, ("WAITING", "", "1")),
        ({"job_state": "W"}, ("PENDING", "start time", "1")),
        ({"job_state": "M"}, ("PENDING", "moved to another server", "1")),
        ({"job_state": "S"}, ("RUNNING", "suspended", "")),
        ({"job_state": "E"}, ("RUNNING", "", "")),
        ({"job_state": "F", "comment": "Job run at … and finished"}, ("ENDED", "", "")),
    ],
)
def test_each_letter_has_a_state(fields: dict[str, str], status: tuple[str, str, str]) -> None:
    assert pbs_answers.status(pbs_answers.Record("7.srv", fields))[:3] == status


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"job_state": "Q", "array_indices_remaining": "1-9:2,10"}, ("PENDING", "", "1,3,5,7,9-10")),
        (
            {
                "job_state": "B",
                "array_state_count": "Queued:2 Running:0 Exiting:0 Expired:2 ",
                "array_indices_remaining": "3-4",
            },
            ("PENDING", "", "3-4"),
        ),
        ({"job_state": "F", "array_indices_remaining": "-"}, ("ENDED", "", "")),
        (
            {"job_state": "B", "array_state_count": "Queued:0 Running:10 Exiting:0 Expired:0"},
            ("RUNNING", "", ""),
        ),
    ],
)
def test_an_array_tells_which_elements_wait(fields: dict[str, str], status: tuple[str, str, str]) -> None:
    assert pbs_answers.status(pbs_answers.Record("7[].srv", fields)) == Status(*status, {})


def test_an_array_without_ended_elements_tells_which_run() -> None:
    fields = {
        "job_state": "B",
        "array_state_count": "Queued:2 Running:2 Exiting:0 Expired:0",
        "array_indices_submitted": "1-4",
        "array_indices_remaining": "2,4",
    }
    running = {1: Element("RUNNING", ""), 3: Element("RUNNING", "")}
    assert pbs_answers.status(pbs_answers.Record("7[].srv", fields)) == Status("RUNNING", "", "2,4", running)


def test_elements_that_cannot_be_told_apart_are_all_left_out(site: Replay) -> None:
    site.says("qstat", recording("pbs_array.txt"))
    site.says("qstat", err="qstat: End of File\n", code=35)
    assert pbs.poll(root(site), ["5551111[].aqua"]) == {"5551111[].aqua": Status("RUNNING", "", "", {})}


def test_the_history_tells_how_elements_ended(site: Replay) -> None:
    site.says("qstat", recording("pbs_ended.txt"))
    jobs = ["174190352.gadi-pbs", "174170283.gadi-pbs"]
    assert pbs.accounts(root(site), jobs) == {
        jobs[0]: {1: Account("FAILED", 143, "", None)},
        jobs[1]: {1: Account("COMPLETED", 0, "", 94371.8)},
    }
    assert site.calls() == [["qstat", "-x", "-f", "-t", *jobs]]


@pytest.mark.parametrize(
    ("status", "comment", "account"),
    [
        ("-29", "Job run at … and exceeded resource walltime", ("TIMEOUT", None)),
        ("-27", "Job run at … and exceeded resource mem", ("OUT_OF_MEMORY", None)),
        ("271", "Job run at … and terminated", ("CANCELLED", 143)),
        ("3", "Job run at … and failed", ("FAILED", 3)),
        ("-1", "job held, too many failed attempts to run", ("FAILED", None)),
        ("-20", "", ("NODE_FAIL", None)),
    ],
)
def test_exit_statuses_are_read(status: str, comment: str, account: tuple[str, int | None]) -> None:
    text = (
        f"Job Id: 12[4].srv\n    job_state = X\n    Exit_status = {status}\n    comment = {comment}\n"
        "    array_index = 4\n\n"
    )
    (record,) = pbs_answers.parse(text)
    assert pbs_answers.account_of(record) == Account(account[0], account[1], comment, None)


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        (
            "Not Running: Insufficient amount of resource: ncpus (R: 32 A: 0 T: 64)",
            "not enough ncpus is free now",
        ),
        ("Not Running: Not enough free nodes available", "no node is free now"),
        ("Not Running: Queue not started.", "the queue is stopped"),
        (
            "Not Running: User has reached queue short running job limit.",
            "as many of your jobs run as one person may have",
        ),
        (
            "Can Never Run: Insufficient amount of resource: ngpus (R: 9 A: 2 T: 2)",
            "it can never run here: Insufficient amount of resource: ngpus (R: 9 A: 2 T: 2)",
        ),
        ("job held, too many failed attempts to run", "job held, too many failed attempts to run"),
    ],
)
def test_comments_are_put_plainly(reason: str, words: str) -> None:
    assert pbs.explain(reason) == words


def test_jobs_are_ended_held_and_released(site: Replay) -> None:
    site.says("qdel", err="qdel: Unknown Job Id 7.srv\n", code=153)
    pbs.cancel(root(site), "7.srv")
    pbs.hold(root(site), "7[].srv")
    pbs.release(root(site), "7[].srv")
    assert site.calls() == [["qdel", "7.srv"], ["qhold", "7[].srv"], ["qrls", "7[].srv"]]
    site.says("qdel", err="qdel: Unauthorized Request  8.srv\n", code=159)
    with pytest.raises(NodeError, match=r"^qdel: Unauthorized Request"):
        pbs.cancel(root(site), "8.srv")


def test_the_site_tells_its_limits(site: Replay) -> None:
    site.says(
        "qstat",
        "Server: srv\n    server_state = Active\n    max_array_size = 500\n"
        f"    max_queued = [u:PBS_GENERIC=200],[u:{commands.user()}=300]\n",
    )
    site.says("qselect", "5551111[].aqua\n4.scheduler\n")
    site.says("qstat", recording("pbs_array.txt"))
    assert pbs.limits(root(site)) == Limits(500, 300, 3)
    site.says("qstat", "Server: srv\n    server_state = Active\n")
    site.says("qstat", recording("pbs_array.txt") + recording("pbs_plain.txt"))
    assert pbs.limits(root(site)) == Limits(10000, None, 5)
