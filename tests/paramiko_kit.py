"""A person's ssh configuration and lines to hosts, for the tests of the way without an ssh program."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from cjledger.cluster.paramiko_ssh import ParamikoLine
from cjledger.cluster.transport import Contact
from cjledger.errors import CjError
from cjledger.model import Cluster


def at_home(text: str) -> Path:
    folder = Path.home() / ".ssh"
    folder.mkdir(mode=0o700, exist_ok=True)
    (folder / "config").write_text(text)
    return folder


@contextlib.contextmanager
def line(host: str, prompts: bool = False, user: str | None = None) -> Iterator[ParamikoLine]:
    found = ParamikoLine(Cluster("mine", "local", "root", host=host, user=user), Contact(prompts))
    try:
        yield found
    finally:
        found.close()


def output(found: ParamikoLine, command: str, stdin: bytes = b"") -> bytes:
    with found.run(command, stdin) as running:
        data = running.stdout.read()
        assert running.ended().returncode == 0
        return data


def refused(host: str, user: str | None = None) -> CjError:
    found = ParamikoLine(Cluster("mine", "local", "root", host=host, user=user), Contact())
    with pytest.raises(CjError) as problem:
        found.open()
    return problem.value
