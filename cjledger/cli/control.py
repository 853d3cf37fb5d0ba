"""cancel, retry, rerun, hold, release, pause, resume, clean."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from cjledger.cli import output
from cjledger.cli.launch_options import Mem, Time
from cjledger.cli.options import Jobs, Json, Pid, PidTasks, Wait, Yes
from cjledger.errors import CjError
from cjledger.project import Project, Target, resolve_tasks, resolve_whole
from cjledger.render import plain, size
from cjnode.package.points import format_tasks, parse_tasks

if TYPE_CHECKING:
    from cjledger.commands.control import Resubmitted

_NAMED = 20  # of what would be lost


def cancel(pid: PidTasks = None, json: Json = False) -> None:
    """End a package's tasks.

    What ended by itself keeps its state; the rest is CANCELLED.
    """
    from cjledger.commands import control

    project = output.project(prompts=True)
    target = resolve_tasks(project, pid)
    count = control.cancel(project, target)
    if json:
        output.emit({"package": target.package_id, "cancelled": count})
    else:
        output.say(f"{target.short}  {count} cancelled")


def retry(
    pid: PidTasks = None,
    jobs: Jobs = None,
    mem: Mem = None,
    time: Time = None,
    wait: Wait = False,
    json: Json = False,
) -> None:
    """Run again the tasks that did not complete.

    They run as new attempts: the records of the old ones stay.
    """
    from cjledger.commands import control

    project = output.project(prompts=True)
    target = resolve_tasks(project, pid)
    done = control.retry(project, target, jobs=jobs, memory=mem, walltime=time)
    if done is None:
        if json:
            nothing = {"submission": None, "attempt": None, "tasks": "", "count": 0, "job": ""}
            output.emit({"package": target.package_id, **nothing})
        else:
            output.say(f"{target.short}  nothing to retry")
        if wait:
            from cjledger.cli.following import stay

            stay(project, target)
        return
    _resubmitted(project, target, done, wait, json)


def rerun(
    pid: PidTasks = None,
    jobs: Jobs = None,
    mem: Mem = None,
    time: Time = None,
    yes: Yes = False,
    wait: Wait = False,
    json: Json = False,
) -> None:
    """Run tasks again, whatever became of them.

    They run as new attempts, and the new attempt is the one that counts.
    """
    from cjledger.commands import control

    project = output.project(prompts=True)
    target = resolve_tasks(project, pid)
    what = "all tasks" if not target.tasks else "task" if len(target.tasks) == 1 else "tasks"
    if target.tasks:
        what += f" {format_tasks(list(target.tasks))}"
    _ask(f"Run {what} of {target.short} again?", yes, f"git cj rerun {pid or '@'} --yes")
    done = control.rerun(project, target, jobs=jobs, memory=mem, walltime=time)
    _resubmitted(project, target, done, wait, json)


def _ask(question: str, yes: bool, command: str) -> None:
    if yes:
        return
    # Not typer.confirm: part of its prompt goes to standard output, into the JSON.
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    # A library may have taken SIGINT in a way that lets a read go on after it.
    signal.siginterrupt(signal.SIGINT, True)
    answer = sys.stdin.readline()
    if not answer:
        sys.stderr.write("\n")
        raise CjError("nobody answered", command)
    if answer.strip().lower() not in ("y", "yes"):
        raise CjError("nothing was done", command)


def _resubmitted(project: Project, target: Target, done: Resubmitted, wait: bool, json: bool) -> None:
    from cjledger.cli.following import stay

    if json:
        output.emit(
            {
                "package": done.package_id,
                "submission": done.submission,
                "attempt": done.attempt,
                "tasks": done.tasks,
                "count": done.count,
                "job": done.job,
            }
        )
    else:
        noun = "task" if done.count == 1 else "tasks"
        output.say(
            f"{target.short}  {done.count} {noun} ({done.tasks}) again, attempt {done.attempt}, "
            f"as {plain(done.job)}"
        )
    if wait:
        stay(project, Target(done.package_id, tuple(parse_tasks(done.tasks))))


def hold(pid: Pid = None, json: Json = False) -> None:
    """Keep what has not started from starting.

    What runs goes on. git cj release lets the rest start.
    """
    from cjledger.commands import control

    project = output.project(prompts=True)
    target = resolve_whole(project, pid, "git cj hold")
    _told(target, control.hold(project, target), "held", json)


def release(pid: Pid = None, json: Json = False) -> None:
    """Let what is held start."""
    from cjledger.commands import control

    project = output.project(prompts=True)
    target = resolve_whole(project, pid, "git cj release")
    done = control.release(project, target)
    if done.changed or json or not done.jobs:
        _told(target, done.jobs, "released", json)
    else:
        output.say(f"{target.short}  nothing was held")


def pause(pid: Pid = None, json: Json = False) -> None:
    """Let what runs finish its task, and start nothing more.

    Workers end after their present tasks and free what they have. git cj resume goes on with the rest.
    """
    from cjledger.commands import control

    project = output.project(prompts=True)
    target = resolve_whole(project, pid, "git cj pause")
    jobs = control.pause(project, target)
    if json:
        output.emit({"package": target.package_id, "paused": True, "jobs": jobs})
    else:
        output.say(f"{target.short}  paused: git cj resume {target.package_id[:8]}")


def resume(pid: Pid = None, json: Json = False) -> None:
    """Go on with a package that was paused.

    Jobs that were held are released, and workers added for those that have ended.
    """
    from cjledger.commands import control

    project = output.project(prompts=True)
    target = resolve_whole(project, pid, "git cj resume")
    jobs, changed = control.resume(project, target)
    if json:
        output.emit({"package": target.package_id, "paused": False, "jobs": jobs})
    else:
        words = "goes on" if changed else "was not paused"
        output.say(f"{target.short}  {words}" + (f": {plain(', '.join(jobs))}" if jobs else ""))


def _told(target: Target, jobs: tuple[str, ...], what: str, json: bool) -> None:
    if json:
        output.emit({"package": target.package_id, "jobs": jobs})
    elif jobs:
        output.say(f"{target.short}  {what}: {plain(', '.join(jobs))}")
    else:
        output.say(f"{target.short}  no job is left")


def clean(
    pid: Pid = None,
    forget: Annotated[
        bool, typer.Option("--forget", help="Drop the package and its shards too; says what is lost.")
    ] = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """End a package and free its files on the cluster.

    The package, its shards and the ledger stay. Small outputs come home first. Where that ends tasks, or
    loses what did not come home, it is named and asked about.
    """
    from cjledger.commands import cleaning

    project = output.project(prompts=True)
    target = resolve_whole(project, pid, "git cj clean")
    if not yes:
        words = f"Forget {target.short}, its code and its rows?" if forget else f"Clean {target.short}?"
        lost = cleaning.at_stake(project, target, forget=forget)
        for line in lost[:_NAMED]:
            output.note(f"would be lost: {plain(line)}")
        if len(lost) > _NAMED:
            output.note(f"and {len(lost) - _NAMED} more")
        option = " --forget" if forget else ""
        _ask(words, not lost, f"git cj clean {pid or '@'}{option} --yes")
    done = cleaning.clean(project, target, forget=forget, announce=output.note)
    if json:
        output.emit({"package": done.package_id, "freed": done.freed, "lost": list(done.lost)})
        return
    output.say(f"{target.short}  {size(done.freed)} freed" + (", forgotten" if forget else ""))
    for line in done.lost:
        output.say(f"lost: {plain(line)}")
