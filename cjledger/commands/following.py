"""Tasks as they end: what a program that chooses its next points wants to know."""

from __future__ import annotations

from collections.abc import Callable, Set
from dataclasses import dataclass, field
from typing import Any

from cjledger import query
from cjledger.commands import harvest, state, tables
from cjledger.errors import CjError
from cjledger.harvest import store
from cjledger.harvest.manifest import ROWS
from cjledger.project import Project, Target
from cjnode.vocabulary import FINAL_STATES


@dataclass(frozen=True)
class Result:
    """A task that has ended; ``rows`` are its rows, with its parameters, when it completed.

    They are those of the table that is followed, where tasks left several.
    """

    package_id: str
    task: int
    state: str
    params: dict[str, Any]
    rows: tuple[dict[str, Any], ...] = field(default=())


def ended(
    project: Project,
    target: Target,
    told: Set[tuple[str, int]],
    file: str | None,
    announce: Callable[[str], None],
) -> list[Result]:
    """The tasks of a package that have ended and were not told yet, in their order, with ``file``'s rows."""
    _, listed = state.state(project, target, tasks=True)
    fresh = [
        task for task in listed if task.state in FINAL_STATES and (target.package_id, task.task) not in told
    ]
    if not fresh:
        return []
    done = {task.task for task in fresh if task.state == "COMPLETED"}
    rows = _rows(project, target, done, file, announce)
    return [
        Result(target.package_id, task.task, task.state, task.params, tuple(rows.get(task.task, ())))
        for task in state.with_params(project, target.package_id, fresh)
    ]


def _rows(
    project: Project,
    target: Target,
    tasks: set[int],
    file: str | None,
    announce: Callable[[str], None],
) -> dict[int, list[dict[str, Any]]]:
    if not tasks:
        return {}
    harvest.harvest(project, target)
    names = store.load(project.repo, target.package_id)[1].names
    if file is None and ROWS not in names and len(names) > 1:
        # Not an error: who needs no rows goes on, also when a second table comes late.
        announce(f"no rows: the tasks left {len(names)} tables, and file names none of {', '.join(names)}")
        return {}
    try:
        table = tables.frame(project, [Target(target.package_id, tuple(sorted(tasks)))], file)
    except CjError:
        return {}  # tasks that left no table
    found: dict[int, list[dict[str, Any]]] = {}
    for row in query.collect(table).to_dicts():
        found.setdefault(row["cj_task"], []).append(row)
    return found
