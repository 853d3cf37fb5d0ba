"""Plan a launch: from the words on the command line to a program, a sweep and resources; writes nothing."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from cjledger import config, retries
from cjledger.commands import programs, sizing, sweeping
from cjledger.commands.request import LaunchRequest
from cjledger.errors import CjError
from cjledger.languages import python
from cjledger.model import Cluster, Point, Program, Resources, Retry, Snapshot, Sweep
from cjledger.project import Project
from cjledger.quantities import check_count
from cjledger.snapshot import Begun
from cjnode.errors import NodeError
from cjnode.globs import pattern
from cjnode.package import points as numbering

Announce = Callable[[str], None]

# How many tasks of a product are run in an even mix of all unless somebody asks for their own order.
SHUFFLED = range(1000, 100_001)


class AfterAll(NamedTuple):
    """What runs when all tasks have ended: a script, the file of theirs that it reads, what it writes."""

    program: Program
    table: str | None
    written: frozenset[str]


class Plan(NamedTuple):
    """A launch, decided but not done."""

    program: Program
    sweep: Sweep
    tasks: int
    points: tuple[tuple[str, bytes], ...]  # files below .cj
    grafts: tuple[tuple[Path, str], ...]  # outside folders and where they go in the tree
    outputs: tuple[str, ...]
    written: frozenset[str]  # files the program's text opens for writing, relative to the top
    given_outputs: bool
    resources: Resources
    cluster: Cluster
    python: str
    branch: str | None
    seed: int
    retry: Retry | None = None
    then: AfterAll | None = None
    shuffle: bool = False

    def unlinked(self, taken: Snapshot) -> tuple[str, ...]:
        """Files of the snapshot that are outputs of an earlier run, which tasks must not see."""
        prefix = "" if self.program.workdir == "." else self.program.workdir + "/"
        untracked = {change.path for change in taken.changes if change.change == "untracked"}
        here = [path.removeprefix(prefix) for path in untracked if path.startswith(prefix)]
        wanted = pattern(self.outputs if self.given_outputs else ())
        left = {prefix + path for path in here if self.given_outputs and wanted.match(path)}
        return tuple(sorted(left | (self.written & untracked)))


def _outputs(project: Project, request: LaunchRequest) -> tuple[str, ...]:
    if not all(request.out):
        raise CjError("--out '': a pattern without a character fits no file", "--out 'results*.csv'")
    globs = tuple(request.out or project.config.outputs)
    for glob in globs:
        try:
            pattern((glob,))
        except ValueError as problem:
            raise CjError(f"the outputs {glob!r}: {problem}", "--out 'results*.csv'") from None
    return globs


def plan(project: Project, request: LaunchRequest, announce: Announce, begun: Begun | None = None) -> Plan:
    """Decide program, sweep, resources and cluster. Raises CjError for what cannot be launched."""
    _check_preload(request)
    where = config.cluster(project.config, request.cluster, project.repo.cj_dir)
    program, grafts = programs.find(project, request, begun)
    interpreter = (where.python if where.host is None else None) or _interpreter()
    # The samples follow from it too: the same seed makes the same experiment.
    seed = request.seed if request.seed is not None else int.from_bytes(os.urandom(6))
    swept, rows = sweeping.sweep_of(project, request, program, interpreter, seed, announce)
    tasks = _count(project, swept)
    _check_program(project, program, swept)
    if tasks > 1:
        _tell_fixed_seed(project, program, announce)
    outputs = _outputs(project, request)
    resources = _resources(request, where)
    resources = resources._replace(workers=_workers(project, program, tasks, resources, where, announce))
    return Plan(
        program=program,
        sweep=swept,
        tasks=tasks,
        points=tuple(rows or ()),
        grafts=grafts,
        outputs=outputs or ("**",),
        written=_written(project, program),
        given_outputs=bool(outputs),
        resources=resources,
        cluster=where,
        python=interpreter if where.host is None else where.python or "python3",
        branch=project.repo.branch,
        seed=seed,
        shuffle=_shuffles(request, swept, tasks),
        retry=retries.choose(
            where,
            resources,
            request.retries,
            request.retry_on,
            request.grow_memory,
            request.grow_walltime,
        ),
        then=_then(project, request),
    )


def _count(project: Project, swept: Sweep) -> int:
    tasks = numbering.count(swept)
    sweeping.check_tasks(tasks, project.config.limits.max_tasks)
    return tasks


def _workers(
    project: Project, program: Program, tasks: int, resources: Resources, where: Cluster, announce: Announce
) -> int | None:
    number = sizing.workers(project, program, tasks, resources, where)
    if number is None:
        return resources.workers
    noun = "worker, who shares" if number == 1 else "workers, who share"
    announce(f"{number} {noun} the {tasks} tasks, by what earlier ones took (--workers N for another number)")
    return number


def _then(project: Project, request: LaunchRequest) -> AfterAll | None:
    """What ``--then SCRIPT[:FILE]`` names. Raises CjError for what is no Python script."""
    if request.then is None:
        return None
    text, colon, table = request.then, "", ""
    if not (project.cwd / text).exists():
        text, colon, table = request.then.partition(":")
    asked = request._replace(program=text, command=None, commands=None, loops=False, arguments=())
    program, _ = programs.find(project, asked)
    if program.kind != "script" or (colon and not table):
        raise CjError(f"--then {request.then} names no script", "--then REDUCE.py, or REDUCE.py:results.csv")
    python.check_syntax((project.repo.top / (program.path or "")).read_bytes(), program.path or "")
    return AfterAll(program, table or None, _written(project, program))


def _check_preload(request: LaunchRequest) -> None:
    for name in request.preload or ():
        if not all(part.isidentifier() for part in name.split(".")):
            raise CjError(f"--preload: {name!r} is not a module's name", "--preload numpy,scipy.linalg")


def _shuffles(request: LaunchRequest, swept: Sweep, tasks: int) -> bool:
    """Whether tasks run in another order than their own, so that the first ones tell of all.

    Explicit points lie in files of 10,000, and a block of tasks from everywhere would read them all; of very
    many tasks the order takes longer to make than all else of a look.
    """
    if request.shuffle is not None:
        return request.shuffle
    return swept.kind == "grid" and not swept.explicit and tasks in SHUFFLED


def tasks_of(planned: Plan, tasks: Sequence[int]) -> Iterator[Point]:
    """The points of a plan that was not launched."""
    if not planned.sweep.explicit:
        yield from numbering.points(planned.sweep, list(tasks), "")
        return
    with tempfile.TemporaryDirectory() as folder:
        for name, content in planned.points:
            path = Path(folder, name)
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)
        yield from numbering.points(planned.sweep, list(tasks), folder)


def _check_program(project: Project, program: Program, swept: Sweep) -> None:
    if program.kind == "command":
        repeated = ("cj_repeat",) if swept.repeat > 1 else ()
        python.check_template(program.command or "", swept.names + repeated)
    elif program.kind == "function":
        source = (project.repo.top / (program.path or "")).read_bytes()
        python.check_function(source, program.path or "", program.function or "", swept.names)
    elif program.path:
        python.check_syntax((project.repo.top / program.path).read_bytes(), program.path)


def _tell_fixed_seed(project: Project, program: Program, announce: Announce) -> None:
    if program.path is None:
        return
    source = (project.repo.top / program.path).read_bytes()
    found = python.fixed_seed(source, program.kind == "function", program.path)
    if found:
        announce(
            f"{program.path}:{found[0]}: {found[1]} gives every task the same numbers; "
            'os.environ["CJ_SEED"] has a seed for each'
        )


def _written(project: Project, program: Program) -> frozenset[str]:
    if program.kind == "command" or not program.path:
        return frozenset()
    names = python.written_names((project.repo.top / program.path).read_bytes(), program.path)
    return frozenset(os.path.normpath(os.path.join(program.workdir, name)) for name in names)


def _resources(request: LaunchRequest, where: Cluster) -> Resources:
    for option, count in (
        ("--nodes", request.nodes),
        ("--ntasks-per-node", request.tasks_per_node),
        ("--cpus", request.cpus),
        ("--gpus", request.gpus or None),  # 0: none, whatever the configuration says
        ("--jobs", request.jobs),
        ("--workers", request.workers),
    ):
        check_count(option, count)
    check_priority(where, request.priority)
    own = where.resources
    return Resources(
        nodes=request.nodes or own.nodes,
        tasks_per_node=request.tasks_per_node or own.tasks_per_node,
        cpus=request.cpus or own.cpus,
        gpus=(own.gpus if request.gpus is None else request.gpus) or None,
        memory_mb=config.parse_memory(request.memory) if request.memory else own.memory_mb,
        walltime_s=config.parse_walltime(request.walltime) if request.walltime else own.walltime_s,
        alloc=own.alloc + request.alloc,
        jobs=request.jobs or own.jobs,
        priority=request.priority,
        workers=request.workers or own.workers,
    )


def check_priority(where: Cluster, priority: int | None) -> None:
    """Refuse a priority that the cluster's scheduler would not grant. Raises CjError."""
    if priority is None:
        return
    from cjnode.schedulers.priority import check

    try:
        check(where.scheduler, priority)
    except NodeError as problem:
        raise CjError(problem.error, problem.hint) from None


def _interpreter() -> str:
    """The project's Python: the active virtual environment's, else the first on PATH, else our own."""
    active = os.environ.get("VIRTUAL_ENV")
    if active and (Path(active) / "bin" / "python").exists():
        return str(Path(active) / "bin" / "python")
    return shutil.which("python3") or shutil.which("python") or sys.executable
