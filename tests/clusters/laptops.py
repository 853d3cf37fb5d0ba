"""A person's repository from which clusters far away are reached, and a line to them that can be cut."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.clusters import cut
from tests.clusters.far import Far
from tests.clusters.ports import wait_until
from tests.clusters.sshd import Sshd
from tests.shells import PROGRAMS, Shell


def laptop(folder: Path, *clusters: Far, root: Path | None = None, path: str | None = None) -> Shell:
    """A repository with one commit, and the clusters in its configuration, with another root if given.

    ``path`` is the folder whose ``ssh`` gets there, the first cluster's own unless given.
    """
    folder.mkdir(parents=True)
    ssh = path or str(clusters[0].sshd.folder / "bin")
    shell = Shell(folder, {"PATH": os.pathsep.join((ssh, str(PROGRAMS), os.environ["PATH"]))})
    shell.run("git", "init", "-q", "-b", "main")
    tables = [far.table.replace(str(far.root), str(root or far.root)) for far in clusters]
    shell.write(".cjledger.toml", "\n".join(tables))
    shell.git("add", "-A")
    shell.git("commit", "-qm", "start")
    return shell


@dataclass(frozen=True)
class Line:
    """A way to a server that the test can cut; ``path`` is the folder with its ``ssh``."""

    folder: Path

    @property
    def path(self) -> str:
        """The folder to put on PATH."""
        return str(self.folder)

    def cut_next(self, way: str, size: int) -> None:
        """Have the next connection end after so many bytes ``up`` or ``down``, or fall silent: ``hole``."""
        (self.folder / "plan").write_text(f"{way} {size}")

    def cut_now(self) -> None:
        """Cut the connections that are open."""
        for file in self.folder.glob("plan.open.*"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(file.suffix[1:]), signal.SIGTERM)
            wait_until(partial(_absent, file), "the end of a connection")

    def connections(self) -> int:
        """How many connections there were."""
        return len(list(self.folder.glob("plan.made.*")))

    def ended(self) -> tuple[int, int]:
        """Cut the connection that is open, and return the bytes that went up and down on it."""
        self.cut_now()
        count = self.folder / "plan.count"
        # It is there before its line is.
        wait_until(lambda: count.exists() and count.read_text().endswith("\n"), "the end of a connection")
        up, down = count.read_text().splitlines()[-1].split()
        return int(up), int(down)


def line(folder: Path, server: Sshd) -> Line:
    """A line to a server, in a folder."""
    folder.mkdir(parents=True)
    proxy = f"  ProxyCommand {sys.executable} -I -S {cut.__file__} %h %p {folder}/plan\n"
    (folder / "ssh_config").write_text(server.config.read_text() + proxy)
    program = folder / "ssh"
    program.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {folder}/ssh_config "$@"\n')
    program.chmod(0o755)
    return Line(folder)


def _absent(path: Path) -> bool:
    return not path.exists()
