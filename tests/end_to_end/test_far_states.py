"""F15: what becomes of tasks whose elements the scheduler ends, requeues or loses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.clusters.far import Far
from tests.clusters.laptops import laptop
from tests.clusters.ports import wait_until
from tests.clusters.slurm import Slurm
from tests.end_to_end.test_clusters import launched, started, states, waiter
from tests.shells import Shell

# A scheduler is asked whenever somebody looks, and what is out of sight for two seconds is lost.
IMPATIENT = "export CJ_ASK_S=0 CJ_LOST_S=2\n"


@pytest.fixture
def slurm_there(far: Callable[[str], Far]) -> Iterator[Far]:
    found = far("slurm")
    found.sshd.at_login(IMPATIENT)
    yield found
    found.sshd.at_login("")


@pytest.fixture
def there(slurm_there: Far, tmp_path: Path) -> Shell:
    return laptop(tmp_path / "work", slurm_there, root=tmp_path / "root")


@pytest.fixture
def go(tmp_path: Path) -> Path:
    return tmp_path / "signals" / "go"


def running(there: Shell, go: Path, tasks: int, scheduler: str = "slurm", *words: str) -> tuple[str, str]:
    """A package whose tasks all run, and its job."""
    waiter(there, go)
    launch = there.lines("run", "wait.py", scheduler, "--sweep", f"x=1:{tasks}", *words)[0]
    wait_until(lambda: started(go) == list(range(1, tasks + 1)), "running tasks", 60)
    return str(launch["package"]), str(launch["jobs"][0])


def attempts(there: Shell, package: str) -> dict[int, tuple[int, str]]:
    lines = [line for line in there.lines("state", package, "--tasks") if "task" in line]
    return {line["task"]: (line["attempt"], line["state"]) for line in lines}


def test_an_element_cancelled_behind_our_back_is_cancelled(there: Shell, slurm_there: Far, go: Path) -> None:
    package, job = running(there, go, 3)
    slurm_there.slurm.run("scancel", f"{job}_2")
    wait_until(lambda: states(there, package)[2] != "RUNNING", "its end", 90)
    go.touch()
    there.cj("state", package, "--watch")
    assert states(there, package) == {1: "COMPLETED", 2: "CANCELLED", 3: "COMPLETED"}


@pytest.mark.slow
def test_elements_removed_without_a_trace_are_lost_and_can_be_retried(
    there: Shell, slurm_there: Far, go: Path
) -> None:
    waiter(there, go)
    launch = there.lines("run", "wait.py", "slurm", "--sweep", "x=1:4", "--jobs", "1")[0]
    wait_until(lambda: started(go) == [1], "a running task", 60)
    # Of elements that never started Slurm without accounting forgets that they were there.
    slurm_there.slurm.run("scancel", f"{launch['jobs'][0]}_[3-4]")
    go.touch()
    there.cj("state", launch["package"], "--watch")
    assert states(there, launch["package"]) == {1: "COMPLETED", 2: "COMPLETED", 3: "LOST", 4: "LOST"}
    there.cj("retry", launch["package"], "--wait")
    assert started(go) == [1, 2, 3, 4]


def test_a_requeued_element_runs_its_task_again(there: Shell, slurm_there: Far, go: Path) -> None:
    package, job = running(there, go, 2)
    slurm_there.slurm.run("scontrol", "requeue", f"{job}_1")
    wait_until(lambda: started(go).count(1) == 2, "its second start", 90)
    go.touch()
    there.cj("state", package, "--watch")
    assert attempts(there, package) == {1: (2, "COMPLETED"), 2: (1, "COMPLETED")}


def test_a_node_that_goes_down_costs_an_attempt(there: Shell, slurm_there: Far, go: Path) -> None:
    package, job = running(there, go, 1)
    slurm: Slurm = slurm_there.slurm
    node = slurm.run("squeue", "-h", "-j", job, "-o", "%N").strip()
    slurm.run("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=test")
    try:
        wait_until(lambda: started(go).count(1) == 2, "its second start", 90)
    finally:
        slurm.run("scontrol", "update", f"NodeName={node}", "State=RESUME", check=False)
    go.touch()
    there.cj("state", package, "--watch")
    assert attempts(there, package)[1][1] == "COMPLETED"


@pytest.mark.slow
def test_an_element_over_its_time_is_a_timeout(there: Shell, slurm_there: Far, go: Path) -> None:
    package, job = running(there, go, 2)
    slurm_there.slurm.run("scontrol", "update", f"JobId={job}_1", "TimeLimit=0")
    wait_until(lambda: states(there, package)[1] != "RUNNING", "its end", 120)
    go.touch()
    there.cj("state", package, "--watch")
    assert states(there, package) == {1: "TIMEOUT", 2: "COMPLETED"}


@pytest.mark.slow
def test_an_element_over_its_time_is_submitted_again_with_more(
    there: Shell, slurm_there: Far, go: Path
) -> None:
    waiter(there, go)
    growth = ("--time", "10", "--retries", "1", "--grow-time", "2x")
    launch = there.lines("run", "wait.py", "slurm", "--sweep", "x=1:2", *growth)[0]
    package, slurm = str(launch["package"]), slurm_there.slurm
    wait_until(lambda: started(go) == [1, 2], "running tasks", 60)
    slurm.run("scontrol", "update", f"JobId={launch['jobs'][0]}_1", "TimeLimit=0")
    wait_until(lambda: states(there, package)[1] != "RUNNING", "its end", 180)
    assert states(there, package) == {1: "PENDING", 2: "RUNNING"}
    slurm.run("scontrol", "update", "NodeName=ALL", "State=DRAIN", "Reason=look")
    go.touch()

    def looked() -> bool:
        there.lines("state", package, "--fresh")
        return bool(queue(slurm))

    try:
        wait_until(looked, "a further job", 120)
        assert queue(slurm) == [f"cj-{package[:12]}-2 20:00"]
    finally:
        slurm.run("scontrol", "update", "NodeName=ALL", "State=RESUME")
    there.cj("state", package, "--watch")
    assert attempts(there, package) == {1: (2, "COMPLETED"), 2: (1, "COMPLETED")}
    earlier = there.lines("state", f"{package}/1", "--tasks")[0]["earlier"]
    assert [(each["attempt"], each["state"]) for each in earlier] == [(1, "NODE_FAIL")]


def queue(slurm: Slurm) -> list[str]:
    """Name and time limit of what waits."""
    return slurm.run("squeue", "-h", "-t", "PENDING", "-o", "%j %l").splitlines()


@pytest.mark.parametrize("scheduler", ["slurm", "sge"])
def test_elements_that_die_before_any_task_are_told_by_the_first_look_that_sees_their_end(
    far: Callable[[str], Far], tmp_path: Path, scheduler: str
) -> None:
    cluster = far(scheduler)
    shell = laptop(tmp_path / "work", cluster, root=tmp_path / "root")
    shell.launch("run", "-c", "true", scheduler)  # Grid Engine's accounting begins with its first job
    config = shell.folder / ".cjledger.toml"
    config.write_text(config.read_text() + 'setup = ["echo no module matlab/R1066 >&2", "exit 3"]\n')
    package = str(shell.lines("run", "-c", "echo {x}", scheduler, "--sweep", "x=1:3")[0]["package"])
    cluster.wait_until_empty()
    # Accounting of Grid Engine's comes a moment later.
    wait_until(lambda: shell.lines("state", package, "--fresh")[0]["counts"] == {"LOST": 3}, "the truth", 30)
    found = shell.lines("state", package)[0]
    assert found["final"] is False
    assert "no task was begun; git cj state in 60 s says for good what is lost" in found["problems"][0]
    assert "no module matlab/R1066" in found["problems"][1]
    told = shell.cj("errors", package)
    assert "no module matlab/R1066" in told
    assert "--err" not in told
    assert {line["note"] for line in shell.lines("state", package, "--tasks")} == {
        {"slurm": "the scheduler says FAILED: NonZeroExitCode", "sge": "the scheduler says FAILED"}[scheduler]
    }


def test_a_job_that_has_to_wait_says_why(there: Shell, go: Path) -> None:
    waiter(there, go)
    package = launched(there, "run", "wait.py", "slurm", "--alloc=--begin=now+1hour")
    state = there.lines("state", package)[0]
    assert (state["counts"], list(state["reasons"].values())) == ({"PENDING": 1}, [1])
    there.cj("cancel", package)
    wait_until(lambda: bool(there.lines("state", package)[0]["final"]), "the end", 60)
    assert states(there, package) == {1: "CANCELLED"}


@pytest.fixture
def sge_there(far: Callable[[str], Far]) -> Iterator[Far]:
    found = far("sge")
    found.sshd.at_login(IMPATIENT)
    yield found
    found.sshd.at_login("")


@pytest.fixture
def farm(sge_there: Far, tmp_path: Path) -> Shell:
    return laptop(tmp_path / "work", sge_there, root=tmp_path / "root")


@pytest.mark.slow
def test_grid_engine_s_deleted_and_requeued_elements_are_told_apart(
    farm: Shell, sge_there: Far, go: Path
) -> None:
    package, job = running(farm, go, 3, "sge")
    sge_there.sge.run("qdel", job, "-t", "2")
    sge_there.sge.run("qmod", "-rj", f"{job}.3")
    wait_until(lambda: started(go).count(3) == 2, "its second start", 90)
    go.touch()
    farm.cj("state", package, "--watch")
    # Grid Engine 8.1.9 tells that it was killed, but not that somebody wanted it.
    assert attempts(farm, package) == {1: (1, "COMPLETED"), 2: (1, "FAILED"), 3: (2, "COMPLETED")}
    second = next(line for line in farm.lines("state", package, "--tasks") if line["task"] == 2)
    assert (second["note"], second["exit_code"]) == ("the scheduler says FAILED: assumedly after job", 137)


@pytest.mark.slow
def test_a_task_over_grid_engine_s_time_is_a_timeout_and_has_more_time_the_next_time(farm: Shell) -> None:
    farm.write(
        "slow.py",
        "import os, time\nif os.environ['CJ_ATTEMPT'] == '1':\n    time.sleep(120)\nprint('done')\n",
    )
    words = ("--time", "5s", "--retries", "1", "--grow-time", "20x")
    package = farm.launch("run", "slow.py", "sge", *words)
    assert attempts(farm, package) == {1: (2, "COMPLETED")}
    (first,) = farm.lines("show", f"{package}/1")[0]["earlier"]
    assert first["state"] == "TIMEOUT"
    assert farm.cj("show", f"{package}/1", "--out") == "done\n"


def test_an_element_in_grid_engine_s_error_state_is_held_with_its_reason_until_cancelled(
    farm: Shell, sge_there: Far
) -> None:
    config = farm.folder / ".cjledger.toml"
    config.write_text(config.read_text() + 'setup = ["exit 100"]\n')
    package = str(farm.lines("run", "-c", "true", "sge")[0]["package"])
    wait_until(lambda: "Eqw" in sge_there.sge.run("qstat"), "the error state", 60)
    found = farm.lines("state", package, "--fresh")[0]
    assert found["counts"] == {"HELD": 1}
    assert "could not be started and never will be" in next(iter(found["reasons"]))
    farm.cj("cancel", package)
    wait_until(
        lambda: farm.lines("state", package, "--fresh")[0]["counts"] == {"CANCELLED": 1}, "its end", 90
    )
