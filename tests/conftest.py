"""Seals every test from the person's HOME, git configuration and environment."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(autouse=True)
def _sealed(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path_factory.mktemp("home")
    for name in os.environ:
        if name.startswith(("GIT_", "CJ_", "XDG_")):
            monkeypatch.delenv(name)
    settings = home / "gitconfig"
    settings.write_text("[user]\n\tname = Mia\n\temail = mia@example.org\n[init]\n\tdefaultBranch = main\n")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings))
