"""F15: tasks that a real scheduler ends for their memory, their time or somebody else's priority."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.clusters.far import Far
from tests.clusters.far import far as machine
from tests.clusters.fixtures import or_skip, place
from tests.clusters.laptops import laptop
from tests.clusters.ports import wait_until
from tests.clusters.slurm import Site
from tests.end_to_end.test_clusters import started, states, waiter
from tests.end_to_end.test_far_states import attempts
from tests.shells import Shell

MEMORY = Path("/sys/fs/cgroup/memory")  # where the first version of control groups is mounted
CGROUP = """\
CgroupPlugin=cgroup/v1
CgroupMountpoint=/sys/fs/cgroup
ConstrainRAMSpace=yes
ConstrainSwapSpace=no
"""
GREEDY = """\
import sys
size = int(sys.argv[sys.argv.index("--x") + 1]) * 2**20 if "--x" in sys.argv else 0
held = bytearray(size)
for at in range(0, size, 4096):
    held[at] = 1
print("done")
"""


@contextmanager
def cluster(site: Site, cgroup: str = "") -> Iterator[Far]:
    with place() as folder, or_skip():
        (folder / "slurm").mkdir()
        if cgroup:
            (folder / "slurm" / "cgroup.conf").write_text(cgroup)
        with machine("slurm", folder, slurm_site=site) as made:
            # The scheduler is asked whenever somebody looks.
            made.sshd.at_login("export CJ_ASK_S=0 CJ_LOST_S=2\n")
            yield made


@pytest.mark.skipif(
    os.getuid() != 0 or not os.access(MEMORY / "memory.limit_in_bytes", os.W_OK),
    reason="control groups of the first version cannot be written to",
)
def test_a_task_over_its_memory_is_out_of_memory_and_has_more_the_next_time(
    tmp_path: Path,
) -> None:
    extra = ("TaskPlugin=task/cgroup", "SelectTypeParameters=CR_CPU_Memory", "DefMemPerCPU=200")
    with cluster(Site(nodes=1, cpus=2, extra=extra), CGROUP) as there:
        shell = laptop(tmp_path / "work", there, root=tmp_path / "root")
        shell.write("greedy.py", GREEDY)
        package = shell.launch("run", "greedy.py", "slurm", "--sweep", "x=1,1500,2", "--mem", "200M")
        assert states(shell, package) == {1: "COMPLETED", 2: "OUT_OF_MEMORY", 3: "COMPLETED"}
        words = ("--mem", "200M", "--retries", "1", "--grow-mem", "2x")
        package = shell.launch("run", "greedy.py", "slurm", "--sweep", "x=1,300", *words)
        assert attempts(shell, package) == {1: (1, "COMPLETED"), 2: (2, "COMPLETED")}
        (first,) = shell.lines("show", f"{package}/2")[0]["earlier"]
        assert first["state"] == "OUT_OF_MEMORY"


def preempting(mode: str) -> Site:
    """One processor for two partitions, of which jobs of the second end those of the first."""
    return Site(
        nodes=1,
        cpus=1,
        extra=("PreemptType=preempt/partition_prio", f"PreemptMode={mode}"),
        partitions=(
            "PartitionName=main Nodes=ALL Default=YES DefaultTime=60 PriorityTier=1 State=UP",
            "PartitionName=urgent Nodes=ALL DefaultTime=60 PriorityTier=9 State=UP",
        ),
    )


def preempted(there: Far, tmp_path: Path) -> tuple[Shell, str]:
    """A package whose task ran when a job of a higher priority took its node; that job has ended again."""
    shell = laptop(tmp_path / "work", there, root=tmp_path / "root")
    go = tmp_path / "signals" / "go"
    waiter(shell, go)
    package = str(shell.lines("run", "wait.py", "slurm")[0]["package"])
    wait_until(lambda: started(go) == [1], "a running task", 60)
    shell.cj("run", "-c", "true", "slurm", "--alloc=--partition=urgent", "--wait")
    go.touch()
    shell.cj("state", package, "--watch")
    return shell, package


@pytest.mark.slow
def test_a_preempted_task_that_slurm_starts_again_runs_as_the_next_attempt(tmp_path: Path) -> None:
    with cluster(preempting("REQUEUE")) as there:
        shell, package = preempted(there, tmp_path)
        (task,) = [line for line in shell.lines("state", package, "--tasks") if "task" in line]
        assert (task["state"], task["attempt"]) == ("COMPLETED", 2)
        assert started(tmp_path / "signals" / "go") == [1, 1]


@pytest.mark.slow
def test_a_preempted_task_that_slurm_ends_is_told_and_can_be_retried(tmp_path: Path) -> None:
    with cluster(preempting("CANCEL")) as there:
        shell, package = preempted(there, tmp_path)
        (task,) = [line for line in shell.lines("state", package, "--tasks") if "task" in line]
        assert task["state"] == "NODE_FAIL"
        shell.cj("retry", package, "--wait")
        assert states(shell, package) == {1: "COMPLETED"}
