"""Having an environment built on a cluster, once, and packages sent that need it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from cjledger.cluster import Transport
from cjledger.cluster.transport import printable
from cjledger.environments.texts import read, sent, sha256
from cjledger.errors import CjError
from cjledger.gitrepo import Repo
from cjledger.model import Cluster, Environment, Manifest
from cjnode.package.environment import BUILT

Announce = Callable[[str], None]


def request(repo: Repo, package_id: str, environment: Environment) -> dict[str, Any]:
    """What the verb ``prepare`` is asked for, from the package's own files."""
    files = read(repo, package_id, [lock.path for lock in environment.files])
    return {
        "kind": environment.kind,
        "id": environment.id,
        "lock": environment.lock,
        "modules": list(environment.modules),
        "python": environment.python,
        "image": environment.image,
        "files": sent(environment.kind, files),
    }


def ensure(
    way: Transport, repo: Repo, package_id: str, manifest: Manifest, announce: Announce, *, ask: bool
) -> bool:
    """Have a package's environment on its cluster, and say how it goes. True when it was built now.

    Digests of data are made there on the way, since that takes its time too. Without ``ask`` the cluster is
    not asked about an environment that was there once.
    """
    environment, seen = manifest.environment, _seen(repo, way.cluster, manifest.environment)
    wanted = environment.kind in BUILT and (ask or not seen.exists())
    hashed = [data._asdict() for data in manifest.data if data.hash]
    if not wanted and not hashed:
        return False
    built = False
    asked = request(repo, package_id, environment) if wanted else None
    for frame in way.stream("prepare", {"environment": asked, "data": hashed}):
        if "progress" in frame.head:
            announce(printable(str(frame.head["progress"])))
        built = built or frame.head.get("built") is True
    if wanted:
        seen.parent.mkdir(parents=True, exist_ok=True)
        seen.touch()
    return built


def is_known(repo: Repo, where: Cluster, environment: Environment) -> bool:
    """Whether an environment was seen on a cluster by an earlier launch from here."""
    return environment.kind in BUILT and _seen(repo, where, environment).exists()


def _seen(repo: Repo, where: Cluster, environment: Environment) -> Path:
    place = sha256(f"{where.host or ''} {where.user or ''} {where.root}".encode())[:16]
    return repo.cj_dir / "environments" / place / environment.id


def push(
    way: Transport, repo: Repo, package_id: str, manifest: Manifest, announce: Announce, *, ask: bool
) -> dict[str, Any]:
    """Have the environment built, then send the package. What was built once is not asked about again."""
    trusted = not ask and is_known(repo, way.cluster, manifest.environment)
    ensure(way, repo, package_id, manifest, announce, ask=ask)
    try:
        return way.push(repo, package_id)
    except CjError:
        # It may be gone there: then it is built again.
        if not trusted or not ensure(way, repo, package_id, manifest, announce, ask=True):
            raise
        return way.push(repo, package_id)
