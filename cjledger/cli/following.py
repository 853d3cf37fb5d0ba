"""Staying with a package until it is final."""

from __future__ import annotations

import sys
from typing import TextIO

import typer

from cjledger import package
from cjledger.cli import output
from cjledger.commands import state
from cjledger.commands.descriptions import PackageState
from cjledger.project import Project, Target, without_prompts
from cjledger.render import plain

UNFINISHED = 4


def stay(project: Project, target: Target) -> None:
    """What ``--wait`` does. Exits as such when a task did not complete, so that a script can tell.

    Of a package some of whose tasks run again these alone decide.
    """
    last = wait_for(project, target, to=sys.stderr)
    if last.counts.get("COMPLETED", 0) == last.tasks:
        return
    own = target.tasks if last.package_id == target.package_id else None
    listed = state.state(project, target, tasks=True)[1] if own else []
    if not listed or any(task.state != "COMPLETED" for task in listed):
        raise typer.Exit(UNFINISHED)


def wait_for(project: Project, target: Target, to: TextIO = sys.stdout) -> PackageState:
    """Show progress until every task has ended; returns the last state, of what runs after it if any does."""
    from cjledger.render import live  # rich: only for those who wait

    manifest = package.read_manifest(project.repo, target.package_id)
    last = live.watch(
        state.follow(without_prompts(project), target, before=lambda: output.send_what_waits(project)),
        to,
        title=f"{target.short}  {plain(manifest.program.name)} on {plain(manifest.cluster)}",
        terminal=to.isatty() and output.is_terminal(),
        colour=output.colour(),
        width=output.width(),
    )
    assert last is not None
    if last.left:
        output.note(f"no worker is left for {last.left} tasks: git cj workers {target.package_id[:8]} +N")
    if last.then:
        after = wait_for(project, Target(last.then), to)
        return after if last.counts.get("COMPLETED") == last.tasks else last
    return last
