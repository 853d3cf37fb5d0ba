"""run, parrun, deploy, pardeploy, extend."""

from __future__ import annotations

import inspect
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from cjledger.cli import output
from cjledger.cli.launch_options import (
    PARAMETERS,
    After,
    Blocks,
    Design,
    Message,
    Points,
    Repeat,
    Reuse,
    Samples,
    Script,
    Seed,
    SweepOption,
)
from cjledger.cli.options import Json, Pid, Wait
from cjledger.errors import UsageError
from cjledger.project import Project, Target, resolve_whole
from cjledger.render import fit, plain

if TYPE_CHECKING:
    from cjledger.cli.headstart import Ahead
    from cjledger.commands.request import LaunchRequest
    from cjledger.commands.submit import Launched


def _launcher(text: str, name: str, *without: str) -> Callable[..., None]:
    """A verb that launches, with all parameters of a launch but some."""

    def verb(ctx: typer.Context, **given: Any) -> None:
        defaults = {name: default for name, (_, default) in PARAMETERS.items()}
        if "no_submit" in without:
            defaults["no_submit"] = True
        _launch({**defaults, **given}, ctx.obj, name)

    loops = name.startswith("par")
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    own = [
        inspect.Parameter(
            each, kind, annotation=Script if loops and each == "program" else annotation, default=default
        )
        for each, (annotation, default) in PARAMETERS.items()
        if each not in without
    ]
    context = inspect.Parameter("ctx", kind, annotation=typer.Context)
    verb.__signature__ = inspect.Signature([context, *own])  # type: ignore[attr-defined]
    verb.__annotations__ = {"ctx": typer.Context, **{param.name: param.annotation for param in own}}
    verb.__doc__ = text
    return verb


_NO_LOOPS = ("line", "depth", "no_eval")
_NO_SWEEP = ("command", "commands", "sweep", "samples", "design", "points", "blocks")
_NO_SENDING = ("no_submit", "wait")

run = _launcher(
    """Launch a program as one task, or as a sweep.

    The working copy as it stands becomes a package, and the package runs on CLUSTER. A function gets a
    task's values as keyword arguments, a script as --name value and as CJ_PARAM_NAME, a command where
    its {name} stands. Words after -- go to the program.

      git cj run PT.py local -m "one job"
      git cj run model.py:fit local --sweep a=0.1:0.1:0.9 --sweep b=1,2,3
      git cj run -c 'echo {x}' local --sweep x=1,2
    """,
    "run",
    *_NO_LOOPS,
)

parrun = _launcher(
    """Launch one task for each iteration of a script's loop nest.

    The nest is the first one the script runs: for statements, each the only statement of the one around
    it. Each task executes everything outside the nest and exactly one iteration.

      git cj parrun PT.py local -m "Test PT"
    """,
    "parrun",
    *_NO_SWEEP,
)

deploy = _launcher(
    """Make a package as run does, without submitting it.

    The package is sent later by git cj submit.

      git cj deploy PT.py local
    """,
    "deploy",
    *_NO_LOOPS,
    *_NO_SENDING,
)

pardeploy = _launcher(
    """Make a package as parrun does, without submitting it.

    The package is sent later by git cj submit.

      git cj pardeploy PT.py local
    """,
    "pardeploy",
    *_NO_SWEEP,
    *_NO_SENDING,
)


def _launch(given: dict[str, Any], ahead: Ahead, verb: str) -> None:
    if given["dry_run"]:
        from cjledger.cli.rehearsal import rehearse

        project = output.project(prompts=True)
        rehearse(project, _request(project, given, ahead.arguments, verb), given["json"])
        return
    if given["no_submit"] and given["wait"]:
        raise UsageError("--no-submit and --wait exclude one another", "leave one of them out")
    from cjledger.commands import launch as launching

    repo, begun = ahead.begun.result() if ahead.begun else (None, None)
    project = output.project(prompts=True, repo=repo)
    request = _request(project, given, ahead.arguments, verb)
    done = launching.launch(project, request, output.note, begun)
    show(done, given["json"])
    if given["wait"] and request.submit and done.tasks:
        from cjledger.cli.following import stay

        stay(project, Target(done.package_id))


# Options that a LaunchRequest calls otherwise.
_OPTIONS = {
    "memory": "mem",
    "walltime": "time",
    "tasks_per_node": "ntasks_per_node",
    "grow_memory": "grow_mem",
    "grow_walltime": "grow_time",
}


def _request(project: Project, given: dict[str, Any], rest: tuple[str, ...], verb: str) -> LaunchRequest:
    from cjledger.commands.request import LaunchRequest

    program, cluster = _program_and_cluster(project, given, verb)
    named = {name: _OPTIONS.get(name, name) for name in LaunchRequest._fields}
    asked = {name: given[option] for name, option in named.items() if option in given}
    asked = {name: tuple(value) if isinstance(value, list) else value for name, value in asked.items()}
    for name in ("points", "commands", "blocks"):
        asked[name] = _path(given[name])
    asked.update(
        program=program,
        cluster=cluster,
        arguments=rest,
        loops=verb.startswith("par"),
        evaluate=not given["no_eval"],
        dep=tuple(map(Path, given["dep"])),
        submit=not given["no_submit"],
        preload=_preload(given["preload"], given["no_preload"]),
    )
    return LaunchRequest(**asked)


def _program_and_cluster(project: Project, given: dict[str, Any], verb: str) -> tuple[str | None, str]:
    program, cluster, command = given["program"], given["cluster"], given["command"]
    clusters = ("local", *project.config.clusters)
    if command is not None and given["commands"] is not None:
        raise UsageError("-c and --commands exclude one another", f"git cj {verb} --commands FILE CLUSTER")
    if command is not None or given["commands"] is not None:
        if cluster is not None:
            raise UsageError(
                f"with -c or --commands there is no program: what is {program}?",
                f"git cj {verb} -c COMMAND CLUSTER",
            )
        program, cluster = None, program
    elif program is None:
        other = "" if verb.startswith("par") else f", or git cj {verb} -c COMMAND CLUSTER"
        raise UsageError("which program?", f"git cj {verb} PROGRAM CLUSTER{other}")
    elif program in clusters and cluster not in clusters:
        if cluster is None:
            raise UsageError(f"which program? {program} is a cluster", f"git cj {verb} PROGRAM {program}")
        if not (project.cwd / program).exists():
            words = f"{program} is a cluster: the program comes first"
            raise UsageError(words, shlex.join(("git", "cj", verb, cluster, program)))
    cluster = cluster or project.config.default_cluster
    if cluster is None:
        what = [program] if program else ["-c", command] if command else ["--commands", given["commands"]]
        raise UsageError("on which cluster?", f"git cj {verb} {shlex.join(what)} local")
    return program, cluster


def _preload(modules: str | None, is_off: bool) -> tuple[str, ...] | None:
    if modules is not None and is_off:
        raise UsageError("--preload and --no-preload exclude one another", "leave one of them out")
    if modules is None:
        return () if is_off else None
    return tuple(name.strip() for name in modules.split(","))


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)


def show(done: Launched, json: bool) -> None:
    """Tell of a package that was launched or sent."""
    if json:
        output.emit(
            {
                "package": done.package_id,
                "ref": done.ref,
                "tasks": done.tasks,
                "cluster": done.cluster,
                "jobs": [job for job in done.jobs if job],
                "waiting": done.waiting,
                **({"linked": [link._asdict() for link in done.linked]} if done.linked else {}),
            }
        )
        return
    if not done.tasks:
        for line in done.report:
            output.say(line)
        return
    noun = "task" if done.tasks == 1 else "tasks"
    how = f"as {plain(' '.join(done.jobs))}" if any(done.jobs) else "waiting"
    if not done.jobs and not done.waiting:
        how = f"not submitted: git cj submit {done.package_id[:8]}"
    if done.before:
        how = f"submitted before, {how}"
    rest = f" on {done.cluster}, {done.tasks} {noun}, {how}"
    name = fit(plain(done.program), max(12, output.width() - 14 - len(rest)))
    output.say(f"{done.package_id[:12]}  {name}{rest}")
    if done.waiting:
        output.note(f"{done.waiting}: later git cj commands send it")


def extend(
    pid: Pid = None,
    sweep: SweepOption = [],  # noqa: B006 - typer reads it, nobody changes it
    samples: Samples = None,
    design: Design = "random",
    points: Points = None,
    blocks: Blocks = None,
    repeat: Repeat = 1,
    seed: Seed = None,
    message: Message = "",
    reuse: Reuse = False,
    after: After = [],  # noqa: B006
    wait: Wait = False,
    json: Json = False,
) -> None:
    """Add points to an experiment, also while it runs.

    They run as a package of their own, with exactly the code of PID. reduce, query and plot of PID take
    both as one; @ is then the last package launched, the one of these points.

      git cj extend @ --sweep delta=0.95:0.01:0.99 --sweep epsilon=0.1,0.2
    """
    from cjledger.commands import extend as extending

    project = output.project(prompts=True)
    more = extending.More(
        sweep=tuple(sweep),
        samples=samples,
        design=design,
        points=_path(points),
        blocks=_path(blocks),
        repeat=repeat,
        seed=seed,
        message=message,
        reuse=reuse,
        after=tuple(after),
    )
    target = resolve_whole(project, pid, "git cj extend {} --sweep NAME=SPEC")
    done = extending.extend(project, target, more, output.note)
    show(done, json)
    if wait and done.tasks:
        from cjledger.cli.following import stay

        stay(project, Target(done.package_id))
