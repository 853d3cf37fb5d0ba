"""Tasks that failed and that their workers cannot run again: a further submission, made once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from cjnode.records import blocks, claims
from cjnode.schedulers import MODULES, JobSpec, batch_script, part_script

from .cluster_kit import Site, resources
from .fake_slurm import FakeSlurm
from .test_retries import grow, policy

LONG_AGO = "2020-01-01T00:00:00.000000Z"
ASKED = resources(jobs=None, memory_mb=1000, walltime_s=600)

# Fails in its first attempts, as many as its parameter says; then by what ``act`` does.
MAIN = """\
import os, sys
if int(os.environ["CJ_ATTEMPT"]) <= int(os.environ["CJ_PARAM_x"]):
    {act}
print("done")
"""


def sent(
    site: Site, retry: dict[str, Any] | None, tasks: int = 2, act: str = "sys.exit(1)", **more: Any
) -> str:
    """A package whose task k fails k - 1 times, on the cluster."""
    job = batch_script("slurm", JobSpec(sys.executable, [], ASKED))
    found = site.package(
        scheduler="slurm",
        job=job,
        tasks=tasks,
        resources=ASKED,
        retry=retry,
        main=MAIN.format(act=act),
        **more,
    )
    assert "job" in site.send(found)[0]
    return found


def state(site: Site, package: str, **more: Any) -> dict[str, Any]:
    return site.verb("state", {"packages": [package], "fresh": True, **more})


def tasks(site: Site, package: str) -> list[tuple[int, str]]:
    """Attempt and state of each task."""
    request = json.dumps({"packages": [package], "fresh": True, "tasks": True}).encode()
    argv = (site.python, "-I", "-S", site.root / "cjnode.pyz", "state", "--root", site.root)
    lines = subprocess.run(argv, input=request, capture_output=True, check=True).stdout.splitlines()[1:]
    return [(line["attempt"], line["state"]) for line in map(json.loads, lines)]


def run(site: Site, package: str, number: int, *elements: int, code: int | None = None) -> None:
    """Run elements of a submission as the scheduler would."""
    job = json.loads((site.submission(package, number) / "receipt.json").read_bytes())["job"]
    for element in elements:
        environ = {
            "PATH": "/usr/bin:/bin",
            "HOME": "/",
            "SLURM_ARRAY_JOB_ID": job,
            "SLURM_ARRAY_TASK_ID": f"{element}",
        }
        argv = ("sh", str(site.submission(package, number) / "job-1.sh"))
        done = subprocess.run(argv, env=environ, cwd="/", start_new_session=True)
        assert code in (None, done.returncode)


def claimed(site: Site, package: str, element: int, task: int, number: int = 1) -> None:
    """Let an element be at a task when it dies."""
    folder = site.submission(package, number)
    job = json.loads((folder / "receipt.json").read_bytes())["job"]
    path = blocks.block_path(str(folder), element, 1, "claim")
    fd = claims.create_claim(path, claims.Claim(job, element, 1, "n1", 99))
    assert fd is not None
    claims.write_current(fd, task, number, LONG_AGO)
    os.close(fd)


def rows(slurm: FakeSlurm, package: str, *lines: str, number: int = 1) -> None:
    """What squeue lists; each line without the name."""
    slurm.say("rows", "".join(f"{line}|cj-{package[:12]}-{number}\n" for line in lines))


def intent(site: Site, package: str, number: int) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads((site.submission(package, number) / "intent.json").read_bytes())
    return fields


def directives(site: Site, package: str, number: int) -> list[str]:
    text = (site.submission(package, number) / "job-1.sh").read_text()
    return [line for line in text.splitlines() if line.startswith("#SBATCH")]


def test_a_task_out_of_memory_is_submitted_again_with_more(site: Site, slurm: FakeSlurm) -> None:
    package = sent(site, policy(2, memory=grow(2.0)))
    claimed(site, package, 2, 2)
    run(site, package, 1, 1, code=0)
    rows(slurm, package, "7_1|COMPLETED|None", "7_2|OUT_OF_MEMORY|OutOfMemory")
    found = state(site, package)
    assert (found["counts"], found["final"]) == ({"COMPLETED": 1, "PENDING": 1}, False)
    wanted = intent(site, package, 2)
    assert (wanted["tasks"], wanted["attempt"], wanted["first"], wanted["source"]) == ("2", 2, 1, 1)
    assert wanted["causes"] == {"OUT_OF_MEMORY": "2"}
    assert wanted["resources"] == {**ASKED, "memory_mb": 2000}
    assert "#SBATCH --mem=1000M" in directives(site, package, 1)
    assert [line for line in directives(site, package, 2) if "1000M" in line] == []
    assert "#SBATCH --mem=2000M" in directives(site, package, 2)
    assert "#SBATCH --time=0-00:10:00" in directives(site, package, 2)
    assert [each[1] for each in slurm.jobs()] == [f"cj-{package[:12]}-1", f"cj-{package[:12]}-2"]
    state(site, package)
    assert len(slurm.jobs()) == 2
    run(site, package, 2, 1, code=0)
    found = state(site, package)
    assert (found["counts"], found["final"]) == ({"COMPLETED": 2}, True)
    assert tasks(site, package) == [(1, "COMPLETED"), (2, "COMPLETED")]
    text = next(site.submission(package, 2).glob("blocks/*.records")).read_text()
    records = [json.loads(line) for line in text.splitlines()]
    assert [(each["attempt"], each["state"], each["note"]) for each in records] == [
        (2, "COMPLETED", "asked for memory 2000 MB"),
        (1, "OUT_OF_MEMORY", "job 7: the scheduler says OUT_OF_MEMORY: OutOfMemory"),
    ]


def test_a_second_growth_counts_from_the_first(site: Site, slurm: FakeSlurm) -> None:
    package = sent(site, policy(3, memory=grow(2.0)), tasks=1)
    claimed(site, package, 1, 1)
    for number, amount in ((2, 2000), (3, 4000)):
        rows(slurm, package, f"{number + 5}|OUT_OF_MEMORY|None", number=number - 1)
        assert state(site, package)["counts"] == {"PENDING": 1}
        assert f"#SBATCH --mem={amount}M" in directives(site, package, number)
        if number == 2:
            claimed(site, package, 1, 1, number=2)
    run(site, package, 3, 1, code=0)
    assert state(site, package)["final"]
    assert tasks(site, package) == [(3, "COMPLETED")]


@pytest.mark.parametrize("scheduler", sorted(set(MODULES) - {"local"}))
def test_a_script_that_asks_for_the_same_is_the_package_s_own(scheduler: str) -> None:
    asked = {**ASKED, "cpus": 2, "nodes": 1, "alloc": ["-q long"]}
    own = batch_script(scheduler, JobSpec("/usr/bin/python3", ["module load x"], asked))
    made = batch_script(scheduler, JobSpec("", [], asked))
    assert part_script(own, "/r", "p", 2, 1, "log") == part_script(made, "/r", "p", 2, 1, "log")
    more = batch_script(scheduler, JobSpec("", [], {**asked, "memory_mb": 4000}))
    assert (made == more) == (scheduler == "htcondor")  # there it stands in the submit description


def test_each_cause_and_each_amount_is_a_submission(site: Site, slurm: FakeSlurm) -> None:
    package = sent(site, policy(3, memory=grow(2.0), walltime=grow(1.0, 300)), tasks=4)
    for task in (2, 3, 4):
        claimed(site, package, task, task)
    run(site, package, 1, 1)
    ended = ("TIMEOUT", "OUT_OF_MEMORY", "TIMEOUT")
    rows(slurm, package, *(f"7_{task}|{word}|None" for task, word in zip((2, 3, 4), ended, strict=True)))
    assert state(site, package)["counts"] == {"COMPLETED": 1, "PENDING": 3}
    found = {intent(site, package, n)["tasks"]: intent(site, package, n)["resources"] for n in (2, 3)}
    assert found == {"2,4": {**ASKED, "walltime_s": 900}, "3": {**ASKED, "memory_mb": 2000}}


def test_nothing_follows_the_cap_or_a_cause_that_is_not_named(site: Site, slurm: FakeSlurm) -> None:
    package = sent(site, policy(1, "TIMEOUT"), tasks=2)
    claimed(site, package, 1, 1)
    claimed(site, package, 2, 2)
    rows(slurm, package, "7_1|OUT_OF_MEMORY|None", "7_2|TIMEOUT|None")
    assert state(site, package)["counts"] == {"OUT_OF_MEMORY": 1, "PENDING": 1}
    claimed(site, package, 1, 2, number=2)
    rows(slurm, package, "8_1|TIMEOUT|None", "8|TIMEOUT|None", number=2)
    found = state(site, package)
    assert (found["counts"], found["final"]) == ({"OUT_OF_MEMORY": 1, "TIMEOUT": 1}, True)
    assert tasks(site, package) == [(1, "OUT_OF_MEMORY"), (2, "TIMEOUT")]
    assert len(slurm.jobs()) == 2


def test_growth_ends_where_the_site_has_no_more(site: Site, slurm: FakeSlurm) -> None:
    package = sent(site, policy(5, memory=grow(4.0, 0, 1500)), tasks=1)
    claimed(site, package, 1, 1)
    rows(slurm, package, "7|OUT_OF_MEMORY|None")
    assert state(site, package)["counts"] == {"PENDING": 1}
    assert "#SBATCH --mem=1500M" in directives(site, package, 2)
    claimed(site, package, 1, 1, number=2)
    rows(slurm, package, "8|OUT_OF_MEMORY|None", number=2)
    assert state(site, package)["counts"] == {"OUT_OF_MEMORY": 1}
    assert state(site, package)["final"]


def test_growth_ends_where_the_partition_has_no_more(site: Site, slurm: FakeSlurm) -> None:
    slurm.say("partitions", "PartitionName=main Default=YES MaxTime=00:15:00 MaxMemPerNode=UNLIMITED\n")
    package = sent(site, policy(5, walltime=grow(10.0)), tasks=1)
    claimed(site, package, 1, 1)
    rows(slurm, package, "7|TIMEOUT|None")
    assert state(site, package)["counts"] == {"PENDING": 1}
    assert "#SBATCH --time=0-00:15:00" in directives(site, package, 2)
    claimed(site, package, 1, 1, number=2)
    rows(slurm, package, "8|TIMEOUT|None", number=2)
    assert state(site, package)["counts"] == {"TIMEOUT": 1}


def test_what_is_due_waits_while_other_tasks_go_on(site: Site, slurm: FakeSlurm) -> None:
    """Each submission is a job: one a failure would be as many as there are tasks."""
    package = sent(site, policy(2, memory=grow()))
    claimed(site, package, 1, 1)
    claimed(site, package, 2, 2)
    rows(slurm, package, "7_1|RUNNING|None", "7_2|OUT_OF_MEMORY|None")
    found = state(site, package)
    assert (found["counts"], found["final"]) == ({"RUNNING": 1, "PENDING": 1}, False)
    assert found["reasons"] == {"others of the package, to be submitted again after OUT_OF_MEMORY": 1}
    assert len(slurm.jobs()) == 1
    os.utime(site.submission(package) / "intent.json", (1, 1))
    state(site, package)
    assert len(slurm.jobs()) == 2


def test_what_is_due_does_not_wait_for_tasks_that_nobody_runs(site: Site, slurm: FakeSlurm) -> None:
    package = sent(site, policy(2, memory=grow()))
    claimed(site, package, 2, 2)
    # The worker of the other came to its walltime.
    Path(blocks.stopped_path(str(site.submission(package)))).touch()
    rows(slurm, package, "7_2|OUT_OF_MEMORY|None")
    state(site, package)
    slurm.say("rows", "")
    state(site, package)
    found = list(site.submission(package).glob("gone*.json"))
    assert found
    for path in found:
        path.write_text(json.dumps({**json.loads(path.read_text()), "first": LONG_AGO}))
        os.utime(path, (1, 1))
    state(site, package)
    assert len(slurm.jobs()) == 2
    assert intent(site, package, 2)["tasks"] == "2"


def test_a_submission_that_is_refused_leaves_the_task_as_it_ended(site: Site, slurm: FakeSlurm) -> None:
    package = sent(site, policy(2, memory=grow()), tasks=1)
    claimed(site, package, 1, 1)
    rows(slurm, package, "7|OUT_OF_MEMORY|None")
    slurm.will("refuse")
    state(site, package)
    for _ in range(2):
        found = state(site, package)
        assert (found["counts"], found["final"]) == ({"OUT_OF_MEMORY": 1}, True)
        assert any("refused submission 2" in problem for problem in found["problems"])
    assert len(slurm.calls("sbatch")) == 2


def test_a_site_that_is_full_takes_it_later(site: Site, slurm: FakeSlurm) -> None:
    package = sent(site, policy(2, memory=grow()), tasks=1)
    claimed(site, package, 1, 1)
    rows(slurm, package, "7|OUT_OF_MEMORY|None")
    slurm.will("full")
    assert state(site, package)["counts"] == {"PENDING": 1}
    assert len(slurm.jobs()) == 1
    assert state(site, package)["counts"] == {"PENDING": 1}
    assert len(slurm.jobs()) == 2
    assert "#SBATCH --mem=2000M" in directives(site, package, 2)


def test_many_who_look_at_once_submit_once(site: Site, slurm: FakeSlurm) -> None:
    package = sent(site, policy(2, memory=grow()), tasks=3)
    for task in (1, 2, 3):
        claimed(site, package, task, task)
    rows(slurm, package, "7_1|OUT_OF_MEMORY|None", "7_2|TIMEOUT|None", "7_3|OUT_OF_MEMORY|None")
    request = json.dumps({"packages": [package], "fresh": True}).encode()
    argv = (site.python, "-I", "-S", site.root / "cjnode.pyz", "state", "--root", site.root)
    looks = [subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(6)]
    for look in looks:
        assert look.stdin is not None
        look.stdin.write(request)
        look.stdin.close()
    answers = [json.loads(look.stdout.read().splitlines()[0]) for look in looks if look.stdout]
    assert [look.wait(60) for look in looks] == [0] * 6
    assert all(answer["counts"] == {"PENDING": 3} and not answer["final"] for answer in answers)
    state(site, package)
    assert sorted(elements for _, _, elements in slurm.jobs()) == [1, 2, 3]
    assert sorted(intent(site, package, n)["tasks"] for n in (2, 3)) == ["1,3", "2"]
    assert not site.submission(package, 4).exists()


def test_a_cancel_while_others_look_leaves_nothing_to_run(site: Site, slurm: FakeSlurm) -> None:
    package = sent(site, policy(2, memory=grow()), tasks=2)
    claimed(site, package, 1, 1)
    claimed(site, package, 2, 2)
    rows(slurm, package, "7_1|OUT_OF_MEMORY|None", "7_2|TIMEOUT|None")
    verbs: list[tuple[str, dict[str, Any]]] = [("state", {"packages": [package], "fresh": True})] * 3
    verbs.insert(1, ("cancel", {"package": package, "tasks": None, "token": "t1"}))
    running = []
    for verb, request in verbs:
        argv = (site.python, "-I", "-S", site.root / "cjnode.pyz", verb, "--root", site.root)
        running.append(subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL))
        stdin = running[-1].stdin
        assert stdin is not None
        stdin.write(json.dumps(request).encode())
        stdin.close()
    assert [each.wait(60) for each in running] == [0] * 4
    found = state(site, package)
    for job, name, elements in slurm.jobs():  # one that came after the cancel finds nothing to do
        number = int(name.rpartition("-")[2])
        assert (number, job) > (1, "")
        run(site, package, number, *range(1, elements + 1))
    found = state(site, package)
    assert (found["counts"], found["final"]) == ({"CANCELLED": 2}, True)
    assert not list(site.root.glob("packages/*/submissions/*/blocks/*.data"))


def test_who_waits_for_a_package_waits_for_its_retries_and_has_them_made(
    site: Site, slurm: FakeSlurm
) -> None:
    first = sent(site, policy(1, memory=grow()), tasks=1)
    second = sent(site, None, 1, seed=2, after=[{"package": first, "when": "ok", "cluster": "local"}])
    claimed(site, first, 1, 1)
    slurm.say("rows", f"7|OUT_OF_MEMORY|None|cj-{first[:12]}-1\n8|PENDING|Dependency|cj-{second[:12]}-1\n")
    run(site, second, 1, 1)  # Slurm's dependency knows of the first job alone
    slurm.say("rows", f"7|OUT_OF_MEMORY|None|cj-{first[:12]}-1\n9|PENDING|None|cj-{first[:12]}-2\n")
    for _ in range(2):
        found = state(site, second)
        assert not found["final"]
    assert f"cj-{first[:12]}-2" in [name for _, name, _ in slurm.jobs()]
    run(site, first, 2, 1, code=0)
    state(site, second)
    assert [name for _, name, _ in slurm.jobs()][-1] == f"cj-{second[:12]}-2"


def test_a_cancel_takes_back_what_is_due_and_what_is_submitted(site: Site, slurm: FakeSlurm) -> None:
    package = sent(site, policy(2, memory=grow()))
    claimed(site, package, 1, 1)
    claimed(site, package, 2, 2)
    rows(slurm, package, "7_1|RUNNING|None", "7_2|OUT_OF_MEMORY|None")
    state(site, package)
    ask = {"package": package, "tasks": "2", "token": "t1"}
    assert site.verb("cancel", ask) == {"package": package, "cancelled": 1}
    rows(slurm, package, "7_1|OUT_OF_MEMORY|None", "7_2|OUT_OF_MEMORY|None")
    assert state(site, package)["counts"] == {"CANCELLED": 1, "PENDING": 1}
    assert intent(site, package, 2)["tasks"] == "1"
    assert site.verb("cancel", {"package": package, "tasks": None, "token": "t2"})["cancelled"] > 0
    found = state(site, package)
    assert (found["counts"], found["final"]) == ({"CANCELLED": 2}, True)
    assert slurm.jobs() == []


KILL = """\
import os, signal, subprocess, sys
left = [{at}]
def deadly(name, owner):
    real = getattr(owner, name)
    def call(*words, **more):
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*words, **more)
    setattr(owner, name, call)
for name in ("link", "rename", "mkdir", "unlink"):
    deadly(name, os)
deadly("__init__", subprocess.Popen)
sys.argv = ["cjnode", "state", "--root", {root!r}]
sys.path.insert(0, {root!r} + "/cjnode.pyz")
from cjnode.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_a_look_killed_anywhere_submits_once(tmp_path: Path, site: Site, slurm: FakeSlurm) -> None:
    at = 0
    while True:
        at += 1
        package = sent(site, policy(2, memory=grow(2.0 + at / 100)), tasks=1)
        before = len(slurm.jobs())
        job = slurm.jobs()[-1][0]
        claimed(site, package, 1, 1)
        rows(slurm, package, f"{job}|OUT_OF_MEMORY|None")
        code = KILL.format(at=at, root=str(site.root))
        words = json.dumps({"fresh": True, "packages": [package]}).encode()
        look = subprocess.run((site.python, "-IS", "-c", code), input=words, capture_output=True)
        found = state(site, package)
        for _ in range(20):
            if len(slurm.jobs()) > before:
                break
            time.sleep(0.1)
            found = state(site, package)
        assert found["counts"] == {"PENDING": 1}
        assert [name for _, name, _ in slurm.jobs()[before:]] == [f"cj-{package[:12]}-2"]
        if look.returncode != -9:
            break
    assert at > 10
