"""Packages that wait on this machine until they can be sent: their clusters cannot see what they wait for.

A file for each in ``<git dir>/cj/waiting``, until it was sent.
"""

from __future__ import annotations

import json
from pathlib import Path

from cjledger import ledger
from cjledger.commands import others
from cjledger.project import Project
from cjledger.wholefiles import write_whole


def _path(project: Project, package_id: str) -> Path:
    return folder(project) / f"{package_id}.json"


def folder(project: Project) -> Path:
    """Where the marks are; absent while nothing ever waited."""
    return project.repo.cj_dir / "waiting"


def mark(project: Project, package_id: str, why: str) -> None:
    """Say that a package is to be sent later, and why not now."""
    write_whole(_path(project, package_id), json.dumps({"format": 1, "why": why}).encode())


def unmark(project: Project, package_id: str) -> None:
    """Say that a package was sent, or is not to be sent by itself."""
    _path(project, package_id).unlink(missing_ok=True)


def marked(project: Project) -> list[str]:
    """The packages that wait, those first that have waited longest."""
    found = sorted(folder(project).glob("*.json"), key=lambda path: path.stat().st_ctime_ns)
    return [path.stem for path in found]


def why(project: Project, package_id: str) -> str | None:
    """Why a package waits; None when it does not."""
    try:
        return str(json.loads(_path(project, package_id).read_bytes())["why"])
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, KeyError, TypeError):
        return "it is to be sent"


def is_left(project: Project, package_id: str) -> bool:
    """Whether a package was not submitted, and will not be by itself."""
    return why(project, package_id) is None and not others.senders(project, package_id)


def given_up(project: Project, package_id: str) -> str:
    """Why a package was cancelled before it was sent; empty when it was not."""
    for name in ledger.chains(project.repo):
        for entry in ledger.of_package(project.repo, name, package_id):
            if entry.event == "cancelled" and entry.data.get("why"):
                return str(entry.data["why"])
    return ""
