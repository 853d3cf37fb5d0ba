"""Workers as a person asks for them: how many, more, fewer, and what dead ones held."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

from tests.node.cluster_kit import wait_for
from tests.shells import Shell

PROGRAM = """
import os, sys, time
folder = sys.argv[1]
open(folder + "/began-" + os.environ["CJ_TASK"], "w")
while not os.path.exists(folder + "/go"):
    time.sleep(0.05)
"""


def launched(shell: Shell, place: Path, tasks: int, *words: str) -> str:
    shell.write("p.py", PROGRAM.replace("sys.argv[1]", repr(str(place))))
    spec = f"x=range(0,{tasks},1)"
    return str(shell.lines("run", "p.py", "local", "--sweep", spec, *words)[0]["package"])


def test_workers_are_added_and_ended_while_tasks_run(shell: Shell, tmp_path: Path) -> None:
    package = launched(shell, tmp_path, 6, "--workers", "1")
    assert shell.lines("show", package)[0]["resources"]["workers"] == 1
    wait_for((tmp_path / "began-1").exists)
    assert shell.lines("workers", package)[0]["worker"] == 1
    *_, last = shell.lines("workers", package, "+2")
    assert last == {"package": package, "jobs": [f"cj-{package[:12]}-1-2"], "stopped": ""}
    wait_for(lambda: len(list(tmp_path.glob("began-*"))) == 3)
    *_, last = shell.lines("workers", package, "-1")
    assert last["stopped"] == "3"
    assert "no worker" not in shell.cj("workers", package)
    assert "neither +N nor -N" in shell.refused("workers", package, "5", code=2)
    (tmp_path / "go").touch()
    shell.cj("state", package, "--watch")
    assert shell.lines("state", package)[0]["counts"] == {"COMPLETED": 6}
    assert "no worker is there" in shell.cj("workers", package)


def test_what_a_dead_worker_held_is_freed_while_another_works(shell: Shell, tmp_path: Path) -> None:
    package = launched(shell, tmp_path, 2, "--workers", "2")
    wait_for(lambda: len(list(tmp_path.glob("began-*"))) == 2)
    assert shell.lines("recover", package)[0] == {
        "package": package,
        "blocks": 0,
        "doubtful": 0,
        "workers": 2,
    }
    pool = shell.folder / f".git/cj/local/scheduler/cj-{package[:12]}-1"
    owner = json.loads((pool / "owner-1.json").read_text())["pid"]
    dead = json.loads((pool / "element-1-1.json").read_text())["pid"]
    os.kill(owner, signal.SIGKILL)  # else it starts the element again
    os.kill(dead, signal.SIGKILL)
    wait_for(lambda: shell.lines("recover", package)[0]["blocks"] == 1)
    (tmp_path / "go").touch()
    shell.cj("state", package, "--watch")
    found = shell.lines("state", package, "--tasks")
    assert sorted((task["state"], task["attempt"]) for task in found) == [("COMPLETED", 1), ("COMPLETED", 2)]


def test_tasks_run_in_an_even_mix_and_keep_their_numbers(shell: Shell, tmp_path: Path) -> None:
    notes = tmp_path / "order"
    shell.write("m.py", f"def f(x):\n    open({str(notes)!r}, 'a').write('%d\\n' % x)\n    return x\n")
    words = ("run", "m.py:f", "local", "--workers", "1", "--sweep", "x=range(0,60,1)")
    package = shell.lines(*words, "--shuffle", "--wait")[0]["package"]
    order = [int(word) for word in notes.read_text().split()]
    assert sorted(order) == list(range(60))
    assert max(order[:6]) - min(order[:6]) > 30
    rows = shell.lines("reduce", "--json", package)
    assert [(row["cj_task"], row["x"], row["value"]) for row in rows] == [(k + 1, k, k) for k in range(60)]
    assert shell.lines("show", package)[0]["shuffle"] is True
    notes.unlink()
    shell.lines(*words, "--wait")
    assert [int(word) for word in notes.read_text().split()] == list(range(60))
