"""``git cj clean``: what it asks about, and what can be had of a package afterwards."""

from __future__ import annotations

import shutil

import pytest

from tests.shells import Shell

LARGE = """\
for x in range(1, 3):
    with open("big.bin", "wb") as out:
        out.write(bytes([x]) * 5242880)
    with open("note.md", "w") as out:
        out.write(f"note {x}\\n")
"""
WAITS = "import os, time\nwhile not os.path.exists(os.environ['GO']): time.sleep(0.02)\n"


@pytest.fixture
def large(shell: Shell) -> Shell:
    """A repository with a package whose tasks left a large and a small file each."""
    shell.write("large.py", LARGE)
    shell.launch("parrun", "large.py", "local")
    return shell


def test_what_is_on_the_cluster_alone_is_asked_about_before_it_is_lost(large: Shell) -> None:
    said = large.refused("clean")
    for task in (1, 2):
        assert f"would be lost: task {task}: big.bin (5242880 bytes), which is on the cluster alone" in said
    assert "note.md" not in said
    assert "nobody answered\nhint: git cj clean @ --yes" in said
    large.cj("get", "@/1", "big.bin", "-o", "one")
    assert "nothing was done" in large.run("git", "cj", "clean", code=1, stdin="n\n").stderr
    assert "lost: task 1: big.bin" in large.run("git", "cj", "clean", stdin="y\n").stdout


def test_tasks_that_have_not_ended_are_asked_about(shell: Shell) -> None:
    shell.environment["GO"] = str(shell.folder.parent / "go")
    shell.write("waits.py", WAITS)
    package = shell.lines("run", "waits.py", "local", "--sweep", "x=1:3")[0]["package"]
    said = shell.refused("clean", package[:8])
    assert f"would be lost: 3 tasks of {package[:12]}, not at an end yet" in said
    assert f"hint: git cj clean {package[:8]} --yes" in said
    assert "CANCELLED" not in shell.lines("state")[0]["counts"]
    shell.cj("clean", package, "--yes")
    assert shell.lines("state")[0]["counts"] == {"CANCELLED": 3}


def test_what_is_forgotten_with_a_package_is_named_before(shell: Shell) -> None:
    shell.write("m.py", "def f(x):\n    return {'y': x}\n")
    shell.write("last.py", "print('last')\n")
    words = ("run", "m.py:f", "local", "--then", "last.py", "--sweep")
    first = shell.launch(*words, "x=1,2")
    shell.cj("harvest")
    second = shell.launch("run", "m.py:f", "local", "--sweep", "x=1,3", "--reuse")
    said = shell.refused("clean", first, "--forget")
    assert f"tasks 1, whose rows count as those of {second[:12]}" in said
    assert f", which runs after {first[:12]}: its code, parameters and harvested rows" in said
    assert f"hint: git cj clean {first} --forget --yes" in said
    assert shell.lines("show", first)[0]["package"] == first


def test_of_a_cleaned_package_what_is_at_home_is_brought_and_the_rest_named(large: Shell) -> None:
    large.cj("clean", "--yes")
    package = large.lines("log")[0]["package"]
    hint = f"hint: git cj submit {package[:8]}, which runs all its tasks again"
    said = large.refused("get", "@/1", "-o", "one")
    assert "on the cluster alone, and cleaned there: task 1: big.bin" in said
    assert hint in said
    assert [path.name for path in (large.folder / "one").iterdir()] == ["note.md"]
    said = large.refused("gather", "*", "all")
    assert "on the cluster alone, and cleaned there: tasks 1-2: big.bin" in said
    assert sorted(path.name for path in (large.folder / "all").iterdir()) == ["note_1.md", "note_2.md"]
    assert hint in large.refused("show", "@/1/big.bin")
    large.cj("submit", package[:8], "--wait")
    large.cj("get", "@/1", "big.bin", "-o", "one")
    assert (large.folder / "one/big.bin").read_bytes() == bytes([1]) * 5242880


def test_what_brings_a_cleaned_package_back_is_hinted(large: Shell) -> None:
    large.cj("clean", "--yes")
    package = large.lines("log")[0]["package"]
    for words in ("rerun @/1 --yes", "workers", "hold", "release", "pause", "resume", "recover"):
        said = large.refused(*words.split())
        assert f"is not on this cluster\nhint: git cj submit {package[:8]}, which runs all its tasks" in said
    assert f"hint: git cj state {package[:8]}" in large.refused("cancel")


def test_tasks_that_were_deleted_before_a_harvest_are_not_rerun(large: Shell) -> None:
    package = large.lines("log")[0]["package"]
    for name in large.folder.glob(f".git/cj/local/packages/{package}"):
        shutil.rmtree(name)
    for words in (("rerun", "@", "--yes"), ("rerun", "@/1", "--yes"), ("retry", "@")):
        said = large.refused(*words)
        assert f"nothing is known of the tasks of {package[:12]}" in said
        assert f"hint: git cj submit {package[:8]}, which runs all its tasks" in said
