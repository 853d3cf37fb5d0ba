"""One contract for every way to a cluster: what it can do, and what it makes of faults."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cjledger import cluster
from cjledger.cluster import Contact, Transport, ensure_ready, node_zip
from cjledger.cluster.transport import Json
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


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    return new_repo(tmp_path / "laptop")


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def login(request: pytest.FixtureRequest, kind: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sshd | None]:
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
def way(kind: str, login: Sshd | None, tmp_path: Path, said: list[str]) -> Transport:
    root = str(tmp_path / "root")
    alias = login.site.alias if login else None
    where = Cluster("mine", "local", root, host=alias, transport=None if kind == "local" else kind)
    return cluster.transport(where, tmp_path / "cj", Contact(say=said.append))


@pytest.fixture
def ready(way: Transport, repo: Repo) -> Transport:
    assert ensure_ready(way, repo)
    return way


def package(repo: Repo, sweep: Sweep = SINGLE, text: str = "print(6 * 7)\n", **words: object) -> str:
    """A package that runs the real worker, in a repository that has its files."""
    program = Program("script", "main.py", None, None, "python", ".", (), ())
    manifest = manifest_of(program, sweep, cluster="mine", **words)
    cj = repo.top / ".cj"
    (cj / "package.json").write_bytes(manifest_to_bytes(manifest))
    (cj / file_name(program)).write_bytes(script(manifest))
    (cj / "cjnode.pyz").write_bytes(node_zip())
    (cj / "job.sh").write_text(job_of(manifest.python))
    (repo.top / "main.py").write_text(text)
    git(repo.top, "add", "-A")
    return git(repo.top, "commit-tree", "-m", "A package", git(repo.top, "write-tree"))


def job_of(python: str) -> str:
    return batch_script("local", JobSpec(python, [], {"jobs": 2}))


def state(way: Transport, package_id: str) -> Json:
    return way.call("state", {"packages": [package_id], "tasks": False})[0]


def test_a_package_runs_and_its_outputs_come_home(ready: Transport, repo: Repo) -> None:
    package_id = package(repo, grid(x=tuple(range(7))))
    reply = ready.push(repo, package_id)
    assert reply["package"] == package_id
    assert ready.push(repo, package_id)["job"] == reply["job"]
    wait_for(lambda: bool(state(ready, package_id)["final"]))
    assert state(ready, package_id)["counts"] == {"COMPLETED": 7}
    pulled = list(ready.stream("pull", {"package": package_id, "positions": {}, "limit": 1 << 20}))
    assert pulled[-1].head == {"done": True, "more": False}
    assert b"".join(frame.payload for frame in pulled).count(b"42\n") == 7
