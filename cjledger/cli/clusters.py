"""init, doctor, avail, summary."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cjledger import config
from cjledger.cli import output
from cjledger.cli.options import Json
from cjledger.config import person_file
from cjledger.errors import CjError
from cjledger.project import Project
from cjledger.render import counts_words, paint, plain, wrap

if TYPE_CHECKING:
    from cjledger.commands.clusters import Site
    from cjledger.commands.doctor import Check

_COLOURS = {"ok": "32", "warning": "33", "failure": "31"}
_LIMITS = {"array": "elements an array", "queued": "elements at once", "present": "there now"}

OneCluster = Annotated[str, typer.Argument(metavar="CLUSTER", help="A cluster of the configuration.")]


def init(name: OneCluster, json: Json = False) -> None:
    """Set a cluster up, or bring it up to date.

    Makes one bare repository, its hooks and one zip there, and finds the scheduler's commands and limits.
    Repeating it is harmless. The first launch on a cluster does the same.
    """
    from cjledger.commands import clusters

    found = clusters.init(output.project(prompts=True), name, output.note)
    if json:
        output.emit(asdict(found))
        return
    place = f"{found.host}:{found.root}" if found.host else found.root
    output.say(f"{plain(found.cluster)}  {found.was} in {plain(place)}")
    for label, words in _site(found):
        output.say(wrap(f"  {label:<12}{plain(words)}", output.width(), " " * 14))


def _site(found: Site) -> Iterator[tuple[str, str]]:
    yield "scheduler", found.scheduler
    for name, version in found.versions.items():
        yield name, version.removeprefix(f"{name} version ")
    limits = [f"{count} {_LIMITS[key]}" for key, count in found.limits.items() if count and key in _LIMITS]
    yield "limits", ", ".join(limits) or "none known"
    if found.path:
        yield "path", ":".join(found.path)
    if found.environment:
        yield "environment", " ".join(f"{key}={value}" for key, value in found.environment.items())
    if found.modules:
        yield "modules", f"git cj avail {found.cluster}"


def doctor(
    name: Annotated[
        str | None, typer.Argument(metavar="CLUSTER", help="Look at this cluster too, point by point.")
    ] = None,
    submit: Annotated[
        bool, typer.Option("--submit", help="Also send one small task there, and wait for it.")
    ] = False,
    timeout: Annotated[
        int, typer.Option("--timeout", metavar="SECONDS", help="How long --submit waits; 600 left out.")
    ] = 600,
    json: Json = False,
) -> None:
    """Check this machine, and a cluster, point by point.

    Says what to do about each warning and failure; exits with 1 if anything failed. Never asks for a
    password: git cj connect CLUSTER does.
    """
    failed = False
    for check in _checks(name, submit, timeout):
        failed |= check.state == "failure"
        if json:
            output.emit(asdict(check))
        else:
            _say(check)
    if failed:
        raise typer.Exit(1)


def _checks(name: str | None, submit: bool, timeout: int) -> Iterator[Check]:
    from cjledger.commands import doctor as looking

    project, problem = _project()
    found = problem or (project.config if project else config.load(Path.cwd(), person_file()))
    yield from looking.laptop(Path.cwd(), found)
    if name is None:
        yield from () if isinstance(found, CjError) else looking.elsewhere(found)
        return
    if problem:
        return  # which was said
    if project is None:
        raise CjError("a cluster is looked at from inside a repository", "cd to one, or git init")
    failures = False
    for check in looking.of_cluster(project, name):
        failures |= check.state == "failure"
        yield check
    if submit and not failures:
        yield from looking.round_trip(project, name, float(timeout))


def _project() -> tuple[Project | None, CjError | None]:
    """The project here; None outside a repository, with the problem where the configuration is at fault."""
    try:
        return output.project(), None
    except CjError as problem:
        return None, problem if "the configuration" in problem.message else None


def _say(check: Check) -> None:
    state = paint(f"{check.state:<8}", _COLOURS.get(check.state, "31"), output.colour())
    words = wrap(f"{check.check:<14}{plain(check.found)}", max(30, output.width() - 8), " " * 14)
    output.say(state + words.replace("\n", "\n" + " " * 8))
    if check.advice:
        output.say(wrap(" " * 22 + "→ " + plain(check.advice), output.width(), " " * 24))


def avail(
    name: OneCluster,
    wanted: Annotated[
        str, typer.Argument(metavar="NAME", help="Only modules with this in their names.")
    ] = "",
    json: Json = False,
) -> None:
    """List the modules of a cluster.

    Their names go into modules of the cluster's table.
    """
    from cjledger.commands import clusters

    found = clusters.avail(output.project(), name, wanted, output.note)
    if json:
        output.emit({"cluster": name, "command": found.command, "modules": found.names})
    elif found.command is None:
        output.note(f"{name} has no module command")
    elif not found.names:
        output.note(f"{name} has no module {wanted}".rstrip() + f": git cj avail {name}" * bool(wanted))
    else:
        _lines(found.names)


def _lines(words: Iterable[str]) -> None:
    for word in words:
        output.say(plain(word))


def summary(name: OneCluster, json: Json = False) -> None:
    """Show your jobs on a cluster, by package and state.

    Jobs that are no package's are counted as other.
    """
    from cjledger.commands import clusters

    found = clusters.summary(output.project(), name, output.note)
    if json:
        for queued in found.packages:
            fields = {"package": queued.package_id, "jobs": queued.jobs}
            output.emit({**fields, "counts": queued.counts, "reasons": queued.reasons})
        output.emit({"other": found.other, "backlog": found.backlog, "limits": found.limits})
        return
    for queued in found.packages:
        output.say(f"{queued.package_id[:12]}  {counts_words(queued.counts, output.colour())}")
        for words, count in queued.reasons.items():
            output.say(wrap(f"    {count} waiting: {plain(words)}", output.width(), " " * 6))
    for words in _rest(found.other, found.backlog, bool(found.packages)):
        output.say(words)


def _rest(other: int | None, backlog: int, has_packages: bool) -> Iterator[str]:
    if other:
        yield f"other         {other}"
    if backlog:
        yield f"backlog       {backlog} submissions wait until the scheduler takes more"
    if not (other or backlog or has_packages):
        yield "no jobs"
