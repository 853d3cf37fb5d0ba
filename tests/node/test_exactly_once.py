"""A submission to a real scheduler: one job whatever dies, hangs or lies, and whoever asks again."""

from __future__ import annotations

import itertools
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cjnode import processes
from cjnode.files import age_s
from cjnode.jobs import acting

from .cluster_kit import Site, resources, wait_for
from .fake_slurm import FakeSlurm

KILLED = Path(__file__).parent / "killed.py"


def package(site: Site, tasks: int = 3, **changes: Any) -> str:
    job = "#!/bin/sh\n#SBATCH --requeue\nexit 0\n"
    found = {"resources": resources(jobs=None), **changes}
    return site.package(scheduler="slurm", job=job, tasks=tasks, **found)


def asked(sent: str) -> dict[str, Any]:
    return {"package": sent, "submission": 1, "token": sent}


def name(sent: str) -> str:
    return f"cj-{sent[:12]}-1"


def receipt(site: Site, sent: str) -> str:
    fields = json.loads((site.submission(sent) / "receipt.json").read_bytes())
    return str(fields["job"])


def test_a_push_submits_one_array_of_all_tasks(site: Site, slurm: FakeSlurm) -> None:
    sent = package(site)
    assert site.send(sent) == [{"package": sent, "submission": 1, "job": "7"}]
    assert slurm.jobs() == [("7", name(sent), 3)]
    assert not any("--name=" + name(sent) in words for words in slurm.calls("squeue"))  # nothing was unclear
    script = site.submission(sent) / "job-1.sh"
    assert slurm.calls("sbatch")[0][-1] == str(script)
    assert script.read_text().splitlines()[:2] == ["#!/bin/sh", "#SBATCH --requeue"]
    assert list((site.root / "backlog").glob("*.json")) == []
    assert site.verb("submit", asked(sent)) == {"package": sent, "submission": 1, "job": "7"}
    assert len(slurm.jobs()) == 1


@pytest.mark.parametrize(
    "word",
    [
        "cluster",
        "silent",
        "timeout",
        "timeout-before",
        "refuse-after",
        "garbage",
        "garbage-after",
        "die-before",
        "die-after",
    ],
)
def test_whatever_sbatch_says_there_is_one_job(site: Site, slurm: FakeSlurm, word: str) -> None:
    slurm.will(word)
    sent = package(site)
    (answer,) = site.send(sent)
    assert answer == {"package": sent, "submission": 1, "job": "7"}
    assert slurm.jobs() == [("7", name(sent), 3)]


@pytest.mark.parametrize("word", ["kill-before", "kill-after"])
def test_a_hook_killed_around_sbatch_is_finished_by_the_next_call(
    site: Site, slurm: FakeSlurm, word: str
) -> None:
    slurm.will(word)
    sent = package(site)
    assert site.send(sent) == []
    (line,) = [site.verb("state", {"packages": [sent], "fresh": True})]
    assert line["counts"] == {"PENDING": 3}
    assert site.verb("submit", asked(sent))["job"] == "7"
    assert slurm.jobs() == [("7", name(sent), 3)]


def test_an_sbatch_that_outlives_its_hook_is_waited_for(site: Site, slurm: FakeSlurm) -> None:
    slurm.will("linger-before")
    sent = package(site)
    assert site.send(sent) == []
    lingers = slurm.folder / "lingers"
    wait_for(lingers.exists)
    line = site.verb("state", {"packages": [sent], "fresh": True})
    assert line["reasons"] == {
        "not submitted yet: the scheduler's program of a submission that was cut off still runs": 3
    }
    again = subprocess.Popen(
        (sys.executable, "-I", "-S", site.root / "cjnode.pyz", "submit", "--root", site.root),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert again.stdin is not None
    again.stdin.write(json.dumps(asked(sent)).encode())
    again.stdin.close()
    slurm.say("go", "")
    assert again.stdout is not None
    assert json.loads(again.stdout.read()) == {"package": sent, "submission": 1, "job": "7"}
    again.wait()
    assert slurm.jobs() == [("7", name(sent), 3)]


def test_a_scheduler_that_does_not_answer_gets_no_second_job(
    site: Site, slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    slurm.will("kill-after")
    sent = package(site)
    site.send(sent)
    slurm.say("queue", "down")
    unclear = "not submitted yet: it is not clear whether the scheduler has it: "
    wait_for(
        lambda: next(iter(site.verb("state", {"packages": [sent], "fresh": True})["reasons"])).startswith(
            unclear
        )
    )
    assert site.verb("state", {"packages": [sent], "fresh": True})["counts"] == {"PENDING": 3}
    assert len(slurm.jobs()) == 1
    slurm.say("queue", "")
    wait_for(lambda: site.verb("state", {"packages": [sent], "fresh": True})["jobs"] == ["7"])
    assert receipt(site, sent) == "7"


@pytest.mark.slow
def test_an_sbatch_that_never_ends_is_ended_and_its_job_found(site: Site, slurm: FakeSlurm) -> None:
    slurm.will("wait")
    sent = package(site)
    assert site.send(sent) == [{"package": sent, "submission": 1, "job": "7"}]
    assert slurm.jobs() == [("7", name(sent), 3)]


def test_a_lost_job_is_found_by_state_too_and_its_twin_is_ended(site: Site, slurm: FakeSlurm) -> None:
    slurm.will("kill-after")
    sent = package(site)
    site.send(sent)
    with (slurm.folder / "jobs").open("a") as file:
        file.write(json.dumps(["8", name(sent), 3, "twin"]) + "\n")
    wait_for(lambda: site.verb("state", {"packages": [sent], "fresh": True})["jobs"] == ["7"])
    assert slurm.jobs() == [("7", name(sent), 3)]
    assert slurm.calls("scancel") == [["8"]]


def test_two_submits_at_once_make_one_job(site: Site, slurm: FakeSlurm) -> None:
    sent = package(site)
    slurm.will("refuse")
    site.send(sent)
    slurm.will("wait")
    command = (sys.executable, "-I", "-S", site.root / "cjnode.pyz", "submit", "--root", site.root)
    many = []
    for _ in range(5):
        many.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
        stdin = many[-1].stdin
        assert stdin is not None
        stdin.write(json.dumps(asked(sent)).encode())
        stdin.close()
    wait_for(lambda: len(slurm.calls("sbatch")) == 2)
    line = site.verb("state", {"packages": [sent], "fresh": True})
    assert line["reasons"] == {"not submitted yet: it is being submitted": 3}
    slurm.say("go", "")
    for process in many:
        assert process.stdout is not None
        assert json.loads(process.stdout.read()) == {"package": sent, "submission": 1, "job": "7"}
        process.wait()
    assert slurm.jobs() == [("7", name(sent), 3)]


def test_a_refused_submission_keeps_the_words_and_can_be_tried_again(site: Site, slurm: FakeSlurm) -> None:
    slurm.will("refuse")
    sent = package(site)
    (answer,) = site.send(sent)
    assert answer["error"] == "sbatch refused: invalid partition specified: nosuch"
    line = site.verb("state", {"packages": [sent], "fresh": True})
    assert (line["counts"], line["jobs"]) == ({"PENDING": 3}, [])
    assert line["problems"] == [
        "the scheduler refused submission 1: sbatch refused: invalid partition specified: nosuch"
    ]
    assert len(slurm.calls("sbatch")) == 1  # by itself it is not tried again
    assert site.verb("submit", asked(sent))["job"] == "7"
    assert site.verb("state", {"packages": [sent], "fresh": True})["problems"] == []


def test_a_program_that_is_missing_is_a_refusal(site: Site, slurm: FakeSlurm) -> None:
    (slurm.folder / "bin" / "sbatch").rename(slurm.folder / "sbatch")
    sent = package(site)
    (answer,) = site.send(sent)
    assert answer["error"] == "sbatch: No such file or directory"
    (slurm.folder / "sbatch").rename(slurm.folder / "bin" / "sbatch")
    assert site.verb("submit", asked(sent))["job"] == "7"


def test_a_hook_killed_at_any_step_leaves_one_job_after_the_next_call(site: Site, slurm: FakeSlurm) -> None:
    program = site.folder / "python-that-dies"
    python = shlex.quote(sys.executable)
    program.write_text(
        f'#!/bin/sh\n[ -n "$KILL_AT" ] || exec {python} "$@"\nexec {python} {shlex.quote(str(KILLED))} "$@"\n'
    )
    program.chmod(0o700)
    (site.root / "python").write_text(f"{program}\n")
    note = site.folder / "note"
    for number in itertools.count(1):
        sent = package(site, seed=number)
        variables = {"KILL_AT": str(number), "KILL_ROLE": "hook", "KILL_NOTE": str(note)}
        site.push(f"{sent}:refs/cj/inbox/{sent}", variables=variables)
        if not note.exists():
            break
        reply = site.verb("submit", asked(sent))
        assert [job for job in slurm.jobs() if job[1] == name(sent)] == [(reply["job"], name(sent), 3)], (
            note.read_text()
        )
        note.unlink()
    assert number > 12


def test_who_cannot_be_seen_is_dead_after_a_while(tmp_path: Path) -> None:
    fields = {**processes.identity(os.getpid())._asdict(), "machine": "another", "session": 1, "format": 1}
    path = tmp_path / "acting-1-1.json"
    path.write_text(json.dumps(fields))
    assert acting.being_submitted(str(tmp_path), 1)
    age = age_s(str(path))
    assert age is not None
    assert age < 60
    os.utime(path, (1, 1))
    assert not acting.being_submitted(str(tmp_path), 1)


def test_an_sbatch_that_hangs_without_its_hook_is_ended(site: Site, slurm: FakeSlurm) -> None:
    slurm.will("linger-before")
    sent = package(site)
    site.send(sent)
    lingers = slurm.folder / "lingers"
    wait_for(lingers.exists)
    os.utime(site.submission(sent) / "acting-1-1.json", (1, 1))
    assert site.verb("submit", asked(sent))["job"] == "7"
    assert processes.identity(int(lingers.read_text())).start == ""
    assert slurm.jobs() == [("7", name(sent), 3)]
