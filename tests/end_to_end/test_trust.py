"""What somebody who may push to a group's remote can write there moves nobody to run or remove anything."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.test_sync import machine
from tests.shells import Shell

MINE, LAST = "print('mine')\n", "print('last')\n"


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Shell, Shell]:
    """Eve and Ben, and a bare repository between them."""
    Shell(tmp_path).run("git", "init", "-q", "--bare", "hub.git")
    eve, ben = machine(tmp_path, "eve"), machine(tmp_path, "ben")
    ben.git("config", "user.name", "Ben")
    for shell in (eve, ben):
        shell.write("mine.py", MINE)
        shell.write("last.py", LAST)
    return eve, ben


def agent(shell: Shell) -> str:
    return str(shell.lines("who")[0]["agent"])


def write_entry(eve: Shell, chain: str, package: str, last: str, **data: Any) -> None:
    """Add a launch to a chain of the remote's, by git alone."""
    ref = f"refs/cj/ledger/{chain}"
    eve.run("git", "fetch", "-q", "origin", f"+{ref}:refs/forged", code=None)
    before = eve.run("git", "rev-parse", "-q", "--verify", "refs/forged", code=None).stdout.strip()
    count = int(eve.git("rev-list", "--count", before)) if before else 0
    known: dict[str, Any] = {
        "program": "p.py",
        "tasks": 1,
        "cluster": "local",
        "message": "",
        "code": "0" * 40,
    }
    known.update(author="Eve <eve@example.org>", created="2026-01-01T00:00:00.000000Z")
    body = (
        f"launched\n\nCj-Event: launched\nCj-Package: {package}\nCj-Sequence: {count + 1}\n"
        f"Cj-Last: {last}\nCj-Data: {json.dumps({**known, **data})}\n"
    )
    tree = eve.run("git", "mktree", stdin="").stdout.strip()
    parents = ("-p", before) if before else ()
    commit = eve.run("git", "commit-tree", tree, *parents, stdin=body).stdout.strip()
    eve.git("push", "-q", "origin", f"{commit}:{ref}")


def test_a_forged_link_removes_no_other_package(pair: tuple[Shell, Shell]) -> None:
    eve, ben = pair
    first, other = (ben.launch("run", name, "local", "--wait") for name in ("mine.py", "last.py"))
    ben.cj("sync")
    write_entry(eve, "a-eve", first, first, then=other)
    write_entry(eve, agent(ben), first, first, then=other)
    ben.run("git", "cj", "sync", code=None)
    ben.cj("clean", first, "--forget", "--yes")
    assert f"refs/cj/packages/{first}" not in ben.git("for-each-ref")
    assert ben.cj("show", f"{other}/1", "--out") == "last\n"


def test_a_forged_link_runs_nothing_and_hides_nothing(pair: tuple[Shell, Shell]) -> None:
    eve, ben = pair
    first = ben.lines("deploy", "mine.py", "local", "--then", "last.py")[0]["package"]
    eve.write("evil.py", f"open({str(eve.folder / 'ran')!r}, 'w')\n")
    evil = eve.lines("deploy", "evil.py", "local")[0]["package"]
    eve.cj("sync")
    ben.cj("sync")
    write_entry(eve, "a-eve", first, first, then=evil)
    ben.cj("sync")
    ben.cj("submit", first, "--wait")
    assert ben.cj("show", f"{first}/then", "--out") == "last\n"
    assert not (eve.folder / "ran").exists()


def test_a_package_that_says_it_is_mine_is_not_believed(pair: tuple[Shell, Shell]) -> None:
    eve, ben = pair
    eve.git("config", "user.name", "Ben")
    evil = eve.lines("deploy", "mine.py", "local")[0]["package"]
    eve.cj("sync")
    ben.cj("sync")
    assert "its code would run as you" in ben.refused("submit", evil)


def test_nobody_else_writes_this_installation_s_ledger(pair: tuple[Shell, Shell]) -> None:
    eve, ben = pair
    mine = ben.launch("run", "mine.py", "local", "--wait")
    ben.cj("sync")
    evil = eve.lines("deploy", "last.py", "local")[0]["package"]
    eve.cj("sync")
    write_entry(eve, agent(ben), evil, evil)
    before = agent(ben)
    assert "that were not made here" in ben.run("git", "cj", "sync", code=1).stderr
    assert agent(ben) != before
    assert ben.lines("show", "@")[0]["package"] == mine
    assert "its code would run as you" in ben.refused("submit", evil)
    assert ben.cj("fsck").splitlines()[-1].endswith("nothing wrong")
    ben.cj("sync")


def test_a_copied_clone_goes_on_under_a_name_of_its_own(pair: tuple[Shell, Shell], tmp_path: Path) -> None:
    _, ben = pair
    first = ben.launch("run", "mine.py", "local", "--wait")
    shutil.copytree(ben.folder, tmp_path / "copy", symlinks=True)
    copy = Shell(tmp_path / "copy")
    here, there = ben.launch("run", "last.py", "local"), copy.launch("run", "last.py", "local", "-m", "two")
    ben.cj("sync")
    assert "that were not made here" in copy.run("git", "cj", "sync", code=1).stderr
    copy.cj("sync")
    ben.cj("sync")
    for shell, own in ((ben, here), (copy, there)):
        assert {line["package"] for line in shell.lines("log")} == {first, here, there}
        assert len(shell.lines("log")) == 3
        assert shell.lines("show", "@")[0]["package"] == own
        assert "nothing wrong" in shell.cj("fsck")


def test_what_git_would_obey_is_not_brought_home(pair: tuple[Shell, Shell]) -> None:
    _, ben = pair
    text = "import os\nfor name in ('.git', 'a/.GIT', 'b/git~1', 'c/.git\u200c ', 'd/x.git'):\n"
    text += "    os.makedirs(name)\n    open(name + '/config', 'w').write('[core]\\n')\n"
    ben.write("leaves.py", text)
    ben.cj("run", "leaves.py", "local", "--wait")
    told = ben.run("git", "cj", "get", "@/1", "-o", "got").stderr
    assert "not brought: 4 files lie in a .git" in told
    assert [path.name for path in (ben.folder / "got").rglob("*") if path.is_file()] == ["config"]
    assert (ben.folder / "got/d/x.git/config").exists()
