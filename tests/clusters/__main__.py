"""The test clusters by hand: ``python -m tests.clusters install | up KIND DIR | down DIR``.

KIND is slurm, sge, sshd, or far-SCHEDULER for an ssh server with a scheduler behind it
(local, slurm, sge, torque). What ``up`` prints is for a shell to read; ``down`` ends what it started.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from tests.clusters import packages
from tests.clusters.far import SCHEDULERS, Far, exports, login
from tests.clusters.keeper import Keeper
from tests.clusters.ports import wait_until
from tests.clusters.sge import Sge, sge
from tests.clusters.slurm import Site as SlurmSite
from tests.clusters.slurm import Slurm, slurm
from tests.clusters.sshd import Site, Sshd, sshd

KINDS = ("slurm", "sge", "sshd", *(f"far-{scheduler}" for scheduler in SCHEDULERS))


def up(kind: str, folder: Path) -> str:
    """Start a cluster that stays until ``down``; return what a shell must be told."""
    keeper = Keeper(folder, stays=True)
    scheduler = kind.removeprefix("far-")
    backend: Slurm | Sge | None = None
    if scheduler in ("slurm", "torque"):
        with slurm(folder / "slurm", SlurmSite(pbs=scheduler == "torque"), keeper) as started:
            backend = started
    elif scheduler == "sge":
        with sge(folder / "sge", keeper=keeper) as engine:
            backend = engine
    if backend is not None and kind == scheduler:
        return exports(backend.variables, backend.path)
    variables, path = login(scheduler, backend)
    site = Site() if kind == "sshd" else Site(alias=f"{scheduler}-login")
    with sshd(folder / "ssh", variables, path, site, keeper) as server:
        return _client(server, scheduler, backend, folder)


def _client(server: Sshd, scheduler: str, backend: Slurm | Sge | None, folder: Path) -> str:
    known = scheduler if scheduler in SCHEDULERS else "local"
    table = Far(known, server, backend, folder / "root").table
    comment = "".join(f"# {line}\n" for line in table.splitlines())
    return f"# ssh configuration: {server.config}\n{comment}" + exports({}, (str(server.folder / "bin"),))


def down(folder: Path) -> None:
    """End what ``up`` started there."""
    pid = int((folder / "keeper.pid").read_text())
    if Path(f"/proc/{pid}/cmdline").exists() and b"keeper" in Path(f"/proc/{pid}/cmdline").read_bytes():
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not Path(f"/proc/{pid}").exists(), "the keeper's end")


def main(words: list[str]) -> int:
    """Do what the words say; 2 when they cannot be understood, 1 when something cannot be had."""
    if words == ["install"]:
        problems = packages.install()
        for problem in problems:
            print(f"tests of clusters will be skipped: {problem}", file=sys.stderr)
        return 0
    if len(words) == 3 and words[0] == "up" and words[1] in KINDS:
        try:
            print(up(words[1], Path(words[2]).resolve()))
        except packages.MissingError as problem:
            print(f"error: {problem}", file=sys.stderr)
            return 1
        return 0
    if len(words) == 2 and words[0] == "down":
        down(Path(words[1]).resolve())
        return 0
    print(f"{__doc__}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
