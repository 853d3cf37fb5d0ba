"""Seals every test from the person's HOME, git configuration and environment."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.clusters.fixtures import far, real_slurm, sge, site_modules, slurm, sshd

__all__ = ["far", "real_slurm", "sge", "site_modules", "slurm", "sshd"]


@pytest.fixture(autouse=True)
def _sealed(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path_factory.mktemp("home")
    for name in os.environ:
        # Compiled modules are kept: the command line is started thousands of times.
        if name.startswith(("GIT_", "CJ_", "XDG_")) or name == "PYTHONDONTWRITEBYTECODE":
            monkeypatch.delenv(name)
    settings = home / ".gitconfig"
    settings.write_text("[user]\n\tname = Mia\n\temail = mia@example.org\n[init]\n\tdefaultBranch = main\n")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings))


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``git-cj`` for this interpreter, whether or not the project is installed."""
    folder = tmp_path_factory.mktemp("programs")
    path = folder / "git-cj"
    path.write_text(f"#!{sys.executable}\nfrom cjledger.start import main\nmain()\n")
    path.chmod(0o755)
    return folder


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, programs: Path) -> Path:
    """An empty repository, with git-cj on PATH, in which the test stands."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    subprocess.run(("git", "init", "-q"), check=True)
    return folder
