"""The Python interface: ``cj.launch(…)``, then ``package.state()``, ``.wait()``, ``.results()``."""

from __future__ import annotations

import inspect
import os
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cjledger.commands import control, family, following, harvest, log, order, state, tables, waiting
from cjledger.commands import extend as extending
from cjledger.commands import launch as launching
from cjledger.commands.descriptions import PackageState
from cjledger.commands.following import Result
from cjledger.commands.request import LaunchRequest
from cjledger.config import person_file
from cjledger.errors import CjError
from cjledger.project import Project, Target, open_project, resolve, runs_after
from cjledger.shards import export  # noqa: F401 - adds to_pandas and to_arrow to lazy frames
from cjnode.package.points import parse_tasks

if TYPE_CHECKING:
    from cjledger.shards.frames import pl

__all__ = ["CjError", "Package", "PackageState", "Result", "find", "launch", "packages"]

Program = str | Callable[..., Any]


@dataclass(frozen=True)
class Package:
    """One launched experiment, here and on its cluster.

    Where a launch with ``reuse`` found all its points done, ``linked`` has these tasks, ``id`` is the package
    of the first, and ``results`` and ``as_completed`` are those of the linked tasks alone.
    """

    project: Project = field(repr=False)
    id: str
    tasks: int
    linked: tuple[Target, ...] = field(default=(), repr=False)

    def state(self) -> PackageState:
        """Counts of tasks by state, as the cluster says now."""
        return state.state(self.project, Target(self.id))[0]

    def wait(self, timeout_s: float | None = None) -> PackageState:
        """Wait until every task has ended; raises TimeoutError after ``timeout_s`` seconds."""
        if self.linked:
            return self.state()
        start = time.monotonic()
        for found in state.follow(self.project, Target(self.id), before=self._send_what_waits):
            if found.final:
                return found
            if found.elsewhere:
                raise CjError(found.problems[-1], "git cj sync")
            if timeout_s is not None and time.monotonic() - start > timeout_s:
                raise TimeoutError(f"package {self.id[:12]} is not final after {timeout_s} s: {found.counts}")
        raise AssertionError("follow ends with a final state")

    def _send_what_waits(self) -> None:
        if waiting.marked(self.project):
            order.settle(self.project, lambda line: None)

    def results(self, file: str | None = None) -> pl.LazyFrame:
        """All rows harvested so far, lazily: ``cj_package``, ``cj_task``, parameters, own columns.

        ``file`` names the table when tasks left several. ``.to_pandas()`` and ``.to_arrow()`` of the
        frame collect it.
        """
        return tables.frame(self.project, self.linked or [Target(self.id)], file)

    def cancel(self) -> int:
        """End what has not ended; returns how many tasks that were."""
        return control.cancel(self.project, Target(self.id))

    def pause(self) -> None:
        """Have workers end after their present tasks, and nothing more begin."""
        control.pause(self.project, Target(self.id))

    def resume(self) -> None:
        """Go on after a pause."""
        control.resume(self.project, Target(self.id))

    def then(self) -> Package | None:
        """What runs when all tasks have ended (``then`` of ``launch``); None where nothing does."""
        found = runs_after(self.project, self.id)
        return None if found is None else Package(self.project, found, 1)

    def retry(self) -> bool:
        """Run again the tasks that did not complete; False when there are none."""
        return control.retry(self.project, Target(self.id)) is not None

    def extend(
        self,
        points: Iterable[Mapping[str, Any]] | None = None,
        *,
        sweep: Mapping[str, Sequence[Any] | str] | None = None,
        announce: Callable[[str], None] = lambda line: None,
        **options: Any,
    ) -> Package:
        """Add points, one mapping a task, or a sweep to this experiment; it may be running.

        Options are ``samples``, ``design``, ``repeat``, ``seed``, ``message``, ``reuse`` and ``after``. The
        points run as a package of their own, which is returned; ``results`` and ``as_completed`` of this one
        see them too.
        """
        rows = None if points is None else _points(points)
        block = None if sweep is None else dict(sweep)
        given = _as_typed(options, {"after": ()})
        more = extending.More(rows=rows, block=block, **given)
        done = extending.extend(self.project, Target(self.id), more, announce)
        if not done.tasks:
            return self  # all of it ran already
        return Package(self.project, done.package_id, done.tasks)

    def as_completed(
        self,
        period_s: float = 0.5,
        *,
        file: str | None = None,
        announce: Callable[[str], None] = warnings.warn,
    ) -> Iterator[Result]:
        """Each task when it has ended, those that were added meanwhile too, until none is left.

        ``file`` names the table that the results' rows are of, when tasks leave several.
        """
        told: set[tuple[str, int]] = set()
        for part in self.linked:
            yield from following.ended(self.project, part, told, file, announce)
        if self.linked:
            return
        over: dict[str, PackageState] = {}  # what is final and told need not be listed again
        while True:
            members = family.members(self.project, [Target(self.id)])
            found = {one.package_id: one for one in state.states(self.project, members)}
            # Looked at after the states: what ended before them is seen.
            fresh = [
                result
                for member in members
                if over.get(member.package_id) != found[member.package_id]
                for result in following.ended(self.project, member, told, file, announce)
            ]
            told.update((result.package_id, result.task) for result in fresh)
            over = {package_id: one for package_id, one in found.items() if one.final}
            yield from fresh
            if len(over) == len(found) and not fresh:
                return
            if not fresh:
                time.sleep(period_s)

    def harvest(self) -> None:
        """Bring new outputs home."""
        harvest.harvest(self.project, Target(self.id))


def launch(
    program: Program | None = None,
    cluster: str = "local",
    *,
    sweep: Mapping[str, Sequence[Any] | str] | None = None,
    points: Iterable[Mapping[str, Any]] | None = None,
    command: str | None = None,
    directory: str | Path = ".",
    announce: Callable[[str], None] = lambda line: None,
    **options: Any,
) -> Package:
    """Launch a script, a ``module.py:function``, a function object or a ``command`` over a sweep.

    ``sweep`` maps a name to its values, or to a specification such as ``"0.1:0.1:0.9"``; ``points``
    gives one mapping a task. Other options are those of ``git cj run`` (``message``, ``seed``,
    ``repeat``, ``out``, ``jobs``, ``memory``, ``walltime``, ``after``, ``submit``, …); where several may
    be given, one needs no list. ``after`` takes packages too.
    """
    if (program is None) == (command is None):
        raise TypeError("launch() takes a program or a command")
    project = open_project(Path(directory).resolve(), person_file(os.environ))
    known = set(LaunchRequest._fields) - {"program", "cluster", "command", "sweep", "points"}
    unknown = sorted(set(options) - known)
    if unknown:
        raise TypeError(
            f"launch() got unexpected options {', '.join(unknown)}; known: {', '.join(sorted(known))}"
        )
    _check_types(options)
    typed = _as_typed(options, LaunchRequest._field_defaults)
    request = LaunchRequest(_program_text(project, program), cluster, command=command, **typed)
    if sweep is not None:
        request = request._replace(block=dict(sweep))
    if points is not None:
        request = request._replace(rows=_points(points))
    done = launching.launch(project, request, announce)
    linked = tuple(Target(link.package, tuple(parse_tasks(link.tasks))) for link in done.linked)
    tasks = sum(len(target.tasks or ()) for target in linked)
    return Package(project, done.package_id, done.tasks or tasks, linked)


def _points(points: Iterable[Mapping[str, Any]]) -> tuple[dict[str, Any], ...]:
    """One mapping a task; the rows of a frame of polars' or pandas' are such."""
    if hasattr(points, "to_dicts"):
        points = points.to_dicts()
    elif hasattr(points, "to_dict"):
        points = points.to_dict("records")
    return tuple(dict(point) for point in points)


def _check_types(options: Mapping[str, Any]) -> None:
    """Refuse what the command line could not give: ``walltime=60`` may mean minutes or seconds."""
    for name, value in options.items():
        kinds = LaunchRequest.__annotations__[name].__forward_arg__.split(" | ")
        if value is None or kinds[0] not in ("str", "int"):
            continue
        if kinds[0] == "str" and len(kinds) < 3 and not isinstance(value, str):
            raise TypeError(f"{name} takes a text, as in --help: {name}={str(value)!r}, not {value!r}")
        if kinds[0] == "int" and (isinstance(value, bool) or not isinstance(value, Integral)):
            raise TypeError(f"{name} takes a whole number, not {value!r}")


def _as_typed(options: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Options as the command line gives them: a list where several may be meant, packages by their names."""

    def typed(name: str, value: Any) -> Any:
        if isinstance(value, list):
            value = tuple(value)
        elif isinstance(defaults.get(name), tuple) and not isinstance(value, tuple):
            value = (value,)
        if name == "after":
            value = tuple(each.id if isinstance(each, Package) else each for each in value)
        return value

    return {name: typed(name, value) for name, value in options.items()}


def _program_text(project: Project, program: Program | None) -> str | None:
    if program is None or isinstance(program, str):
        return program
    name = getattr(program, "__qualname__", type(program).__qualname__)
    try:
        source = inspect.getsourcefile(program)
    except TypeError:  # built in, or not a function at all
        source = None
    if source is None or "." in name or name == "<lambda>":
        raise CjError(
            f"{name} is not a function at the top level of a module", "name it as 'module.py:function'"
        )
    path = Path(source).resolve()
    try:
        relative = path.relative_to(project.cwd)
    except ValueError:
        relative = path
    return f"{relative}:{name}"


def packages(directory: str | Path = ".") -> list[Package]:
    """Every package launched in the repository, newest first."""
    return list(_launched(directory, None))


def find(
    package_id: str | None = None, *, program: str | None = None, directory: str | Path = "."
) -> Package:
    """The package an ID's first digits name (``@`` or nothing: the last), or the last of a program.

    Raises CjError when there is none or, for an ID, more than one.
    """
    project = open_project(Path(directory).resolve(), person_file(os.environ))
    if program is None:
        target = resolve(project, package_id)
        return next(package for package in _launched(directory, None) if package.id == target.package_id)
    for package in _launched(directory, program):
        return package
    raise CjError(f"no package runs a program like {program}", "git cj log")


def _launched(directory: str | Path, program: str | None) -> Iterator[Package]:
    project = open_project(Path(directory).resolve(), person_file(os.environ))
    for entry in log.log(project, limit=None, program=program):
        if not entry.forgotten:
            yield Package(project, entry.package_id, entry.tasks)
