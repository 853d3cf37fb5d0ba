"""Priorities, dependencies, what runs last, pauses: on a real Slurm and a real Grid Engine over ssh."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.clusters.far import Far
from tests.clusters.laptops import laptop
from tests.clusters.ports import wait_until
from tests.shells import Shell

# Says that it began, then ends when it is told to.
WAITER = """\
import os, time
task, place = os.environ["CJ_TASK"], {place!r}
open(place + "/began-" + task, "a").write("x")
while not os.path.exists(place + "/go"):
    time.sleep(0.05)
"""
REDUCE = """\
import json, os
with open(os.environ["CJ_TABLE"]) as file:
    rows = [json.loads(line) for line in file]
with open({place!r} + "/reduced", "a") as out:
    out.write(json.dumps([[row["cj_task"], row["cj_state"], row["x"]] for row in rows]))
"""


@pytest.fixture(params=["slurm", "sge"])
def cluster(request: pytest.FixtureRequest, far: Callable[[str], Far]) -> Far:
    return far(request.param)


@pytest.fixture
def there(cluster: Far, tmp_path: Path) -> Shell:
    shell = laptop(tmp_path / "work", cluster, root=tmp_path / "root")
    place = tmp_path / "signals"
    place.mkdir()
    shell.write("wait.py", WAITER.format(place=str(place)))
    shell.write("reduce.py", REDUCE.format(place=str(place)))
    shell.write("hello.py", f"open({str(place)!r} + '/hello', 'a').write('x')\n")
    return shell


def state(shell: Shell, package: str) -> dict[str, Any]:
    return shell.lines("state", package, "--fresh")[0]


def test_the_scheduler_starts_what_waits_without_anybody_asking(
    there: Shell, cluster: Far, tmp_path: Path
) -> None:
    place = tmp_path / "signals"
    words = ("run", "wait.py", cluster.name, "--sweep", "x=5,6", "--then", "reduce.py")
    first = str(there.lines(*words)[0]["package"])
    words = ("run", "hello.py", cluster.name, "--after", first, "--priority", "-10")
    second = str(there.lines(*words)[0]["package"])
    wait_until(lambda: len(list(place.glob("began-*"))) == 2, "two running tasks", 120)
    assert sum(state(there, second)["counts"].get(word, 0) for word in ("WAITING", "HELD")) == 1
    assert not (place / "hello").exists()
    (place / "go").touch()
    wait_until(lambda: (place / "hello").exists() and (place / "reduced").exists(), "both", 180)
    there.cj("state", first, "--watch")
    there.cj("state", second, "--watch")
    assert state(there, second)["counts"] == {"COMPLETED": 1}
    assert state(there, first)["then"]["counts"] == {"COMPLETED": 1}
    assert json.loads((place / "reduced").read_text()) == [[1, "COMPLETED", 5], [2, "COMPLETED", 6]]
    assert (place / "hello").read_text() == "x"


def test_a_paused_package_goes_on_where_it_was(there: Shell, cluster: Far, tmp_path: Path) -> None:
    place = tmp_path / "signals"
    words = ("run", "wait.py", cluster.name, "--sweep", "x=1:6", "--workers", "2")
    package = str(there.lines(*words)[0]["package"])
    wait_until(lambda: len(list(place.glob("began-*"))) == 2, "two running tasks", 120)
    there.cj("pause", package)
    time.sleep(2)  # workers look for it twice a second
    (place / "go").touch()
    wait_until(lambda: "RUNNING" not in state(there, package)["counts"], "the end of what runs", 120)
    told = state(there, package)
    assert set(told["counts"]) == {"COMPLETED", "HELD"}
    assert set(told["reasons"]) == {f"paused: git cj resume {package[:8]}"}
    begun = len(list(place.glob("began-*")))
    assert begun == told["counts"]["COMPLETED"] < 6
    there.cj("resume", package)
    there.cj("state", package, "--watch")
    assert state(there, package)["counts"] == {"COMPLETED": 6}
    assert [path.read_text() for path in sorted(place.glob("began-*"))] == ["x"] * 6
