from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cjledger.errors import CjError
from cjledger.gitpack import BLOB, TREE, Entry, Pack, Person
from cjledger.gitrepo import Repo, discover

ANN = Person("Ann Ä", "ann@example.org")
NAMES = st.binary(min_size=1, max_size=6).filter(
    lambda name: not set(b"/\0") & set(name) and name not in (b".", b"..") and name.lower() != b".git"
)


def repository(folder: Path, hash_name: str = "sha1") -> Repo:
    if not (folder / ".git").exists():
        subprocess.run(("git", "init", "-q", f"--object-format={hash_name}", folder), check=True)
    return discover(folder)


def git(repo: Repo, *words: str, stdin: bytes = b"") -> bytes:
    return subprocess.run(("git", *words), cwd=repo.top, input=stdin, capture_output=True, check=True).stdout


@pytest.mark.parametrize("hash_name", ["sha1", "sha256"])
def test_git_reads_what_was_packed_and_finds_nothing_wrong(tmp_path: Path, hash_name: str) -> None:
    repo = repository(tmp_path, hash_name)
    pack = Pack(repo)
    sizes = (0, 15, 16, 2047, 2048, 300_000)
    blobs = {f"f{size}".encode(): Entry(BLOB, pack.blob(b"x" * size)) for size in sizes}
    inner = pack.tree(blobs)
    # As git sorts them: a file before a folder of its name and a dash.
    whole = pack.tree({b"a-b": blobs[b"f15"], b"a": Entry(TREE, inner), b"a.c": blobs[b"f16"]})
    first = pack.commit(whole, (), ANN, "one\n\nŭ\n")
    second = pack.commit(whole, (first,), ANN, "two\n")
    pack.write()
    git(repo, "update-ref", "refs/heads/here", second)
    git(repo, "fsck", "--strict")
    assert git(repo, "log", "--format=%an <%ae> %s", "here").decode().split("\n")[:2] == [
        "Ann Ä <ann@example.org> two",
        "Ann Ä <ann@example.org> one",
    ]
    assert git(repo, "ls-tree", "-r", "--name-only", "here:a").split() == sorted(blobs)
    assert len(git(repo, "cat-file", "blob", f"{second}:a/f300000")) == 300_000


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(NAMES, st.booleans(), max_size=8))
def test_trees_have_the_names_that_git_gives_them(tmp_path: Path, names: dict[bytes, bool]) -> None:
    repo = repository(tmp_path)
    pack = Pack(repo)
    file, folder = Entry(BLOB, pack.blob(b"")), Entry(TREE, pack.tree({}))
    name = pack.tree({path: folder if is_folder else file for path, is_folder in names.items()})
    pack.write()
    lines = (
        b"%06d %s %s\t%s\0" % (int(e.mode), b"tree" if e is folder else b"blob", e.id.encode(), path)
        for path, e in ((path, folder if is_folder else file) for path, is_folder in names.items())
    )
    assert git(repo, "mktree", "-z", stdin=b"".join(lines)).decode().strip() == name


def test_nothing_is_written_before_it_is_asked_for(tmp_path: Path) -> None:
    repo = repository(tmp_path)
    pack = Pack(repo)
    name = pack.blob(b"later")
    assert not list((repo.common_dir / "objects").glob("??/*"))
    pack.write()
    pack.write()
    assert git(repo, "cat-file", "blob", name) == b"later"


def test_a_message_without_an_end_for_git_is_refused(tmp_path: Path) -> None:
    pack = Pack(repository(tmp_path))
    with pytest.raises(CjError, match="NUL"):
        pack.commit(pack.tree({}), (), ANN, "a\0b")


def test_commits_are_of_the_moment_that_gits_variables_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_AUTHOR_DATE", "2001-02-03T04:05:06+0130")
    monkeypatch.setenv("GIT_COMMITTER_DATE", "@1000000000 -0500")
    repo = repository(tmp_path)
    pack = Pack(repo)
    name = pack.commit(pack.tree({}), (), ANN, "then")
    pack.write()
    found = git(repo, "log", "-1", "--date=raw", "--format=%ad|%cd|%an", name).decode().strip()
    assert found == "981167706 +0130|1000000000 -0500|Ann Ä"
