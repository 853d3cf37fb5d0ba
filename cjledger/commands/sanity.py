"""Sanity: tasks whose file is missing, or whose number of lines is off the most common one."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from cjledger.commands import harvest, state
from cjledger.project import Project, Target


@dataclass(frozen=True)
class Odd:
    """A task that is not like the others; ``lines`` is None without the file."""

    task: int
    state: str
    lines: int | None
    why: str


@dataclass(frozen=True)
class Sanity:
    """The odd tasks, and one sentence about all."""

    tasks: tuple[Odd, ...]
    summary: str


def sanity(project: Project, target: Target, check: str, file: str) -> Sanity:
    """Check ``exists`` or ``lines`` of a file over all tasks, or those the target names."""
    _, listed = state.state(project, target, tasks=True)
    states = {task.task: task.state for task in listed}
    left = {output.task: output for output in harvest.outputs(project, target) if output.path == file}
    odd = [
        Odd(task, word, None, f"left no {file}") for task, word in sorted(states.items()) if task not in left
    ]
    if check == "exists":
        return Sanity(tuple(odd), f"{len(left)} of {len(states)} tasks left {file}")
    counts = {
        output.task: content.count(b"\n") + (not content.endswith(b"\n") and content != b"")
        for output, content in harvest.contents(project, target, list(left.values()))
    }
    usual = Counter(counts.values()).most_common(1)[0][0] if counts else 0
    odd += [
        Odd(task, states[task], lines, f"{lines} {'line' if lines == 1 else 'lines'}, most have {usual}")
        for task, lines in counts.items()
        if lines != usual
    ]
    same = sum(lines == usual for lines in counts.values())
    return Sanity(
        tuple(sorted(odd, key=lambda one: one.task)),
        f"{same} of {len(states)} tasks have {usual} {'line' if usual == 1 else 'lines'} in {file}",
    )
