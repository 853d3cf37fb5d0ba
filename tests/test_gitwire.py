"""A push by dulwich leaves the same repository as one by git, and sends what the other side lacks."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

from cjledger.cluster.outbox import Pushed, outbox
from cjledger.cluster.wire import PackError, packed, push_over
from cjledger.gitrepo import Repo
from tests.test_cluster import git, new_repo, package


def bare(path: Path, hash_name: str = "sha1") -> Path:
    subprocess.run(("git", "init", "-q", "--bare", f"--object-format={hash_name}", path), check=True)
    git(path, "config", "receive.fsckObjects", "true")
    return path


@contextmanager
def received(there: Path) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    pipe = subprocess.PIPE
    with subprocess.Popen(("git", "receive-pack", there), stdin=pipe, stdout=pipe) as process:
        assert process.stdin
        assert process.stdout
        yield process.stdout, process.stdin


def push(repo: Repo, package_id: str, there: Path, sent: list[int] | None = None) -> Pushed:
    with received(there) as (source, target):

        def write(data: bytes) -> None:
            if sent is not None:
                sent.append(len(data))
            target.write(data)
            target.flush()

        done = push_over(repo, package_id, source.read, write)
        target.close()
        return done


def inbox(there: Path) -> list[str]:
    return git(there, "for-each-ref", "--format=%(refname) %(objectname)").splitlines()


def hook(there: Path, name: str, text: str) -> None:
    (there / "hooks").mkdir(exist_ok=True)
    (there / "hooks" / name).write_text(f"#!/bin/sh\n{text}\n")
    (there / "hooks" / name).chmod(0o755)


@pytest.mark.parametrize("hash_name", ["sha1", "sha256"])
def test_the_repository_there_is_what_git_push_leaves(tmp_path: Path, hash_name: str) -> None:
    repo = new_repo(tmp_path / "laptop", hash_name)
    first = package(repo)
    ours, theirs = bare(tmp_path / "ours.git", hash_name), bare(tmp_path / "theirs.git", hash_name)
    assert push(repo, first, ours) == Pushed(0, (), "")
    git(repo.top, "push", "-q", str(theirs), f"{first}:refs/cj/inbox/{first}")
    every = ("cat-file", "--batch-all-objects", "--batch-check")
    assert git(ours, *every) == git(theirs, *every)
    assert inbox(ours) == [f"refs/cj/inbox/{first} {first}"]
    assert git(ours, "fsck", "--strict", "--full") == ""


def test_what_the_other_side_has_is_not_sent_again(tmp_path: Path) -> None:
    repo, there = new_repo(tmp_path / "laptop"), bare(tmp_path / "there.git")
    for number in range(2000):
        folder = repo.top / "data" / str(number % 40)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}").write_text(f"{number**9}\n")
    first = package(repo)
    whole: list[int] = []
    push(repo, first, there, whole)
    (repo.top / "data" / "7" / "47").write_text("changed\n")
    second = package(repo)
    part: list[int] = []
    assert push(repo, second, there, part).returncode == 0
    assert sum(whole) > 100_000
    assert sum(part) < 5_000
    assert git(there, "fsck", "--full", "--connectivity-only") == ""
    assert git(there, "ls-tree", "-r", second) == git(repo.top, "ls-tree", "-r", second)


def test_a_commit_there_that_is_not_here_is_no_hindrance(tmp_path: Path) -> None:
    there = bare(tmp_path / "there.git")
    other = new_repo(tmp_path / "other")
    (other.top / "theirs").write_text("x")
    assert push(other, package(other), there).returncode == 0
    repo = new_repo(tmp_path / "laptop")
    mine = package(repo)
    assert push(repo, mine, there).returncode == 0
    assert git(there, "ls-tree", "-r", mine) == git(repo.top, "ls-tree", "-r", mine)


def test_objects_are_read_from_packs_and_from_alternates_with_odd_names(tmp_path: Path) -> None:
    origin = new_repo(tmp_path / 'ori"gin\n#')
    first = package(origin)
    git(origin.top, "update-ref", "refs/heads/main", first)
    git(origin.top, "gc", "-q")
    there = bare(tmp_path / "there.git")
    assert push(origin, first, there).returncode == 0
    assert git(there, "fsck", "--full") == ""


def test_a_package_that_is_there_already_is_accepted(tmp_path: Path) -> None:
    repo, there = new_repo(tmp_path / "laptop"), bare(tmp_path / "there.git")
    first = package(repo)
    assert [push(repo, first, there) for _ in range(2)] == [Pushed(0, (), "")] * 2


def test_the_hook_s_lines_and_words_are_told_apart(tmp_path: Path) -> None:
    repo, there = new_repo(tmp_path / "laptop"), bare(tmp_path / "there.git")
    hook(there, "post-receive", r"""printf 'cj {"package":"x"}\n\033]0;title\007words\ncj {torn\n'""")
    done = push(repo, package(repo), there)
    assert (done.returncode, done.replies) == (0, ({"package": "x"},))
    assert done.words.endswith("words\ncj {torn")
    assert "\x1b" not in done.words


def test_a_refusal_has_the_hook_s_words(tmp_path: Path) -> None:
    repo, there = new_repo(tmp_path / "laptop"), bare(tmp_path / "there.git")
    hook(there, "pre-receive", "echo not today; exit 1")
    first = package(repo)
    done = push(repo, first, there)
    assert done == Pushed(1, (), f"not today\nrefs/cj/inbox/{first} pre-receive hook declined")
    assert inbox(there) == []


def test_another_kind_of_object_names_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    repo, there = new_repo(tmp_path / "laptop", "sha256"), bare(tmp_path / "there.git")
    done = push(repo, package(repo), there)
    assert done == Pushed(1, (), "the repository there has sha1 object names, this one sha256")
    assert inbox(there) == []


@pytest.mark.parametrize("said", [b"", b"Welcome!\n", b"0000", b"003fabc", b"0008NAK\n", b"ffff"])
def test_a_stream_that_is_not_git_s_is_an_unclear_end(tmp_path: Path, said: bytes) -> None:
    repo = new_repo(tmp_path / "laptop")
    (tmp_path / "said").write_bytes(said)
    with open(tmp_path / "said", "rb") as source:
        done = push_over(repo, package(repo), source.read, lambda _: None)
    assert done.returncode
    assert done.words


def test_a_push_that_is_cut_off_leaves_no_ref_or_is_repeated_whole(tmp_path: Path) -> None:
    repo = new_repo(tmp_path / "laptop")
    first = package(repo)
    sizes: list[int] = []
    push(repo, first, bare(tmp_path / "whole.git"), sizes)
    for number, cut in enumerate((0, 3, 100, sum(sizes) // 2, sum(sizes) - 1)):
        there = bare(tmp_path / f"{number}.git")
        with received(there) as (source, target):
            left = [cut]

            def write(data: bytes, target: IO[bytes] = target, left: list[int] = left) -> None:
                target.write(data[: left[0]])
                target.flush()
                left[0] -= len(data)
                if left[0] < 0:
                    target.close()
                    raise EOFError("cut")

            done = push_over(repo, first, source.read, write)
        assert (done.returncode, inbox(there)) == (128, [])
        assert push(repo, first, there).returncode == 0
        assert git(there, "fsck", "--full") == ""


def test_objects_that_are_missing_here_are_named(tmp_path: Path) -> None:
    repo = new_repo(tmp_path / "laptop")
    first = package(repo)
    outbox(repo)
    blob = git(repo.top, "rev-parse", f"{first}:1.txt")
    (repo.git_dir / "objects" / blob[:2] / blob[2:]).unlink()
    with pytest.raises(PackError, match=r"(?s)git could not pack .*" + blob):
        list(packed(repo, first, frozenset()))
