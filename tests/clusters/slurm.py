"""A real Slurm on loopback: one controller and several virtual nodes, as the person who runs the tests."""

from __future__ import annotations

import getpass
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.clusters.keeper import Keeper
from tests.clusters.packages import component
from tests.clusters.ports import free, wait_until

CONFIG = """\
ClusterName=loop
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/none
CredType=cred/none
AuthInfo=cred_expire=5
PluginDir={plugins}
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/run/slurmctld.pid
SlurmdPidFile={folder}/run/slurmd-%n.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd-%n.log
SlurmctldDebug=info
SlurmdDebug=info
SlurmdParameters=config_overrides
MpiDefault=none
SwitchType=switch/none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
ReturnToService=2
SlurmctldTimeout=120
SlurmdTimeout=10
InactiveLimit=0
KillWait=2
MinJobAge={min_job_age}
Waittime=0
SchedulerType=sched/backfill
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1,default_queue_depth=1000,sched_min_interval=0
MaxArraySize={max_array}
MaxJobCount={max_jobs}
AccountingStorageType=accounting_storage/none
{extra}
"""


@dataclass(frozen=True)
class Site:
    """What a test wants its Slurm to be like; ``extra`` are further lines of slurm.conf."""

    nodes: int = 4
    cpus: int = 3
    max_array: int = 1001
    max_jobs: int = 10_000
    min_job_age: int = 300
    pbs: bool = False  # jobs have PBS_ variables too
    extra: tuple[str, ...] = ()
    partitions: tuple[str, ...] = (
        "PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE DefaultTime=60 State=UP OverSubscribe=NO",
    )


@dataclass
class Slurm:
    """A running Slurm; ``path`` and ``variables`` are what a login there has."""

    folder: Path
    keeper: Keeper
    site: Site
    path: tuple[str, ...]
    variables: dict[str, str]
    config: Path
    controller: int = 0
    nodes: dict[str, int] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """The variables with PATH, to go over one's own."""
        return {**self.variables, "PATH": os.pathsep.join((*self.path, os.environ["PATH"]))}

    def run(self, *words: str, check: bool = True) -> str:
        """Standard output of one of Slurm's programs."""
        env = {**os.environ, **self.environment}
        done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0 or not check, f"{words}: {done}"
        return done.stdout

    def start_controller(self) -> None:
        """Start slurmctld; what it saved is still there."""
        argv = (str(component("slurm") / "sbin" / "slurmctld"), "-D", "-i", "-f", str(self.config))
        self.controller = self.keeper.start(argv, self.folder / "log" / "slurmctld.out")

    def stop_controller(self, number: int = signal.SIGTERM) -> None:
        """End slurmctld; with SIGKILL it loses its last seconds, as in life."""
        self.keeper.stop(self.controller, number)

    def start_node(self, name: str) -> None:
        """Start a node's slurmd."""
        sbin = component("slurm") / "sbin"
        argv = (
            str(sbin / "slurmd"),
            "-D",
            "-f",
            str(self.config),
            "-N",
            name,
            "-d",
            str(sbin / "slurmstepd"),
        )
        self.nodes[name] = self.keeper.start(argv, self.folder / "log" / f"slurmd-{name}.out")

    def stop_node(self, name: str, number: int = signal.SIGKILL) -> None:
        """End a node's slurmd; its jobs' processes go on until Slurm or the test ends them."""
        self.keeper.stop(self.nodes.pop(name), number)

    def wait_until_idle(self) -> None:
        """Wait until every node answers."""
        wait_until(self._is_idle, f"the nodes of {self.config}")

    def wait_until_up(self) -> None:
        """Wait until the controller answers."""
        wait_until(lambda: "UP" in self.run("scontrol", "ping", check=False), "slurmctld")

    def wait_until_empty(self) -> None:
        """Wait until no job waits or runs."""
        wait_until(lambda: not self.run("squeue", "-h"), "an empty queue", 120)

    def _is_idle(self) -> bool:
        if not self.keeper.alive(self.controller):
            told = (self.folder / "log" / "slurmctld.log").read_text(errors="replace")
            raise RuntimeError(f"slurmctld ended:\n{told[-2000:]}")
        shown = self.run("sinfo", "-h", "-N", "-t", "idle", "-o", "%N", check=False)
        return len(set(shown.split())) == self.site.nodes


@contextmanager
def slurm(folder: Path, site: Site = Site(), keeper: Keeper | None = None) -> Iterator[Slurm]:
    """A Slurm of its own in a folder, which ends with the block, or with the keeper that is given."""
    home = component("slurm")
    own = keeper or Keeper(folder)
    try:
        for name in ("state", "spool", "log", "run"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        config = folder / "slurm.conf"
        config.write_text(_config(folder, site))
        found = Slurm(folder, own, site, (str(home / "bin"),), {"SLURM_CONF": str(config)}, config)
        found.start_controller()
        for number in range(1, site.nodes + 1):
            found.start_node(f"n{number}")
        found.wait_until_idle()
        yield found
    finally:
        if keeper is None:
            own.close()


def _config(folder: Path, site: Site) -> str:
    host = socket.gethostname().partition(".")[0]
    port, *ports = free(1 + site.nodes)
    plugins = component("slurm") / "lib" / "slurm-wlm"
    extra = list(site.extra)
    if site.pbs:
        (folder / "plugstack.conf").write_text(f"optional {plugins}/spank_pbs.so\n")
        extra += ["JobSubmitPlugins=pbs", f"PlugStackConfig={folder}/plugstack.conf"]
    text = CONFIG.format(
        host=host,
        port=port,
        user=getpass.getuser(),
        plugins=plugins,
        folder=folder,
        min_job_age=site.min_job_age,
        max_array=site.max_array,
        max_jobs=site.max_jobs,
        extra="\n".join(extra),
    )
    nodes = [
        f"NodeName=n{number} NodeHostname={host} NodeAddr=127.0.0.1 Port={own}"
        f" CPUs={site.cpus} RealMemory=4000 State=UNKNOWN"
        for number, own in enumerate(ports, 1)
    ]
    return text + "\n".join((*nodes, *site.partitions)) + "\n"
