"""When one listing is enough: every folder git lists is known and older than the instant."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from cjledger import gitrepo, snapshot
from cjledger.snapshot.folders import Tick, folders_of_head, held_still, tick
from cjledger.snapshot.workshop import Workshop, workshop
from tests.snapshots import commit, git, git_add_all, new_repo, write


def tree_of_folders(tmp_path: Path) -> Path:
    top = new_repo(tmp_path / "repo")
    write(top, "a/b/c.txt")
    write(top, "top.txt")
    write(top, ".gitignore", "build/\n*.log\n")
    commit(top)
    return top


def counts_links(folder: Path) -> bool:
    return folder.stat().st_nlink > 1


def nothing(top: Path) -> None:
    pass


def ignored_folder(top: Path) -> None:
    write(top, "a/build/deep/x.o")


def ours(top: Path) -> None:
    write(top, ".cj/package.json")


def empty_folder(top: Path) -> None:
    (top / "a/empty").mkdir()


def folder_of_ignored_files(top: Path) -> None:
    write(top, "logs/x.log")


@pytest.mark.parametrize(
    ("before", "is_known"),
    [
        (nothing, True),
        (ignored_folder, True),
        (ours, True),
        (empty_folder, False),
        (folder_of_ignored_files, False),
    ],
)
def test_folders_hold_still_when_all_that_git_lists_are_known(
    before: Callable[[Path], None], is_known: bool, tmp_path: Path
) -> None:
    top = tree_of_folders(tmp_path)
    before(top)
    for folder in (top, top / "a", top / "a/b"):
        assert counts_links(folder)
    with workshop(gitrepo.discover(top)) as shop:
        instant = later_tick(shop, top)
        assert held_still(shop, instant, folders_of_head(shop), []) == is_known


def later_tick(shop: Workshop, top: Path) -> Tick:
    """A tick past everything done so far: file clocks advance a few milliseconds at a time."""
    newest = max(os.lstat(path).st_ctime_ns for path in (top, *top.rglob("*")))
    while (instant := tick(shop)).ctime_ns <= newest:
        pass
    return instant


@pytest.mark.parametrize("deed", ["create", "delete", "rename", "ignored"])
def test_folders_did_not_hold_still_when_an_entry_came_or_went(deed: str, tmp_path: Path) -> None:
    top = tree_of_folders(tmp_path)
    with workshop(gitrepo.discover(top)) as shop:
        instant = later_tick(shop, top)
        if deed == "create":
            write(top, "a/new")
        elif deed == "delete":
            (top / "a/b/c.txt").unlink()
        elif deed == "rename":
            (top / "top.txt").rename(top / "other.txt")
        else:
            write(top, "a/b/x.log")
        assert not held_still(shop, instant, folders_of_head(shop), [])


def test_submodules_and_nested_repositories_are_known(tmp_path: Path) -> None:
    top = tree_of_folders(tmp_path)
    inner = new_repo(tmp_path / "inner")
    write(inner, "f")
    commit(inner)
    git(top, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(inner), "a/module")
    commit(top)
    write(new_repo(top / "nested"), "f")
    with workshop(gitrepo.discover(top)) as shop:
        assert held_still(shop, later_tick(shop, top), folders_of_head(shop), [b"nested/"])


def test_a_tidy_working_copy_is_looked_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    top = tree_of_folders(tmp_path)
    write(top, "top.txt", "edited\n")
    write(top, "a/new.txt")
    with workshop(gitrepo.discover(top)) as shop:
        later_tick(shop, top)
    trace = tmp_path / "trace"
    monkeypatch.setenv("GIT_TRACE", str(trace))
    tree = snapshot.take(gitrepo.discover(top)).tree
    monkeypatch.delenv("GIT_TRACE")
    assert trace.read_text().count("built-in: git diff ") == 1
    assert tree == git_add_all(top)
