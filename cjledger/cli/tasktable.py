"""The table of a package's tasks."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from cjledger.render import duration, fit, number, plain, table

if TYPE_CHECKING:
    from cjledger.commands.descriptions import TaskState

_WIDE = 120  # columns: in fewer, parameters and errors need the room that jobs would take
_SHORT = 8  # columns of a parameter's name where there is no room for more


def task_table(listed: list[TaskState], width: int, colour: bool) -> str:
    """What the tasks of a package did; the words of errors give way to all else."""
    parameters, params = _parameters(listed, width)
    rows = [
        (
            task.task,
            plain(task.job or ""),
            task.state,
            _attempt(task),
            task.exit_code,
            _ran(task),
            None if task.max_rss_mb is None else round(task.max_rss_mb),
            words,
            plain(task.error or task.note or ""),
        )
        for task, words in zip(listed, params, strict=True)
    ]
    headers = ["task", "job", "state", "attempt", "exit", "time", "MB", parameters, _told(listed)]
    filled = [index for index in range(len(headers)) if any(row[index] not in (None, "") for row in rows)]
    if width < _WIDE or len({task.job for task in listed}) == 1:
        filled = [index for index in filled if headers[index] != "job"]  # it would only take room
    return table(
        [headers[index] for index in filled],
        [[row[index] for index in filled] for row in rows],
        width,
        colour,
        yielding=len(filled) - 1 if filled[-1] == len(headers) - 1 else None,
    )


def _parameters(listed: list[TaskState], width: int) -> tuple[str, list[str]]:
    """The parameters' header and cells.

    Where they are long: only what tells the tasks from one another, and its names short, not its values.
    """
    first = listed[0].params
    same = {key for key in first if all(task.params.get(key) == first[key] for task in listed)}
    whole = [_words(task.params) for task in listed]
    is_told = any(task.error or task.note for task in listed)
    room = width * (8 if is_told else 11) // 20  # what the other columns usually leave
    if max(map(len, whole)) <= room or same == set(first):
        return "parameters", whole
    differing = [{k: v for k, v in task.params.items() if k not in same} for task in listed]
    cells = list(map(_words, differing))
    if max(map(len, cells)) > room:
        cells = [_words(each, _SHORT) for each in differing]
    return "parameters that differ" if same else "parameters", cells


def _words(params: Mapping[str, Any], longest: int = 1000) -> str:
    return " ".join(f"{fit(key, longest)}={number(value)}" for key, value in params.items())


def _told(listed: list[TaskState]) -> str:
    """The header of what tasks say of themselves: one that completed may have a note."""
    completed = {task.state == "COMPLETED" for task in listed if task.error or task.note}
    return {True: "note", False: "error"}[completed.pop()] if len(completed) == 1 else "error or note"


def _attempt(task: TaskState) -> str:
    """Which attempt counts, and what became of those before; nothing where there were none."""
    if not task.earlier:
        return ""
    return f"{task.attempt}, after {', '.join(plain(each['state']) for each in task.earlier)}"


def _ran(task: TaskState) -> str:
    if not (task.started and task.ended):
        return ""

    return duration(
        (datetime.fromisoformat(task.ended) - datetime.fromisoformat(task.started)).total_seconds()
    )
