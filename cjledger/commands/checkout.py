"""Checkout: a package's exact files as a linked worktree."""

from __future__ import annotations

from pathlib import Path

from cjledger import gitrepo
from cjledger.errors import CjError
from cjledger.project import Project, Target


def checkout(project: Project, target: Target, folder: Path) -> Path:
    """Make ``folder`` a worktree of the package; the person's hooks do not run there."""
    path = (project.cwd / folder).absolute()
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise CjError(f"{folder} is already there", f"git cj checkout {target.package_id[:8]} {folder}-2")
    gitrepo.run(
        project.repo,
        "-c",
        "core.hooksPath=/dev/null",
        "worktree",
        "add",
        "--quiet",
        "--detach",
        "--",
        str(path),
        target.package_id,
    )
    return path
