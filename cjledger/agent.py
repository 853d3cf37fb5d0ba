"""The name of this installation, under which it writes its ledger: ``user-host-xxxx``."""

from __future__ import annotations

import getpass
import os
import re
from pathlib import Path

from cjledger.gitrepo import Repo
from cjledger.wholefiles import write_whole


def _path(repo: Repo) -> Path:
    return repo.cj_dir / "agent"


def agent(repo: Repo) -> str:
    """This installation's name, drawn once and kept in the tool's folder."""
    path = _path(repo)
    drawn = _read_agent(path)
    if drawn:
        return drawn
    repo.cj_dir.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f"agent.{os.getpid()}.{os.urandom(4).hex()}")
    try:
        aside.write_text(f"{_drawn_name()}\n")
        _place(aside, path)
    finally:
        aside.unlink(missing_ok=True)
    return _read_agent(path)


def _drawn_name() -> str:
    words = re.sub(r"[^a-z0-9]+", "-", f"{_login()}-{os.uname().nodename}".lower()).strip("-")[:40]
    return f"{words}-{os.urandom(2).hex()}"


def draw(repo: Repo) -> str:
    """Draw another name, which is this installation's from now on."""
    name = _drawn_name()
    write_whole(_path(repo), f"{name}\n".encode())
    return name


def _place(aside: Path, path: Path) -> None:
    """Give the agent's file its name, unless another command was faster."""
    try:
        os.link(aside, path)
    except OSError:
        # Without links here, or with a file that a full disk left empty, it is replaced.
        if not _read_agent(path):
            os.replace(aside, path)


def _read_agent(path: Path) -> str:
    """The name in the file; empty where there is none."""
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        return ""


def _login() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a uid without a name, as in some containers
        return "user"
