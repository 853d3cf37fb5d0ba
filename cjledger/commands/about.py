"""Config and who: what is in force, and who acts."""

from __future__ import annotations

import platform
import sys
from dataclasses import dataclass
from typing import Any

from cjledger import __version__, config, gitrepo, ledger, package
from cjledger.model import plain
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
    """The configuration in force, defaults included."""
    names = sorted({"local", *project.config.clusters})
    clusters = {}
    for name in names:
        given = project.config.clusters.get(name)
        clusters[name] = plain(given or config.cluster(project.config, name, project.repo.cj_dir))
    return {**plain(project.config._replace(clusters={})), "clusters": clusters}
