"""run, parrun, deploy, pardeploy, submit."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from cjledger.cli import output
from cjledger.cli.launch_options import (
    Alloc,
    AllowLarge,
    AllowSecret,
    Blocks,
    Cluster,
    Command,
    Cpus,
    Dep,
    Depth,
    DryRun,
    Gpus,
    Line,
    Mem,
    Message,
    Nodes,
    NoEval,
    NoSubmit,
    Ntasks,
    Out,
    Points,
    Program,
    Repeat,
    Seed,
    SweepOption,
    Time,
    Wait,
)
from cjledger.cli.options import Jobs, Json, Pid
from cjledger.errors import UsageError
from cjledger.project import Project, Target, resolve
from cjledger.render import number, plain, plain_lines, table

if TYPE_CHECKING:
    from cjledger.commands.launch import Launched
    from cjledger.commands.plan import LaunchRequest

_SHOWN = 20


def run(
    ctx: typer.Context,
    program: Program = None,
    cluster: Cluster = None,
    command: Command = None,
    message: Message = "",
    sweep: SweepOption = [],  # noqa: B006
    points: Points = None,
    blocks: Blocks = None,
    repeat: Repeat = 1,
    dep: Dep = [],  # noqa: B006
    out: Out = [],  # noqa: B006
    seed: Seed = None,
    mem: Mem = None,
    time: Time = None,
    cpus: Cpus = None,
    gpus: Gpus = None,
    nodes: Nodes = None,
    ntasks_per_node: Ntasks = None,
    alloc: Alloc = [],  # noqa: B006
    jobs: Jobs = None,
    dry_run: DryRun = False,
    no_submit: NoSubmit = False,
    wait: Wait = False,
    allow_large: AllowLarge = False,
    allow_secret: AllowSecret = [],  # noqa: B006
    json: Json = False,
) -> None:
    """Launch a program as one task, or as a sweep.

    The working copy as it stands becomes a package, and the package runs on CLUSTER. A function gets a
    task's values as keyword arguments, a script as --name value and as CJ_PARAM_NAME, a command where
    its {name} stands. Words after -- go to the program.

      git cj run PT.py local -m "one job"
      git cj run model.py:fit local --sweep a=0.1:0.1:0.9 --sweep b=1,2,3
      git cj run -c 'echo {x}' local --sweep x=1,2
    """
    _launch(ctx, locals())


def parrun(
    ctx: typer.Context,
    program: Program = None,
    cluster: Cluster = None,
    message: Message = "",
    line: Line = None,
    depth: Depth = None,
    no_eval: NoEval = False,
    repeat: Repeat = 1,
    dep: Dep = [],  # noqa: B006
    out: Out = [],  # noqa: B006
    seed: Seed = None,
    mem: Mem = None,
    time: Time = None,
    cpus: Cpus = None,
    gpus: Gpus = None,
    nodes: Nodes = None,
    ntasks_per_node: Ntasks = None,
    alloc: Alloc = [],  # noqa: B006
    jobs: Jobs = None,
    dry_run: DryRun = False,
    no_submit: NoSubmit = False,
    wait: Wait = False,
    allow_large: AllowLarge = False,
    allow_secret: AllowSecret = [],  # noqa: B006
    json: Json = False,
) -> None:
    """Launch one task for each iteration of a script's loop nest.

    The nest is the first one the script runs: for statements, each the only statement of the one around
    it. Each task executes everything outside the nest and exactly one iteration.

      git cj parrun PT.py local -m "Test PT"
    """
    _launch(ctx, locals(), loops=True)


def _without(function: Callable[..., None], summary: str, code: str) -> Callable[..., None]:
    """The same launch, never submitted: CJ's own verbs for --no-submit."""

    def deploying(**given: Any) -> None:
        function(**{**given, "no_submit": True})

    own = inspect.signature(function, eval_str=True)
    left = [param for name, param in own.parameters.items() if name not in ("no_submit", "wait")]
    deploying.__signature__ = own.replace(parameters=left)  # type: ignore[attr-defined]
    deploying.__annotations__ = {param.name: param.annotation for param in left}
    deploying.__doc__ = f"{summary}\n\ngit cj submit sends the package later.\n\n  git cj {code}"
    return deploying


deploy = _without(run, "Make a package as run does, without submitting it.", "deploy PT.py local")
pardeploy = _without(parrun, "Make a package as parrun does, without submitting it.", "pardeploy PT.py local")


def _launch(ctx: typer.Context, given: dict[str, Any], loops: bool = False) -> None:
    from cjledger.cli.following import wait_for
    from cjledger.commands import launch as launching

    project = output.project()
    request = _request(project, given, ctx.obj or (), loops)
    if given["dry_run"]:
        _dry_run(project, request, given["json"])
        return
    done = launching.launch(project, request, output.note)
    _show(done, given["json"])
    if given.get("wait") and request.submit:
        wait_for(project, Target(done.package_id), to=sys.stderr)


def _request(project: Project, given: dict[str, Any], rest: tuple[str, ...], loops: bool) -> LaunchRequest:
    program, cluster, command = given["program"], given["cluster"], given.get("command")
    if command is not None:
        if cluster is not None:
            raise UsageError(
                f"with -c there is no program: what is {program}?", "git cj run -c COMMAND CLUSTER"
            )
        program, cluster = None, program
    elif program is None:
        raise UsageError("which program?", "git cj run PROGRAM CLUSTER, or git cj run -c COMMAND CLUSTER")
    cluster = cluster or project.config.default_cluster
    if cluster is None:
        raise UsageError("on which cluster?", f"git cj run {program or '-c …'} local")
    return LaunchRequest(
        program=program,
        cluster=cluster,
        command=command,
        message=given["message"],
        arguments=rest,
        loops=loops,
        line=given.get("line"),
        depth=given.get("depth"),
        evaluate=not given.get("no_eval", False),
        sweep=tuple(given.get("sweep") or ()),
        points=_path(given.get("points")),
        blocks=_path(given.get("blocks")),
        repeat=given["repeat"],
        dep=tuple(Path(folder) for folder in given["dep"]),
        out=tuple(given["out"]),
        seed=given["seed"],
        memory=given["mem"],
        walltime=given["time"],
        cpus=given["cpus"],
        gpus=given["gpus"],
        nodes=given["nodes"],
        tasks_per_node=given["ntasks_per_node"],
        alloc=tuple(given["alloc"]),
        jobs=given["jobs"],
        submit=not given["no_submit"],
        allow_large=given["allow_large"],
        allow_secret=tuple(given["allow_secret"]),
    )


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)


def _dry_run(project: Project, request: LaunchRequest, json: bool) -> None:
    from cjledger.commands import launch as launching
    from cjledger.commands import plan as planning

    planned = planning.plan(project, request, output.note)
    if json:
        output.emit({"tasks": planned.tasks})
        for point in planning.tasks_of(planned, range(1, planned.tasks + 1)):
            output.emit({"task": point.task, "params": point.params})
        return
    noun = "task" if planned.tasks == 1 else "tasks"
    output.say(f"{plain(planned.program.name)} on {planned.cluster.name}: {planned.tasks} {noun}")
    shown = list(islice(planning.tasks_of(planned, range(1, min(planned.tasks, _SHOWN) + 1)), _SHOWN))
    names = list(shown[0].params)
    output.say(
        table(["task", *names], [[p.task, *map(number, p.params.values())] for p in shown], output.width())
    )
    if planned.tasks > _SHOWN:
        output.say(f"… {planned.tasks - _SHOWN} more: --json lists all")
    output.say("\n" + plain_lines(launching.preview(project, request, planned).decode(errors="replace")))


def _show(done: Launched, json: bool) -> None:
    if json:
        output.emit(
            {
                "package": done.package_id,
                "ref": done.ref,
                "tasks": done.tasks,
                "cluster": done.cluster,
                "jobs": list(done.jobs),
            }
        )
        return
    noun = "task" if done.tasks == 1 else "tasks"
    what = f"{plain(done.program)} on {done.cluster}, {done.tasks} {noun}"
    if done.jobs:
        output.say(f"{done.package_id[:12]}  {what}, as {plain(' '.join(done.jobs))}")
    else:
        output.say(f"{done.package_id[:12]}  {what}, not submitted: git cj submit {done.package_id[:8]}")


def submit(pid: Pid = None, wait: Wait = False, json: Json = False) -> None:
    """Send a package that was deployed, or whose sending failed.

    Sending twice submits once.
    """
    from cjledger.cli.following import wait_for
    from cjledger.commands import launch as launching

    project = output.project()
    done = launching.submit(project, resolve(project, pid), output.note)
    _show(done, json)
    if wait:
        wait_for(project, Target(done.package_id), to=sys.stderr)
