"""Attempts that follow by themselves on one that failed: which, with what, and never twice."""

from __future__ import annotations

import io
import json
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from cjnode.package import retries
from cjnode.package.retries import Ended
from cjnode.records.tally import LARGE_TASKS
from cjnode.status import repeats
from cjnode.status.progress import look
from cjnode.verbs.state import state
from cjnode.vocabulary import CAUSES

from .conftest import PYTHONS, Root, record
from .work_kit import Bench

BASE: dict[str, Any] = {"memory_mb": 1000, "walltime_s": 60, "cpus": 2}


def policy(count: int = 3, *on: str | int, **growth: dict[str, Any]) -> dict[str, Any]:
    """What a manifest says of retries."""
    return {"count": count, "on": list(on or CAUSES), "memory": None, "walltime": None, **growth}


def grow(times: float = 2.0, plus: int = 0, most: int | None = None) -> dict[str, Any]:
    return {"times": times, "plus": plus, "most": most}


def parsed(fields: dict[str, Any]) -> retries.Policy:
    assert retries.is_policy(fields)
    found = retries.policy_of({"retry": fields})
    assert found is not None
    return found


def ended(*words: str | tuple[str, int]) -> list[Ended]:
    """A history, its attempts counted from 1."""
    pairs = [(word, None) if isinstance(word, str) else word for word in words]
    return [Ended(number, state, code, 1.0) for number, (state, code) in enumerate(pairs, 1)]


def following(fields: dict[str, Any], *words: str | tuple[str, int], first: int = 1) -> Any:
    found = retries.wanted(parsed(fields), first, BASE, ended(*words))
    return found and (found.attempt, found.resources["memory_mb"], found.resources["walltime_s"])


@pytest.mark.parametrize("state", CAUSES)
def test_every_cause_is_followed_unless_some_are_named(state: str) -> None:
    assert following(policy(), state) == (2, 1000, 60)
    assert following(policy(3, 9), state) is None
    assert following(policy(3, 9), (state, 9)) == (2, 1000, 60)


@pytest.mark.parametrize("state", ["COMPLETED", "CANCELLED"])
def test_what_completed_or_was_cancelled_is_never_followed(state: str) -> None:
    assert following(policy(3, *CAUSES, 143), (state, 143)) is None


def test_the_cap_counts_from_the_attempt_that_was_asked_for() -> None:
    failed = ["FAILED"] * 4
    assert [following(policy(2), *failed[:n]) is not None for n in (1, 2, 3)] == [True, True, False]
    assert following(policy(2), *failed, first=4) == (5, 1000, 60)


def test_each_cause_makes_its_own_thing_grow_up_to_the_limit() -> None:
    fields = policy(9, memory=grow(1.5, 0, 2000), walltime=grow(1.0, 30))
    assert following(fields, "OUT_OF_MEMORY") == (2, 1500, 60)
    assert following(fields, "OUT_OF_MEMORY", "TIMEOUT") == (3, 1500, 90)
    assert following(fields, "OUT_OF_MEMORY", "FAILED", "OUT_OF_MEMORY") == (4, 2000, 60)
    assert following(fields, "OUT_OF_MEMORY", "OUT_OF_MEMORY", "OUT_OF_MEMORY") is None
    assert following(fields, "OUT_OF_MEMORY", "OUT_OF_MEMORY", "TIMEOUT") == (4, 2000, 90)
    assert following(policy(3, memory=grow(1.1)), "OUT_OF_MEMORY") == (2, 1100, 60)


@pytest.mark.parametrize(
    "wrong",
    [
        [],
        policy(0),
        policy(101),
        policy(3, "CANCELLED"),
        policy(3, 256),
        policy(3, memory={"times": 0.5, "plus": 0}),
        policy(3, memory={"times": 2}),
        policy(3, walltime=grow(2.0, -1)),
        {"count": 3},
    ],
)
def test_a_manifest_with_another_policy_is_refused(wrong: Any) -> None:
    assert not retries.is_policy(wrong)


FAILS = """\
import os, sys
attempt, task = os.environ["CJ_ATTEMPT"], sys.argv[2]
open({log!r}, "a").write(task + "/" + attempt + "\\n")
if attempt in {bad!r}.get(task, ""):
    {act}
print("done")
"""
MODULE = """\
import os
def f(x):
    attempt = os.environ["CJ_ATTEMPT"]
    open({log!r}, "a").write("%d/%s\\n" % (x, attempt))
    if attempt in {bad!r}.get(str(x), ""):
        {act}
    return {{"y": x}}
"""


class Lab:
    """A bench whose tasks fail in the attempts that are named."""

    def __init__(self, folder: Path, python: str = sys.executable) -> None:
        folder.mkdir(exist_ok=True)
        self.log = folder / "log"
        self.bench = Bench(folder / "root", python)

    def package(
        self, bad: dict[str, str], retry: dict[str, Any], *, kind: str = "script", act: str = "sys.exit(3)",
        **fields: Any,
    ) -> Bench:  # fmt: skip
        text = (FAILS if kind == "script" else MODULE).format(log=str(self.log), bad=bad, act=act)
        return self.bench.package({"main.py": text}, kind=kind, retry=retry, **fields)

    def ran(self) -> list[str]:
        return self.log.read_text().split() if self.log.exists() else []

    def ends(self) -> list[tuple[int, int, str]]:
        """Task, attempt and state of every record, in the order they were written."""
        return [(each.task, each.attempt, each.state) for _, each in self.bench.every_record()]


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path / "lab")


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("kind", ["script", "function"])
def test_a_worker_runs_what_failed_again_at_the_end_of_its_block(
    tmp_path: Path, kind: str, python: str
) -> None:
    lab = Lab(tmp_path / "lab", python)
    act = "sys.exit(3)" if kind == "script" else "raise SystemExit(3)"
    bench = lab.package({"1": "12", "3": "1234"}, policy(2), kind=kind, act=act, tasks=4)
    records = bench.work(code=1)
    assert lab.ran() == ["1/1", "2/1", "3/1", "4/1", "1/2", "3/2", "1/3", "3/3"]
    assert {k: (r.state, r.attempt, r.exit_code) for k, r in records.items()} == {
        1: ("COMPLETED", 3, 0),
        2: ("COMPLETED", 1, 0),
        3: ("FAILED", 3, 3),
        4: ("COMPLETED", 1, 0),
    }
    assert len(lab.ends()) == 8


def test_only_the_exit_codes_that_are_named_are_followed(lab: Lab) -> None:
    act = "os.kill(os.getpid(), 9) if task == '1' else sys.exit(9)"
    bench = lab.package({"1": "1", "2": "1"}, policy(1, 137), act=act, tasks=2)
    records = bench.work(code=1)
    assert [(records[k].state, records[k].attempt) for k in (1, 2)] == [("COMPLETED", 2), ("FAILED", 1)]
    assert bench.every_record()[0][1].exit_code == 137


@pytest.mark.parametrize("kind", ["script", "function"])
def test_a_task_over_its_time_has_more_of_it_the_next_time(lab: Lab, kind: str) -> None:
    act = "import time; time.sleep(60)"
    asked: dict[str, Any] = {
        **dict.fromkeys(("nodes", "tasks_per_node", "cpus", "gpus", "memory_mb", "jobs")),
        "alloc": [],
    }
    bench = lab.package(
        {"1": "1"},
        policy(1, walltime=grow(1.0, 19)),
        kind=kind,
        act=act,
        tasks=2,
        resources={**asked, "walltime_s": 1},
    )
    records = bench.work()
    assert lab.ends() == [(1, 1, "TIMEOUT"), (2, 1, "COMPLETED"), (1, 2, "COMPLETED")]
    assert records[1].note == "asked for walltime 20 s"
    assert records[2].note == ""


@pytest.mark.parametrize("kind", ["script", "function"])
def test_a_task_over_its_memory_has_more_of_it_the_next_time(lab: Lab, kind: str) -> None:
    act = "import time; kept = os.urandom(1 << 20) * 200; time.sleep(60)"
    asked: dict[str, Any] = {
        **dict.fromkeys(("nodes", "tasks_per_node", "cpus", "gpus", "walltime_s", "jobs")),
        "alloc": [],
    }
    bench = lab.package(
        {"1": "1"},
        policy(1, "OUT_OF_MEMORY", memory=grow(2.0)),
        kind=kind,
        act=act,
        tasks=2,
        resources={**asked, "memory_mb": 100},
    )
    records = bench.work()
    assert lab.ends() == [(1, 1, "OUT_OF_MEMORY"), (2, 1, "COMPLETED"), (1, 2, "COMPLETED")]
    first = bench.every_record()[0][1]
    assert (first.exit_code, first.signal) == (137, 9)
    assert first.note.startswith("ended for having more than its memory of 100 MB")
    assert records[1].note == "asked for memory 200 MB"


def test_what_needs_more_than_the_element_has_is_left_to_a_further_submission(lab: Lab) -> None:
    """The scheduler holds the element to its memory: a second try there would end in the same way."""
    bench = lab.package(
        {"1": "1", "2": "1"},
        policy(2, memory=grow()),
        act="os.kill(os.getpid(), 9) if task == '1' else sys.exit(1)",
        tasks=2,
        scheduler="slurm",
    )
    out_of_memory = "from cjnode.worker import prison\nprison.ran_out_of_memory = lambda: True"
    worker = bench.start(preamble=out_of_memory)
    worker.communicate(timeout=50)
    assert worker.returncode == 1
    assert lab.ends() == [(1, 1, "OUT_OF_MEMORY"), (2, 1, "FAILED"), (2, 2, "COMPLETED")]


KILL_AT = (
    Path(__file__).with_name("test_work_faults.py").read_text().split('KILL_AT = """')[1].split('"""')[0]
)


@pytest.mark.parametrize("kind", ["script", "function"])
def test_a_worker_killed_at_any_step_of_a_retry_doubles_no_attempt(tmp_path: Path, kind: str) -> None:
    """Among others between the record of the attempt that failed and the next attempt."""
    act = "sys.exit(3)" if kind == "script" else "raise SystemExit(3)"
    step = 0
    while True:
        step += 1
        lab = Lab(tmp_path / f"step-{step}")
        bench = lab.package({"1": "1", "2": "1"}, policy(5), kind=kind, act=act, tasks=2)
        worker = bench.start(preamble=KILL_AT.format(n=step))
        worker.communicate(timeout=30)
        if worker.returncode != -signal.SIGKILL:
            break
        records = bench.work(incarnation=2)
        assert [records[k].state for k in (1, 2)] == ["COMPLETED"] * 2
        assert len(lab.ran()) == len(set(lab.ran()))
        for task, attempt, word in lab.ends():
            assert word != "NODE_FAIL" or f"{task}/{attempt + 1}" in lab.ran()
        assert sorted({attempt for task, attempt, _ in lab.ends() if task == 1})[0] == 1
    assert step > 25
    assert sorted(lab.ran()) == ["1/1", "1/2", "2/1", "2/2"]


def test_a_retry_that_was_cancelled_is_not_made(lab: Lab) -> None:
    order = str(lab.bench.submission / "cancel" / "x.json")
    act = f"open({order!r}, 'w').write('{{\"tasks\": \"1\"}}'); import time; time.sleep(0.2); sys.exit(3)"
    bench = lab.package({"1": "1"}, policy(2), act=act, tasks=1)
    bench.work(code=1)
    assert lab.ran() == ["1/1"]
    assert lab.ends() in ([(1, 1, "FAILED"), (1, 2, "CANCELLED")], [(1, 1, "CANCELLED")])


def test_a_retry_recorded_while_somebody_looks_makes_no_older_failure_final(root: Root) -> None:
    manifest = {"tasks": 2, "retry": policy(2), "scheduler": "local", "resources": BASE}
    (root.folder / "package.json").write_text(json.dumps({"format": 1, **manifest}))
    root.submit("1-2", block=2)
    root.claim("1/000001-01", 2)
    root.append("1/000001-01", [record(1, "FAILED")])
    seen = look(str(root.path), root.package, lines=True)
    root.append("1/000001-01", [record(1, "COMPLETED", attempt=2)])
    assert repeats.followed(seen.manifest, seen.submissions[0], seen.ended) == {1: 2}


@pytest.mark.parametrize("lines", [False, True])
def test_a_large_package_tells_what_runs_again(root: Root, lines: bool) -> None:
    """Of one that is only tallied, exit codes are read where they matter."""
    tasks = LARGE_TASKS + 2
    manifest = {"tasks": tasks, "retry": policy(2, "TIMEOUT", 9), "scheduler": "local", "resources": BASE}
    (root.folder / "package.json").write_text(json.dumps({"format": 1, **manifest}))
    root.submit(f"1-{tasks}", block=tasks)
    root.run_job()
    root.claim("1/000001-01", 9)
    ends = [(1, "FAILED", 1), (2, "FAILED", 9), (3, "TIMEOUT", 143), (4, "CANCELLED", 9), (5, "COMPLETED", 0)]
    records = [record(task, state)._replace(exit_code=code) for task, state, code in ends]
    root.append("1/000001-01", [*records, record(6, "FAILED", attempt=3)._replace(exit_code=9)])
    out = io.BytesIO()
    state(str(root.path), {"packages": [root.package], "tasks": lines}, out)
    head, *listed = [json.loads(line) for line in out.getvalue().splitlines()]
    assert head["counts"] == {
        "COMPLETED": 1,
        "FAILED": 2,
        "CANCELLED": 1,
        "RUNNING": 1,
        "PENDING": tasks - 5,
    }
    assert [(each["state"], each["attempt"]) for each in listed[:6]] == (
        [
            ("FAILED", 1),
            ("PENDING", 2),
            ("PENDING", 2),
            ("CANCELLED", 1),
            ("COMPLETED", 1),
            ("FAILED", 3),
        ]
        if lines
        else []
    )
