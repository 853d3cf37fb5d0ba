"""Verb ``state``: records outrank claims, claims and cancellations outrank the scheduler."""

from __future__ import annotations

import io
import json
import os
from typing import Any

import pytest

from cjnode.errors import NodeError
from cjnode.files import now
from cjnode.verbs.cancel import cancel
from cjnode.verbs.state import state

from .conftest import PACKAGE, STARTED, Root, call, record

LONG_AGO = "2020-01-01T00:00:00.000000Z"


def ask(root: Root, *, tasks: bool = False) -> list[dict[str, Any]]:
    out = io.BytesIO()
    state(str(root.path), {"packages": [root.package], "tasks": tasks}, out)
    return [json.loads(line) for line in out.getvalue().splitlines()]


def counts(root: Root) -> dict[str, int]:
    found: dict[str, int] = ask(root)[0]["counts"]
    return found


def states(root: Root) -> list[str]:
    return [line["state"] for line in ask(root, tasks=True)[1:]]


def test_a_finished_package_is_counted_without_asking_the_scheduler(root: Root) -> None:
    root.submit("1-5")
    (root.path / "cluster.json").write_text('{"format":1,"scheduler":"none such"}')
    root.append("1/000001-01", [record(1), record(2, "FAILED")])
    root.append("1/000002-01", [record(3), record(4)])
    root.append("1/000003-01", [record(5, "TIMEOUT")])
    assert ask(root) == [
        {
            "package": PACKAGE,
            "tasks": 5,
            "counts": {"COMPLETED": 3, "FAILED": 1, "TIMEOUT": 1},
            "final": True,
            "jobs": [root.job()],
            "seconds": [6.25, 5],
            "reasons": {},
            "problems": [],
            "submissions": 1,
        }
    ]


def test_it_answers_in_every_interpreter_of_the_node_half(root: Root, node_python: str) -> None:
    root.submit("1-5")
    root.run_job()
    root.claim("1/000001-01", 2)
    root.append("1/000001-01", [record(1, error='said "no"\\ – ü')])
    reply = call(node_python, root.path, "state", {"packages": [PACKAGE], "tasks": True})
    head, first, second, third, *_ = [json.loads(line) for line in reply.splitlines()]
    assert head["counts"] == {"COMPLETED": 1, "PENDING": 3, "RUNNING": 1}
    assert first == {
        "task": 1,
        "attempt": 1,
        "state": "COMPLETED",
        "job": "cj-8ab7a5aa0123-1",
        "exit_code": 0,
        "started": STARTED,
        "ended": "2026-01-31T12:00:01.250000Z",
        "host": "n1",
        "max_rss_mb": 34.1,
        "error": 'said "no"\\ – ü',
        "note": "",
    }
    assert second == {
        **dict.fromkeys(first, None),
        "task": 2,
        "attempt": 1,
        "state": "RUNNING",
        "job": root.job(),
        "started": STARTED,
        "host": "n1",
    }
    assert third == {
        **dict.fromkeys(first, None),
        "task": 3,
        "attempt": 1,
        "state": "PENDING",
        "job": root.job(),
    }


def test_the_record_with_the_highest_attempt_wins(root: Root) -> None:
    root.submit("1-5")
    root.append("1/000001-02", [record(1, "COMPLETED", attempt=2)])
    root.append("1/000001-01", [record(1, "NODE_FAIL"), record(2, "FAILED", attempt=3), record(2, attempt=2)])
    assert states(root)[:2] == ["COMPLETED", "FAILED"]


def test_of_equal_attempts_the_later_generation_wins(root: Root) -> None:
    root.submit("1-5")
    root.append("1/000001-02", [record(1, "COMPLETED")])
    root.append("1/000001-01", [record(1, "NODE_FAIL")])
    assert states(root)[0] == "COMPLETED"


def test_a_retried_task_waits_although_its_first_submission_failed(root: Root) -> None:
    root.submit("1-5", block=5)
    root.append("1/000001-01", [record(k, "FAILED") for k in range(1, 6)])
    root.submit("2,4", number=2, attempt=2)
    root.run_job(2)
    assert states(root) == ["FAILED", "PENDING", "FAILED", "PENDING", "FAILED"]
    root.append("2/000001-01", [record(2, attempt=2)])
    assert states(root) == ["FAILED", "COMPLETED", "FAILED", "PENDING", "FAILED"]
    assert ask(root)[0]["jobs"] == [root.job(1), root.job(2)]


def test_a_refused_submission_leaves_what_was_recorded(root: Root) -> None:
    root.submit("1-5", block=5)
    root.append("1/000001-01", [record(k, "FAILED") for k in range(1, 6)])
    root.submit("1-5", number=2, attempt=2, job=None)
    root.write(2, "refused.json", {"error": "sbatch: error: invalid partition"})
    (line,) = ask(root)
    assert line["counts"] == {"FAILED": 5}
    assert line["problems"] == ["the scheduler refused submission 2: sbatch: error: invalid partition"]


def test_a_refused_submission_that_was_cancelled_is_at_its_end(root: Root) -> None:
    root.submit("1-5", job=None)
    root.write(1, "refused.json", {"error": "sbatch: error: invalid partition"})
    root.write(1, "cancel/a.json", {"tasks": "1-4"})
    assert ask(root)[0]["counts"] == {"PENDING": 5}
    root.write(1, "cancel/b.json", {"tasks": "5"})
    (line,) = ask(root)
    assert (line["counts"], line["final"]) == ({"CANCELLED": 5}, True)


def test_cancelled_tasks_without_a_record_are_cancelled_and_final(root: Root) -> None:
    root.submit("1-5")
    root.append("1/000001-01", [record(1)])
    root.write(1, "cancel/a.json", {"tasks": "1,3-4"})
    root.write(1, "cancel/b.json", {"tasks": "2,5"})
    (root.submission(1) / "cancel" / "c.json").write_text("{")
    assert states(root) == ["COMPLETED", "CANCELLED", "CANCELLED", "CANCELLED", "CANCELLED"]
    assert ask(root)[0]["final"]
    assert ask(root)[0]["problems"] == []
    assert not (root.submission(1) / "gone.json").exists()


def test_a_cancellation_counts_each_task_once_by_its_last_submission(root: Root) -> None:
    root.submit("1-5")
    root.append("1/000001-01", [record(1), record(2, "FAILED")])
    root.submit("2-5", number=2, attempt=2)
    root.append("2/000001-01", [record(2, attempt=2)])
    out = io.BytesIO()
    cancel(str(root.path), {"package": root.package, "tasks": None, "token": "t"}, out)
    assert json.loads(out.getvalue())["cancelled"] == 3


def test_a_cancelled_task_runs_until_its_record_says_how_it_ended(root: Root) -> None:
    root.submit("1-5", block=5)
    root.run_job()
    root.claim("1/000001-01", 2)
    root.write(1, "cancel/a.json", {"tasks": "1-5"})
    (line,) = ask(root)
    assert (line["counts"], line["final"]) == ({"RUNNING": 1, "CANCELLED": 4}, False)
    root.append("1/000001-01", [record(2)])  # it was faster than the cancellation
    (line,) = ask(root)
    assert (line["counts"], line["final"]) == ({"COMPLETED": 1, "CANCELLED": 4}, True)


def test_a_task_whose_worker_died_is_open_while_the_job_may_run_it_again(root: Root) -> None:
    root.submit("1-5", block=5)
    root.run_job()
    root.claim("1/000001-01", 2)
    done = [record(k) for k in (1, 3, 4, 5)]
    root.append("1/000001-01", [*done, record(2, "NODE_FAIL")])
    (line,) = ask(root)
    assert (line["counts"], line["final"]) == ({"COMPLETED": 4, "PENDING": 1}, False)
    root.claim("1/000001-02", 2, attempt=2)
    assert ask(root, tasks=True)[2]["attempt"] == 2
    assert states(root)[1] == "RUNNING"
    root.end_job()
    root.write(1, "gone.json", {"first": LONG_AGO, "second": LONG_AGO})
    line, _, second, *_ = ask(root, tasks=True)
    assert (line["counts"], line["final"]) == ({"COMPLETED": 4, "LOST": 1}, True)
    assert (second["state"], second["attempt"]) == ("LOST", 2)  # who retries it makes the third


def test_a_task_that_took_three_workers_down_is_at_its_end(root: Root) -> None:
    root.submit("1-5", block=5)
    root.run_job()
    root.append("1/000001-01", [*(record(k) for k in (1, 3, 4, 5)), record(2, "NODE_FAIL", attempt=3)])
    (line,) = ask(root)
    assert (line["counts"], line["final"]) == ({"COMPLETED": 4, "NODE_FAIL": 1}, True)


def test_a_later_generation_says_what_runs_in_a_block(root: Root) -> None:
    root.submit("1-5")
    root.run_job()
    root.claim("1/000001-01", 1)
    root.claim("1/000001-02", 2, attempt=2)
    assert states(root) == ["PENDING", "RUNNING", "PENDING", "PENDING", "PENDING"]


def test_a_held_job_has_held_tasks(root: Root) -> None:
    root.submit("1-5")
    root.run_job()
    folder = root.path / "scheduler" / root.job()
    (folder / "element-1-1.json").unlink()
    (folder / "held").write_text("")
    assert counts(root) == {"HELD": 5}


def test_a_job_seen_gone_once_has_lost_nothing(root: Root) -> None:
    root.submit("1-5")
    root.claim("1/000001-01", 1)
    assert counts(root) == {"PENDING": 4, "RUNNING": 1}
    assert json.loads((root.submission(1) / "gone.json").read_text())["second"] is None


def test_a_job_seen_gone_twice_within_the_grace_period_has_lost_nothing(root: Root) -> None:
    root.submit("1-5")
    root.write(1, "gone.json", {"first": now().replace("20", "21", 1), "second": None})
    assert counts(root) == {"PENDING": 5}


def test_a_job_seen_gone_twice_has_lost_its_tasks(root: Root) -> None:
    root.submit("1-5")
    root.claim("1/000001-01", 2)
    root.append("1/000001-01", [record(1)])
    root.write(1, "gone.json", {"first": LONG_AGO, "second": None})
    os.utime(root.submission(1) / "gone.json", (0, 0))
    assert states(root) == ["COMPLETED", "LOST", "LOST", "LOST", "LOST"]
    (line,) = ask(root)
    assert line["final"]
    assert line["problems"] == [f"job {root.job()} is gone: git cj retry runs again what it left"]
    # Nobody needs to be asked again.
    (root.path / "cluster.json").write_text('{"format":1,"scheduler":"none such"}')
    assert counts(root) == {"COMPLETED": 1, "LOST": 4}


def test_a_record_that_comes_late_outranks_the_loss(root: Root) -> None:
    root.submit("1-5", block=5)
    root.write(1, "gone.json", {"first": LONG_AGO, "second": LONG_AGO})
    root.append("1/000001-01", [record(k) for k in range(1, 6)])
    assert counts(root) == {"COMPLETED": 5}


def test_a_job_that_comes_back_is_not_gone(root: Root) -> None:
    root.submit("1-5")
    root.write(1, "gone.json", {"first": LONG_AGO, "second": None})
    root.run_job()
    assert counts(root) == {"PENDING": 5}
    root.end_job()
    assert counts(root) == {"PENDING": 5}


@pytest.mark.parametrize("content", ["", "{", '{"format":1}', '{"format":1,"first":7}', "[]"])
def test_a_broken_gone_file_counts_as_the_first_time(root: Root, content: str) -> None:
    root.submit("1-5")
    (root.submission(1) / "gone.json").write_text(content)
    assert counts(root) == {"PENDING": 5}


def test_a_scheduler_that_does_not_answer_kills_no_task(root: Root) -> None:
    root.submit("1-5")
    root.claim("1/000001-01", 2)
    root.write(1, "gone.json", {"first": LONG_AGO, "second": None})
    (root.path / "cluster.json").write_text('{"format":1,"scheduler":"none such"}')
    (line,) = ask(root)
    assert line["counts"] == {"PENDING": 4, "RUNNING": 1}
    assert line["problems"][0].startswith("the scheduler did not answer: ")


def test_a_job_that_died_before_any_task_shows_the_end_of_its_log(root: Root) -> None:
    root.submit("1-5")
    (root.submission(1) / "element-1.log").write_text("")
    (root.submission(1) / "element-2.log").write_bytes(b"module: not found\n\n\xff: python3 missing\n")
    (line,) = ask(root)
    assert line["counts"] == {"PENDING": 5}
    assert line["problems"] == [
        f"job {root.job()} is gone, and no task was begun; git cj state in 2 s says for good what is lost",
        "element 2 of submission 1 said: module: not found\n\ufffd: python3 missing",
    ]


def test_torn_and_unreadable_records_are_skipped_and_told(root: Root) -> None:
    root.submit("1-5", block=5)
    root.run_job()
    root.append("1/000001-01", [record(1)])
    with root.file("1/000001-01", "records").open("ab") as file:
        file.write(b'\x00\x00 rubbish\n{"task":3}\n[]\n')
        file.write(b'{"task":99,"attempt":1}\n\n')
    root.append("1/000001-01", [record(4)._replace(task=77), record(2, "FAILED")])
    with root.file("1/000001-01", "records").open("ab") as file:
        file.write(b'{"task":3,"attempt":1,"state":"COMPL')
    (line,) = ask(root)
    assert line["counts"] == {"COMPLETED": 1, "FAILED": 1, "PENDING": 3}
    assert line["problems"] == [
        "block 1/000001-01 has 6 lines that are no records",
        "block 1/000001-01 ends in half a record",
    ]


def test_a_record_in_another_form_of_json_counts_too(root: Root) -> None:
    root.submit("1-5")
    fields = record(1, "FAILED", error="tab\t", max_rss_mb=None)._asdict()
    spaced = json.dumps(dict(reversed(fields.items())), indent=None).encode()
    root.append("1/000001-01", [])
    root.file("1/000001-01", "records").write_bytes(spaced + b"\n")
    line = ask(root, tasks=True)[1]
    assert (line["state"], line["error"], line["max_rss_mb"]) == ("FAILED", "tab\t", None)


def test_a_package_without_submission_says_so(root: Root) -> None:
    (line,) = ask(root)
    assert (line["counts"], line["final"]) == ({"PENDING": 5}, False)
    assert line["problems"] == ["it was received but not submitted"]


def test_an_intent_without_receipt_says_so(root: Root) -> None:
    root.submit("1-5", job=None)
    (line,) = ask(root)
    assert line["counts"] == {"PENDING": 5}
    assert line["problems"] == ["submission 1 is not with the scheduler: it has no receipt"]


def test_a_submission_without_receipt_has_the_jobs_that_its_claims_name(root: Root) -> None:
    root.submit("1-5", job=None)
    root.claim("1/000001-01", 1)
    root.run_job()
    (line,) = ask(root)
    assert (line["jobs"], line["counts"]) == ([root.job()], {"PENDING": 4, "RUNNING": 1})


def test_a_submission_without_intent_says_so(root: Root) -> None:
    root.submission(1).mkdir(parents=True)
    assert ask(root)[0]["problems"] == ["submission 1 has no intent"]


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"format":1,"tasks":"9-1","attempt":1,"block":1}'])
def test_a_broken_intent_is_told_and_costs_only_its_submission(root: Root, content: str) -> None:
    root.submit("1-5")
    root.append("1/000001-01", [record(1)])
    root.submit("1-5", number=2)
    (root.submission(2) / "intent.json").write_text(content)
    (line,) = ask(root)
    assert line["counts"] == {"COMPLETED": 1, "PENDING": 4}
    assert line["problems"][0].startswith("submission 2: ")


def test_an_unknown_package_is_told_and_the_others_are_answered(root: Root) -> None:
    out = io.BytesIO()
    state(str(root.path), {"packages": ["f" * 40, PACKAGE]}, out)
    unknown, known = [json.loads(line) for line in out.getvalue().splitlines()]
    assert (unknown["tasks"], unknown["final"]) == (0, False)
    assert unknown["problems"] == ["there is no package ffffffffffff on this cluster"]
    assert known["tasks"] == 5


def test_a_package_whose_manifest_is_broken_says_so(root: Root) -> None:
    root.submit("1-5")
    (root.folder / "package.json").write_text('{"format":')
    (line,) = ask(root)
    assert (line["tasks"], line["counts"], line["final"]) == (0, {}, False)
    assert "cannot be read" in line["problems"][0]


@pytest.mark.parametrize("package", ["../../etc", "8ab7", "", "A" * 40, PACKAGE + "\n", None, 7])
def test_what_is_no_package_id_never_becomes_a_path(root: Root, package: Any) -> None:
    with pytest.raises(NodeError):
        state(str(root.path), {"packages": [package]}, io.BytesIO())
