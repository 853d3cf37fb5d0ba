"""A whole machine far away: an ssh server whose logins have a real scheduler."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.clusters.keeper import Keeper
from tests.clusters.packages import component
from tests.clusters.sge import Sge, sge
from tests.clusters.slurm import Site as SlurmSite
from tests.clusters.slurm import Slurm, slurm
from tests.clusters.sshd import Site as SshdSite
from tests.clusters.sshd import Sshd, sshd

SCHEDULERS = ("local", "slurm", "sge", "torque")


@dataclass(frozen=True)
class Far:
    """A reachable machine; ``table`` is its part of ``.cjledger.toml``, under the scheduler's name."""

    scheduler: str
    sshd: Sshd
    backend: Slurm | Sge | None
    root: Path

    @property
    def name(self) -> str:
        """The cluster's name in ``table``."""
        return self.scheduler

    @property
    def table(self) -> str:
        """The lines of ``.cjledger.toml``."""
        return (
            f"[cluster.{self.name}]\n"
            f'host = "{self.sshd.site.alias}"\n'
            f'scheduler = "{self.scheduler}"\n'
            f'root = "{self.root}"\n'
            f'python = "{sys.executable}"\n'
        )

    @property
    def environment(self) -> dict[str, str]:
        """What a client needs around ``git cj`` to get there."""
        return self.sshd.environment

    @property
    def slurm(self) -> Slurm:
        """The Slurm behind it."""
        assert isinstance(self.backend, Slurm)
        return self.backend

    @property
    def sge(self) -> Sge:
        """The Grid Engine behind it."""
        assert isinstance(self.backend, Sge)
        return self.backend

    def wait_until_empty(self) -> None:
        """Wait until no job waits or runs there."""
        if self.backend is not None:
            self.backend.wait_until_empty()


@contextmanager
def far(
    scheduler: str,
    folder: Path,
    site: SshdSite | None = None,
    backend: Slurm | Sge | None = None,
    slurm_site: SlurmSite | None = None,
    sge_slots: int = 32,
) -> Iterator[Far]:
    """A machine of its own in a folder; with a backend that runs already only the ssh server is started."""
    keeper = Keeper(folder)
    try:
        if backend is None and scheduler in ("slurm", "torque"):
            with slurm(
                folder / "slurm", slurm_site or SlurmSite(pbs=scheduler == "torque"), keeper
            ) as started:
                backend = started
        elif backend is None and scheduler == "sge":
            with sge(folder / "sge", sge_slots, keeper) as engine:
                backend = engine
        variables, path = login(scheduler, backend)
        at = site or SshdSite(alias=f"{scheduler}-login")
        with sshd(folder / "ssh", variables, path, at, keeper) as server:
            yield Far(scheduler, server, backend, folder / "root")
    finally:
        keeper.close()


def login(scheduler: str, backend: Slurm | Sge | None) -> tuple[dict[str, str], tuple[str, ...]]:
    """The variables and the folders of PATH that a login has where that scheduler is."""
    if backend is None:
        return {}, ()
    if scheduler != "torque":
        return backend.variables, backend.path
    home = component("torque")
    perl = {"PERL5LIB": str(next(home.glob("perl5/*"))), "LD_LIBRARY_PATH": str(home / "lib")}
    return {**backend.variables, **perl}, (str(home / "bin"), *backend.path)


def exports(variables: dict[str, str], path: tuple[str, ...]) -> str:
    """Shell lines that give a shell what a login has."""
    lines = [f"export {name}='{value}'" for name, value in variables.items()]
    if path:
        lines.append(f"export PATH='{os.pathsep.join(path)}':\"$PATH\"")
    return "\n".join(lines)
