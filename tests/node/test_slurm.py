"""Slurm: what its programs print is read right, and the real one is driven to its limits and its faults."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from cjnode.errors import NodeError
from cjnode.schedulers import (
    Account,
    Element,
    FullError,
    Job,
    JobSpec,
    Limits,
    Status,
    UnclearError,
    commands,
    slurm_answers,
)
from cjnode.schedulers import slurm as scheduler
from tests.clusters.fixtures import started
from tests.clusters.ports import wait_until
from tests.clusters.slurm import Site, Slurm
from tests.clusters.slurm import slurm as start_slurm

from .scheduler_kit import NOTHING, PACKAGE, TELL, Desk, desk, enter, is_over

MAIN = "PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE DefaultTime=60 State=UP"
SMALL = Site(
    nodes=2,
    max_array=11,
    extra=("EnforcePartLimits=ALL",),
    partitions=(
        MAIN,
        "PartitionName=short Nodes=ALL MaxTime=1 State=UP",
        "PartitionName=off Nodes=ALL State=INACTIVE",
    ),
)

# squeue -h -a -t all -o '%i|%T|%r|%j' of 22.05.8, names changed.
QUEUE = """\
1|COMPLETED|None|cj-8ab7a5aa0123-1
2|FAILED|NonZeroExitCode|cj-8ab7a5aa0123-2
23_5|COMPLETING|None|cj-8ab7a5aa0123-3
23_[9-17,20%5]|PENDING|JobArrayTaskLimit|cj-8ab7a5aa0123-3
23_4|RUNNING|None|cj-8ab7a5aa0123-3
23_1|COMPLETED|None|cj-8ab7a5aa0123-3
23_2|TIMEOUT|TimeLimit|cj-8ab7a5aa0123-3
23_3|OUT_OF_MEMORY|OutOfMemory|cj-8ab7a5aa0123-3
23_6|NODE_FAIL|NodeDown|cj-8ab7a5aa0123-3
23_7|PREEMPTED|Preempted|cj-8ab7a5aa0123-3
23_8|PENDING|BeginTime|cj-8ab7a5aa0123-3
25|PENDING|BeginTime|cj-8ab7a5aa0123-4
13|PENDING|JobHeldUser|cj-8ab7a5aa0123-5
17|PENDING|DependencyNeverSatisfied|cj-8ab7a5aa0123-6
35_[4-5]|CANCELLED|JobArrayTaskLimit|cj-8ab7a5aa0123-7
35_3|CANCELLED|None|cj-8ab7a5aa0123-7
40_[1-3,7-9...]|PENDING|Priority|cj-8ab7a5aa0123-8
41|SUSPENDED|None|cj-8ab7a5aa0123-9
42|RUNNING|None|we|ird
43+0|PENDING|Resources|cj-8ab7a5aa0123-1
slurm_load_jobs: noise
44|PENDING|ReqNodeNotAvail, UnavailableNodes:n[1-4]|cj-8ab7a5aa0123-10
"""

# sacct -n -P -o JobID,State,ExitCode,MaxRSS,Reason,JobName of 22.05.8 with slurmdbd, names changed.
ACCOUNTS = """\
1|COMPLETED|0:0||Priority|cj-8ab7a5aa0123-1
1.batch|COMPLETED|0:0|10488K||batch
1.0|COMPLETED|0:0|1692K||srun
2|FAILED|3:0||None|cj-8ab7a5aa0123-2
2.batch|FAILED|3:0|||batch
4|CANCELLED by 2201|0:0||None|cj-8ab7a5aa0123-3
4.batch|CANCELLED|0:15|1.5G||batch
7|REQUEUED|0:0||None|cj-8ab7a5aa0123-4
3_1|OUT_OF_MEMORY|0:125||OutOfMemory|cj-8ab7a5aa0123-5
3_1.batch|OUT_OF_MEMORY|0:125|2097152K||batch
3_2|FAILED|0:9||None|cj-8ab7a5aa0123-5
5_[1-9%2]|PENDING|0:0||None|cj-8ab7a5aa0123-6
6|COMPLETED|0:0||None|someone's job that had the number before
8|COMPLETED|0:0||None|cj-8ab7a5aa0123-7
"""


@pytest.fixture
def at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Desk:
    return desk("slurm", tmp_path / "root", monkeypatch, request)


@pytest.fixture(scope="module")
def small() -> Iterator[Slurm]:
    """A Slurm of its own, with limits that are soon reached, that a test may break."""
    with ExitStack() as stack:
        yield started(stack, partial(start_slurm, site=SMALL))


@pytest.fixture
def narrow(small: Slurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    enter(small.variables, small.path, monkeypatch)
    (tmp_path / "root").mkdir()
    yield Desk("slurm", tmp_path / "root")
    small.run("scancel", "--user=root", check=False)


def test_what_is_asked_for_stands_in_the_script() -> None:
    asked = {
        "nodes": 4,
        "tasks_per_node": 2,
        "cpus": 16,
        "gpus": 1,
        "memory_mb": 1000,
        "walltime_s": 95400,
        "alloc": ["--partition=normal", '--constraint="a b"'],
    }
    script = scheduler.batch_script(JobSpec("python3", [], asked))
    assert [line for line in script.split("\n") if line.startswith("#SBATCH")] == [
        "#SBATCH --requeue",
        "#SBATCH --nodes=4",
        "#SBATCH --ntasks-per-node=2",
        "#SBATCH --cpus-per-task=16",
        "#SBATCH --gres=gpu:1",
        "#SBATCH --mem=1000M",
        "#SBATCH --time=1-02:30:00",
        "#SBATCH --partition=normal",
        '#SBATCH --constraint="a b"',
    ]
    plain = scheduler.batch_script(JobSpec("python3", [], NOTHING))
    assert [line for line in plain.split("\n") if line.startswith("#SBATCH")] == ["#SBATCH --requeue"]


def test_a_part_is_an_array_unless_it_has_one_element() -> None:
    job = Job("cj-8ab7a5aa0123-1", PACKAGE, 1, 1, 5, "/r/job-1.sh", "/r/50%a.log", {"jobs": 2}, 0, [])
    argv = scheduler.submit_command("/r", job)
    assert argv == [
        "sbatch",
        "--parsable",
        "--job-name=cj-8ab7a5aa0123-1",
        f"--comment=cj:{PACKAGE}",
        "--chdir=/r",
        "--output=/r/50%%a.log",
        "--open-mode=append",
        "--export=ALL",
        "--array=1-5%2",
        "/r/job-1.sh",
    ]
    assert scheduler.submit_command("/r", job._replace(elements=1)) == [*argv[:8], "/r/job-1.sh"]
    assert "--nice=100" in scheduler.submit_command("/r", job._replace(priority=-100))


@pytest.mark.parametrize(("out", "job"), [("12\n", "12"), ("12;cjtest\n", "12"), ("a notice\n7\n", "7")])
def test_the_id_is_read_with_and_without_a_clusters_name(out: str, job: str) -> None:
    assert slurm_answers.submitted(0, out, "") == job


@pytest.mark.parametrize(
    ("code", "err", "kind", "hint"),
    [
        (-9, "sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying", FullError, ""),
        (
            1,
            "sbatch: error: QOSMaxSubmitJobPerUserLimit\n"
            "sbatch: error: Batch job submission failed: Job violates accounting/QOS policy (…)",
            FullError,
            "",
        ),
        (1, "sbatch: error: AssocMaxSubmitJobLimit\nsbatch: error: …", FullError, ""),
        (1, "sbatch: error: AssocGrpSubmitJobsLimit\nsbatch: error: …", FullError, ""),
        (
            1,
            "sbatch: error: Batch job submission failed: Resource temporarily unavailable",
            FullError,
            "",
        ),
        (
            1,
            "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation",
            UnclearError,
            "",
        ),
        (
            1,
            "sbatch: error: Batch job submission failed: Unable to contact slurm controller (…)",
            UnclearError,
            "",
        ),
        (-9, "", UnclearError, ""),
        (0, "", UnclearError, ""),
        (1, "sbatch: error: QOSMaxWallDurationPerJobLimit\nsbatch: error: …", NodeError, "with --time,"),
        (1, "sbatch: error: invalid partition specified: nope", NodeError, "--partition=NAME"),
        (1, "sbatch: error: Batch job submission failed: Invalid account …", NodeError, "--account=NAME"),
        (255, "sbatch: unrecognized option '--bogus'", NodeError, "man sbatch"),
        (1, "sbatch: error: Batch job submission failed: Access/permission denied", NodeError, "sinfo -s"),
        (1, "sbatch: error: Memory specification can not be satisfied", NodeError, "sinfo"),
    ],
)
def test_a_refusal_is_told_from_what_may_pass(code: int, err: str, kind: type, hint: str) -> None:
    with pytest.raises(NodeError) as refusal:
        slurm_answers.submitted(code, "", err)
    assert type(refusal.value) is kind
    assert hint in refusal.value.hint
    assert "sbatch: error" not in refusal.value.error


def test_each_job_of_the_queue_has_its_status() -> None:
    rows = slurm_answers.queue(QUEUE)
    jobs = ["1", "2", "23", "25", "13", "17", "35", "40", "41", "42", "43", "44", "99"]
    found = slurm_answers.statuses(rows, jobs)
    assert found == {
        "1": Status("ENDED", "", "", {1: Element("COMPLETED", "")}),
        "2": Status("ENDED", "", "", {1: Element("FAILED", "NonZeroExitCode")}),
        "23": Status(
            "RUNNING",
            "JobArrayTaskLimit",
            "9-17,20",
            {
                1: Element("COMPLETED", ""),
                2: Element("TIMEOUT", "TimeLimit"),
                3: Element("OUT_OF_MEMORY", "OutOfMemory"),
                4: Element("RUNNING", ""),
                5: Element("RUNNING", ""),
                6: Element("NODE_FAIL", "NodeDown"),
                7: Element("NODE_FAIL", "Preempted"),
                8: Element("PENDING", "BeginTime"),
            },
        ),
        "25": Status("PENDING", "BeginTime", "", {1: Element("PENDING", "BeginTime")}),
        "13": Status("HELD", "JobHeldUser", "1", {1: Element("HELD", "JobHeldUser")}),
        "17": Status(
            "WAITING", "DependencyNeverSatisfied", "1", {1: Element("WAITING", "DependencyNeverSatisfied")}
        ),
        "35": Status("ENDED", "", "", {index: Element("CANCELLED", "") for index in (3, 4, 5)}),
        # A list that was cut short says nothing of which.
        "40": Status("PENDING", "Priority", "", {}),
        "41": Status("RUNNING", "", "", {1: Element("RUNNING", "")}),
        "44": Status(
            "PENDING",
            "ReqNodeNotAvail, UnavailableNodes:n[1-4]",
            "1",
            {1: Element("PENDING", "ReqNodeNotAvail, UnavailableNodes:n[1-4]")},
        ),
    }


def test_elements_that_have_not_ended_are_counted() -> None:
    assert slurm_answers.count(slurm_answers.queue("1_[1-10,20-24:2%3]|PENDING|Priority|cj-a-1\n")) == 13
    assert (
        slurm_answers.count(slurm_answers.queue("1_[1-10]|CANCELLED|None|cj-a-1\n2|RUNNING|None|cj-a\n")) == 1
    )


def test_ten_thousand_elements_are_read() -> None:
    text = "".join(f"7_{index}|RUNNING|None|cj-8ab7a5aa0123-1\n" for index in range(1, 10_001))
    status = slurm_answers.statuses(slurm_answers.queue(text), ["7"])["7"]
    assert status.elements == {index: Element("RUNNING", "") for index in range(1, 10_001)}


def test_accounts_are_read_by_job_and_index() -> None:
    assert slurm_answers.accounts(ACCOUNTS, ["1", "2", "3", "4", "5", "6", "7"]) == {
        "1": {1: Account("COMPLETED", 0, "", 10.2)},
        "2": {1: Account("FAILED", 3, "", None)},
        "4": {1: Account("CANCELLED", 0, "", 1536.0)},
        "3": {
            1: Account("OUT_OF_MEMORY", 253, "OutOfMemory", 2048.0),
            2: Account("FAILED", 137, "", None),
        },
    }


def test_the_smallest_limit_of_what_holds_without_asking_counts() -> None:
    config = "MaxArraySize            = 1001\nMaxJobCount             = 10000\n"
    partitions = "PartitionName=main AllowQos=ALL Default=YES QoS=part DefaultTime=01:00:00\n"
    partitions += "PartitionName=other AllowQos=ALL Default=NO QoS=tiny\n"
    qualities = "normal|5000||\npart|600|900|\ntiny|3||\n"
    assert slurm_answers.limits(config, "", "", "") == Limits(1000, 10000, 0)
    assert slurm_answers.limits(config, "", "|4000|\n", "") == Limits(1000, 4000, 0)
    assert slurm_answers.limits(config, partitions, "|4000|\n", qualities) == Limits(1000, 600, 0)
    assert slurm_answers.limits("", "", "", "") == Limits(None, None, 0)


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("Priority", "other jobs are before it in the queue"),
        (
            "(ReqNodeNotAvail, UnavailableNodes:n[1-4])",
            "nodes that it asks for are down, drained or reserved, often for maintenance",
        ),
        (
            "QOSMaxJobsPerUserLimit",
            "your jobs run as many as the quality of service lets (QOSMaxJobsPerUserLimit)",
        ),
        (
            "AssocGrpCpuLimit",
            "all jobs together hold as many processors as your account lets (AssocGrpCpuLimit)",
        ),
        ("SomethingNew", "SomethingNew"),
    ],
)
def test_reasons_are_told_in_plain_words(reason: str, words: str) -> None:
    assert scheduler.explain(reason) == words


@pytest.mark.parametrize(
    "reason", ["PartitionNodeLimit", "PartitionTimeLimit", "PartitionConfig", "BadConstraints", "InvalidQOS"]
)
def test_what_never_starts_says_what_to_do(reason: str) -> None:
    assert "git cj cancel" in scheduler.explain(reason)


def test_settings_for_the_persons_own_eyes_hide_no_job(at: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    job = at.submit(at.job())
    for name, value in {
        "SQUEUE_STATES": "CD",
        "SQUEUE_FORMAT": "%A",
        "SQUEUE_USERS": "nobody",
        "SQUEUE_PARTITION": "nowhere",
        "SLURM_TIME_FORMAT": "relative",
    }.items():
        monkeypatch.setenv(name, value)
    assert list(at.poll(job)) == [job]
    at.wait_for_end(job)


def test_an_element_that_is_started_again_knows_it(at: Desk, real_slurm: Slurm) -> None:
    at.setup = (TELL, '[ "$CJ_RESTARTS" = 0 ] && sleep 1000', "exit 0")
    job = at.submit(at.job(2))
    at.wait(job, lambda now: len(at.told()) == 2, "two elements")
    real_slurm.run("scontrol", "requeue", f"{job}_1")
    status = at.wait(
        job, lambda now: now is not None and now.elements[1].state == "PENDING", "the queue again"
    )
    assert status
    assert status.waiting == ""
    at.wait(job, lambda now: len(at.told()) == 3, "its second start")
    assert sorted(words[1] for words in at.told() if words[0] == "1") == ["0", "1"]
    scheduler.cancel(str(at.root), job)


def test_accounting_that_is_off_is_asked_once(at: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    assert scheduler.accounts(str(at.root), ["1"]) == {}
    assert (at.root / "scheduler" / "accounting.json").exists()
    monkeypatch.setenv("PATH", "/nowhere")
    assert scheduler.accounts(str(at.root), ["1"]) == {}


def test_programs_that_are_not_there_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(commands.MissingError, match="sbatch: "):
        Desk("slurm", tmp_path).submit(Desk("slurm", tmp_path).job())


def test_a_full_controller_is_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ExitStack() as stack:
        site = Site(nodes=1, max_array=11, max_jobs=20)
        full = started(stack, partial(start_slurm, site=site))
        enter(full.variables, full.path, monkeypatch)
        at = Desk("slurm", tmp_path / "root")
        filling = [at.submit(at.job(10)), at.submit(at.job(9))]
        # sbatch itself would sleep for 120 s; it is killed at 60.
        with pytest.raises(FullError, match="temporarily unable to accept job"):
            at.submit(at.job(10))
        assert scheduler.limits(str(at.root)) == Limits(10, 20, 19)
        at.wait_for_end(*filling)


@pytest.mark.parametrize(
    ("asked", "elements", "words"),
    [
        ({}, 11, "Invalid job array specification"),
        ({"walltime_s": 7200, "alloc": ["-p short"]}, 1, "time limit is invalid"),
        ({"memory_mb": 999_999_999}, 1, "Memory specification can not be satisfied"),
        ({"alloc": ["--bogus=1"]}, 1, "unrecognized option '--bogus=1'"),
        ({"alloc": ["-p off"]}, 1, "partition"),
    ],
)
def test_what_the_site_never_takes_is_refused_in_its_own_words(
    narrow: Desk, asked: dict[str, Any], elements: int, words: str
) -> None:
    with pytest.raises(NodeError) as refusal:
        narrow.submit(narrow.job(elements, **asked))
    assert type(refusal.value) is NodeError
    assert words in refusal.value.error
    assert refusal.value.hint


@pytest.mark.slow
def test_a_controller_that_is_down_is_no_answer(small: Slurm, narrow: Desk) -> None:
    job = narrow.submit(narrow.job())
    small.stop_controller()
    with pytest.raises(NodeError, match="Unable to contact"):
        narrow.poll(job)
    with pytest.raises(NodeError, match="Unable to contact"):
        scheduler.find(str(narrow.root), "cj-8ab7a5aa0123-1")
    with pytest.raises(UnclearError, match="Unable to contact"):
        narrow.submit(narrow.job())
    with pytest.raises(NodeError, match="Unable to contact"):
        scheduler.cancel(str(narrow.root), job)
    small.start_controller()
    wait_until(lambda: bool(small.run("squeue", "-h", check=False)), "the controller")
    narrow.wait_for_end(job)


@pytest.mark.slow
def test_time_limits_and_dead_nodes_are_told_apart(small: Slurm, narrow: Desk) -> None:
    over = narrow.submit(narrow.job())
    narrow.wait(over, lambda now: now is not None and now.state == "RUNNING", "its start")
    small.run("scontrol", "update", f"JobId={over}", "TimeLimit=0")
    narrow.setup = (TELL, "exec sleep 1000")
    dying = narrow.submit(narrow.job(alloc=["--no-requeue"]))
    narrow.wait(dying, lambda now: now is not None and now.state == "RUNNING", "its start")
    node = narrow.told()[-1][3]
    small.run("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=test")
    assert narrow.wait(dying, is_over, "the end") == Status(
        "ENDED", "", "", {1: Element("NODE_FAIL", "NodeDown")}
    )
    status = narrow.wait(over, is_over, "the time limit")
    assert status
    assert status.elements[1].state in ("TIMEOUT", "NODE_FAIL")
    small.run("scontrol", "update", f"NodeName={node}", "State=RESUME", check=False)


@pytest.mark.parametrize(
    ("flags", "found"),
    [
        ([], {"walltime_s": 86400}),
        (["--partition=big"], {"memory_mb": 64000, "walltime_s": 7 * 86400}),
        (["-p big,short"], {"memory_mb": 64000, "walltime_s": 7 * 86400}),
        (["-pshort", "--account=x"], {"memory_mb": 4000, "walltime_s": 1800}),
        (["--partition=open"], {}),
        (["--partition=none"], {}),
    ],
)
def test_the_most_that_partitions_give(flags: list[str], found: dict[str, int]) -> None:
    told = (
        "PartitionName=main Default=YES MaxTime=1-00:00:00 MaxMemPerNode=UNLIMITED\n"
        "PartitionName=big Default=NO MaxTime=7-00:00:00 MaxMemPerNode=64000\n"
        "PartitionName=short Default=NO MaxTime=00:30:00 MaxMemPerNode=4000\n"
        "PartitionName=open Default=NO MaxTime=UNLIMITED MaxMemPerNode=UNLIMITED\n"
    )
    assert slurm_answers.most(told, flags) == found
