"""A large package's states, counted without a line a task."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cjnode.records import claims, tally
from cjnode.status import gate

from .conftest import Root, call, record

TASKS = 10_500


@pytest.fixture
def large(root: Root) -> Root:
    """A package of which block 1 has ended, in all ways there are, and block 2 has not begun."""
    (root.folder / "package.json").write_text(json.dumps({"format": 1, "tasks": TASKS}))
    root.submit(f"1-{TASKS}", block=6000)
    states = {5: "FAILED", 6: "NODE_FAIL", 7: "TIMEOUT", 8: "OUT_OF_MEMORY"}
    records = [record(task, states.get(task, "COMPLETED"), error='a "word", é') for task in range(1, 6001)]
    root.append("1/000001-01", [*records, record(8, attempt=2)])
    return root


def answer(python: str, root: Root, tasks: bool = False) -> dict[str, Any]:
    request = {"packages": [root.package], "tasks": tasks}
    first: dict[str, Any] = json.loads(call(python, root.path, "state", request).split(b"\n")[0])
    return first


def test_counts_are_those_of_the_tasks_one_by_one(large: Root, node_python: str) -> None:
    large.submit("3,5", number=2, attempt=2)
    large.append("2/000001-01", [record(3, "FAILED", attempt=2)])
    large.run_job(1)
    large.run_job(2)
    with large.file("1/000001-01", "records").open("ab") as file:
        file.write(b'no record\n{"task":99999,"attempt":1}\n' + b'{"task":10001')
    assert answer(node_python, large) == answer(node_python, large, tasks=True)


def test_tasks_that_were_cancelled_while_they_ran_are_counted_once(large: Root) -> None:
    """Half of the package has ended; of the other half a part was cancelled, as some of the first was."""
    record_of_cancelled = [record(task, "CANCELLED", attempt=2) for task in range(1, 3001)]
    large.append("1/000001-01", record_of_cancelled)
    large.write(1, "cancel/a.json", {"tasks": "1-3000,6001-9000"})
    wanted = {"package": large.package, "when": "any"}
    assert not gate._has_ended(str(large.path), wanted)
    large.append("1/000002-01", [record(task) for task in range(9001, TASKS + 1)])
    assert gate._has_ended(str(large.path), wanted)


def test_who_watches_sees_how_long_the_latest_took(large: Root, node_python: str) -> None:
    large.append("1/000002-01", [record(k, seconds=2.0 ** (k - 6000), max_rss_mb=30.0) for k in (6001, 6012)])
    request = {"packages": [large.package], "spread": True}
    spread = json.loads(call(node_python, large.path, "state", request).split(b"\n")[0])["spread"]
    memory = spread["max_rss_mb"]
    assert (memory["low"], memory["middle"], memory["high"]) == (30.0, 34.1, 34.1)
    assert (spread["seconds"]["low"], spread["seconds"]["high"]) == (1.25, 4096.0)
    assert sum(memory["counts"]) == sum(spread["seconds"]["counts"]) > 100


def test_what_was_read_is_kept_and_only_more_is_read(large: Root, tmp_path: Path) -> None:
    file, kept = large.file("1/000001-01", "records"), str(tmp_path / "tally")
    first = tally.load(kept, TASKS, [str(file)])
    first.read(str(file))
    first.save(kept, worth_bytes=0)
    large.append("1/000001-01", [record(9, "FAILED", attempt=2)])
    again = tally.load(kept, TASKS, [str(file)])
    assert again.counts() == first.counts()
    again.read(str(file))
    first.read(str(file))
    assert (
        again.counts()
        == first.counts()
        == {
            "COMPLETED": 5996,
            "FAILED": 2,
            "TIMEOUT": 1,
            "NODE_FAIL": 1,
        }
    )


def test_a_tally_that_does_not_fit_its_files_is_not_believed(large: Root, tmp_path: Path) -> None:
    file, kept = large.file("1/000001-01", "records"), tmp_path / "tally"
    first = tally.load(str(kept), TASKS, [str(file)])
    first.read(str(file))
    first.save(str(kept), worth_bytes=0)
    whole = kept.read_bytes()
    kept.write_bytes(whole[:-9] + b"\1" + whole[-8:])
    assert len(tally.load(str(kept), TASKS, [str(file)])) == 0
    kept.write_bytes(whole)
    assert len(tally.load(str(kept), TASKS, [str(file)])) == 6000
    assert len(tally.load(str(kept), TASKS + 1, [str(file)])) == 0
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    assert len(tally.load(str(kept), TASKS, [str(file)])) == 0


def test_the_line_of_a_claim_has_room_for_a_batch(tmp_path: Path) -> None:
    fd = claims.create_claim(str(tmp_path / "c"), claims.Claim("cj-8ab7a5aa0123-1", 1, 1, "n1", 7))
    assert fd is not None
    claims.write_current(fd, 999_001, 1, "2026-01-31T12:00:00.123456Z", 1_000_000)
    claim = claims.read_claim(str(tmp_path / "c"))
    assert claim is not None
    assert claim[1] == claims.Current(999_001, 1, "2026-01-31T12:00:00Z")
    assert claims.begun_up_to(str(tmp_path / "c")) == 1_000_000
    claims.write_current(fd, 5, 1, "2026-01-31T12:00:00.123456Z", 5)
    assert claims.begun_up_to(str(tmp_path / "c")) == 0
