"""Grid Engine: what its programs print is read right, and the real one is driven to its limits and faults."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

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
    sge_answers,
)
from cjnode.schedulers import sge as scheduler
from tests.clusters.fixtures import started
from tests.clusters.sge import Sge
from tests.clusters.sge import sge as start_sge

from .scheduler_kit import NOTHING, PACKAGE, TELL, WAIT, Desk, desk, enter

ROW = """\
    <job_list state="{kind}">
      <JB_job_number>{job}</JB_job_number>
      <JAT_prio>0.50000</JAT_prio>
      <JB_name>{name}</JB_name>
      <JB_owner>clu</JB_owner>
      <state>{state}</state>
      <queue_name></queue_name>
      <slots>1</slots>{tasks}
    </job_list>
"""

# qacct -j of 8.1.9; the second entry is of the same task, started again.
ACCOUNTS = """\
==============================================================
jobname      {name}
jobnumber    32
taskid       1
slots        1
failed       25  : rescheduling
exit_status  99
ru_maxrss    4.348KB
maxvmem      0.000B
category     -l h_rt=100
==============================================================
jobname      {name}
jobnumber    32
taskid       1
slots        1
failed       0
exit_status  3
ru_maxrss    4.348KB
maxvmem      12.000MB
category     -l h_rt=100
==============================================================
jobname      {name}
jobnumber    32
taskid       2
slots        1
failed       37  : qmaster enforced h_rt, h_cpu, or h_vmem limit
exit_status  137                  (Killed)
ru_maxrss    2.000MB
maxvmem      12.000MB
category     -l h_rt=3,h_vmem=200M
==============================================================
jobname      {name}
jobnumber    32
taskid       3
slots        2
failed       100 : assumedly after job
exit_status  137                  (Killed)
ru_maxrss    0.000B
maxvmem      401.000MB
category     -l h_vmem=200M -pe smp 2
==============================================================
jobname      {name}
jobnumber    32
taskid       4
slots        1
failed       28  : changing into working directory
exit_status  0
category     NONE
==============================================================
jobname      {name}
jobnumber    32
taskid       5
slots        1
failed       100 : assumedly after job
deleted_by   mia@login
exit_status  137                  (Killed)
category     NONE
==============================================================
jobname      someone_elses
jobnumber    32
taskid       6
failed       0
exit_status  0
"""


@pytest.fixture
def at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Desk:
    return desk("sge", tmp_path / "root", monkeypatch, request)


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Sge, Desk]]:
    """A Grid Engine that the test may break."""
    with ExitStack() as stack:
        engine = started(stack, start_sge)
        enter(engine.variables, engine.path, monkeypatch)
        (tmp_path / "root").mkdir()
        yield engine, Desk("sge", tmp_path / "root")


def answer(*rows: tuple[int, str, str]) -> str:
    """What qstat -xml prints for jobs, tasks and states."""
    listed = [
        ROW.format(
            kind="running" if set(state) & set("rt") else "pending",
            job=job,
            name=f"cj-8ab7a5aa0123-{job}",
            state=state,
            tasks=f"\n      <tasks>{tasks}</tasks>" if tasks else "",
        )
        for job, tasks, state in rows
    ]
    head = "<?xml version='1.0'?>\n<job_info  xmlns:xsd=\"http://arc.liv.ac.uk/qstat.xsd\">\n  <queue_info>\n"
    return head + "".join(listed) + "  </queue_info>\n  <job_info>\n  </job_info>\n</job_info>\n"


def lines(**asked: object) -> list[str]:
    script = scheduler.batch_script(JobSpec("python3", [], {**NOTHING, **asked}))
    return [line for line in script.split("\n") if line.startswith("#$ ")]


def test_what_is_asked_for_stands_in_the_script() -> None:
    assert lines() == ["#$ -S /bin/sh", "#$ -r y"]
    assert lines(
        nodes=1, tasks_per_node=2, cpus=3, memory_mb=1000, walltime_s=95400, alloc=["-P thesis"]
    ) == [
        "#$ -S /bin/sh",
        "#$ -r y",
        "#$ -pe smp 6",
        "#$ -l h_vmem=167M",
        "#$ -l h_rt=95400",
        "#$ -P thesis",
    ]


def test_a_parallel_environment_of_the_sites_own_is_taken_as_it_is() -> None:
    assert lines(nodes=2, cpus=4, memory_mb=1000, gpus=1, alloc=["-pe mpi 8", "-l gpu=1"]) == [
        "#$ -S /bin/sh",
        "#$ -r y",
        "#$ -l h_vmem=250M",
        "#$ -pe mpi 8",
        "#$ -l gpu=1",
    ]


@pytest.mark.parametrize(
    ("flag", "each"), [("-pe threaded 8", 2048), ("-pe mpi 4-8", 4096), ("-pe mpi -8", 16384)]
)
def test_memory_is_divided_by_the_slots_that_alloc_names(flag: str, each: int) -> None:
    assert f"#$ -l h_vmem={each}M" in lines(memory_mb=16384, alloc=[flag])


def test_a_part_is_an_array_unless_it_has_one_element() -> None:
    job = Job("cj-8ab7a5aa0123-1", PACKAGE, 1, 1, 5, "/r/job-1.sh", "/r/log", {"jobs": 2}, 0, [])
    environment = {
        "PATH": "/bin",
        "MODULEPATH": "/m",
        "HOME": "/h",
        "SGE_ROOT": "/sge",
        "BASH_FUNC_ml%%": "()",
    }
    argv = scheduler.submit_command("/r", job, environment)
    head = ["qsub", "-terse", "-b", "n", "-N", job.name, "-wd", "/r", "-j", "y", "-o", "/r/log"]
    head += ["-ac", f"cj_package={PACKAGE}", "-v", "MODULEPATH,PATH"]
    assert argv == [*head, "-t", "1-5", "-tc", "2", "/r/job-1.sh"]
    assert scheduler.submit_command("/r", job._replace(elements=1), environment) == [*head, "/r/job-1.sh"]
    low = scheduler.submit_command("/r", job._replace(priority=-7), {})
    assert low[low.index("-p") + 1] == "-7"
    # A dollar sign, a colon and a comma mean something in a path for -o.
    assert scheduler.submit_command("/r", job._replace(log="/r/$x"), {})[11] == "/dev/null"


@pytest.mark.parametrize(
    ("out", "job"),
    [
        ("3\n", "3"),
        ("3.1-8:1\n", "3"),
        ("welcome\n3.1-8:1\n", "3"),
        ('Your job-array 1.1-6:2 ("hello") has been submitted\n', "1"),
    ],
)
def test_the_id_is_read(out: str, job: str) -> None:
    assert sge_answers.submitted(0, out, "") == job


@pytest.mark.parametrize(
    ("code", "err", "kind", "hint"),
    [
        (
            1,
            "Unable to run job: job rejected: only 2 jobs are allowed per user (…).\nExiting.",
            FullError,
            "",
        ),
        (25, "Unable to run job: whatever.\nExiting.", FullError, ""),
        (1, "error: commlib error: got select error (Connection refused)", UnclearError, ""),
        (1, "Unable to run job: got no response from JSV script.\nExiting.", UnclearError, ""),
        (-9, "", UnclearError, ""),
        (0, "", UnclearError, ""),
        (
            1,
            'Unable to run job: Job was rejected because job requests unknown queue "nosuch.q".\nExiting.',
            NodeError,
            "-q NAME",
        ),
        (1, 'Unable to run job: unknown resource "nosuch".\nExiting.', NodeError, "qconf -sc"),
        (1, "qsub: Unknown option -bogus", NodeError, "man qsub"),
    ],
)
def test_a_refusal_is_told_from_what_may_pass(code: int, err: str, kind: type, hint: str) -> None:
    with pytest.raises(NodeError) as refusal:
        sge_answers.submitted(code, "", err)
    assert type(refusal.value) is kind
    assert hint in refusal.value.hint
    assert "Exiting" not in refusal.value.error


def test_each_job_of_the_queue_has_its_status() -> None:
    text = answer(
        (1, "1", "r"),
        (1, "2", "t"),
        (1, "3", "Rr"),
        (1, "4-8:2,9-10:1", "qw"),
        (2, "", "hqw"),
        (3, "", "Eqw"),
        (4, "1", "dr"),
        (5, "1", "S"),
        (6, "1", "Rq"),
        (6, "2-3:1", "hqw"),
        (7, "1,3", "Eqw"),
        (7, "2", "qw"),
    )
    errors = sge_answers.errors(
        "job_number:                 3\n"
        "error reason          1:      11/20/2026 22:04:44 [2201:27678]: error: can't chdir to /no: No such\n"
        "job_number:                 7\n"
        "error reason    1:          11/20/2026 22:04:44 [0:27661]: exit_status of job start = 100\n"
        "error reason    3:          11/20/2026 22:04:44 [0:27662]: disk full\n"
    )
    rows = sge_answers.queue(text)
    assert sge_answers.in_error(rows, ["1", "2", "3", "7"]) == ["3", "7"]
    lost = "Eqw: can't chdir to /no: No such"
    assert sge_answers.statuses(rows, ["1", "2", "3", "4", "5", "6", "7", "8"], errors) == {
        "1": Status("RUNNING", "qw", "4,6,8-10", {index: Element("RUNNING", "") for index in (1, 2, 3)}),
        "2": Status("HELD", "hqw", "1", {1: Element("HELD", "hqw")}),
        "3": Status("HELD", lost, "1", {1: Element("HELD", lost)}),
        "4": Status("RUNNING", "", "", {1: Element("RUNNING", "")}),
        "5": Status("RUNNING", "", "", {1: Element("RUNNING", "suspended")}),
        "6": Status(
            "PENDING",
            "Rq",
            "2-3",
            {1: Element("PENDING", "Rq"), 2: Element("HELD", "hqw"), 3: Element("HELD", "hqw")},
        ),
        "7": Status(
            "PENDING",
            "Eqw: disk full",
            "1-3",
            {
                1: Element("HELD", "Eqw: exit_status of job start = 100"),
                3: Element("HELD", "Eqw: disk full"),
            },
        ),
    }


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<?xml version='1.0'?>\n<job_info><queue_info>",
        "error: commlib error: got select error (Connection refused)",
        "<?xml version='1.0'?>\n<comunication_error><CE_text>away</CE_text></comunication_error>",
    ],
)
def test_no_whole_answer_is_no_answer(text: str) -> None:
    with pytest.raises(NodeError, match="qstat"):
        sge_answers.queue(text)


def test_an_empty_queue_is_an_answer() -> None:
    assert sge_answers.queue(answer()) == []


def test_accounts_are_read_by_task() -> None:
    name = "cj-8ab7a5aa0123-1"
    assert sge_answers.accounts(ACCOUNTS.replace("{name}", name), "32") == {
        1: Account("FAILED", 3, "", 4.3),
        2: Account("TIMEOUT", 137, "qmaster enforced h_rt, h_cpu, or h_vmem limit", 2048.0),
        3: Account("OUT_OF_MEMORY", 137, "it used 401.000MB of h_vmem=200M", None),
        4: Account("FAILED", 0, "changing into working directory", None),
        5: Account("CANCELLED", 137, "deleted by mia@login", None),
    }
    assert sge_answers.accounts(ACCOUNTS.replace("{name}", name), "33") == {}


def test_the_sites_limit_of_an_array_is_read() -> None:
    assert sge_answers.limits("max_aj_instances             2000\nmax_aj_tasks   500\n") == Limits(
        500, None, 0
    )
    assert sge_answers.limits("max_aj_tasks   0\n") == Limits(None, None, 0)
    assert sge_answers.limits("") == Limits(75000, None, 0)


def test_a_job_that_could_not_start_is_shown_with_the_reason(at: Desk) -> None:
    at.setup = ("exit 100",)
    job = at.submit(at.job())
    status = at.wait(job, lambda now: now is not None and now.state == "HELD", "the error state")
    assert status
    assert status == Status("HELD", status.reason, "1", {1: Element("HELD", status.reason)})
    assert "exit_status of job start = 100" in scheduler.explain(status.reason)
    assert "git cj cancel" in scheduler.explain(status.reason)
    scheduler.cancel(str(at.root), job)
    at.wait(job, lambda now: now is None, "the end")


def test_an_element_that_is_started_again_says_so(at: Desk) -> None:
    at.setup = (TELL, '[ "$CJ_RESTARTS" = 0 ] && exit 99', "exit 0")
    job = at.submit(at.job())
    at.wait(job, lambda now: now is None, "the end")
    assert [words[1] for words in at.told()] == ["0", "+"]


def test_what_ended_is_found_by_name_and_accounted_for(at: Desk) -> None:
    at.setup = (TELL, WAIT, "exit $((CJ_ELEMENT - 1))")
    job = at.job(2)
    submitted = at.submit(job)
    at.wait_for_end(submitted)
    assert scheduler.find(str(at.root), job.name) == [submitted]

    def accounts() -> dict[int, tuple[str, int | None]]:
        found = scheduler.accounts(str(at.root), [submitted]).get(submitted, {})
        return {index: account[:2] for index, account in found.items()}

    at.wait(submitted, lambda _: len(accounts()) == 2, "the accounts")
    assert accounts() == {1: ("COMPLETED", 0), 2: ("FAILED", 1)}


def test_a_person_with_as_many_jobs_as_they_may_have_is_told_so(
    own: tuple[Sge, Desk], tmp_path: Path
) -> None:
    engine, at = own
    config = tmp_path / "global"
    text = engine.run("qconf", "-sconf", "global")
    kept = [line for line in text.splitlines() if not line.startswith(("#", "max_u_jobs"))]
    config.write_text("\n".join([*kept, "max_u_jobs 2", ""]))
    engine.run("qconf", "-Mconf", str(config))
    filling = [at.submit(at.job(3)), at.submit(at.job())]
    with pytest.raises(FullError, match="only 2 jobs are allowed per user"):
        at.submit(at.job())
    at.wait_for_end(*filling)


def test_a_master_that_is_away_is_no_answer(own: tuple[Sge, Desk]) -> None:
    engine, at = own
    job = at.submit(at.job())
    engine.stop_master()
    with pytest.raises(NodeError, match="qstat"):
        at.poll(job)
    with pytest.raises(NodeError, match="qstat"):
        scheduler.find(str(at.root), "cj-8ab7a5aa0123-1")
    with pytest.raises(UnclearError, match="qsub"):
        at.submit(at.job())
    with pytest.raises(NodeError, match="qdel"):
        scheduler.cancel(str(at.root), job)
    engine.start_master()
    assert list(at.poll(job)) == [job]
