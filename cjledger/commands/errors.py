"""Errors: the tasks that failed, grouped by the last line of what they said."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from cjledger import package
from cjledger.commands import family, harvest, state
from cjledger.commands.descriptions import PackageState, TaskState
from cjledger.project import Project, Target, package_points, runs_after
from cjnode.vocabulary import FINAL_STATES

TRACEBACK = "Traceback (most recent call last):"
LAST_LINES = 40
_FAILED = [name for name in FINAL_STATES if name != "COMPLETED"]

# What differs between tasks that failed for one reason: addresses, scratch folders, long numbers.
_OWN = re.compile(r"0x[0-9a-fA-F]+|/[^\s'\"]*/scratch/[^\s'\"]*|\b[0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?\b")


@dataclass(frozen=True)
class Failure:
    """Tasks that failed alike; the example is the first of them, ``said`` and ``variables`` are its own.

    Where that left no record, ``said`` is what its cluster tells of the job instead.
    """

    state: str
    error: str
    tasks: tuple[int, ...]
    example: int
    attempt: int | None
    params: dict[str, Any] = field(default_factory=dict)
    said: str = ""
    variables: str = ""
    recorded: bool = True


def errors(project: Project, target: Target) -> tuple[int, list[Failure]]:
    """How many tasks there are, and the groups of those that ended without completing, largest first."""
    found, listed = state.state(project, target, tasks=True)
    failed = [task for task in listed if task.state in _FAILED]
    groups = _grouped(failed)
    if not groups:
        return found.tasks, []
    examples = tuple(sorted(group[0].task for group in groups))
    streams = _streams(project, Target(target.package_id, examples))
    manifest = package.read_manifest(project.repo, target.package_id)
    points = package_points(project.repo, target.package_id, manifest.sweep, examples)
    params = {point.task: point.params for point in points}
    failures = [
        Failure(
            group[0].state,
            _words(group[0]),
            tuple(task.task for task in group),
            group[0].task,
            group[0].attempt,
            params[group[0].task],
            _last_traceback(streams.get((group[0].task, "cj:err"), "")) or _of_job(group[0], found),
            streams.get((group[0].task, "cj:locals"), ""),
            group[0].ended is not None,
        )
        for group in groups
    ]
    return found.tasks, failures


def elsewhere(project: Project, target: Target) -> dict[str, int]:
    """How many tasks failed of each package that belongs to a whole one: what extends it or runs after it."""
    if target.tasks:
        return {}
    members = [member for member in family.members(project, [target]) if member.tasks is None]
    others = members[1:]
    for member in members:
        after = runs_after(project, member.package_id)
        if after:
            others.append(Target(after))
    failed = {
        each.package_id: sum(each.counts.get(name, 0) for name in _FAILED)
        for each in state.states(project, others)
    }
    return {package_id: count for package_id, count in failed.items() if count}


def _of_job(task: TaskState, found: PackageState) -> str:
    """What its job's elements said, where a task was not begun or left no word of its end."""
    return "" if task.ended or task.state == "CANCELLED" else "\n".join(found.problems)


def _words(task: TaskState) -> str:
    return task.error or task.note or (f"exit code {task.exit_code}" if task.exit_code else "")


def _grouped(failed: Sequence[TaskState]) -> list[list[TaskState]]:
    groups: dict[tuple[str, str, int | None], list[TaskState]] = {}
    for task in sorted(failed, key=lambda task: task.task):
        alike = (task.state, _OWN.sub("#", _words(task)), task.exit_code)
        # What somebody cancelled is one thing, whether it had begun or not.
        groups.setdefault(("CANCELLED", "", None) if task.state == "CANCELLED" else alike, []).append(task)
    return sorted(groups.values(), key=lambda group: (-len(group), group[0].task))


def _streams(project: Project, target: Target) -> dict[tuple[int, str], str]:
    wanted = [output for output in harvest.outputs(project, target) if output.path in ("cj:err", "cj:locals")]
    return {
        (output.task, output.path): content.decode(errors="replace")
        for output, content in _contents(project, target, wanted)
    }


def _contents(
    project: Project, target: Target, wanted: list[harvest.Output]
) -> Iterator[tuple[harvest.Output, bytes]]:
    return harvest.contents(project, target, wanted) if wanted else iter(())


def _last_traceback(said: str) -> str:
    """The last traceback, or the last lines where there is none."""
    at = said.rfind(TRACEBACK)
    lines = said[max(0, at) :].rstrip("\n").split("\n")
    return "\n".join(lines[-LAST_LINES:])
