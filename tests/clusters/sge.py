"""A real Grid Engine on loopback: a queue master and an execution host; jobs start within a second."""

from __future__ import annotations

import getpass
import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.clusters.keeper import Keeper
from tests.clusters.packages import component
from tests.clusters.ports import free, wait_until

CELL = "default"
HOST = "localhost"

BOOTSTRAP = """\
admin_user              none
default_domain          none
ignore_fqdn             true
spooling_method         berkeleydb
spooling_lib            {home}/lib/lx-amd64/libspoolb
spooling_params         {root}/spool/db
binary_path             {root}/bin
qmaster_spool_dir       {root}/spool/qmaster
security_mode           none
listener_threads        2
worker_threads          2
scheduler_threads       1
"""

# Replacements in the configuration that Debian ships.
GLOBAL = {
    "execd_spool_dir": "{root}/spool/execd",
    "mailer": "/bin/true",
    "min_uid": "0",
    "min_gid": "0",
    "load_report_time": "00:00:01",
    "reporting_params": "accounting=true reporting=false flush_time=00:00:01 joblog=false sharelog=00:00:00",
}
SCHEDULER = {
    "schedule_interval": "0:0:1",
    "flush_submit_sec": "1",
    "flush_finish_sec": "1",
    "load_adjustment_decay_time": "0:0:0",
    "job_load_adjustments": "NONE",
}


def _each(names: str, value: str) -> dict[str, str]:
    return dict.fromkeys(names.split(), value)


QUEUE = {
    "qname": "all.q",
    "hostlist": "@allhosts",
    "seq_no": "0",
    "load_thresholds": "NONE",
    "suspend_thresholds": "NONE",
    "nsuspend": "1",
    "suspend_interval": "00:05:00",
    "priority": "0",
    "min_cpu_interval": "00:05:00",
    "processors": "UNDEFINED",
    "qtype": "BATCH INTERACTIVE",
    "ckpt_list": "NONE",
    "pe_list": "smp",
    "rerun": "FALSE",
    "slots": "{slots}",
    "tmpdir": "/tmp",
    "shell": "/bin/sh",
    "shell_start_mode": "unix_behavior",
    "notify": "00:00:60",
    "calendar": "NONE",
    "initial_state": "default",
    **_each("prolog epilog starter_method suspend_method resume_method terminate_method", "NONE"),
    **_each("owner_list user_lists xuser_lists subordinate_list complex_values", "NONE"),
    **_each("projects xprojects", "NONE"),
    **_each("s_rt s_cpu s_fsize s_data s_stack s_core s_rss s_vmem", "INFINITY"),
    **_each("h_rt h_cpu h_fsize h_data h_stack h_core h_rss h_vmem", "INFINITY"),
}
PARALLEL = {
    "pe_name": "smp",
    "slots": "999",
    "user_lists": "NONE",
    "xuser_lists": "NONE",
    "start_proc_args": "NONE",
    "stop_proc_args": "NONE",
    "allocation_rule": "$pe_slots",
    "control_slaves": "FALSE",
    "job_is_first_task": "TRUE",
    "urgency_slots": "min",
    "accounting_summary": "FALSE",
    "qsort_args": "NONE",
}
EXECUTION_HOST = {
    "hostname": HOST,
    **_each("load_scaling complex_values user_lists xuser_lists projects xprojects", "NONE"),
    **_each("usage_scaling report_variables", "NONE"),
}


@dataclass
class Sge:
    """A running Grid Engine; ``path`` and ``variables`` are what a login there has."""

    folder: Path
    keeper: Keeper
    path: tuple[str, ...]
    variables: dict[str, str]
    master: int = 0
    execution: int = 0

    @property
    def environment(self) -> dict[str, str]:
        """The variables with PATH, to go over one's own."""
        return {**self.variables, "PATH": os.pathsep.join((*self.path, os.environ["PATH"]))}

    def run(self, *words: str, check: bool = True) -> str:
        """Standard output of one of Grid Engine's programs."""
        env = {**os.environ, **self.environment}
        done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0 or not check, f"{words}: {done}"
        return done.stdout

    def start_master(self) -> None:
        """Start sge_qmaster; what it spooled is still there."""
        self.master = self._start("sge_qmaster")
        wait_until(lambda: bool(self.run("qconf", "-sh", check=False)), "sge_qmaster")

    def stop_master(self, number: int = signal.SIGTERM) -> None:
        """End sge_qmaster."""
        self.keeper.stop(self.master, number)

    def start_execution(self) -> None:
        """Start sge_execd."""
        self.execution = self._start("sge_execd")

    def stop_execution(self, number: int = signal.SIGTERM) -> None:
        """End sge_execd."""
        self.keeper.stop(self.execution, number)

    def wait_until_empty(self) -> None:
        """Wait until no job waits or runs."""
        wait_until(lambda: not self.run("qstat", "-u", "*"), "an empty queue", 120)

    def _start(self, program: str) -> int:
        env = {**self.environment, "SGE_ND": "1"}  # not into the background
        return self.keeper.start((f"{self.path[0]}/{program}",), self.folder / "run" / f"{program}.out", env)


@contextmanager
def sge(folder: Path, slots: int = 12, keeper: Keeper | None = None) -> Iterator[Sge]:
    """A Grid Engine of its own in a folder, which ends with the block, or with the keeper that is given."""
    home = component("sge")
    own = keeper or Keeper(folder)
    try:
        found = Sge(folder, own, (str(home / "bin/lx-amd64"),), _variables(folder))
        _lay_out(home, folder, found)
        found.start_master()
        for option in ("-ah", "-as"):
            found.run("qconf", option, HOST, check=False)
        _configure(found, slots)
        found.start_execution()
        ready = re.compile(r"all\.q@.*lx-amd64 *$", re.MULTILINE)
        wait_until(lambda: bool(ready.search(found.run("qstat", "-f", check=False))), "sge_execd")
        yield found
    finally:
        if keeper is None:
            own.close()


def _variables(folder: Path) -> dict[str, str]:
    master, execution = free(2)
    return {
        "SGE_ROOT": str(folder),
        "SGE_CELL": CELL,
        "SGE_QMASTER_PORT": str(master),
        "SGE_EXECD_PORT": str(execution),
        "SGE_CLUSTER_NAME": "loop",
    }


def _lay_out(home: Path, root: Path, found: Sge) -> None:
    for name in (f"{CELL}/common", "spool/qmaster/job_scripts", "spool/execd", "spool/db", "run"):
        (root / name).mkdir(parents=True, exist_ok=True)
    (root / "bin").symlink_to(home / "bin")
    (root / "lib").symlink_to(home / "lib")
    (root / "util").symlink_to(home / "share" / "util")
    common = root / CELL / "common"
    (common / "bootstrap").write_text(BOOTSTRAP.format(home=home, root=root))
    (common / "act_qmaster").write_text(f"{HOST}\n")
    # Else it complains that 127.0.0.1 resolves to localhost while the machine has another name.
    (common / "host_aliases").write_text(f"{HOST} {socket.gethostname().partition('.')[0]}\n")
    shipped = (home / "share" / "default-configuration").read_text()
    (root / "run/global").write_text(_replaced(shipped, {k: v.format(root=root) for k, v in GLOBAL.items()}))
    resources, me = str(home / "share/util/resources"), getpass.getuser()
    spool = f"{home}/lib/lx-amd64/libspoolb"
    found.run("spoolinit", "berkeleydb", spool, str(root / "spool/db"), "init")
    for words in (
        ("configuration", str(root / "run/global")),
        ("complexes", f"{resources}/centry"),
        ("usersets", f"{resources}/usersets"),
        ("managers", me),
        ("operators", me),
    ):
        found.run("spooldefaults.bin", *words)


def _configure(found: Sge, slots: int) -> None:
    def add(option: str, fields: dict[str, str]) -> None:
        file = found.folder / "run" / option.strip("-")
        file.write_text("".join(f"{name} {value}\n" for name, value in fields.items()))
        found.run("qconf", option, str(file))

    add("-Ae", EXECUTION_HOST)
    add("-Ahgrp", {"group_name": "@allhosts", "hostlist": HOST})
    add("-Ap", PARALLEL)
    add("-Aq", {name: value.format(slots=slots) for name, value in QUEUE.items()})
    file = found.folder / "run" / "scheduler"
    file.write_text(_replaced(found.run("qconf", "-ssconf"), SCHEDULER))
    found.run("qconf", "-Msconf", str(file))


def _replaced(text: str, fields: dict[str, str]) -> str:
    for name, value in fields.items():
        text = re.sub(rf"(?m)^{name}\s.*$", f"{name} {value}", text)
    return text
