"""Clusters themselves: set one up, ask for its modules, and what of the person's is there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from cjledger import cluster, config
from cjledger.cluster import Transport, replies
from cjledger.cluster.transport import Json
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
    limits: dict[str, int | None]
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
    limits: dict[str, int | None]


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
    return Site(
        where.name,
        was,
        where.host,
        where.root,
        where.scheduler,
        replies.named_texts(found, "versions"),
        replies.limits(found, "limits"),
        replies.texts(found, "path"),
        replies.named_texts(found, "environment"),
        replies.flag(found, "modules"),
    )


def avail(project: Project, name: str, wanted: str, announce: Announce) -> Modules:
    """The cluster's modules whose names hold ``wanted``, upper and lower case alike."""
    lines = _ready(project, name, announce).call("avail", {"name": wanted})
    last = replies.last(lines, "avail")
    command = None if last.get("command", "") is None else replies.text(last, "command")
    return Modules(command, tuple(replies.text(line, "module") for line in lines[:-1]))


def summary(project: Project, name: str, announce: Announce) -> Summary:
    """The person's own jobs on a cluster, by package and state."""
    lines = _ready(project, name, announce).call("summary", {})
    last = replies.last(lines, "summary")
    return Summary(
        name,
        replies.text(last, "scheduler"),
        tuple(map(_queued, lines[:-1])),
        None if last.get("other", "") is None else replies.count(last, "other"),
        replies.count(last, "backlog"),
        replies.limits(last, "limits"),
    )


def _queued(line: Json) -> Queued:
    return Queued(
        replies.package_id(line),
        replies.texts(line, "jobs"),
        replies.counts(line, "counts"),
        replies.counts(line, "reasons"),
    )


def _ready(project: Project, name: str, announce: Announce) -> Transport:
    there = way(project, name, announce)
    if cluster.ensure_ready(there, project.repo):
        announce(f"cluster {name}: set up in {there.cluster.root}")
    return there
