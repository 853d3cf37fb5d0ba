"""The laptop's door to a cluster: the zip, the framing, the push; the local cluster stands for all."""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import os
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest

from cjledger import gitrepo
from cjledger.cluster import Frame, Local, ensure_ready, node_zip, outbox
from cjledger.cluster.transport import LostReplyError, frames
from cjledger.errors import CjError
from cjledger.gitrepo import Repo
from cjledger.model import Cluster
from tests.node.cluster_kit import manifest, wait_for

NONCE = "0123"


def git(where: Path, *arguments: str) -> str:
    done = subprocess.run(("git", "-C", str(where), *arguments), capture_output=True, check=True, text=True)
    return done.stdout.strip()


def new_repo(folder: Path, hash_name: str = "sha1") -> Repo:
    """A repository whose work tree is almost a package: 60 files, a manifest, a job."""
    folder.mkdir(parents=True)
    git(folder, "init", "-q", f"--object-format={hash_name}")
    (folder / ".cj").mkdir()
    (folder / ".cj" / "job.sh").write_text('echo "$2" >>"$1/tally"\n')
    for number in range(60):
        (folder / f"{number}.txt").write_text(f"{number}\n" * 9)
    return gitrepo.discover(folder)


def package(repo: Repo, **changes: Any) -> str:
    (repo.top / ".cj" / "package.json").write_text(json.dumps(manifest(**changes)))
    git(repo.top, "add", "-A")
    return git(repo.top, "commit-tree", "-m", "A package", git(repo.top, "write-tree"))


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    return new_repo(tmp_path / "laptop")


@pytest.fixture
def way(tmp_path: Path, repo: Repo) -> Local:
    made = Local(Cluster("local", "local", str(tmp_path / "root")))
    assert ensure_ready(made, repo)
    return made


def root(way: Local) -> Path:
    return Path(way.cluster.root)


def finished(way: Local, package_id: str) -> None:
    done = root(way) / "scheduler" / f"cj-{package_id[:12]}-1" / "done.json"
    wait_for(done.exists)


def objects(path: Path) -> int:
    """How many objects a repository has, loose and packed."""
    listed = git(path, "cat-file", "--batch-all-objects", "--batch-check")
    return len(listed.splitlines())


def test_the_zip_is_the_same_for_the_same_sources() -> None:
    first = node_zip()
    node_zip.cache_clear()
    assert node_zip() == first
    with zipfile.ZipFile(io.BytesIO(first)) as archive:
        names = archive.namelist()
        assert names[0] == "__main__.py"
        assert names[1:] == sorted(names[1:])
        assert all(name.endswith(".py") for name in names)
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_a_cluster_is_set_up_once(way: Local, repo: Repo) -> None:
    assert way.installed() == hashlib.sha256(node_zip()).hexdigest()
    assert not ensure_ready(way, repo)


@pytest.mark.parametrize("content", ["", "{", '{"format":1}', '{"format":1,"cjnode":"old"}'])
def test_a_cluster_that_is_not_ready_is_set_up_again(way: Local, repo: Repo, content: str) -> None:
    if content in ("", '{"format":1}', '{"format":1,"cjnode":"old"}'):
        path = root(way) / "cluster.json"
        path.write_text(content) if content else path.unlink()
        assert ensure_ready(way, repo)
        assert not ensure_ready(way, repo)
    else:
        (root(way) / "cluster.json").write_text(content)
        with pytest.raises(CjError, match="cannot be read"):
            ensure_ready(way, repo)


def test_a_package_is_pushed_and_runs(way: Local, repo: Repo) -> None:
    package_id = package(repo)
    expected = {"package": package_id, "submission": 1, "job": f"cj-{package_id[:12]}-1"}
    assert way.push(repo, package_id) == expected
    assert way.push(repo, package_id) == expected
    finished(way, package_id)
    assert (root(way) / "tally").read_text() == f"{package_id}\n"


@pytest.mark.parametrize("locale", ["de_DE.UTF-8", None])
def test_a_job_sees_the_persons_locale(
    way: Local, repo: Repo, monkeypatch: pytest.MonkeyPatch, locale: str | None
) -> None:
    monkeypatch.delenv("LC_ALL", raising=False)
    if locale:
        monkeypatch.setenv("LC_ALL", locale)
    (repo.top / ".cj" / "job.sh").write_text('echo "${LC_ALL-none}" >>"$1/tally"\n')
    package_id = package(repo)
    way.push(repo, package_id)
    finished(way, package_id)
    again = {"package": package_id, "submission": 2, "token": "t", "tasks": "1", "attempt": 2}
    way.call("submit", again)
    wait_for((root(way) / "scheduler" / f"cj-{package_id[:12]}-2" / "done.json").exists)
    assert (root(way) / "tally").read_text().split() == [locale or "none"] * 2


def test_a_push_sends_only_what_the_package_before_did_not_have(way: Local, repo: Repo) -> None:
    counts = []
    for seed in range(3):
        package_id = package(repo, seed=seed)
        way.push(repo, package_id)
        finished(way, package_id)
        counts.append(objects(root(way) / "repo.git"))
    # A manifest, its folder's tree, the top's tree, the commit.
    assert [after - before for before, after in itertools.pairwise(counts)] == [4, 4]
    assert counts[0] > 60
    packs = list((root(way) / "repo.git" / "objects" / "pack").glob("*.pack"))
    sent = {path: path.stat().st_size for path in packs}
    way.push(repo, package(repo, seed=9))
    assert {path: path.stat().st_size for path in packs} == sent


def test_a_push_works_when_either_side_has_lost_the_package_before(way: Local, repo: Repo) -> None:
    first = package(repo, seed=1)
    way.push(repo, first)
    finished(way, first)
    way.call("clean", {"package": first})
    git(root(way) / "repo.git", "update-ref", "-d", "refs/cj/tip/mia-1")
    git(root(way) / "repo.git", "gc", "-q", "--prune=now")
    second = package(repo, seed=2)
    assert way.push(repo, second)["package"] == second
    git(repo.top, "gc", "-q", "--prune=now")
    assert subprocess.run(("git", "-C", repo.top, "cat-file", "-e", second), capture_output=True).returncode
    third = package(repo, seed=3)
    assert way.push(repo, third)["package"] == third
    finished(way, second)
    finished(way, third)


def test_the_persons_push_settings_and_hooks_stay_out(way: Local, repo: Repo, tmp_path: Path) -> None:
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    for name in ("pre-push", "reference-transaction"):
        (hooks / name).write_text(f"#!/bin/sh\ntouch '{tmp_path}/ran'\nexit 1\n")
        (hooks / name).chmod(0o755)
    package_id = package(repo)
    git(repo.top, "tag", "-a", "-m", "x", "release", package_id)
    for key, value in (
        ("core.hooksPath", str(hooks)),
        ("push.followTags", "true"),
        ("push.gpgSign", "true"),
        ("push.recurseSubmodules", "check"),
        ("push.pushOption", "ci.skip"),
        ("push.default", "nothing"),
        ("remote.pushDefault", "nowhere"),
    ):
        git(repo.top, "config", "--global", key, value)
        git(repo.top, "config", key, value)
    assert way.push(repo, package_id)["package"] == package_id
    assert not (tmp_path / "ran").exists()
    refs = git(root(way) / "repo.git", "for-each-ref", "--format=%(refname)").splitlines()
    assert refs == [f"refs/cj/packages/{package_id}", "refs/cj/tip/mia-1"]
    finished(way, package_id)


@pytest.mark.parametrize(
    "name", ["with space", "new\nline", "quote\"'", "colon:", "-dash", "ünïcode", "#x", "$x"]
)
def test_a_folder_of_any_name_can_push_to_a_cluster_of_any_name(tmp_path: Path, name: str) -> None:
    repo = new_repo(tmp_path / name / "laptop")
    way = Local(Cluster("local", "local", str(tmp_path / name / "root")))
    ensure_ready(way, repo)
    package_id = package(repo)
    assert way.push(repo, package_id)["package"] == package_id
    finished(way, package_id)
    assert (root(way) / "tally").read_text() == f"{package_id}\n"


def test_a_sha256_repository_has_sha256_packages(tmp_path: Path) -> None:
    repo = new_repo(tmp_path / "laptop", "sha256")
    way = Local(Cluster("local", "local", str(tmp_path / "root")))
    ensure_ready(way, repo)
    for seed in (1, 2):
        package_id = package(repo, seed=seed)
        assert len(way.push(repo, package_id)["package"]) == 64
        finished(way, package_id)


def test_a_shallow_clone_can_push(tmp_path: Path, way: Local, repo: Repo) -> None:
    git(repo.top, "commit", "-q", "--allow-empty", "-m", "one")
    git(repo.top, "commit", "-q", "--allow-empty", "-m", "two")
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", "--depth=1", f"file://{repo.top}", str(clone))
    shallow = gitrepo.discover(clone)
    (clone / ".cj").mkdir()
    (clone / ".cj" / "job.sh").write_text("exit 0\n")
    package_id = package(shallow)
    assert way.push(shallow, package_id)["package"] == package_id
    finished(way, package_id)


def test_a_linked_worktree_pushes_from_the_same_outbox(tmp_path: Path, way: Local, repo: Repo) -> None:
    git(repo.top, "commit", "-q", "--allow-empty", "-m", "one")
    git(repo.top, "worktree", "add", "-q", str(tmp_path / "linked"))
    linked = gitrepo.discover(tmp_path / "linked")
    assert outbox(linked) == outbox(repo)


def quiet_hook(way: Local, body: str) -> None:
    hook = root(way) / "hooks" / "post-receive"
    hook.write_text(f"#!/bin/sh\n# cjledger hook\n{body}\n")


@pytest.mark.parametrize("body", ["exit 1", "kill -9 $PPID", "echo 'cj {\"torn'"])
def test_after_an_unclear_push_the_cluster_is_asked(way: Local, repo: Repo, body: str) -> None:
    quiet_hook(way, body)
    package_id = package(repo)
    assert way.push(repo, package_id)["job"] == f"cj-{package_id[:12]}-1"
    finished(way, package_id)
    assert way.push(repo, package_id)["job"] == f"cj-{package_id[:12]}-1"
    assert (root(way) / "tally").read_text() == f"{package_id}\n"


def test_a_push_that_brought_nothing_says_why(way: Local, repo: Repo) -> None:
    (root(way) / "repo.git" / "HEAD").unlink()
    with pytest.raises(CjError, match="does not appear to be a git repository") as caught:
        way.push(repo, package(repo))
    assert "local" in caught.value.message


def test_a_refusal_of_the_hook_is_told_in_its_own_words(way: Local, repo: Repo) -> None:
    with pytest.raises(CjError, match=r"wrong in: agent"):
        way.push(repo, package(repo, agent="\x1b[2J"))


def test_a_cluster_that_is_not_set_up_is_named(tmp_path: Path) -> None:
    way = Local(Cluster("mine", "local", str(tmp_path / "nothing")))
    with pytest.raises(CjError, match="cluster mine is not set up"):
        way.call("state", {"packages": []})


def test_a_refused_request_has_the_clusters_words_and_hint(way: Local) -> None:
    with pytest.raises(CjError, match="is not on this cluster") as caught:
        way.call("submit", {"package": "0" * 40})
    assert caught.value.hint == "git cj submit 00000000, which runs all its tasks"


def test_a_node_half_that_crashes_shows_its_last_words(way: Local) -> None:
    (root(way) / "cjnode.pyz").write_text("raise SystemExit('out of luck')\n")
    with pytest.raises(LostReplyError, match="out of luck"):
        way.call("state", {"packages": []})


def framed(*lines: bytes, end: bool = True) -> io.BytesIO:
    last = [b"cj 0123 end\n", b"logout\n"] if end else []
    return io.BytesIO(b"".join([b"Welcome!\ncj 0123", b"\ncj 0123 begin\n", *lines, *last]))


def test_frames_are_found_amid_noise() -> None:
    source = framed(
        b'{"block":"1/000001-01","records":[0,4],"data":[[0,3],[9,2]]}\n',
        b"rec\ncj 0123 end\n"[:4] + b"abcde",
        b'{"bytes":12}\n',
        b"cj 0123 end\n",
        b'{"done":true,"more":false}\n',
    )
    assert list(frames(source, NONCE)) == [
        Frame({"block": "1/000001-01", "records": [0, 4], "data": [[0, 3], [9, 2]]}, b"rec\nabcde"),
        Frame({"bytes": 12}, b"cj 0123 end\n"),
        Frame({"done": True, "more": False}, b""),
    ]


@pytest.mark.parametrize(
    "source",
    [
        io.BytesIO(b""),
        io.BytesIO(b"Welcome!\n"),
        framed(b'{"bytes":12}\n', b"short", end=False),
        framed(b'{"a":1}\n', end=False),
        framed(b'{"a":1}', end=False),
    ],
)
def test_a_reply_that_ends_early_is_lost(source: io.BytesIO) -> None:
    with pytest.raises(LostReplyError):
        list(frames(source, NONCE))


@pytest.mark.parametrize("line", [b"{\n", b"[]\n", b'{"bytes":"x"}\n', b'{"records":[1],"data":3}\n'])
def test_a_reply_that_is_not_understood_is_refused(line: bytes) -> None:
    with pytest.raises(CjError) as caught:
        list(frames(framed(line), NONCE))
    assert not isinstance(caught.value, LostReplyError)


def test_words_from_a_cluster_are_shown_without_control_characters() -> None:
    line = json.dumps({"error": "a\x1b[2Jb", "hint": "c\u202ed"}).encode() + b"\n"
    with pytest.raises(CjError) as caught:
        list(frames(framed(line), NONCE))
    assert (caught.value.message, caught.value.hint) == ("a?[2Jb", "c?d")


def test_the_environment_of_a_hook_around_git_cj_does_not_leak(
    way: Local, repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", os.devnull)
    monkeypatch.setenv("GIT_QUARANTINE_PATH", "/nowhere")
    monkeypatch.setenv("GIT_GRAFT_FILE", "/nowhere")
    monkeypatch.delenv("GIT_DIR")
    package_id = package(repo)
    monkeypatch.setenv("GIT_DIR", os.devnull)
    assert way.push(repo, package_id)["package"] == package_id
    finished(way, package_id)
