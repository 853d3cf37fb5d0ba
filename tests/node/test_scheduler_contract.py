"""What every scheduler's module must do: one suite, pure for all, on the real thing where it is to be had."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from cjnode import schedulers
from cjnode.errors import NodeError
from cjnode.schedulers import JobSpec, Limits, batch_script, part_script

from .scheduler_kit import NOTHING, PACKAGE, REAL, Desk, desk, is_over

ALL = sorted(schedulers.MODULES)
# HTCondor's requests stand in the submit description, which is made for each part.
DIRECTIVES = [name for name in ALL if name not in ("local", "htcondor")]
# Sites name these by words of their own, which alloc gives.
REFUSED = [("sge", "nodes"), ("sge", "gpus")]
ASKED = {"nodes": 1, "tasks_per_node": 2, "cpus": 3, "gpus": 1, "memory_mb": 1000, "walltime_s": 95400}


def script(scheduler: str, **asked: Any) -> str:
    return batch_script(scheduler, JobSpec("/opt/my python", ["module load R"], {**NOTHING, **asked}))


def assert_valid(text: str) -> None:
    done = subprocess.run(("sh", "-n"), input=text, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("scheduler", ALL)
def test_a_batch_script_is_a_valid_shell_script_of_its_arguments_alone(scheduler: str) -> None:
    asked = {key: value for key, value in ASKED.items() if key != "gpus"}
    text = script(scheduler, **asked)
    assert text == script(scheduler, **asked)
    assert_valid(text)
    assert "module load R" in text.split("\n")
    assert "'/opt/my python'" in text


@pytest.mark.parametrize("scheduler", ALL)
def test_the_script_that_is_handed_over_is_valid_and_has_the_directives(scheduler: str) -> None:
    text = script(scheduler, walltime_s=60, alloc=["-q short"])
    handed = part_script(text, "/r/it's here", PACKAGE, 1, 11, "/r/it's here/log")
    assert_valid(handed)
    marks = ("#SBATCH ", "#PBS ", "#BSUB ", "#$ ")
    directives = [line for line in text.split("\n") if line.startswith(marks)]
    assert [line for line in handed.split("\n") if line.startswith(marks)] == directives


@pytest.mark.parametrize("scheduler", DIRECTIVES)
@pytest.mark.parametrize("key", ASKED)
def test_each_resource_is_in_the_script_or_refused_by_name(scheduler: str, key: str) -> None:
    value = 4 if key == "nodes" else ASKED[key]
    if (scheduler, key) in REFUSED:
        with pytest.raises(NodeError, match=f"^{key}: ") as refusal:
            script(scheduler, **{key: value})
        assert "alloc" in refusal.value.hint
    else:
        assert script(scheduler, **{key: value}) != script(scheduler)


@pytest.mark.parametrize("scheduler", DIRECTIVES)
def test_a_flag_of_several_words_is_one_directive(scheduler: str) -> None:
    flag = "-l 'a \"b\" c'"
    line = [line for line in script(scheduler, alloc=[flag]).split("\n") if flag in line]
    assert len(line) == 1
    assert line[0].endswith(" " + flag)


@pytest.mark.parametrize("scheduler", DIRECTIVES)
@pytest.mark.parametrize("flag", ["-q a\nrm -rf x", "-q a\r\nb", "-q \x1b[31m", "-q a\x00", "", "  "])
def test_a_flag_cannot_leave_its_line(scheduler: str, flag: str) -> None:
    with pytest.raises(NodeError, match="alloc"):
        script(scheduler, alloc=[flag])


@pytest.fixture(params=REAL)
def at(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """A desk at each real scheduler; what is left there is ended."""
    scheduler: str = request.param
    made = desk(scheduler, tmp_path / "it's a root", monkeypatch, request)
    yield made
    made.go()
    with suppress(NodeError):
        for name in made.names:
            for job in schedulers.find(scheduler, str(made.root), name):
                schedulers.cancel(scheduler, str(made.root), job)


def test_each_element_of_a_part_runs_once_and_knows_who_it_is(at: Desk) -> None:
    part, one = at.job(5, first=11), at.job(1, first=16)
    array, plain = at.submit(part), at.submit(one)
    assert schedulers.find(at.scheduler, str(at.root), part.name) == [array]
    assert schedulers.find(at.scheduler, str(at.root), one.name) == [plain]
    at.wait_for_end(array, plain)
    told = at.told()
    assert [words[:3] for words in told] == [
        *([str(element), "0", array] for element in range(11, 16)),
        ["16", "0", plain],
    ]
    assert all(words[3] for words in told)


def test_a_job_is_found_by_its_exact_name_while_it_is_there(at: Desk) -> None:
    job = at.job()
    assert schedulers.find(at.scheduler, str(at.root), job.name) == []
    submitted = at.submit(job)
    assert schedulers.find(at.scheduler, str(at.root), job.name) == [submitted]
    assert schedulers.find(at.scheduler, str(at.root), job.name + "0") == []
    assert schedulers.find(at.scheduler, str(at.root), job.name[:-1]) == []


def test_a_throttled_array_shows_which_elements_wait(at: Desk) -> None:
    job = at.submit(at.job(6, jobs=2))
    status = at.wait(job, lambda now: now is not None and now.waiting == "3-6", "two running elements")
    assert status
    assert status.state == "RUNNING"
    assert {index: element.state for index, element in status.elements.items()} == {
        1: "RUNNING",
        2: "RUNNING",
    }
    assert schedulers.limits(at.scheduler, str(at.root)).present >= 6


def test_a_held_job_starts_when_it_is_released(at: Desk) -> None:
    at.setup = ('[ -e "$ROOT/go" ] || exec sleep 1000', *at.setup)
    blocking = at.submit(at.job(3, jobs=1))
    at.wait(blocking, lambda now: now is not None and now.state == "RUNNING", "a running element")
    schedulers.hold(at.scheduler, str(at.root), blocking)
    # What runs goes on; what waits is held.
    held = at.wait(blocking, lambda now: now is not None and now.waiting == "2-3", "two elements")
    assert held
    assert held.state == "RUNNING"
    assert schedulers.explain(at.scheduler, held.reason) != held.reason
    schedulers.release(at.scheduler, str(at.root), blocking)
    schedulers.cancel(at.scheduler, str(at.root), blocking)
    at.wait(blocking, is_over, "the end")


def test_cancelling_ends_all_and_can_be_repeated(at: Desk) -> None:
    job = at.submit(at.job(4, jobs=2))
    at.wait(job, lambda now: now is not None and now.state == "RUNNING", "a running element")
    for _ in range(2):
        schedulers.cancel(at.scheduler, str(at.root), job)
    at.wait(job, is_over, "the end")
    schedulers.cancel(at.scheduler, str(at.root), job)
    at.go()
    assert len(at.told()) <= 2


def test_what_the_scheduler_does_not_know_is_absent_and_hides_nothing(at: Desk) -> None:
    job = at.submit(at.job())
    unknown = "99999999" if at.scheduler == "slurm" else "999999"
    assert list(at.poll(unknown, job)) == [job]
    assert at.poll(unknown) == {}
    assert at.poll() == {}
    for act in (schedulers.cancel, schedulers.hold, schedulers.release):
        act(at.scheduler, str(at.root), unknown)


def test_a_refusal_has_the_schedulers_own_words_and_a_hint(at: Desk) -> None:
    flag = {"slurm": "--partition=nosuch", "sge": "-q nosuch.q", "torque": "-q nosuch"}[at.scheduler]
    with pytest.raises(NodeError, match="nosuch") as refusal:
        at.submit(at.job(alloc=[flag]))
    assert type(refusal.value) is NodeError
    assert "alloc" in refusal.value.hint


def test_jobs_see_nothing_of_the_environment_that_submits_them_but_the_login(
    at: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("GIT_DIR", "SSH_CONNECTION", "MY_SECRET_TOKEN", "CJ_TASK", "SLURM_ARRAY_TASK_ID"):
        monkeypatch.setenv(name, "leaked")
    monkeypatch.setenv("LANG", "C.UTF-8")
    at.setup = ("env", "exit 0")
    at.wait_for_end(at.submit(at.job()))
    text = at.log.read_text()
    assert "leaked" not in text
    assert "LC_ALL=C\n" not in text
    assert "CJ_ELEMENT=1\n" in text


def test_the_limits_are_known_and_asked_once_a_day(at: Desk) -> None:
    array = {"slurm": 1000, "sge": 75000, "torque": 1000}[at.scheduler]
    queued = None if at.scheduler == "sge" else 10_000
    found = schedulers.limits(at.scheduler, str(at.root))
    assert found == Limits(array, queued, found.present)
    noted = (at.root / "scheduler" / "limits.json").read_text()
    assert schedulers.limits(at.scheduler, str(at.root))[:2] == (array, queued)
    assert (at.root / "scheduler" / "limits.json").read_text() == noted
