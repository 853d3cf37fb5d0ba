"""connect: log in to a cluster once, for the commands that follow."""

from __future__ import annotations

from dataclasses import dataclass

from cjledger import cluster, config
from cjledger.cluster.remote import Remote
from cjledger.errors import CjError
from cjledger.project import Project


@dataclass(frozen=True)
class Connection:
    """What became of the connection to a cluster: opened, live already, closed, or absent already."""

    cluster: str
    host: str
    state: str


def connect(way: Remote) -> Connection:
    """Have a live connection to a cluster; the person is asked if the contact allows it."""
    return _connection(way, "opened" if way.line.open() else "live")


def close(way: Remote) -> Connection:
    """End the connection to a cluster, if there is one. What runs over it is cut off."""
    return _connection(way, "closed" if way.line.close() else "absent")


def shell(way: Remote) -> int:
    """A shell on the cluster at this terminal; its exit code."""
    return way.line.shell()


def _connection(way: Remote, state: str) -> Connection:
    return Connection(way.cluster.name, way.cluster.host or "", state)


def remote(project: Project, name: str) -> Remote:
    """The way to a cluster that is elsewhere. Connects to nothing yet."""
    where = config.cluster(project.config, name, project.repo.cj_dir)
    way = cluster.transport(where, project.repo.cj_dir, project.contact)
    if not isinstance(way, Remote):
        raise CjError(f"cluster {name} is on this machine: it needs no connection", f"cd {where.root}")
    return way
