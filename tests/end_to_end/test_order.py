"""Which package runs when: priorities."""

from __future__ import annotations

import json
from pathlib import Path

from tests.shells import Shell

# Notes its word where the test looks, then waits for a file if it has the word's name.
PROGRAM = """
import os, sys, time
name, folder = sys.argv[1:]
with open(folder + "/order", "a") as file:
    file.write(name + "\\n")
while not os.path.exists(folder + "/go-" + name):
    time.sleep(0.05)
"""


def run(shell: Shell, place: Path, name: str, *words: str) -> str:
    """Launch a program that waits for ``go-NAME``; the package."""
    shell.write("p.py", PROGRAM)
    told = shell.lines("run", "p.py", "local", "--jobs", "1", *words, "--", name, str(place))
    return str(told[0]["package"])


def order(place: Path) -> list[str]:
    path = place / "order"
    return path.read_text().split() if path.exists() else []


def let_go(place: Path, *names: str) -> None:
    for name in names:
        (place / f"go-{name}").touch()


def wait(shell: Shell, *packages: str) -> None:
    for package in packages:
        shell.cj("state", package, "--watch")


def test_the_package_of_the_higher_priority_starts_first(shell: Shell, tmp_path: Path) -> None:
    first = run(shell, tmp_path, "a", "--priority", "10")
    low = run(shell, tmp_path, "b", "--priority", "-10")
    plain = run(shell, tmp_path, "c")
    assert shell.lines("state", low)[0]["reasons"] == {"jobs of a higher priority go first": 1}
    let_go(tmp_path, "a", "b", "c")
    wait(shell, first, low, plain)
    assert order(tmp_path) == ["a", "c", "b"]
    assert shell.lines("show", first)[0]["resources"]["priority"] == 10


def test_submit_may_give_another_priority_before_the_package_is_sent(shell: Shell, tmp_path: Path) -> None:
    shell.write("p.py", PROGRAM)
    words = ("--", "x", str(tmp_path))
    later = str(shell.lines("deploy", "p.py", "local", "--priority", "-5", *words)[0]["package"])
    let_go(tmp_path, "x")
    assert "from -1000 to 1000" in shell.refused("submit", later, "--priority", "5000")
    shell.cj("submit", later, "--priority", "7", "--wait")
    (intent,) = shell.folder.glob(".git/cj/local/packages/*/submissions/1/intent.json")
    assert json.loads(intent.read_text())["priority"] == 7
    assert "was submitted already" in shell.refused("submit", later, "--priority", "3")


def test_what_a_common_user_may_not_ask_for_is_refused_before_anything_is_made(shell: Shell) -> None:
    shell.write("p.py", "print(1)\n")
    shell.write(".cjledger.toml", '[cluster.far]\nscheduler = "slurm"\nhost = "nowhere.invalid"\n')
    told = shell.refused("run", "p.py", "far", "--priority", "5")
    assert "Slurm lets only its operators raise a job's priority" in told
    assert shell.lines("log", "--all") == []
