"""Verb ``state`` on a cluster with a scheduler: what it lists of elements says what their tasks came to."""

from __future__ import annotations

import io
import json
import os
import threading
from typing import Any

import pytest

from cjnode.records import claims
from cjnode.records.claims import Claim
from cjnode.verbs.state import state
from cjnode.verbs.summary import summary

from .conftest import PACKAGE, STARTED, Root, record
from .fake_slurm import FakeSlurm

LONG_AGO = "2020-01-01T00:00:00.000000Z"
NAME = f"cj-{PACKAGE[:12]}-1"


@pytest.fixture
def array(root: Root) -> Root:
    """A package of five tasks, submitted as an array of five elements, job 7."""
    (root.path / "scheduler").mkdir()
    (root.path / "cluster.json").write_text('{"format":1,"cluster":"far","scheduler":"slurm"}')
    submitted(root, 1, [[1, 5]], ["7"])
    return root


def submitted(root: Root, number: int, parts: list[list[int]], jobs: list[str | None], **more: Any) -> None:
    folder = root.submission(number)
    for part in ("blocks", "cancel"):
        (folder / part).mkdir(parents=True)
    intent = {"tasks": "1-5", "attempt": 1, "block": 1, "elements": 5, "parts": parts, **more}
    root.write(number, "intent.json", intent)
    for at, job in enumerate(jobs, 1):
        if job is not None:
            root.write(number, "receipt.json" if at == 1 else f"receipt-{at}.json", {"job": job})


def claim(root: Root, block: int, element: int, task: int, *, attempt: int = 1, incarnation: int = 1) -> None:
    path = root.file(f"1/{block:06d}-{incarnation:02d}", "claim")
    fd = claims.create_claim(str(path), Claim("7", element, incarnation, "n1", 99))
    assert fd is not None
    claims.write_current(fd, task, attempt, STARTED)
    os.close(fd)


def rows(slurm: FakeSlurm, *lines: str) -> None:
    """What squeue lists; each line without the name."""
    slurm.say("rows", "".join(f"{line}|{NAME}\n" for line in lines))


def ask(root: Root, *, tasks: bool = False, fresh: bool = True) -> list[dict[str, Any]]:
    out = io.BytesIO()
    state(str(root.path), {"packages": [root.package], "tasks": tasks, "fresh": fresh}, out)
    return [json.loads(line) for line in out.getvalue().splitlines()]


def states(root: Root) -> list[str]:
    return [line["state"] for line in ask(root, tasks=True)[1:]]


def age(root: Root, name: str, *old: str) -> None:
    """Let what was noted as seen for the first time have been seen long ago."""
    path = root.submission(1) / name
    fields = json.loads(path.read_text())
    if name == "ends.json":
        fields["unseen"] = dict.fromkeys(fields["unseen"], LONG_AGO)
    else:
        fields["first"] = LONG_AGO
    path.write_text(json.dumps(fields))
    os.utime(path, (0, 0))


@pytest.mark.parametrize(
    ("word", "found"),
    [
        ("OUT_OF_MEMORY", "OUT_OF_MEMORY"),
        ("TIMEOUT", "TIMEOUT"),
        ("NODE_FAIL", "NODE_FAIL"),
        ("CANCELLED", "CANCELLED"),
        ("FAILED", "FAILED"),
    ],
)
def test_a_task_takes_the_word_of_the_element_that_ended_at_it(
    array: Root, slurm: FakeSlurm, word: str, found: str
) -> None:
    claim(array, 1, 1, 1)
    claim(array, 2, 2, 2)
    rows(slurm, "7_[3-5]|PENDING|Resources", "7_1|RUNNING|None", f"7_2|{word}|SomeReason")
    head, _, second, *_ = ask(array, tasks=True)
    assert head["counts"] == {"RUNNING": 1, found: 1, "PENDING": 3}
    assert second == {
        "task": 2,
        "attempt": 1,
        "state": found,
        "job": "7",
        "exit_code": None,
        "started": STARTED,
        "ended": None,
        "host": "n1",
        "max_rss_mb": None,
        "error": None,
        "note": f"the scheduler says {word}",
    }


def test_a_record_outranks_what_the_scheduler_says_of_its_element(array: Root, slurm: FakeSlurm) -> None:
    claim(array, 2, 2, 2)
    array.append("1/000002-01", [record(2)])
    rows(slurm, "7_[3-5]|PENDING|Resources", "7_2|FAILED|NonZeroExitCode")
    assert states(array)[1] == "COMPLETED"


def test_an_element_that_completed_without_a_record_has_lost_its_task_after_the_grace(
    array: Root, slurm: FakeSlurm
) -> None:
    claim(array, 2, 2, 2)
    rows(slurm, "7_[3-5]|PENDING|Resources", "7_2|COMPLETED|None")
    assert states(array)[1] == "RUNNING"
    age(array, "ends.json")
    assert states(array)[1] == "LOST"
    array.append("1/000002-01", [record(2)])
    assert states(array)[1] == "COMPLETED"


def test_accounting_tells_of_an_element_that_is_listed_no_more(array: Root, slurm: FakeSlurm) -> None:
    claim(array, 2, 2, 2)
    claim(array, 3, 3, 3)
    rows(slurm, "7_[4-5]|PENDING|Resources")
    slurm.say("accounts", f"7_2|OUT_OF_MEMORY|0:125|4089446K|None|{NAME}\n")
    assert states(array)[1:3] == ["RUNNING", "RUNNING"]
    age(array, "ends.json")
    assert states(array)[1:3] == ["OUT_OF_MEMORY", "LOST"]
    task = ask(array, tasks=True)[2]
    assert task["exit_code"] == 253
    assert (task["note"], task["max_rss_mb"]) == ("the scheduler says OUT_OF_MEMORY", 3993.6)
    asked = len(slurm.calls("sacct"))
    assert states(array)[1:3] == ["OUT_OF_MEMORY", "LOST"]
    assert len(slurm.calls("sacct")) == asked  # what is known is not asked again


def test_elements_that_died_before_any_task_are_told_at_the_first_look(array: Root, slurm: FakeSlurm) -> None:
    (array.submission(1) / "elements.log").write_text("module: no such module: matlab/R1066\n")
    rows(slurm, *(f"7_{k}|FAILED|NonZeroExitCode" for k in (1, 2, 3, 4)), "7_5|CANCELLED|None")
    head, first, *_ = ask(array, tasks=True)
    assert (head["counts"], head["final"]) == ({"LOST": 4, "CANCELLED": 1}, False)
    assert (first["state"], first["note"]) == ("LOST", "the scheduler says FAILED: NonZeroExitCode")
    gone, log = head["problems"]
    assert gone.startswith("job 7 is gone, and no task was begun; git cj state in 60 s says for good")
    assert "no such module: matlab/R1066" in log
    age(array, "gone.json")
    head = ask(array)[0]
    assert (head["counts"], head["final"]) == ({"LOST": 4, "CANCELLED": 1}, True)
    assert head["problems"][0] == "job 7 is gone: git cj retry runs again what it left"


def test_f22_login_nodes_whose_clocks_differ_call_nothing_lost_too_early_or_never(
    array: Root, slurm: FakeSlurm
) -> None:
    rows(slurm)
    assert ask(array)[0]["counts"] == {"PENDING": 5}
    path = array.submission(1) / "gone.json"
    # Noted a moment ago by a node whose clock is an hour behind, then by one that is a year ahead.
    for first in (LONG_AGO, "2999-01-01T00:00:00.000000Z"):
        path.write_text(json.dumps({"format": 1, "first": first, "second": None}))
        assert ask(array)[0]["counts"] == {"PENDING": 5}
    assert json.loads(path.read_text())["first"] < "2999"
    age(array, "gone.json")
    assert ask(array)[0]["counts"] == {"LOST": 5}


def test_accounting_tells_at_the_first_look_of_elements_that_never_began(
    array: Root, slurm: FakeSlurm
) -> None:
    rows(slurm)
    head = ask(array)[0]
    assert (head["counts"], head["final"]) == ({"PENDING": 5}, False)  # no accounting: nothing is known yet
    assert "no task was begun" in head["problems"][0]
    os.unlink(array.path / "scheduler" / "accounting.json")
    slurm.say("accounts", "".join(f"7_{k}|OUT_OF_MEMORY|0:125|12K|None|{NAME}\n" for k in range(1, 6)))
    head, first, *_ = ask(array, tasks=True)
    assert (head["counts"], head["final"]) == ({"LOST": 5}, False)
    assert first["note"] == "the scheduler says OUT_OF_MEMORY"


def test_a_record_that_comes_to_sight_late_outranks_the_first_look(array: Root, slurm: FakeSlurm) -> None:
    rows(slurm, *(f"7_{k}|FAILED|NonZeroExitCode" for k in range(1, 6)))
    assert ask(array)[0]["counts"] == {"LOST": 5}
    for k in range(1, 6):
        claim(array, k, k, 0)
        array.append(f"1/{k:06d}-01", [record(k, "FAILED")])
    head = ask(array)[0]
    assert (head["counts"], head["final"]) == ({"FAILED": 5}, True)


def test_an_element_cancelled_alone_leaves_its_task_to_the_others(array: Root, slurm: FakeSlurm) -> None:
    rows(slurm, "7_[1,3-5]|PENDING|Resources", "7_2|CANCELLED|None")
    assert states(array) == ["PENDING"] * 5
    array.append("1/000001-01", [record(1)])
    for task in (3, 4, 5):
        array.append(f"1/{task:06d}-01", [record(task)])
    rows(slurm, "7_2|CANCELLED|None")
    assert states(array)[1] == "PENDING"  # a record may be on its way
    age(array, "gone.json")
    head, _, second, *_ = ask(array, tasks=True)
    assert (second["state"], second["note"]) == ("CANCELLED", "the scheduler says CANCELLED")
    assert head["final"]


def test_a_worker_that_was_asked_to_end_leaves_the_word_to_the_scheduler(
    array: Root, slurm: FakeSlurm
) -> None:
    """An element preempted starts again; of one that was cancelled squeue tells."""
    claim(array, 2, 2, 0)
    array.append("1/000002-01", [record(2, "NODE_FAIL", note="the scheduler asked its element to end")])
    rows(slurm, "7_[3-5]|PENDING|Resources", "7_2|PENDING|BeginTime")
    assert (states(array)[1], ask(array, tasks=True)[2]["attempt"]) == ("PENDING", 2)
    rows(slurm, "7_[3-5]|PENDING|Resources", "7_2|CANCELLED|None")
    assert (states(array)[1], ask(array, tasks=True)[2]["attempt"]) == ("CANCELLED", 1)
    rows(slurm, "7_[3-5]|PENDING|Resources", "7_2|RUNNING|None")
    claim(array, 2, 2, 2, attempt=2, incarnation=2)
    assert (states(array)[1], ask(array, tasks=True)[2]["attempt"]) == ("RUNNING", 2)


def test_why_elements_wait_is_told_in_plain_words(array: Root, slurm: FakeSlurm) -> None:
    rows(slurm, "7_[2-5%2]|PENDING|JobArrayTaskLimit", "7_1|RUNNING|None")
    (line,) = ask(array)
    ((words, elements),) = line["reasons"].items()
    assert elements == 4
    assert "JobArrayTaskLimit" not in words
    rows(slurm, "7_[1-5]|PENDING|JobHeldUser")
    assert ask(array)[0]["counts"] == {"HELD": 5}
    rows(slurm, "7_[1-5]|PENDING|Dependency")
    assert ask(array)[0]["counts"] == {"WAITING": 5}


def test_parts_are_counted_by_themselves(root: Root, slurm: FakeSlurm) -> None:
    (root.path / "scheduler").mkdir()
    (root.path / "cluster.json").write_text('{"format":1,"cluster":"far","scheduler":"slurm"}')
    submitted(root, 1, [[1, 2], [3, 2], [5, 1]], ["7", "8", None])
    claim(root, 1, 1, 1)
    slurm.say("rows", f"7_[2]|PENDING|Resources|{NAME}\n7_1|RUNNING|None|{NAME}\n")
    head, *lines = ask(root, tasks=True)
    assert [line["state"] for line in lines] == ["RUNNING", "PENDING", "PENDING", "PENDING", "PENDING"]
    assert [line["job"] for line in lines] == ["7", "7", "8", "8", None]
    assert head["jobs"] == ["7", "8"]
    age(root, "gone-2.json")
    assert states(root)[2:4] == ["PENDING", "PENDING"]  # the elements of the other part may come to them
    slurm.say("rows", "")
    states(root)
    age(root, "gone.json")
    head, *lines = ask(root, tasks=True)
    assert [line["state"] for line in lines] == ["LOST"] * 5
    assert head["problems"] == ["job 7, 8 is gone: git cj retry runs again what it left"]


def test_summary_gives_no_reason_to_wait_for_elements_that_ended(array: Root, slurm: FakeSlurm) -> None:
    rows(slurm, "7_[3-5]|PENDING|Resources", "7_1|FAILED|NonZeroExitCode", "7_2|COMPLETED|None")
    out = io.BytesIO()
    summary(str(array.path), {}, out)
    line = json.loads(out.getvalue().splitlines()[0])
    assert line["counts"] == {"PENDING": 3, "FAILED": 1, "COMPLETED": 1}
    assert list(line["reasons"].values()) == [3]


def test_the_scheduler_is_asked_once_in_30_s(array: Root, slurm: FakeSlurm) -> None:
    rows(slurm, "7_[1-5]|PENDING|Resources")
    for _ in range(3):
        assert ask(array, fresh=False)[0]["counts"] == {"PENDING": 5}
    assert len(slurm.calls("squeue")) == 1
    ask(array)
    assert len(slurm.calls("squeue")) == 2
    kept = array.path / "scheduler" / "asked.json"
    fields = json.loads(kept.read_text())
    for at in (LONG_AGO, "2121-01-01T00:00:00.000000Z", "no time"):
        kept.write_text(json.dumps({**fields, "at": at}))  # old, or a clock was set back
        ask(array, fresh=False)
    assert len(slurm.calls("squeue")) == 5


def test_many_who_ask_at_once_share_an_answer(array: Root, slurm: FakeSlurm) -> None:
    rows(slurm, "7_[1-5]|PENDING|Resources")
    threads = [threading.Thread(target=ask, args=(array,), kwargs={"fresh": False}) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(slurm.calls("squeue")) == 1


def test_a_job_that_was_not_asked_after_is_not_gone(array: Root, slurm: FakeSlurm) -> None:
    rows(slurm, "7_[1-5]|PENDING|Resources")
    ask(array, fresh=False)
    array.write(1, "receipt.json", {"job": "9"})
    (line,) = ask(array, fresh=False)
    assert (line["counts"], line["problems"]) == ({"PENDING": 5}, [])
    assert not (array.submission(1) / "gone.json").exists()


def test_no_answer_is_no_death(array: Root, slurm: FakeSlurm) -> None:
    claim(array, 1, 1, 1)
    slurm.say("queue", "down")
    for _ in range(2):
        (line,) = ask(array)
        assert line["counts"] == {"RUNNING": 1, "PENDING": 4}
        assert line["problems"][0].startswith("the scheduler did not answer: ")
    assert not (array.submission(1) / "gone.json").exists()
