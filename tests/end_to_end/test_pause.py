"""``pause`` and ``resume``: workers end after their present tasks, and the rest is run later, once."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from tests.node.cluster_kit import wait_for
from tests.shells import Shell

# Notes that it began, then waits until the test lets it go.
SCRIPT = """
import os, time
task, place = os.environ["CJ_TASK"], @PLACE@
with open(place + "/ran", "a") as file:
    file.write(task + "\\n")
while not os.path.exists(place + "/go"):
    time.sleep(0.05)
"""
FUNCTION = "import os\ndef f(x):\n" + "".join("    " + line + "\n" for line in SCRIPT.strip().splitlines())


def launch(shell: Shell, place: Path, kind: str) -> str:
    """Eight tasks, two at a time."""
    shell.write("p.py", (SCRIPT if kind == "script" else FUNCTION).replace("@PLACE@", repr(str(place))))
    program = "p.py" if kind == "script" else "p.py:f"
    told = shell.lines("run", program, "local", "--sweep", "x=1:8", "--jobs", "2")
    return str(told[0]["package"])


def ran(place: Path) -> list[str]:
    path = place / "ran"
    return path.read_text().split() if path.exists() else []


def counts(shell: Shell, package: str) -> dict[str, int]:
    found: dict[str, int] = shell.lines("state", package)[0]["counts"]
    return found


@pytest.mark.parametrize("kind", ["script", "function"])
def test_a_paused_package_begins_nothing_and_goes_on_where_it_was(
    shell: Shell, tmp_path: Path, kind: str
) -> None:
    package = launch(shell, tmp_path, kind)
    wait_for(lambda: len(ran(tmp_path)) == 2)
    assert shell.lines("pause", package) == [{"package": package, "paused": True, "jobs": []}]
    assert shell.lines("pause", package) == [{"package": package, "paused": True, "jobs": []}]
    told = shell.lines("state", package)[0]
    words = f"paused: git cj resume {package[:8]}"
    assert (told["counts"], told["reasons"]) == ({"RUNNING": 2, "HELD": 6}, {words: 6})
    time.sleep(2)  # workers look for it twice a second
    (tmp_path / "go").touch()
    wait_for(lambda: "RUNNING" not in counts(shell, package))
    done = shell.folder.glob(f".git/cj/local/scheduler/cj-{package[:12]}-1/done.json")
    wait_for(lambda: any(done))  # its workers have ended
    told = shell.lines("state", package)[0]
    begun, held = len(ran(tmp_path)), told["counts"]["HELD"]
    assert told["counts"] == {"COMPLETED": begun, "HELD": 8 - begun}
    assert (told["final"], told["problems"], told["reasons"]) == (False, [], {words: held})
    jobs = shell.lines("resume", package)[0]["jobs"]
    assert len(jobs) == 1
    shell.cj("resume", package)
    shell.cj("state", package, "--watch")
    assert counts(shell, package) == {"COMPLETED": 8}
    assert sorted(ran(tmp_path)) == [str(task) for task in range(1, 9)]
    events = shell.git("log", "--format=%s", "--glob=refs/cj/ledger/*").splitlines()
    assert [line.split()[0] for line in events if line.startswith(("paused", "resumed"))] == [
        "resumed",
        "paused",
    ]


def test_one_that_goes_on_before_its_workers_ended_needs_no_others(shell: Shell, tmp_path: Path) -> None:
    package = launch(shell, tmp_path, "script")
    wait_for(lambda: len(ran(tmp_path)) == 2)
    shell.cj("pause", package)
    shell.cj("resume", package)
    (tmp_path / "go").touch()
    shell.cj("state", package, "--watch")
    assert counts(shell, package) == {"COMPLETED": 8}
    assert sorted(ran(tmp_path)) == [str(task) for task in range(1, 9)]


def test_what_is_submitted_meanwhile_waits_too(shell: Shell, tmp_path: Path) -> None:
    shell.write("f.py", f"import os, sys\nsys.exit(not os.path.exists({str(tmp_path)!r} + '/good'))\n")
    package = shell.launch("run", "f.py", "local")
    shell.cj("pause", package)
    (tmp_path / "good").touch()
    shell.cj("retry", package)
    assert counts(shell, package) == {"HELD": 1}
    shell.cj("resume", package)
    shell.cj("state", package, "--watch")
    assert counts(shell, package) == {"COMPLETED": 1}


def test_a_package_that_was_not_submitted_cannot_be_paused(shell: Shell) -> None:
    shell.write("p.py", "print(1)\n")
    package: Any = shell.lines("deploy", "p.py", "local")[0]["package"]
    assert "was not submitted" in shell.refused("pause", package)
