"""Config and who: what is in force, and who acts."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cjledger import __version__, config, gitrepo, ledger, package
from cjledger.model import Cluster, Data, Growth
from cjledger.project import Project


@dataclass(frozen=True)
class Who:
    """Who launches from here, with what."""

    author: str
    agent: str
    version: str
    python: str
    git: str
    repository: str


def who(project: Project) -> Who:
    """The person, the installation and the versions at work."""
    name, address = package.identity(project.repo)
    return Who(
        f"{name} <{address}>",
        ledger.agent(project.repo),
        __version__,
        f"{platform.python_version()} ({sys.executable})",
        gitrepo.text(project.repo, "version").removeprefix("git version "),
        str(project.repo.top),
    )


def settings(project: Project) -> dict[str, Any]:
    """The configuration in force, defaults included, by the keys and in the notation of its files."""
    found = project.config
    names = sorted({"local", *found.clusters})
    given = {name: found.clusters.get(name) for name in names}
    clusters = {
        name: _cluster(cluster or config.cluster(found, name, project.repo.cj_dir))
        for name, cluster in given.items()
    }
    return _said(
        {
            "default_cluster": found.default_cluster,
            "limits": found.limits._asdict(),
            "program": {"outputs": list(found.outputs)},
            "data": _data(found.data),
            "cluster": clusters,
        }
    )


def _cluster(cluster: Cluster) -> dict[str, Any]:
    table = cluster._asdict()
    del table["name"]
    asked = table["resources"]._asdict()
    # They are of one launch, or stand beside the resources in the file.
    del asked["priority"]
    table["alloc"] = list(asked.pop("alloc"))
    table["resources"] = asked
    for values, prefix in ((asked, ""), (table, "max_")):
        values[f"{prefix}memory"] = _megabytes(values.pop(f"{prefix}memory_mb"))
        values[f"{prefix}walltime"] = _seconds(values.pop(f"{prefix}walltime_s"))
    table["data"] = _data(cluster.data)
    retry = cluster.retry
    table["retry"] = {
        "count": retry.count,
        "on": list(retry.on),
        "grow_memory": _growth(retry.memory, _megabytes),
        "grow_walltime": _growth(retry.walltime, _seconds),
    }
    return {key: list(value) if isinstance(value, tuple) else value for key, value in table.items()}


def _data(links: tuple[Data, ...]) -> dict[str, Any]:
    return {link.local: {"path": link.path, "hash": True} if link.hash else link.path for link in links}


def _megabytes(count: int | None) -> str | None:
    return f"{count}M" if count is not None else None


def _seconds(count: int | None) -> str | None:
    return f"{count}s" if count is not None else None


def _growth(growth: Growth | None, amount: Callable[[int], str | None]) -> str | None:
    if growth is None:
        return None
    return f"+{amount(growth.plus)}" if growth.plus else f"{growth.times:.12g}x"


def _said(table: dict[str, Any]) -> dict[str, Any]:
    """Without the keys that nobody gave a value and that have no default."""
    found = {key: _said(value) if isinstance(value, dict) else value for key, value in table.items()}
    return {key: value for key, value in found.items() if value not in (None, "", [], {})}
