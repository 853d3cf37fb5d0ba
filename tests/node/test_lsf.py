"""LSF: strict programs that replay recorded answers."""

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
    lsf,
    lsf_answers,
)

from .replay_kit import PACKAGE, Replay, install, recording

NAME = "cj-8ab7a5aa0123-1"
TAKEN = "Job <123> is submitted to queue <normal>.\n"
ALL = "jobid jobindex stat exit_code max_mem exit_reason pend_reason job_name"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Replay:
    return install(tmp_path, monkeypatch, "lsf")


def root(site: Replay) -> str:
    return str(site.root)


def directives(**asked: object) -> list[str]:
    script = lsf.batch_script(JobSpec("/usr/bin/python3", [], asked))
    return [line[6:] for line in script.split("\n") if line.startswith("#BSUB ")]


def test_what_is_asked_for_stands_in_the_script() -> None:
    assert directives(
        nodes=4,
        tasks_per_node=2,
        cpus=16,
        gpus=1,
        memory_mb=1000,
        walltime_s=95401,
        alloc=["-q short", "-P thesis"],
    ) == [
        "-n 128",
        "-M 4000MB",
        '-R "span[ptile=32] rusage[mem=1000MB/host]"',
        '-gpu "num=1"',
        "-W 1591",
        "-q short",
        "-P thesis",
    ]
    assert directives(cpus=4) == ["-n 4", '-R "span[hosts=1]"']
    assert directives() == []


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"LSB_JOBID": "12", "LSB_JOBINDEX": "0", "LSB_HOSTS": "a"}, "11 ? 12 a"),
        ({"LSB_JOBID": "12", "LSB_JOBINDEX": "3", "LSB_HOSTS": "a a b", "LSB_RESTART": "Y"}, "13 + 12 a,b"),
    ],
)
def test_an_element_knows_its_number_its_job_and_its_nodes(
    tmp_path: Path, given: dict[str, str], said: str
) -> None:
    setup = ['echo "$CJ_ELEMENT $CJ_RESTARTS $CJ_JOB_ID $CJ_NODELIST"; exit']
    (tmp_path / "job.sh").write_text(lsf.batch_script(JobSpec("python3", setup, {})))
    argv = ("sh", str(tmp_path / "job.sh"), "/root", PACKAGE, "1", "11")
    done = subprocess.run(argv, env={"PATH": "/usr/bin:/bin", **given}, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == (said + "\n", "")


def test_a_part_is_an_array_read_from_standard_input(site: Replay) -> None:
    site.says("bsub", TAKEN)
    job = site.job(elements=10, cpus=2, memory_mb=500, walltime_s=60, nodes=2, gpus=1, jobs=3)
    assert lsf.submit(root(site), job) == "123"
    assert site.calls() == [["bsub", "-J", NAME + "[1-10]%3", "-o", "/dev/null", "-rn"]]
    assert site.last("stdin") == Path(job.script).read_text()


def test_a_part_of_one_element_is_no_array(site: Replay) -> None:
    site.says(
        "bsub", "Cannot connect to LSF. Please wait ...\nJob <124> is submitted to default queue <q>.\n"
    )
    assert lsf.submit(root(site), site.job(elements=1)) == "124"
    assert site.calls() == [["bsub", "-J", NAME, "-o", "/dev/null", "-rn"]]


def test_a_job_gets_nothing_of_the_secrets_here(site: Replay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "x")
    site.says("bsub", TAKEN)
    lsf.submit(root(site), site.job())
    assert "SECRET_TOKEN" not in site.last("environ")


@pytest.mark.parametrize(
    ("said", "kind", "hint"),
    [
        ("normal: No such queue. Job not submitted.\n", NodeError, "bqueues"),
        ("User or one of user's groups does not have enough job slots. Job not submitted.\n", FullError, ""),
        ("User <mia>: Pending job threshold reached. Retrying in 60 seconds...\n", FullError, ""),
        ("The destination queue has reached its job limit. Job not submitted.\n", FullError, ""),
        ("Job array index too large. Job not submitted.\n", NodeError, "max_jobs"),
        ("Cannot connect to LSF. Please wait ...\n", UnclearError, ""),
        ("Contacting batch daemon: Communication timeout.\n", UnclearError, ""),
    ],
)
def test_a_refusal_is_told_in_its_own_words(
    site: Replay, said: str, kind: type[NodeError], hint: str
) -> None:
    site.says("bsub", err=said, code=255)
    with pytest.raises(NodeError) as refused:
        lsf.submit(root(site), site.job())
    assert type(refused.value) is kind
    assert said.strip() in refused.value.error
    assert (hint in refused.value.hint) if hint else kind is not NodeError


def test_a_bsub_that_would_try_for_ever_is_not_waited_for(
    site: Replay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "wrapped").mkdir()
    program = tmp_path / "wrapped" / "bsub"
    said = "User <mia>: Pending job threshold reached. Retrying in 60 seconds..."
    program.write_text(f"#!/bin/sh\ncat > {tmp_path}/read\necho '{said}' >&2\nexec sleep 1000\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    with pytest.raises(FullError, match="threshold reached"):
        lsf.submit(root(site), site.job())
    assert (tmp_path / "read").read_text().startswith("#!/bin/sh\n")


def test_no_id_is_unclear(site: Replay) -> None:
    with pytest.raises(UnclearError, match="it said nothing"):
        lsf.submit(root(site), site.job())


def test_wrong_flags_are_refused_by_name(site: Replay) -> None:
    with pytest.raises(NodeError, match="--partition=x: Illegal option"):
        lsf.submit(root(site), site.job(alloc=["--partition=x"]))


def test_jobs_are_polled_by_one_query(site: Replay) -> None:
    site.says("bjobs", recording("lsf_jobs.json"), "Job <9> is not found\n", 255)
    jobs = ["321", "22005", "500", "58652", "9"]
    assert lsf.poll(root(site), jobs) == {
        "321": Status("RUNNING", "", "", {1: Element("RUNNING", "")}),
        "22005": Status("ENDED", "", "", {1: Element("COMPLETED", "")}),
        "500": Status(
            "RUNNING",
            "",
            "2-3",
            {
                1: Element("RUNNING", ""),
                2: Element("PENDING", "New job is waiting for scheduling"),
                3: Element("PENDING", "The job array has reached its job slot limit"),
                4: Element(
                    "OUT_OF_MEMORY", "TERM_MEMLIMIT: job killed after reaching LSF memory usage limit"
                ),
            },
        ),
        "58652": Status(
            "HELD",
            "Job was suspended by the user while pending",
            "1",
            {1: Element("HELD", "Job was suspended by the user while pending")},
        ),
    }
    assert site.calls() == [["bjobs", "-a", "-json", "-o", ALL, *jobs]]
    assert lsf.poll(root(site), []) == {}


def test_older_versions_answer_in_text(site: Replay) -> None:
    site.says("bjobs", err="bjobs: illegal option -- json\nUsage: bjobs …\n", code=255)
    site.says("bjobs", f"500^RUN^{NAME}[1]\n500^PEND^{NAME}[7]\nnoise\n", "Job <9> is not found\n", 255)
    assert lsf.poll(root(site), ["500", "9"]) == {
        "500": Status("RUNNING", "", "7", {1: Element("RUNNING", ""), 7: Element("PENDING", "")})
    }
    assert site.calls()[1] == [
        "bjobs",
        "-a",
        "-noheader",
        "-o",
        "jobid stat job_name delimiter='^'",
        "500",
        "9",
    ]


@pytest.mark.parametrize(
    ("out", "err", "code"),
    [
        ("", "", 0),
        ("", "LSF is down. Please wait ...\n", 255),
        ("", "Cannot connect to LSF. Please wait ...\n", 255),
        (recording("lsf_jobs.json")[:900], "", 0),
        ('{"COMMAND":"bjobs","JOBS":2,"RECORDS":[]}', "", 0),
    ],
)
def test_an_answer_that_is_none_is_no_end(site: Replay, out: str, err: str, code: int) -> None:
    site.says("bjobs", out, err, code)
    with pytest.raises(NodeError):
        lsf.poll(root(site), ["321"])


@pytest.mark.parametrize(
    ("stat", "state"),
    [
        ("PROV", "RUNNING"),
        ("USUSP", "RUNNING"),
        ("SSUSP", "RUNNING"),
        ("UNKWN", "RUNNING"),
        ("WAIT", "PENDING"),
        ("ZOMBI", "ENDED"),
    ],
)
def test_each_word_has_a_state(stat: str, state: str) -> None:
    assert lsf_answers.status([{"jobid": "1", "stat": stat, "jobindex": "0"}]).state == state


def test_a_dependency_is_waited_for() -> None:
    record = {"jobid": "1", "stat": "PEND", "pend_reason": "Job dependency condition not satisfied;"}
    assert lsf_answers.status([record]).state == "WAITING"


def test_jobs_that_ended_are_accounted_for(site: Replay) -> None:
    site.says(
        "bjobs", recording("lsf_jobs.json"), "Job <289263> is not found\nJob <289264> is not found\n", 255
    )
    site.says("bhist", recording("lsf_bhist.txt"))
    assert lsf.accounts(root(site), ["22005", "500", "289263", "289264"]) == {
        "22005": {1: Account("COMPLETED", 0, "", None)},
        "500": {
            4: Account(
                "OUT_OF_MEMORY",
                130,
                "TERM_MEMLIMIT: job killed after reaching LSF memory usage limit",
                1024.0,
            )
        },
        "289263": {1: Account("COMPLETED", 0, "", 3993.6)},
        "289264": {
            7: Account(
                "OUT_OF_MEMORY",
                143,
                "TERM_MEMLIMIT: job killed after reaching LSF memory usage limit",
                512.0,
            )
        },
    }
    assert site.calls()[1] == ["bhist", "-l", "289263", "289264"]


def test_a_run_limit_is_a_timeout() -> None:
    record = {"stat": "EXIT", "exit_code": "140", "exit_reason": "TERM_RUNLIMIT: job killed after …"}
    assert lsf_answers.account(record) == Account("TIMEOUT", 140, "TERM_RUNLIMIT: job killed after …", None)


def test_a_job_is_found_by_its_name(site: Replay) -> None:
    site.says("bjobs", f"500^{NAME}[1]\n500^{NAME}[2]\n77^{NAME}\n78^{NAME}0\n")
    assert lsf.find(root(site), NAME) == ["77", "500"]
    assert site.calls() == [["bjobs", "-a", "-noheader", "-o", "jobid job_name delimiter='^'", "-J", NAME]]


def test_a_job_that_was_cleaned_is_found_in_the_history(site: Replay) -> None:
    site.says("bjobs", err=f"Job <{NAME}> is not found\n", code=255)
    site.says(
        "bhist",
        "Summary of time in seconds spent in various states:\n"
        "JOBID   USER    JOB_NAME  PEND    PSUSP   RUN     USUSP   SSUSP   UNKWN   TOTAL\n"
        f"289264[1] havb    {NAME}[1] 2       0       10      0       0       0       12\n"
        f"289265  havb    {NAME}0 2       0       10      0       0       0       12\n",
    )
    assert lsf.find(root(site), NAME) == ["289264"]
    site.says("bhist", err="No matching job found\n", code=255)
    assert lsf.find(root(site), NAME) == []


def test_a_search_without_an_answer_finds_nothing_out(site: Replay) -> None:
    site.says("bjobs", err="LSF is down. Please wait ...\n", code=255)
    with pytest.raises(NodeError, match="LSF is down"):
        lsf.find(root(site), NAME)


def test_only_what_waits_is_held(site: Replay) -> None:
    site.says("bjobs", recording("lsf_jobs.json"))
    lsf.hold(root(site), "500")
    lsf.release(root(site), "500")
    assert site.calls()[1:] == [["bstop", "500[2-3]"], ["bresume", "500"]]


def test_a_job_is_ended_once(site: Replay) -> None:
    lsf.cancel(root(site), "7")
    site.says("bkill", err="Job <7>: Job has already finished\n", code=255)
    lsf.cancel(root(site), "7")
    site.says("bkill", err="Job <7>: User permission denied\n", code=255)
    with pytest.raises(NodeError, match="User permission denied"):
        lsf.cancel(root(site), "7")


def test_the_site_tells_its_limits(site: Replay) -> None:
    site.says("bparams", "The maximum number of jobs in an array:\n    MAX_JOB_ARRAY_SIZE = 10000\n\n")
    site.says(
        "busers",
        "USER/GROUP JL/P MAX NJOBS PEND RUN SSUSP USUSP RSV MPEND PJOBS MPJOBS PRIORITY\n"
        "mia - 100 40 30 10 0 0 0 - 30 2000 -1\n",
    )
    assert lsf.limits(root(site)) == Limits(10000, 2000, 30)
    assert site.calls() == [["bparams", "-l"], ["busers", "-w", commands.user()]]


def test_reasons_are_put_plainly() -> None:
    assert lsf.explain("New job is waiting for scheduling") == "the scheduler has not looked at it yet"
    assert lsf.explain("Load information unavailable: 1 host") == "Load information unavailable: 1 host"
