"""One contract for every way to a cluster: what it can do, and what it makes of faults."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from cjledger import cluster
from cjledger.cluster import Contact, Transport, bootstrap, ensure_ready, node_zip
from cjledger.cluster.remote import Remote
from cjledger.cluster.transport import Frame, Json
from cjledger.errors import CjError
from cjledger.gitrepo import Repo
from cjledger.languages.script import file_name, script
from cjledger.model import Cluster, Program, Sweep, manifest_to_bytes
from cjnode.schedulers import JobSpec, batch_script
from tests.clusters.sshd import Sshd
from tests.node.cluster_kit import wait_for
from tests.package_kit import SINGLE, grid, manifest_of
from tests.test_cluster import git, new_repo

KINDS = ("local", "openssh", "paramiko")
FAR = KINDS[1:]
MOTD = "yes 'Welcome to the cluster. cj 0123 begin {' | head -c 1048576\n"


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


far_only = pytest.mark.parametrize("kind", FAR, indirect=True)


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    return new_repo(tmp_path / "laptop")


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def login(
    request: pytest.FixtureRequest, kind: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Sshd | None]:
    """What a person has who can log in; the server's own state is as it was when the test ends."""
    if kind == "local":
        yield None
        return
    found: Sshd = request.getfixturevalue("sshd")
    monkeypatch.setenv("PATH", found.environment["PATH"])
    config = Path(os.environ["HOME"], ".ssh", "config")
    config.parent.mkdir(mode=0o700)
    shutil.copy(found.config, config)
    yield found
    found.at_login("")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


@pytest.fixture
def way(kind: str, login: Sshd | None, tmp_path: Path, root: Path, said: list[str]) -> Transport:
    alias = login.site.alias if login else None
    where = Cluster("mine", "local", str(root), host=alias, transport=None if kind == "local" else kind)
    return cluster.transport(where, tmp_path / "cj", Contact(say=said.append))


@pytest.fixture
def ready(way: Transport, repo: Repo) -> Transport:
    assert ensure_ready(way, repo)
    return way


def package(repo: Repo, sweep: Sweep = SINGLE, text: str = "print(6 * 7)\n") -> str:
    """A package that runs the real worker, in a repository that has its files."""
    program = Program("script", "main.py", None, None, "python", ".", (), ())
    manifest = manifest_of(program, sweep, cluster="mine")
    cj = repo.top / ".cj"
    (cj / "package.json").write_bytes(manifest_to_bytes(manifest))
    (cj / file_name(program)).write_bytes(script(manifest))
    (cj / "cjnode.pyz").write_bytes(node_zip())
    (cj / "job.sh").write_text(batch_script("local", JobSpec(manifest.python, [], {"jobs": 2})))
    (repo.top / "main.py").write_text(text)
    git(repo.top, "add", "-A")
    return git(repo.top, "commit-tree", "-m", "A package", git(repo.top, "write-tree"))


def state(way: Transport, package_id: str) -> Json:
    return way.call("state", {"packages": [package_id], "tasks": False})[0]


def pulled(way: Transport, package_id: str) -> list[Frame]:
    return list(way.stream("pull", {"package": package_id, "positions": {}, "limit": 1 << 20}))


def test_a_package_runs_and_its_outputs_come_home(ready: Transport, repo: Repo) -> None:
    package_id = package(repo, grid(x=tuple(range(7))))
    reply = ready.push(repo, package_id)
    assert reply["package"] == package_id
    assert ready.push(repo, package_id)["job"] == reply["job"]
    wait_for(lambda: bool(state(ready, package_id)["final"]))
    assert state(ready, package_id)["counts"] == {"COMPLETED": 7}
    frames = pulled(ready, package_id)
    assert frames[-1].head == {"done": True, "more": False}
    assert b"".join(frame.payload for frame in frames).count(b"42\n") == 7


def test_a_package_is_cancelled_and_cleaned(ready: Transport, repo: Repo, root: Path) -> None:
    package_id = package(repo, grid(x=(1, 2, 3)), "import time\ntime.sleep(600)\n")
    ready.push(repo, package_id)
    cancelled = ready.call("cancel", {"package": package_id, "tasks": None, "token": "0011"})
    assert cancelled == [{"package": package_id, "cancelled": 3}]
    wait_for(lambda: bool(state(ready, package_id)["final"]))
    assert state(ready, package_id)["counts"] == {"CANCELLED": 3}
    assert ready.call("clean", {"package": package_id})[0]["freed"] > 0
    assert not (root / "packages" / package_id / "code").exists()


def test_a_second_package_is_pushed_after_the_first(ready: Transport, repo: Repo) -> None:
    for number in range(3):
        package_id = package(repo, text=f"print({number})\n")
        assert ready.push(repo, package_id)["package"] == package_id


def test_what_was_set_up_is_known_without_asking(ready: Transport, repo: Repo) -> None:
    assert ready.installed() == hashlib.sha256(node_zip()).hexdigest()
    assert not ensure_ready(ready, repo)


def test_a_refusal_has_the_clusters_words_and_hint(ready: Transport) -> None:
    with pytest.raises(CjError, match="is not on this cluster") as caught:
        ready.call("submit", {"package": "0" * 40})
    assert caught.value.hint == "git cj submit 00000000, which runs all its tasks"


def test_a_reply_need_not_be_read_to_its_end(ready: Transport, repo: Repo) -> None:
    package_id = package(repo, text="print('x' * 3_000_000)\n")
    ready.push(repo, package_id)
    wait_for(lambda: bool(state(ready, package_id)["final"]))
    stream = ready.stream("pull", {"package": package_id, "positions": {}, "limit": 1 << 30})
    assert next(iter(stream)).payload
    del stream
    assert state(ready, package_id)["counts"] == {"COMPLETED": 1}


def test_twenty_ask_at_once(ready: Transport, repo: Repo) -> None:
    package_id = package(repo)
    ready.push(repo, package_id)
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: state(ready, package_id)["tasks"], range(20)))
    assert answers == [1] * 20


@far_only
@pytest.mark.parametrize(
    "login_lines", ["echo Welcome\n", "echo Welcome >&2\n", MOTD, MOTD + MOTD[:-1] + " >&2\n"]
)
def test_what_a_login_prints_is_left_out(way: Transport, repo: Repo, login: Sshd, login_lines: str) -> None:
    login.at_login(login_lines)
    assert ensure_ready(way, repo)
    for text in ("print(6 * 7)\n", "print(42)\n"):
        package_id = package(repo, text=text)
        assert way.push(repo, package_id)["package"] == package_id
        wait_for(lambda sent=package_id: bool(state(way, sent)["final"]))  # type: ignore[misc]
        assert any(b"42\n" in frame.payload for frame in pulled(way, package_id))


@far_only
def test_a_locale_that_is_not_there_changes_nothing(way: Transport, repo: Repo, login: Sshd) -> None:
    login.at_login("export LC_ALL=xx_YY.nothing LANG=xx\n")
    assert ensure_ready(way, repo)
    package_id = package(repo, text="print('ünïcode')\n")
    assert way.push(repo, package_id)["package"] == package_id
    wait_for(lambda: bool(state(way, package_id)["final"]))
    assert any("ünïcode\n".encode() in frame.payload for frame in pulled(way, package_id))


@far_only
def test_f26_a_hook_of_somebody_else_is_never_run(
    ready: Transport, repo: Repo, root: Path, tmp_path: Path, said: list[str]
) -> None:
    for name in ("post-receive", "update"):
        hook, ours = root / "hooks" / name, tmp_path / "ours"
        if hook.exists():
            hook.rename(ours)
        hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
        hook.chmod(0o755)
        package_id = package(repo, text=f"print({name!r})\n")
        with pytest.raises(CjError, match=re.escape(f"{hook} is not cjledger's hook")) as refusal:
            ready.push(repo, package_id)
        assert "git cj init" in refusal.value.hint
        assert not (tmp_path / "ran").exists()
        assert not said  # a refusal is no line that was lost: nothing is tried again
        hook.unlink()
        if ours.exists():
            ours.rename(hook)
        assert ready.push(repo, package_id)["package"] == package_id


@far_only
def test_a_root_that_was_purged_is_set_up_again(
    ready: Transport, repo: Repo, root: Path, said: list[str]
) -> None:
    first = package(repo)
    ready.push(repo, first)
    wait_for(lambda: bool(state(ready, first)["final"]))
    shutil.rmtree(root)
    package_id = package(repo, text="print(1)\n")
    assert not ensure_ready(ready, repo)
    assert ready.push(repo, package_id)["package"] == package_id
    assert any("setting it up again" in line for line in said)


@far_only
def test_an_older_node_half_is_replaced_and_a_newer_one_stays(
    ready: Transport, repo: Repo, root: Path, said: list[str]
) -> None:
    marker = root / "cluster.json"
    ours = marker.read_text()
    marker.write_text(ours.replace(hashlib.sha256(node_zip()).hexdigest(), "0" * 64))
    ready.call("state", {"packages": [], "tasks": False})
    assert ensure_ready(ready, repo)
    assert marker.read_text() == ours
    newer = ours.replace(hashlib.sha256(node_zip()).hexdigest(), "f" * 64).replace(
        '"version":1', '"version":99'
    )
    marker.write_text(newer)
    ready.call("state", {"packages": [], "tasks": False})
    assert ensure_ready(ready, repo)
    assert marker.read_text() == newer
    assert any("newer" in line for line in said)
    assert not ensure_ready(ready, repo)


@far_only
def test_who_was_never_there_is_told_how_to_set_it_up(way: Transport) -> None:
    with pytest.raises(CjError, match="cluster mine is not set up") as caught:
        way.call("state", {"packages": []})
    assert caught.value.hint == "git cj init mine"


@far_only
@pytest.mark.parametrize(
    ("login_lines", "told"),
    [
        ("mkdir -p $HOME/no; PATH=$HOME/no\n", "sh: command not found"),
        ("mkdir -p $HOME/py; ln -sf /bin/sh $HOME/py/sh; PATH=$HOME/py\n", "there is no git on the cluster"),
        ("exit 255\n", "lost|gave no reply|does not run"),
        ("echo 'bash: restricted: cannot run' >&2; exit 1\n", "restricted"),
        ("echo 'This account is currently not available.'; exit 1\n", "does not run what it is sent"),
    ],
)
def test_what_is_missing_is_said_precisely(
    way: Transport, repo: Repo, login: Sshd, login_lines: str, told: str
) -> None:
    login.at_login(login_lines)
    with pytest.raises(CjError, match=told):
        ensure_ready(way, repo)


@far_only
def test_a_cluster_without_python_is_named(
    way: Transport, repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Programs that are not there: the machine's own python3 cannot be taken away.
    monkeypatch.setattr(bootstrap, "PYTHONS", ("no-python", "/usr/no/python3"))
    with pytest.raises(CjError, match=r"no Python 3\.6 or newer") as caught:
        ensure_ready(way, repo)
    assert "python = " in caught.value.hint


@far_only
def test_a_root_that_cannot_be_made_is_named(way: Transport, repo: Repo, root: Path) -> None:
    root.write_text("a file\n")
    with pytest.raises(CjError, match="root") as caught:
        ensure_ready(way, repo)
    assert "root" in caught.value.hint


@far_only
def test_an_answer_that_takes_long_is_waited_for_with_a_word(
    ready: Transport, login: Sshd, said: list[str]
) -> None:
    assert isinstance(ready, Remote)
    login.at_login("sleep 0.5")
    replace(ready, late_s=0.1).call("state", {"packages": []})
    assert said == ["waiting for mine, which has not answered for 0.1 s"]
    replace(ready, late_s=60).call("state", {"packages": []})
    assert len(said) == 1
