"""Which package runs when: priorities, and what waits for what."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.node.cluster_kit import wait_for
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


def state(shell: Shell, package: str) -> dict[str, Any]:
    return shell.lines("state", package)[0]


def test_a_package_starts_by_itself_when_the_one_before_it_completed(shell: Shell, tmp_path: Path) -> None:
    first = run(shell, tmp_path, "a")
    let_go(tmp_path, "b")
    second = run(shell, tmp_path, "b", "--after", first[:8])
    told = state(shell, second)
    assert told["counts"] == {"WAITING": 1}
    assert told["reasons"] == {f"not submitted yet: it waits for {first[:12]} to complete": 1}
    assert told["problems"] == []
    assert f"after {first}:ok" in shell.cj("log", second)
    let_go(tmp_path, "a")
    wait_for(lambda: order(tmp_path) == ["a", "b"])  # without any further command
    wait(shell, second)
    assert state(shell, second)["counts"] == {"COMPLETED": 1}
    (shown,) = shell.lines("show", second)
    assert shown["after"] == [{"package": first, "when": "ok", "cluster": "local"}]


def test_more_points_wait_for_another_package(shell: Shell, tmp_path: Path) -> None:
    shell.write("q.py", "print(1)\n")
    shell.launch("run", "q.py", "local", "--sweep", "x=1")
    first = run(shell, tmp_path, "a")
    words = ("extend", "@~1", "--sweep", "x=2", "--after", first)
    more = str(shell.lines(*words)[0]["package"])
    assert state(shell, more)["counts"] == {"WAITING": 1}
    assert "--after abcdef" in shell.refused(*words[:-1], "abcdef:never")
    let_go(tmp_path, "a")
    wait(shell, more)
    assert state(shell, more)["counts"] == {"COMPLETED": 1}
    (shown,) = shell.lines("show", more)
    assert [each["package"] for each in shown["after"]] == [first]


def test_what_waits_for_a_package_that_fails_is_cancelled_with_the_reason(
    shell: Shell, tmp_path: Path
) -> None:
    shell.write("f.py", "import os, sys\nwhile not os.path.exists(sys.argv[1]): pass\nsys.exit(3)\n")
    first = str(shell.lines("run", "f.py", "local", "--", str(tmp_path / "fail"))[0]["package"])
    let_go(tmp_path, "b", "c")
    strict = run(shell, tmp_path, "b", "--after", f"{first}:ok")
    lenient = run(shell, tmp_path, "c", "--after", f"{first}:any")
    chained = run(shell, tmp_path, "b", "--after", strict)
    (tmp_path / "fail").touch()
    wait(shell, lenient, strict, chained)
    assert order(tmp_path) == ["c"]
    told = state(shell, strict)
    why = f"{first[:12]} did not complete 1 of its tasks"
    assert (told["counts"], told["final"], told["problems"]) == (
        {"CANCELLED": 1},
        True,
        [f"it never ran: {why}"],
    )
    assert [task["note"] for task in shell.lines("state", strict, "--tasks")] == [why]
    assert state(shell, chained)["counts"] == {"CANCELLED": 1}
    shell.cj("retry", strict, "--wait")
    assert state(shell, strict)["counts"] == {"COMPLETED": 1}
    assert state(shell, strict)["problems"] == []


def test_what_cannot_be_waited_for_is_refused_at_launch(shell: Shell, tmp_path: Path) -> None:
    shell.write("f.py", "import sys\nsys.exit(3)\n")
    failed = shell.launch("run", "f.py", "local")
    deployed = str(shell.lines("deploy", "f.py", "local", "-m", "later")[0]["package"])
    words = ("run", "f.py", "local", "--after")
    assert "there is no package abcdef" in shell.refused(*words, "abcdef")
    assert "neither ok nor any" in shell.refused(*words, f"{failed}:maybe")
    assert "takes a whole package" in shell.refused(*words, f"{failed}/1")
    told = shell.refused(*words, failed)
    assert "1 task of it did not complete" in told
    assert f"git cj retry {failed[:8]}, or --after {failed[:8]}:any" in told
    assert "it was not submitted" in shell.refused(*words, deployed)
    shell.cj("clean", failed)
    assert "it was cleaned" in shell.refused(*words, failed)
    assert len(shell.lines("log", "--all")) == 2


OTHER = '[cluster.other]\nscheduler = "local"\nroot = "{}"\n'


def test_a_package_on_another_cluster_waits_here_and_later_commands_send_it(
    shell: Shell, tmp_path: Path
) -> None:
    shell.write(".cjledger.toml", OTHER.format(tmp_path / "other"))
    first = run(shell, tmp_path, "a")
    let_go(tmp_path, "b", "c")
    words = ("p.py", "other", "--after", first, "--", "b", str(tmp_path))
    second = str(shell.lines("run", *words)[0]["package"])
    then = run(shell, tmp_path, "c", "--after", second)
    why = f"it waits for {first[:12]} to complete, on local"
    told = state(shell, second)
    assert (told["counts"], told["reasons"], told["problems"]) == ({"WAITING": 1}, {why: 1}, [])
    assert shell.lines("submit", second)[0]["waiting"] == why
    assert state(shell, then)["counts"] == {"WAITING": 1}
    let_go(tmp_path, "a")
    wait(shell, then)
    assert order(tmp_path) == ["a", "b", "c"]
    assert state(shell, second)["counts"] == {"COMPLETED": 1}
    assert list((shell.folder / ".git/cj/waiting").glob("*.json")) == []


def test_a_package_that_waits_here_for_one_that_fails_is_cancelled_too(shell: Shell, tmp_path: Path) -> None:
    shell.write(".cjledger.toml", OTHER.format(tmp_path / "other"))
    shell.write("f.py", "import os, sys\nwhile not os.path.exists(sys.argv[1]): pass\nsys.exit(3)\n")
    first = str(shell.lines("run", "f.py", "local", "--", str(tmp_path / "fail"))[0]["package"])
    words = ("p.py", "other", "--after", first, "--", "b", str(tmp_path))
    shell.write("p.py", PROGRAM)
    second = str(shell.lines("run", *words)[0]["package"])
    (tmp_path / "fail").touch()
    wait(shell, second)
    told = state(shell, second)
    why = f"it never ran: {first[:12]} did not complete 1 of its tasks"
    assert (told["counts"], told["final"], told["problems"]) == ({"CANCELLED": 1}, True, [why])


def test_what_waits_here_can_be_cancelled(shell: Shell, tmp_path: Path) -> None:
    shell.write(".cjledger.toml", OTHER.format(tmp_path / "other"))
    first = run(shell, tmp_path, "a")
    shell.write("after.py", "print(1)\n")
    words = ("p.py", "other", "--after", first, "--then", "after.py", "--", "b", str(tmp_path))
    second = str(shell.lines("run", *words)[0]["package"])
    assert shell.lines("cancel", second)[0]["cancelled"] == 1
    let_go(tmp_path, "a")
    wait(shell, first)
    told = state(shell, second)
    assert (told["counts"], told["problems"]) == ({"CANCELLED": 1}, ["it never ran: it was cancelled"])
    assert state(shell, f"{second}/then")["state"] == "CANCELLED"
    assert order(tmp_path) == ["a"]


def test_what_waits_can_be_held_and_cancelled(shell: Shell, tmp_path: Path) -> None:
    first = run(shell, tmp_path, "a")
    let_go(tmp_path, "b", "c")
    held = run(shell, tmp_path, "b", "--after", first)
    dropped = run(shell, tmp_path, "c", "--after", first)
    shell.cj("hold", held)
    shell.cj("cancel", dropped)
    assert state(shell, dropped)["counts"] == {"CANCELLED": 1}
    let_go(tmp_path, "a")
    wait(shell, first)
    assert state(shell, held)["counts"] == {"HELD": 1}
    shell.cj("release", held)
    wait(shell, held)
    assert order(tmp_path) == ["a", "b"]
