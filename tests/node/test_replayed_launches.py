"""PBS, LSF and HTCondor from the push to the records: what is handed to them runs as they would run it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from cjnode.schedulers import JobSpec, batch_script

from .cluster_kit import Site, new_site, resources
from .replay_kit import Replay, install

# What the submitting program says, the ID in it, and what an element of that index finds set.
SCHEDULERS = {
    "pbs": ("qsub", "1234[].srv\n", "1234[].srv"),
    "lsf": ("bsub", "Job <1234> is submitted to queue <normal>.\n", "1234"),
    "htcondor": ("condor_submit", "1234.0 - 1234.2\n", "1234"),
}
MAIN = "import os\nprint(*(os.environ['CJ_' + name] for name in ('TASK', 'JOB_ID', 'CLUSTER')))\n"


def variables(scheduler: str, index: int) -> dict[str, str]:
    return {
        "pbs": {
            "PBS_JOBID": f"1234[{index}].srv",
            "PBS_ARRAY_ID": "1234[].srv",
            "PBS_ARRAY_INDEX": f"{index}",
        },
        "lsf": {"LSB_JOBID": "1234", "LSB_JOBINDEX": f"{index}", "LSB_HOSTS": "n1"},
        "htcondor": {"CJ_HTCONDOR": f"1234.{index - 1}"},
    }[scheduler]


# Ends its worker as a node's death would, the first time.
DEADLY = """import os, signal
if os.environ['CJ_ATTEMPT'] == '1':
    os.kill(os.getppid(), signal.SIGKILL)
print('again')
"""


def launched(site: Site, scheduler: str, tasks: int, main: str = MAIN) -> str:
    asked = resources(jobs=None, walltime_s=600, memory_mb=500)
    job = batch_script(scheduler, JobSpec(sys.executable, [], asked))
    return site.package(scheduler=scheduler, job=job, tasks=tasks, resources=asked, main=main)


def run_element(site: Site, scheduler: str, package: str, index: int) -> int:
    environ = {"PATH": "/usr/bin:/bin", "HOME": "/", **variables(scheduler, index)}
    argv = ("sh", str(site.submission(package) / "job-1.sh"))
    # A group of its own: what ends its parents must not end the tests.
    return subprocess.run(argv, env=environ, cwd="/", start_new_session=True).returncode


def submissions(replay: Replay, program: str) -> int:
    return len([call for call in replay.calls() if call[0] == program and call[1:] != ["-V"]])


@pytest.fixture
def far(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Site, Replay]:
    site = new_site(tmp_path / "site")
    replay = install(tmp_path / "site", monkeypatch, request.param)
    assert "error" not in site.init(scheduler=request.param)
    return site, replay


@pytest.mark.parametrize("far", SCHEDULERS, indirect=True)
def test_a_package_is_submitted_runs_and_is_recorded(far: tuple[Site, Replay]) -> None:
    site, replay = far
    program, said, job = SCHEDULERS[replay.scheduler]
    replay.says(program, said)
    sent = launched(site, replay.scheduler, tasks=3)
    assert site.send(sent) == [{"package": sent, "submission": 1, "job": job}]
    assert submissions(replay, program) == 1
    for index in (1, 2, 3):
        assert run_element(site, replay.scheduler, sent, index) == 0
    state = site.verb("state", {"packages": [sent], "tasks": False})
    assert (state["counts"], state["final"], state["jobs"]) == ({"COMPLETED": 3}, True, [job])
    data = b"\n".join(path.read_bytes() for path in sorted(site.submission(sent).glob("blocks/*.data")))
    lines = [line for line in data.decode().splitlines() if line and not line.startswith("{")]
    assert lines == [f"{task} {job} local" for task in (1, 2, 3)]
    assert (site.submission(sent) / "elements.log").read_bytes() == b""


@pytest.mark.parametrize("far", SCHEDULERS, indirect=True)
def test_a_submission_without_a_receipt_is_found_by_its_name(far: tuple[Site, Replay]) -> None:
    site, replay = far
    program, said, job = SCHEDULERS[replay.scheduler]
    replay.says(program, said)
    sent = launched(site, replay.scheduler, tasks=3)
    site.send(sent)
    (site.submission(sent) / "receipt.json").unlink()
    name = f"cj-{sent[:12]}-1"
    replay.says("qselect", "1234[].srv\n")
    replay.says("bjobs", f"1234^{name}[1]\n1234^{name}[2]\n")
    replay.says("condor_q", '[\n{\n  "ClusterId": 1234\n}\n]\n')
    asked = {"package": sent, "submission": 1, "token": sent}
    assert site.verb("submit", asked) == {"package": sent, "submission": 1, "job": job}
    assert submissions(replay, program) == 1


@pytest.mark.parametrize("far", ["pbs", "lsf"], indirect=True)
def test_an_element_that_is_started_again_without_a_word_goes_on(far: tuple[Site, Replay]) -> None:
    site, replay = far
    program, said, job = SCHEDULERS[replay.scheduler]
    replay.says(program, said)
    sent = launched(site, replay.scheduler, tasks=2, main=DEADLY)
    site.send(sent)
    assert [run_element(site, replay.scheduler, sent, 2) for _ in range(2)] == [-9, 0]
    blocks = [path.name for path in sorted(site.submission(sent).glob("blocks/*.claim"))]
    assert blocks == ["000002-01.claim", "000002-02.claim"]
    records = [
        json.loads(line)
        for path in sorted(site.submission(sent).glob("blocks/*.records"))
        for line in path.read_text().splitlines()
    ]
    assert [(record["task"], record["attempt"], record["state"], record["job"]) for record in records] == [
        (2, 1, "NODE_FAIL", job),
        (2, 2, "COMPLETED", job),
    ]
