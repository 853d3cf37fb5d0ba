"""Real clusters, typed as a person would: over ssh to a real Slurm and a real Grid Engine."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.clusters.far import Far
from tests.clusters.far import far as far_away
from tests.clusters.fixtures import or_skip, place
from tests.clusters.laptops import laptop
from tests.clusters.ports import wait_until
from tests.clusters.slurm import Site as SlurmSite
from tests.shells import NEST, Shell

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "phase_transition"

# Ends when it is told to: the test creates the file ``go`` beside the root.
WAITER = """\
import os, sys, time
os.makedirs(os.path.dirname({go!r}), exist_ok=True)
open({go!r} + ".started." + os.environ["CJ_TASK"], "a").write("x")
while not os.path.exists({go!r}):
    time.sleep(0.05)
print("done", os.environ["CJ_TASK"])
"""

WORKERS = "\n[cluster.{name}.resources]\nworkers = 4\n"

# The example's table of ``local``.
HERE: list[str] = []

ENVIRONMENT = """\
import json, os
names = "JOB_ID TASK PACKAGE CLUSTER NODELIST SUBMIT_DIR NAME SEED".split()
with open("seen.jsonl", "w") as out:
    out.write(json.dumps({name: os.environ.get("CJ_" + name) for name in names}) + "\\n")
"""


@pytest.fixture(params=["slurm", "sge"])
def cluster(request: pytest.FixtureRequest, far: Callable[[str], Far]) -> Far:
    return far(request.param)


@pytest.fixture
def there(cluster: Far, tmp_path: Path) -> Shell:
    return laptop(tmp_path / "work", cluster, root=tmp_path / "root")


@pytest.fixture
def go(tmp_path: Path) -> Path:
    return tmp_path / "signals" / "go"


def waiter(there: Shell, go: Path) -> None:
    there.write("wait.py", WAITER.format(go=str(go)))


def started(go: Path) -> list[int]:
    """The tasks that have begun, each as often as it began."""
    found = []
    for path in go.parent.glob("go.started.*"):
        found += [int(path.suffix[1:])] * len(path.read_text())
    return sorted(found)


def states(shell: Shell, package: str) -> dict[int, str]:
    return {
        int(line["task"]): str(line["state"])
        for line in shell.lines("state", package, "--tasks")
        if "task" in line
    }


def table(shell: Shell, package: str, name: str = "results.txt") -> list[str]:
    """The lines of the table without the package's ID, which begins each."""
    out = shell.folder.parent / "table.csv"
    shell.cj("reduce", name, package, "-o", str(out))
    return [line.partition(",")[2] for line in out.read_text().splitlines()]


def launched(shell: Shell, *words: str) -> str:
    return str(shell.lines(*words)[0]["package"])


def test_a_nest_there_gives_the_table_of_local(there: Shell, cluster: Far) -> None:
    there.write("PT.py", NEST)
    here = there.launch("parrun", "PT.py", "local", "--seed", "7")
    far = there.launch("parrun", "PT.py", cluster.name, "--seed", "7")
    assert table(there, far) == table(there, here)
    assert len(table(there, far)) == 13
    state = there.lines("state", far)[0]
    assert (state["counts"], state["final"]) == ({"COMPLETED": 12}, True)
    assert states(there, far) == dict.fromkeys(range(1, 13), "COMPLETED")


def test_the_first_run_sets_the_cluster_up_and_says_so(there: Shell, cluster: Far) -> None:
    there.write("hello.py", "print('hello')\n")
    first = there.run("git", "cj", "run", "hello.py", cluster.name)
    second = there.run("git", "cj", "run", "hello.py", cluster.name)
    assert cluster.name in first.stderr
    assert "set up" in first.stderr
    assert "set up" not in second.stderr


def test_a_task_sees_one_set_of_variables(there: Shell, cluster: Far) -> None:
    there.write("look.py", ENVIRONMENT)
    launch = there.lines("run", "look.py", cluster.name, "--sweep", "x=1:2", "--wait")[0]
    package = launch["package"]
    seen = [json.loads(there.cj("show", f"{package}/{task}/seen.jsonl")) for task in (1, 2)]
    assert [one.pop("TASK") for one in seen] == ["1", "2"]
    assert seen[0].pop("SEED") != seen[1].pop("SEED")
    assert [one.pop("JOB_ID") for one in seen] == launch["jobs"] * 2
    assert all(one["NODELIST"] for one in seen)
    assert seen[0]["PACKAGE"] == package
    assert seen[0]["CLUSTER"] == cluster.name


def test_a_deployed_package_waits_for_submit(there: Shell, cluster: Far) -> None:
    there.write("hello.py", "print('hello')\n")
    package = launched(there, "run", "hello.py", cluster.name, "--no-submit")
    assert there.lines("state", package)[0]["counts"] == {"PENDING": 1}
    jobs = [there.lines("submit", package, "--wait")[0]["jobs"] for _ in range(2)]
    assert jobs[0] == jobs[1]
    assert there.cj("show", f"{package}/1", "--out") == "hello\n"


def test_cancel_ends_what_runs_and_what_waits(there: Shell, cluster: Far, go: Path) -> None:
    waiter(there, go)
    package = launched(there, "run", "wait.py", cluster.name, "--sweep", "x=1:4", "--jobs", "2")
    wait_until(lambda: len(started(go)) == 2, "two running tasks")
    there.cj("cancel", package)
    wait_until(lambda: bool(there.lines("state", package)[0]["final"]), "the end", 60)
    assert states(there, package) == dict.fromkeys(range(1, 5), "CANCELLED")
    assert len(started(go)) == 2
    cluster.wait_until_empty()


def test_cancelling_some_tasks_leaves_the_others(there: Shell, cluster: Far, go: Path) -> None:
    waiter(there, go)
    package = launched(there, "run", "wait.py", cluster.name, "--sweep", "x=1:4")
    wait_until(lambda: len(started(go)) == 4, "four running tasks")
    there.cj("cancel", f"{package}/2-3")
    wait_until(lambda: list(states(there, package).values()).count("CANCELLED") == 2, "two ends", 60)
    go.touch()
    there.cj("state", package, "--watch")
    assert states(there, package) == {1: "COMPLETED", 2: "CANCELLED", 3: "CANCELLED", 4: "COMPLETED"}


def test_a_held_package_waits_until_released(there: Shell, cluster: Far, go: Path) -> None:
    waiter(there, go)
    package = launched(there, "run", "wait.py", cluster.name, "--sweep", "x=1:3", "--jobs", "1")
    wait_until(lambda: len(started(go)) == 1, "a running task")
    there.cj("hold", package)
    held = [state for state in states(there, package).values() if state != "RUNNING"]
    reasons = there.lines("state", package)[0]["reasons"]
    go.touch()
    wait_until(lambda: there.lines("state", package)[0]["counts"].get("COMPLETED") == 1, "its end", 60)
    assert held == ["HELD", "HELD"]
    assert ["git cj release" in words for words in reasons] == [True]
    assert len(started(go)) == 1
    there.cj("release", package)
    there.cj("state", package, "--watch")
    assert started(go) == [1, 2, 3]


def test_retry_runs_what_failed_and_nothing_else(there: Shell, cluster: Far, tmp_path: Path) -> None:
    flag = tmp_path / "fixed"
    there.write("odd.py", "import os, sys\nx = int(os.environ['CJ_PARAM_x'])\n"
                f"sys.exit(x % 2 and not os.path.exists({str(flag)!r}))\n")  # fmt: skip
    package = there.launch("run", "odd.py", cluster.name, "--sweep", "x=1:4")
    assert states(there, package) == {1: "FAILED", 2: "COMPLETED", 3: "FAILED", 4: "COMPLETED"}
    flag.touch()
    there.cj("retry", package, "--wait")
    lines = [line for line in there.lines("state", package, "--tasks") if "task" in line]
    assert [(line["task"], line["attempt"], line["state"]) for line in lines] == [
        (1, 2, "COMPLETED"),
        (2, 1, "COMPLETED"),
        (3, 2, "COMPLETED"),
        (4, 1, "COMPLETED"),
    ]


def test_clean_frees_the_cluster_and_keeps_the_results(there: Shell, cluster: Far, tmp_path: Path) -> None:
    there.write("PT.py", NEST)
    package = there.launch("parrun", "PT.py", cluster.name)
    before = table(there, package)
    there.cj("clean", package, "--yes")
    assert not (tmp_path / "root/packages" / package).exists()
    assert table(there, package) == before


def test_ten_packages_at_once_are_all_there(there: Shell, cluster: Far) -> None:
    there.write("hello.py", "print('hello')\n")
    packages = [launched(there, "run", "hello.py", cluster.name, "-m", f"{n}") for n in range(10)]
    for package in packages:
        there.cj("state", package, "--watch")
    assert [there.lines("state", package)[0]["counts"] for package in packages] == [{"COMPLETED": 1}] * 10


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scheduler", "table_lines"), [("slurm", ""), ("sge", WORKERS.format(name="sge"))], ids=["slurm", "sge"]
)
def test_the_example_gives_the_same_441_rows(tmp_path: Path, scheduler: str, table_lines: str) -> None:
    """As an array of 441 elements, and shared by four; each point by a tenth of the example's trials."""
    few = SlurmSite(nodes=2, cpus=4)  # its tasks compute: more at a time would only take turns
    with place() as folder, or_skip(), far_away(scheduler, folder, slurm_site=few, sge_slots=4) as cluster:
        there = laptop(tmp_path / "work", cluster, root=tmp_path / "root")
        there.timeout_s = 1800
        with (there.folder / ".cjledger.toml").open("a") as file:
            file.write(table_lines)
        text = (EXAMPLE / "PT.py").read_text()
        assert "TRIALS = 20\n" in text
        there.write("PT.py", text.replace("TRIALS = 20\n", "TRIALS = 2\n"))
        package = there.launch("parrun", "PT.py", cluster.name, "--seed", "7")
        if not HERE:  # once for both
            HERE.extend(table(there, there.launch("parrun", "PT.py", "local", "--seed", "7")))
        assert len(table(there, package)) == 442
        assert table(there, package) == HERE
