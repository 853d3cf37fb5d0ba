"""Submissions: once, however often they are asked for and wherever they are cut off."""

from __future__ import annotations

import itertools
import json
import os
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cjnode import processes
from cjnode.package.points import format_tasks, parse_tasks
from cjnode.records import blocks
from cjnode.schedulers import local, localjobs

from .cluster_kit import Site, new_site, resources, wait_for

KILLED = Path(__file__).parent / "killed.py"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return new_site(tmp_path)


def sent(site: Site, *, tasks: int = 1, job: str | None = "exit 0\n", jobs: int = 1) -> str:
    package = site.package(tasks=tasks, job=job, resources=resources(jobs=jobs))
    assert "error" not in site.send(package)[0]
    site.finished(package)
    return package


def intent(site: Site, package: str, number: int = 1) -> dict[str, object]:
    fields: dict[str, object] = json.loads((site.submission(package, number) / "intent.json").read_bytes())
    return fields


def test_the_first_submission_is_of_all_tasks(site: Site) -> None:
    package = sent(site, tasks=441, jobs=2)
    fields = intent(site, package)
    assert fields.pop("created")
    assert fields == {
        "format": 1,
        "package": package,
        "submission": 1,
        "name": f"cj-{package[:12]}-1",
        "token": package,
        "tasks": "1-441",
        "attempt": 1,
        "elements": 2,
        "parts": [[1, 2]],
        "jobs": 2,
        "rounds": [[111, 2], [55, 2], [28, 2], [14, 2], [7, 2], [3, 2], [2, 2], [1, 1]],
    }


@pytest.mark.parametrize(
    ("tasks", "jobs", "elements", "rounds"),
    [
        (1, 8, 1, [[1, 1]]),
        (2, 8, 2, [[1, 2]]),
        (16, 2, 2, [[4, 2], [2, 2], [1, 4]]),
        (9, 1000, 9, [[1, 9]]),
    ],
)
def test_blocks_are_large_first_and_small_last(
    site: Site, tasks: int, jobs: int, elements: int, rounds: list[list[int]]
) -> None:
    fields = intent(site, sent(site, tasks=tasks, jobs=jobs))
    assert (fields["elements"], fields["rounds"]) == (elements, rounds)


def test_workers_asked_for_are_the_elements_of_the_job(site: Site) -> None:
    package = site.package(tasks=9, job="exit 0\n", resources=resources(jobs=None, workers=3))
    assert "error" not in site.send(package)[0]
    site.finished(package)
    assert (intent(site, package)["elements"], intent(site, package)["parts"]) == (3, [[1, 3]])


def test_a_package_made_before_there_were_rounds_gets_equal_blocks(site: Site) -> None:
    old = resources(jobs=2)
    del old["workers"]
    package = site.package(tasks=100, job="exit 0\n", resources=old)
    assert "error" not in site.send(package)[0]
    site.finished(package)
    fields = intent(site, package)
    assert fields["block"] == 6
    assert "rounds" not in fields


def test_some_tasks_can_be_submitted_again(site: Site) -> None:
    package = sent(site, tasks=5)
    request = {"package": package, "submission": 2, "token": "t", "tasks": "5,2-3", "attempt": 2, "jobs": 7}
    reply = {"package": package, "submission": 2, "job": f"cj-{package[:12]}-2"}
    assert site.verb("submit", request) == reply
    assert site.verb("submit", request) == reply
    site.finished(package, 2)
    fields = intent(site, package, 2)
    assert [fields[name] for name in ("tasks", "attempt", "elements", "rounds")] == ["2-3,5", 2, 3, [[1, 3]]]
    assert "asked for by another command" in site.verb("submit", {**request, "token": "u"})["error"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"package": "../../etc"}, "not a package ID"),
        ({"package": 7}, "not a package ID"),
        ({"package": "0" * 40}, "is not on this cluster"),
        ({"submission": 0}, "submission is not a count"),
        ({"submission": "1"}, "submission is not a count"),
        ({"jobs": -1}, "jobs is not a count"),
        ({"tasks": "x"}, "not a range of tasks"),
        ({"tasks": "6"}, "there is no task 6"),
        ({"tasks": [1]}, "tasks is no text"),
    ],
)
def test_a_request_that_cannot_be_met_is_refused(site: Site, changes: dict[str, object], words: str) -> None:
    package = sent(site, tasks=5)
    request = {"package": package, "submission": 2, "token": "t", "tasks": "1", "attempt": 2, **changes}
    assert words in site.verb("submit", request)["error"]
    assert not site.submission(package, 2).joinpath("intent.json").exists()


def interpreter(site: Site) -> None:
    """Let the hook run under the killing shim, whenever a push carries KILL_AT."""
    program = site.folder / "python-that-dies"
    python = shlex.quote(sys.executable)
    program.write_text(
        f'#!/bin/sh\n[ -n "$KILL_AT" ] || exec {python} "$@"\nexec {python} {shlex.quote(str(KILLED))} "$@"\n'
    )
    program.chmod(0o700)
    (site.root / "python").write_text(f"{program}\n")


def kills(site: Site, role: str) -> Iterator[str]:
    """For each n, a package whose push was cut off before the n-th act of that process."""
    interpreter(site)
    note = site.folder / "note"
    for number in itertools.count(1):
        job = None if role == "pool" else 'echo "$2" >>"$1/tally"\n'
        package = site.package(job=job, tasks=3, seed=number, resources=resources())
        variables = {"KILL_AT": str(number), "KILL_ROLE": role, "KILL_NOTE": str(note)}
        site.push(f"{package}:refs/cj/inbox/{package}", variables=variables)
        folder = str(site.job(package))
        if role == "pool":
            # It goes on by itself, to its death or to its end.
            wait_for(lambda folder=folder: note.exists() or localjobs.is_done(folder))  # type: ignore[misc]
        if not note.exists():
            return
        if role == "pool":
            owner = localjobs.owner(folder)
            wait_for(lambda owner=owner: owner is None or not processes.alive(owner))  # type: ignore[misc]
        yield package
        note.unlink()


def test_a_hook_killed_anywhere_is_finished_by_the_next_call_exactly_once(site: Site) -> None:
    expected = []
    for number, package in enumerate(kills(site, "hook")):
        if number % 3 == 0:  # another package comes in between, and is not held up by what was left
            other = site.package(seed=1000 + number, job='echo "$2" >>"$1/tally"\n')
            assert site.send(other)[0]["package"] == other
            site.finished(other)
            expected.append(other)
        asked = {"package": package, "submission": 1, "token": package}
        reply = site.verb("submit", asked)
        assert reply == {"package": package, "submission": 1, "job": f"cj-{package[:12]}-1"}
        assert site.verb("submit", asked) == reply
        assert site.finished(package) == {"1": 0}
        expected.append(package)
        assert site.tally()[: len(expected)] == sorted(expected), (site.folder / "note").read_text()
        refs = site.refs()
        assert refs.pop("refs/cj/tip/mia-1") in expected
        assert refs == {f"refs/cj/packages/{each}": each for each in expected}
        # A file written aside stays where its writer was killed, until the package is cleaned.
        left = {name.split(".")[-1] for name in os.listdir(site.root / "packages" / package)}
        assert left <= {"code", "json", "submissions", "tmp"}
    assert len(expected) > 8


def completed(site: Site, package: str) -> list[int]:
    """The tasks of all submissions that have a record of completion, each as often as it has one."""
    found = []
    for number in blocks.list_submissions(str(site.root / "packages" / package)):
        for path in (site.submission(package, number) / "blocks").glob("*.records"):
            records = [blocks.record_from_line(line) for line in blocks.whole_lines(path.read_bytes())]
            found += [record.task for record in records if record.state == "COMPLETED"]
    return sorted(found)


def test_a_pool_killed_anywhere_loses_and_doubles_no_task(site: Site) -> None:
    count = 0
    for package in kills(site, "pool"):
        count += 1
        site.verb("submit", {"package": package, "submission": 1, "token": package})
        name = site.job(package).name
        wait_for(lambda: not local.poll(str(site.root), [name]))  # noqa: B023
        missing = sorted(set(parse_tasks("1-3")) - set(completed(site, package)))
        if missing:  # the receipt was there already: as for a node that died, the tasks are sent again
            request = {"package": package, "submission": 2, "token": "t", "tasks": format_tasks(missing)}
            assert "error" not in site.verb("submit", {**request, "attempt": 2})
            site.finished(package, 2)
        assert completed(site, package) == [1, 2, 3], (site.folder / "note").read_text()
    assert count > 3
