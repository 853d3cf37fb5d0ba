"""HTCondor: strict programs that replay recorded answers."""

from __future__ import annotations

import json
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
    htcondor,
)

from .replay_kit import PACKAGE, Replay, install, recording

NAME = "cj-8ab7a5aa0123-1"
HELD = "The job attribute OnExitHold expression '(ExitBySignal == true) || (ExitCode != 0)' evaluated to TRUE"
DOWN = "\n-- Failed to fetch ads from: <10.0.0.5:9618?addrs=10.0.0.5-9618> : submit.example.org\n"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Replay:
    return install(tmp_path, monkeypatch, "htcondor")


def root(site: Replay) -> str:
    return str(site.root)


def test_the_script_has_no_directives() -> None:
    asked = {"cpus": 4, "memory_mb": 100, "walltime_s": 60, "alloc": ['+ProjectName = "x"']}
    script = htcondor.batch_script(JobSpec("/usr/bin/python3", [], asked))
    assert [line for line in script.split("\n") if line.startswith(("#", "+"))] == [
        "#!/bin/sh",
        "# One element of a job: sh .cj/job.sh ROOT PACKAGE SUBMISSION [FIRST]",
    ]


@pytest.mark.parametrize(("starts", "restarts"), [("", "0"), ("NumJobStarts = 2\n", "2")])
def test_an_element_knows_its_number_its_job_and_its_starts(
    tmp_path: Path, starts: str, restarts: str
) -> None:
    setup = ['echo "$CJ_ELEMENT $CJ_RESTARTS $CJ_JOB_ID $CJ_NODELIST"; exit']
    (tmp_path / "job.sh").write_text(htcondor.batch_script(JobSpec("python3", setup, {})))
    (tmp_path / "ad").write_text(f"ClusterId = 12\n{starts}")
    argv = ("sh", str(tmp_path / "job.sh"), "/root", PACKAGE, "1", "11")
    environ = {"PATH": "/usr/bin:/bin", "CJ_HTCONDOR": "12.2", "_CONDOR_JOB_AD": str(tmp_path / "ad")}
    done = subprocess.run(argv, env=environ, capture_output=True, text=True)
    node = subprocess.run(("uname", "-n"), capture_output=True, text=True).stdout.strip()
    assert (done.stdout, done.stderr) == (f"13 {restarts} 12 {node}\n", "")


def test_a_part_is_a_cluster_of_processes(site: Replay) -> None:
    site.says("condor_submit", "123.0 - 123.9\n")
    job = site.job(
        elements=10,
        cpus=2,
        tasks_per_node=2,
        gpus=1,
        memory_mb=500,
        walltime_s=3600,
        jobs=3,
        alloc=['+ProjectName = "thesis"'],
    )
    assert htcondor.submit(root(site), job) == "123"
    assert site.calls() == [["condor_submit", "-terse"]]
    assert site.last("stdin").split("\n") == [
        "universe = vanilla",
        f"batch_name = {NAME}",
        f'+CJName = "{NAME}"',
        f'+CJPackage = "{PACKAGE}"',
        "executable = /bin/sh",
        "transfer_executable = false",
        f"arguments = \"'{job.script}'\"",
        'environment = "CJ_HTCONDOR=$(Cluster).$(Process)"',
        "getenv = false",
        "should_transfer_files = NO",
        "notification = never",
        "request_cpus = 4",
        "request_memory = 500MB",
        "request_gpus = 1",
        "allowed_execute_duration = 3600",
        "+MaxRuntime = 3600",
        "periodic_remove = JobStatus == 5 && (HoldReasonCode == 34 || HoldReasonCode == 46"
        " || HoldReasonCode == 47) || JobStatus == 2 && time() - JobCurrentStartDate > 3660",
        '+ProjectName = "thesis"',
        "max_materialize = 3",
        "queue 10",
        "",
    ]


def test_a_job_gets_nothing_of_the_secrets_here(site: Replay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "x")
    site.says("condor_submit", "124.0 - 124.0\n")
    assert htcondor.submit(root(site), site.job(elements=1)) == "124"
    assert "SECRET_TOKEN" not in site.last("environ")


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("\nERROR: Failed to create proc\nSCHEDD: MAX_JOBS_PER_OWNER exceeded\n", FullError),
        ("\nERROR: Failed to create cluster\nMAX_JOBS_SUBMITTED exceeded. Current=9, Limit=9\n", FullError),
        ("\nERROR: Failed to connect to local queue manager\n", UnclearError),
        ("\nERROR: Failed to commit job submission into the queue.\n", UnclearError),
        ("\nERROR: Failed to parse command file (line 3).\n", NodeError),
        ("", NodeError),
    ],
)
def test_a_refusal_is_told_in_its_own_words(site: Replay, said: str, kind: type[NodeError]) -> None:
    site.says("condor_submit", err=said, code=1)
    with pytest.raises(NodeError) as refused:
        htcondor.submit(root(site), site.job())
    assert type(refused.value) is kind
    assert " ".join(said.split()) in refused.value.error
    assert ("launch it again" in refused.value.hint) == (kind is NodeError)


def test_no_id_is_unclear(site: Replay) -> None:
    with pytest.raises(UnclearError, match="it said nothing"):
        htcondor.submit(root(site), site.job())


def test_wrong_flags_are_refused_by_name(site: Replay) -> None:
    with pytest.raises(NodeError, match="line 14"):
        htcondor.submit(root(site), site.job(alloc=["--partition=x"]))


def test_several_nodes_are_refused() -> None:
    with pytest.raises(NodeError, match=r"^nodes: .* not on 2$"):
        htcondor.batch_script(JobSpec("python3", [], {"nodes": 2}))


def test_jobs_are_polled_by_one_query(site: Replay) -> None:
    site.says("condor_q", recording("htcondor_queue.json"))
    jobs = ["5184660", "5184661", "5184663", "5184664", "9"]
    assert htcondor.poll(root(site), jobs) == {
        "5184660": Status("PENDING", "Idle", "1", {1: Element("PENDING", "")}),
        "5184661": Status(
            "RUNNING",
            "Idle",
            "2-3",
            {1: Element("RUNNING", ""), 2: Element("PENDING", ""), 3: Element("HELD", HELD)},
        ),
        "5184663": Status("ENDED", "", "", {}),
        "5184664": Status(
            "HELD",
            "via condor_hold (by user mia)",
            "1",
            {1: Element("HELD", "via condor_hold (by user mia)")},
        ),
    }
    assert site.calls() == [
        [
            "condor_q",
            "-json",
            "-attributes",
            "ClusterId,ProcId,JobStatus,HoldReason,JobMaterializeNextProcId,TotalSubmitProcs",
            *jobs,
        ]
    ]
    assert htcondor.poll(root(site), []) == {}


def test_an_empty_answer_is_an_empty_queue(site: Replay) -> None:
    site.says("condor_q", "")
    site.says("condor_q", "[\n]\n")
    assert htcondor.poll(root(site), ["7"]) == {}
    assert htcondor.poll(root(site), ["7"]) == {}


@pytest.mark.parametrize(
    ("out", "err", "code"),
    [("", DOWN, 1), (recording("htcondor_queue.json")[:200], "", 0), ("All queues are empty\n", "", 0)],
)
def test_an_answer_that_is_none_is_no_end(site: Replay, out: str, err: str, code: int) -> None:
    site.says("condor_q", out, err, code)
    with pytest.raises(NodeError):
        htcondor.poll(root(site), ["7"])


def test_elements_that_are_not_made_yet_wait() -> None:
    ads = [
        {"ClusterId": 7, "ProcId": 3, "JobStatus": 2, "JobMaterializeNextProcId": 5, "TotalSubmitProcs": 9}
    ]
    assert htcondor.status(ads) == Status("RUNNING", "", "6-9", {4: Element("RUNNING", "")})


def test_the_history_tells_how_elements_ended(site: Replay) -> None:
    site.says("condor_history", recording("htcondor_history.json"))
    ads = json.loads(recording("htcondor_history.json"))
    assert htcondor.accounts(root(site), ["5184661"]) == {
        "5184661": {
            1: Account("COMPLETED", 0, "", 512.0),
            2: Account("FAILED", 137, "", None),
            3: Account("OUT_OF_MEMORY", None, ads[2]["RemoveReason"], None),
            4: Account("TIMEOUT", None, ads[3]["RemoveReason"], None),
            5: Account("CANCELLED", None, "via condor_rm (by user mia)", None),
            6: Account("FAILED", 3, "", None),
        }
    }


def test_a_job_is_found_by_its_name_in_queue_or_history(site: Replay) -> None:
    site.says("condor_q", '[\n{\n  "ClusterId": 20\n}\n,\n{\n  "ClusterId": 9\n}\n]\n')
    site.says("condor_q", "[\n]\n")
    assert htcondor.find(root(site), NAME) == ["9", "20"]
    site.says("condor_history", '[\n{\n  "ClusterId": 8\n}\n]\n')
    assert htcondor.find(root(site), NAME) == ["8"]
    named = ["-constraint", f'CJName == "{NAME}"']
    assert site.calls() == [
        ["condor_q", "-json", "-attributes", "ClusterId", *named],
        ["condor_q", "-json", "-attributes", "ClusterId", *named],
        ["condor_history", "-json", "-attributes", "ClusterId", "-scanlimit", "100000", *named],
    ]


def test_only_what_waits_is_held(site: Replay) -> None:
    htcondor.hold(root(site), "7")
    htcondor.release(root(site), "7")
    site.says("condor_rm", err="Couldn't find/remove all jobs in cluster 7\n", code=1)
    htcondor.cancel(root(site), "7")
    assert site.calls() == [
        ["condor_hold", "-constraint", "ClusterId == 7 && JobStatus == 1"],
        ["condor_release", "7"],
        ["condor_rm", "7"],
    ]
    site.says("condor_rm", err=DOWN, code=1)
    with pytest.raises(NodeError, match="Failed to fetch"):
        htcondor.cancel(root(site), "7")


def test_the_site_tells_its_limits(site: Replay) -> None:
    site.says("condor_config_val", "20000\n")
    site.says("condor_config_val", "100000\n")
    site.says("condor_q", recording("htcondor_queue.json"))
    assert htcondor.limits(root(site)) == Limits(20000, 100000, 6)
    site.says("condor_config_val", err="Not defined: MAX_JOBS_PER_SUBMISSION\n", code=1)
    site.says("condor_config_val", "2147483647\n")
    assert htcondor.limits(root(site)) == Limits(None, None, 6)


def test_reasons_are_put_plainly() -> None:
    said = "Error from slot1@node7: Job has gone over cgroup memory limit of 128 megabytes."
    assert htcondor.explain(said) == "Job has gone over cgroup memory limit of 128 megabytes."
    assert htcondor.explain("via condor_hold (by user mia)") == "held by hand: git cj release"
    idle = htcondor.status([{"ClusterId": 7, "ProcId": 0, "JobStatus": 1}])
    assert "condor_q -better-analyze" in htcondor.explain(idle.reason)
