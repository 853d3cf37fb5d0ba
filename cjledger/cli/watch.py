"""state and log."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cjledger.cli import output
from cjledger.cli.options import Json, Pid, PidTasks
from cjledger.cli.tasktable import task_table
from cjledger.errors import CjError, UsageError
from cjledger.project import Project, Target, nothing_launched, resolve_tasks, resolve_whole
from cjledger.render import (
    counts_words,
    fit,
    launch_line,
    moment,
    plain,
    state_line,
    wrap,
)

if TYPE_CHECKING:
    from cjledger.commands.descriptions import PackageState, TaskState

_LISTED = 50


def state(
    pid: PidTasks = None,
    tasks: Annotated[bool, typer.Option("--tasks", help="A line a task, however many.")] = False,
    only: Annotated[
        str | None, typer.Option("--state", metavar="STATE", help="Only tasks in this state: FAILED.")
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Stay until every task has ended.")] = False,
    every: Annotated[bool, typer.Option("--all", help="Every package that is not final.")] = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Ask the scheduler, also when that was done a moment ago.")
    ] = False,
    json: Json = False,
) -> None:
    """Show how many tasks are in which state.

    Packages of up to 50 tasks show each task.
    """
    from cjledger.cli.following import wait_for
    from cjledger.commands import log as logging
    from cjledger.commands import state as states
    from cjledger.commands import waiting

    project = output.project()
    wanted = states.check_state(only) if only else None
    if every and pid:
        raise UsageError("--all and a package exclude one another", "git cj state --all")
    targets = logging.unfinished(project) if every else [resolve_tasks(project, pid)]
    if every and not targets and not json:
        output.note("every package launched here is final: git cj log")
    if every and not (tasks or wanted or watch):
        silent: list[CjError] = []
        for found in states.states(project, targets, fresh=fresh, failed=silent.append):
            then = _then_of(project, found)
            if json:
                output.emit(_package(found, then))
            else:
                _say(found)
                _say_then(then)
        if silent:
            raise silent[0]
        return
    for target in targets:
        # What was not sent does not end: it is shown once, with the command that sends it.
        watched = watch and not waiting.is_left(project, target.package_id)
        if watched and not json:
            wait_for(project, target)
        elif watched:
            last: PackageState | None = None
            for now in states.follow(project, target, before=lambda: output.send_what_waits(project)):
                if now != last:
                    output.emit(_package(now, _then_of(project, now)))
                last = now
        _one_state(
            project, target, tasks or bool(target.tasks), wanted, json, quiet=watched and json, fresh=fresh
        )


def _one_state(
    project: Project, target: Target, listing: bool, wanted: str | None, json: bool, quiet: bool, fresh: bool
) -> None:
    from cjledger.commands import state as states

    known = states.last_known(project, target.package_id)
    small = not json and known is not None and known.tasks <= _LISTED
    found, listed = states.state(project, target, tasks=bool(listing or wanted or small), fresh=fresh)
    if json:
        if listing or wanted:
            _emit_tasks(project, target, _filtered(listed, wanted))
        elif not quiet:
            output.emit(_package(found, _then_of(project, found)))
        return
    if not (listing or wanted or small) and found.tasks <= _LISTED:
        found, listed = states.state(project, target, tasks=True)
    _say(found)
    _say_then(_then_of(project, found))
    chosen = _filtered(listed, wanted)
    if chosen:
        with_params = states.with_params(project, target.package_id, chosen)
        output.say(task_table(with_params, output.width(), output.colour()))


def _say(found: PackageState) -> None:
    line = state_line(
        found.package_id,
        found.cluster,
        found.program,
        found.tasks,
        found.counts,
        output.colour(),
        output.width(),
    )
    output.say(line)
    for problem in found.problems:
        output.note(problem)
    for words, count in found.reasons.items():
        output.say(wrap(f"    {count} waiting: {plain(words)}", output.width(), " " * 6))


def _then_of(project: Project, found: PackageState) -> PackageState | None:
    """The state of what runs after a package."""
    from cjledger.commands import state as states

    return states.state(project, Target(found.then))[0] if found.then else None


def _say_then(then: PackageState | None) -> None:
    if then is None:
        return
    words = f"    then {plain(then.program)}: {counts_words(then.counts, output.colour())}"
    output.say(words + "".join(f" ({plain(reason)})" for reason in then.reasons))
    for problem in then.problems:
        output.note(problem)


def _filtered(listed: list[TaskState], wanted: str | None) -> list[TaskState]:
    return [task for task in listed if wanted in (None, task.state)]


def _package(found: PackageState, then: PackageState | None) -> dict[str, Any]:
    shown = {} if then is None else {"then": _package(then, None)}
    return {
        "package": found.package_id,
        "cluster": found.cluster,
        "program": found.program,
        "tasks": found.tasks,
        "counts": found.counts,
        "final": found.final,
        "reasons": found.reasons,
        "problems": list(found.problems),
        **shown,
        **({"workers": found.workers} if found.workers else {}),
    }


def _emit_tasks(project: Project, target: Target, listed: list[TaskState]) -> None:
    from cjledger.commands import state as states

    for task in states.with_params(project, target.package_id, listed):
        content = asdict(task)
        params = content.pop("params")
        last = {key: content.pop(key) for key in ("error", "note", "earlier")}
        output.emit({**content, "params": params, **last})


def log(
    pid: Pid = None,
    count: Annotated[int, typer.Option("-n", "--number", metavar="N", help="How many; 20 left out.")] = 20,
    every: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
    program: Annotated[
        str | None, typer.Option("--program", metavar="REGEX", help="Only launches of such a program.")
    ] = None,
    cluster: Annotated[
        str | None, typer.Option("--cluster", metavar="NAME", help="Only launches on this cluster.")
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="DATE", help="Not before: 2026-01-31, or an age: 3d.")
    ] = None,
    until: Annotated[str | None, typer.Option("--until", metavar="DATE", help="Not after.")] = None,
    json: Json = False,
) -> None:
    """List the launches of this repository, newest first.

    Tasks are counted as last known: git cj state asks anew.
    """
    from cjledger.commands import log as logging

    project = output.project()
    found = logging.log(
        project,
        limit=None if every else count,
        package_id=resolve_whole(project, pid, "git cj log").package_id if pid else None,
        program=program,
        cluster=cluster,
        since=since,
        until=until,
    )
    if not found and not json:
        if pid or program or cluster or since or until:
            output.note("nothing was launched here that fits: git cj log --all")
        else:
            nothing = nothing_launched(project)
            output.note(f"{nothing.message}: {nothing.hint}")
    for launch in found:
        if json:
            content = asdict(launch)
            output.emit({"package": content.pop("package_id"), **content})
            continue
        gone = "  (forgotten)" if launch.forgotten else ""
        line = launch_line(
            launch.package_id,
            moment(launch.date),
            launch.program,
            launch.cluster,
            launch.tasks,
            launch.counts,
            output.colour(),
            output.width() - len(gone),
            launch.submitted,
        )
        output.say(line + gone)
        output.say(fit(f"    {plain(launch.author)}, {plain(launch.agent)}", output.width()))
        if launch.message:
            output.say(fit(f"    {plain(launch.message)}", output.width()))
        if launch.then:
            output.say(f"    then {plain(launch.then[:12])}")
        if launch.after:
            output.say(wrap(f"    after {plain(', '.join(launch.after))}", output.width(), " " * 6))
