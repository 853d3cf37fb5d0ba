"""workers, recover."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from cjledger.cli import output
from cjledger.cli.options import Json, Pid
from cjledger.errors import UsageError
from cjledger.project import Target, resolve_whole
from cjledger.render import duration, plain, table

if TYPE_CHECKING:
    from cjledger.commands.workers import Workers

_CHANGE = re.compile(r"([+-])([0-9]{1,9})\Z")
_SHOWN = 50

Change = Annotated[
    str | None,
    typer.Argument(metavar="+N|-N", help="Add N workers, or ask N to end after their present task."),
]


def workers(pid: Pid = None, change: Change = None, json: Json = False) -> None:
    """Show a package's workers, add some, or end some.

    Workers are the elements of a package's job, which share its tasks. Those that are added are a further
    job of the same submission; those that end leave what they have not begun to the others.

      git cj workers @
      git cj workers 8ab7a5aa +20
      git cj workers @ -5
    """
    from cjledger.commands import workers as acts

    if change is None and pid is not None and _CHANGE.match(pid):
        pid, change = None, pid
    found = _CHANGE.match(change) if change else None
    if change and (found is None or not int(found.group(2))):
        raise UsageError(f"{change!r} is neither +N nor -N", f"git cj workers {pid or '@'} +1")
    number = int(found.group(2)) if found else 0
    adds = found is not None and found.group(1) == "+"
    project = output.project(prompts=True)
    target = resolve_whole(project, pid, "git cj workers {} +N" if change else "git cj workers")
    done = acts.workers(project, target, add=number if adds else 0, stop=0 if adds else number)
    if json:
        for worker in done.workers:
            output.emit({"package": target.package_id, **asdict(worker)})
        if change:
            output.emit({"package": target.package_id, "jobs": done.jobs, "stopped": done.stopped})
        return
    if done.jobs:
        output.say(f"{target.short}  {number} added, as {plain(', '.join(done.jobs))}")
    elif adds:
        output.say(f"{target.short}  {number} added; they wait for the scheduler to have room")
    if done.stopped:
        output.say(f"{target.short}  asked to end: {plain(done.stopped)}")
    _show(target, done)


def _show(target: Target, done: Workers) -> None:
    living = [worker for worker in done.workers if worker.state in ("RUNNING", "PENDING")]
    if not living:
        output.say(f"{target.short}  no worker is there")
        return
    running = sum(worker.state == "RUNNING" for worker in living)
    output.say(f"{target.short}  {running} running, {len(living) - running} waiting")
    rows = [
        (
            worker.worker,
            worker.state,
            worker.host,
            worker.block,
            worker.task,
            worker.done,
            duration(worker.silent_s) if worker.silent_s is not None else None,
        )
        for worker in living[:_SHOWN]
    ]
    heads = ("worker", "state", "host", "block", "task", "done", "silent")
    output.say(table(heads, rows, output.width()))
    if len(living) > _SHOWN:
        output.note(f"and {len(living) - _SHOWN} more: git cj workers {target.package_id[:8]} --json")


def recover(pid: Pid = None, json: Json = False) -> None:
    """Free the tasks of workers that are dead.

    What a worker holds is freed only when the scheduler says that it is gone and it has shown no life for
    three minutes, by the cluster's own files. Others go on meanwhile and take up what is freed.
    """
    from cjledger.commands import workers as acts

    project = output.project(prompts=True)
    target = resolve_whole(project, pid, "git cj recover")
    done = acts.recover(project, target)
    if json:
        output.emit({"package": done.package_id, **{k: getattr(done, k) for k in _KEYS}})
        return
    noun = "block" if done.blocks == 1 else "blocks"
    output.say(f"{target.short}  {done.blocks} {noun} of dead workers freed")
    if done.doubtful:
        again = f"git cj recover {target.package_id[:8]} in 3 minutes"
        output.note(f"{done.doubtful} changed a moment ago: {again}")
    if done.blocks and not done.workers:
        output.note(f"no worker is left: git cj workers {target.package_id[:8]} +N")


_KEYS = ("blocks", "doubtful", "workers")
