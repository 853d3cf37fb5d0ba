"""show, ls, get, gather, errors."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cjledger.cli import output
from cjledger.cli.options import Json, PidTasks
from cjledger.errors import UsageError
from cjledger.project import Project, Target, resolve, resolve_tasks
from cjledger.render import fit, json_line, number, plain, plain_lines, size, table
from cjnode.package.points import format_tasks

if TYPE_CHECKING:
    from cjledger.commands.errors import Failure
    from cjledger.commands.files import Fetched

# What a pattern of files has and the name of a package, or of its tasks, has not.
_PATTERN = re.compile(r"(?!(@|[0-9a-fA-F]{4,64})/).*[*?\[.]")

Folder = Annotated[str | None, typer.Option("-o", "--output", metavar="DIR", help="Where to put them.")]


def show(
    pid: Annotated[
        str | None,
        typer.Argument(
            metavar="PID[/TASK[/FILE]]", help="A package, a task of it, or a file that the task left."
        ),
    ] = None,
    out: Annotated[bool, typer.Option("--out", help="What the task printed.")] = False,
    err: Annotated[bool, typer.Option("--err", help="What the task printed as errors.")] = False,
    script: Annotated[
        bool, typer.Option("--script", help="The script that runs the task again on its own.")
    ] = False,
    diff: Annotated[bool, typer.Option("--diff", help="What differed from HEAD at launch.")] = False,
    env_check: Annotated[
        bool, typer.Option("--env-check", help="Compare what tasks really ran in with the lock file.")
    ] = False,
    json: Json = False,
) -> None:
    """Show a package's manifest, a task, or a file.

    With --env-check, exits with 1 when a task ran in something else than the lock file says.
    """
    from cjledger.commands import show as showing

    if out + err + script + diff + env_check > 1:
        words = "--out, --err, --script, --diff and --env-check exclude one another"
        raise UsageError(words, "git cj show @/1 --out")
    project = output.project()
    target = resolve(project, pid)
    if env_check:
        _env_check(project, target, json)
    elif out or err:
        output.raw(showing.stream(project, target, "out" if out else "err"))
    elif script:
        output.raw(showing.reproduction(project, target))
    elif diff:
        output.raw(showing.changes(project, target).encode(errors="replace"))
    elif target.file:
        output.raw(showing.file(project, target))
    elif target.tasks:
        for task in showing.tasks(project, target):
            earlier = [] if json else task.pop("earlier", [])
            _show_fields(task, json)
            _show_earlier(earlier)
    else:
        _show_fields(showing.manifest(project, target), json)


def _env_check(project: Project, target: Target, json: bool) -> None:
    from cjledger.commands import envcheck

    checks = envcheck.check(project, target)
    for found in checks:
        if json:
            output.emit({"package": target.package_id, **asdict(found)})
            continue
        output.say(f"tasks {found.tasks}: Python {plain(found.python)}".rstrip())
        if found.modules:
            output.say(f"  modules {plain(' '.join(found.modules))}")
        if found.note:
            output.say(f"  {plain(found.note)}")
        for each in found.differences or ():
            words = f"{each.what:<8} {each.name} {each.had or ''}" + (
                f" (locked {each.locked})" if each.locked else ""
            )
            output.say("  " + plain(" ".join(words.split())))
        if found.differences == () and not found.note:
            output.say("  as the lock file says")
    if any(found.differences for found in checks):
        raise typer.Exit(1)


def _show_fields(content: dict[str, Any], json: bool) -> None:
    if json:
        output.emit(content)
        return
    for key, value in content.items():
        inner = {name: item for name, item in value.items() if _says(item)} if isinstance(value, dict) else {}
        if inner:
            output.say(f"{plain(key)}:")
            for name, item in inner.items():
                _field(f"  {plain(name)}", item)
        elif key == "after" and value:
            _field(key, [f"{each['package'][:12]} ({each['when']})" for each in value])
        elif _says(value) and not isinstance(value, dict):
            _field(plain(key), value)


def _says(value: Any) -> bool:
    return value is not False and value not in (None, [], {}, "")


def _show_earlier(attempts: Sequence[dict[str, Any]]) -> None:
    """How the attempts of a task ended that do not count."""
    if not attempts:
        return
    output.say("earlier:")
    for each in attempts:
        words = [each["state"], *(str(each[key] or "") for key in ("error", "note"))]
        if each["exit_code"]:
            words.insert(1, f"exit {each['exit_code']}")
        _field(f"  attempt {each['attempt']}", plain("  ".join(word for word in words if word)))


def _field(name: str, value: Any) -> None:
    if isinstance(value, list) and all(isinstance(item, str | int | float) for item in value):
        text = ", ".join(number(item) for item in value)
    else:
        text = json_line(value) if isinstance(value, list | dict) else number(value)
    output.say(fit(f"{name:<16} {text}", output.width()).rstrip())


def _chosen(project: Project, pid: str | None, glob: str | None) -> tuple[Target, str | None, str | None]:
    """A package and a pattern; of a pattern alone, the last package; of ``PID/7/FILE``, that file."""
    if glob is None and pid and _PATTERN.match(pid):
        pid, glob = None, pid
    target = resolve(project, pid)
    return target, pid, glob or target.file


def ls(
    pid: PidTasks = None,
    glob: Annotated[str | None, typer.Argument(metavar="GLOB", help="Only such files.")] = None,
    json: Json = False,
) -> None:
    """List the files that tasks left."""
    from cjledger.commands import files

    project = output.project()
    target, _, glob = _chosen(project, pid, glob)
    found = files.ls(project, target, glob)
    if json:
        for item in found:
            output.emit(
                {
                    "package": target.package_id,
                    "task": item.task,
                    "attempt": item.attempt,
                    "path": item.path,
                    "bytes": item.size,
                    "sha256": item.sha256,
                }
            )
    elif found:
        rows = [(item.task, size(item.size), plain(item.path)) for item in found]
        output.say(table(["task", "size", "file"], rows, output.width()))
    else:
        output.note("no file yet")


def get(
    pid: PidTasks = None,
    glob: Annotated[str | None, typer.Argument(metavar="GLOB", help="Only such files.")] = None,
    folder: Folder = None,
    json: Json = False,
) -> None:
    """Bring files of tasks home.

    They go to DIR/TASK/FILE, for a single task to DIR/FILE; DIR is the package's first digits where it is
    left out. A file that is there with other content is kept.
    """
    from cjledger.commands import files

    project = output.project()
    target, pid, glob = _chosen(project, pid, glob)
    place = folder or target.package_id[:8]
    beside = f"{place}-{target.tasks[0] if target.tasks and len(target.tasks) == 1 else 'new'}"
    again = ("get", pid or "@", *((glob,) if glob else ()), "-o", beside)
    _fetched(files.get(project, target, glob, Path(place)), json, again)


def gather(
    glob: Annotated[str, typer.Argument(metavar="GLOB", help="Which file of each task.")],
    folder: Annotated[str, typer.Argument(metavar="DIR", help="Where to put them.")],
    pid: PidTasks = None,
    json: Json = False,
) -> None:
    """Bring every task's file into one folder.

    The task's number goes into each name, and nothing is overwritten.
    """
    from cjledger.commands import files

    project = output.project()
    again = ("gather", glob, f"{folder.rstrip('/')}-new", *((pid,) if pid else ()))
    _fetched(files.gather(project, resolve(project, pid), glob, Path(folder)), json, again)


def _fetched(found: Fetched, json: bool, again: tuple[str, ...]) -> None:
    for path in found.written:
        if json:
            output.emit({"path": str(path), "written": True})
        else:
            output.say(plain(str(path)))
    for path in found.kept:
        if json:
            output.emit({"path": str(path), "written": False})
        else:
            output.note(f"kept, it is there with other content: {plain(str(path))}")
    if found.left:
        noun = "1 file lies" if len(found.left) == 1 else f"{len(found.left)} files lie"
        output.note(f"not brought: {noun} in a .git, which git obeys, such as {plain(found.left[0])}")
    if found.there:
        noun = "file was" if found.there == 1 else "files were"
        output.note(f"{found.there} {noun} there already")
    if found.kept:
        output.note(f"hint: git cj {shlex.join(again)}")
    if found.lost:
        raise found.lost


def errors(
    pid: PidTasks = None,
    count: Annotated[
        int, typer.Option("-n", "--number", metavar="N", help="How many groups; 5 left out.")
    ] = 5,
    json: Json = False,
) -> None:
    """Group the tasks that failed by what they said.

    Each group has its last error line, its tasks, and of the first of them the parameters, the traceback
    and, for Python, what the variables held.
    """
    from cjledger.commands import errors as failing

    project = output.project()
    target = resolve_tasks(project, pid)
    tasks, failures = failing.errors(project, target)
    if json:
        for failure in failures:
            named = {"tasks": format_tasks(list(failure.tasks)), "count": len(failure.tasks)}
            output.emit({"package": target.package_id, **asdict(failure), **named})
        return
    failed = sum(len(failure.tasks) for failure in failures)
    how = f", in {len(failures)} ways" if len(failures) > 1 else ""
    output.say(f"{target.short}  {failed} of {tasks} tasks did not complete{how}")
    for failure in failures[:count]:
        output.say("\n" + _failure(failure, target, output.width()))
    if len(failures) > count:
        more = f"git cj errors {target.package_id[:8]} -n {len(failures)}"
        output.note(f"{len(failures) - count} more ways of failing: {more}")
    for package_id, more_failed in failing.elsewhere(project, target).items():
        where = f"{package_id[:12]}, which belongs to it"
        noun = "task" if more_failed == 1 else "tasks"
        output.note(f"{more_failed} more {noun} of {where}, did not complete: git cj errors {package_id[:8]}")


def _failure(failure: Failure, target: Target, width: int) -> str:
    noun = "task" if len(failure.tasks) == 1 else "tasks"
    named = fit(format_tasks(list(failure.tasks)), 40)
    params = " ".join(f"{name}={plain(str(value))}" for name, value in failure.params.items())
    # Files of the package by their names in the repository: what precedes them is long and not the person's.
    said = re.sub(rf"/[^\s\"']*/packages/{target.package_id}/code/", "", failure.said)
    error = f": {plain(failure.error)}" if failure.error else ""
    lines = [
        fit(f"{len(failure.tasks)} {noun} {failure.state}{error}", width),
        f"  {noun} {named}" + (f", for example {failure.example}" if len(failure.tasks) > 1 else ""),
    ]
    lines += [fit(f"  {params}", width)] if params else []
    for text in (said, failure.variables):
        lines += [fit(f"    {line}", width) for line in plain_lines(text.rstrip("\n")).split("\n") if text]
    if failure.recorded and (failure.error or said):
        lines.append(f"  all it printed: git cj show {target.package_id[:8]}/{failure.example} --err")
    return "\n".join(lines)
