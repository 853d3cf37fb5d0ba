"""A scratch repository."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.shells import Shell


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """A repository with one commit, and nothing else."""
    folder = tmp_path / "work"
    folder.mkdir()
    found = Shell(folder)
    found.run("git", "init", "-q", "-b", "main")
    found.write("README", "an experiment\n")
    found.git("add", "-A")
    found.git("commit", "-qm", "start")
    return found
