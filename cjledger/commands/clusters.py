"""Clusters themselves: set one up, ask for its modules, and what of the person's is there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cjledger import cluster, config
from cjledger.cluster import Transport, replies
from cjledger.errors import CjError
from cjledger.project import Project

Announce = Callable[[str], None]


@dataclass(frozen=True)
class Site:
    """A cluster that is set up, and what was found there.

    ``limits`` has what the scheduler allows (None: no limit, or it is not known); ``path`` the folders and
    ``environment`` the variables that only a login has there, and the scheduler needs.
    """

    cluster: str
    was: str  # set up, upgraded, or checked
    host: str | None
    root: str
    scheduler: str
    versions: dict[str, str]
    limits: dict[str, Any]
    path: tuple[str, ...]
    environment: dict[str, str]
    modules: bool


@dataclass(frozen=True)
class Modules:
    """The modules of a cluster; ``command`` is None where it has no ``module`` command."""

    command: str | None
    names: tuple[str, ...]


@dataclass(frozen=True)
class Queued:
    """A package's jobs at the scheduler: elements by state, and why they wait."""

    package_id: str
    jobs: tuple[str, ...]
    counts: dict[str, int]
    reasons: dict[str, int]


@dataclass(frozen=True)
class Summary:
    """What a person has at a scheduler.

    ``other`` counts elements that are no package's of this cluster's root; None where nobody tells.
    """

    cluster: str
    scheduler: str
    packages: tuple[Queued, ...]
    other: int | None
    backlog: int
    limits: dict[str, Any]


def way(project: Project, name: str, announce: Announce) -> Transport:
    """The way to a cluster of the configuration, for a person who waits."""
    where = config.cluster(project.config, name, project.repo.cj_dir)
    return cluster.transport(where, project.repo.cj_dir, project.contact._replace(say=announce))


def init(project: Project, name: str, announce: Announce) -> Site:
    """Create or upgrade what a cluster needs. Repeatable; interrupted, the next call finishes it."""
    there = way(project, name, announce)
    where = there.cluster
    before = there.installed()
    there.install(cluster.node_zip(), {**cluster.init_request(where, project.repo), "again": True})
    asked = {"cluster": where.name, "scheduler": where.scheduler}
    found = replies.one(there.call("site", asked), "site")
    was = "set up" if before is None else "checked" if before == there.installed() else "upgraded"
    try:
        return Site(
            where.name,
            was,
            where.host,
            where.root,
            where.scheduler,
            dict(found["versions"]),
            dict(found["limits"]),
            tuple(found["path"]),
            dict(found["environment"]),
            bool(found["modules"]),
        )
    except (KeyError, TypeError, ValueError) as problem:
        raise _unread(name) from problem


def avail(project: Project, name: str, wanted: str, announce: Announce) -> Modules:
    """The cluster's modules whose names hold ``wanted``, upper and lower case alike."""
    lines = _ready(project, name, announce).call("avail", {"name": wanted})
    try:
        command = lines[-1]["command"]
        return Modules(None if command is None else str(command), tuple(str(x["module"]) for x in lines[:-1]))
    except (IndexError, KeyError, TypeError) as problem:
        raise _unread(name) from problem


def summary(project: Project, name: str, announce: Announce) -> Summary:
    """The person's own jobs on a cluster, by package and state."""
    lines = _ready(project, name, announce).call("summary", {})
    try:
        *packages, last = lines
        return Summary(
            name,
            str(last["scheduler"]),
            tuple(
                Queued(str(x["package"]), tuple(x["jobs"]), dict(x["counts"]), dict(x["reasons"]))
                for x in packages
            ),
            last["other"],
            int(last["backlog"]),
            dict(last["limits"]),
        )
    except (KeyError, TypeError, ValueError) as problem:
        raise _unread(name) from problem


def _ready(project: Project, name: str, announce: Announce) -> Transport:
    there = way(project, name, announce)
    if cluster.ensure_ready(there, project.repo):
        announce(f"cluster {name}: set up in {there.cluster.root}")
    return there


def _unread(name: str) -> CjError:
    return CjError(f"the reply of {name} cannot be read", f"git cj init {name}")
