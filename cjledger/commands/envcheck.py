"""Env-check: what tasks really ran in, compared with the lock file of their package."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from cjledger import environments, gitrepo, package
from cjledger.commands import harvest
from cjledger.environments import pins as pinned
from cjledger.environments.pins import EnvironmentDifference
from cjledger.errors import CjError
from cjledger.harvest import store
from cjledger.harvest.manifest import RECORDS
from cjledger.model import Environment, Manifest
from cjledger.project import Project, Target, check_tasks
from cjledger.shards import parquet
from cjnode.package.points import format_tasks
from cjnode.worker.observed import OUTPUT


@dataclass(frozen=True)
class EnvironmentCheck:
    """One environment that tasks ran in, and what is not as the lock says.

    ``differences`` is None when nothing can be compared; ``note`` says why.
    """

    environment: str
    tasks: str
    python: str
    modules: tuple[str, ...]
    differences: tuple[EnvironmentDifference, ...] | None
    note: str


def check(project: Project, target: Target) -> list[EnvironmentCheck]:
    """Compare each environment that the tasks had with the lock; harvests first."""
    manifest = package.read_manifest(project.repo, target.package_id)
    check_tasks(target, manifest.tasks)
    paths = _shards(project, target)
    ran = _ran(paths, set(target.tasks) if target.tasks else None)
    if not ran:
        raise CjError(f"no task of {target.short} has ended yet", f"git cj state {target.package_id[:8]}")
    contents = _contents(paths)
    return [
        _compared(project, target, manifest, name, tasks, contents.get(name))
        for name, tasks in sorted(ran.items())
    ]


def _shards(project: Project, target: Target) -> list[Path]:
    harvest.harvest(project, target)
    tip, results = store.load(project.repo, target.package_id)
    shards, problems = store.readable(project.repo, target.package_id, tip, results.of(RECORDS))
    if problems:
        raise CjError("\n".join(problems), f"git cj fsck {target.package_id[:8]}")
    return list(shards.values())


def _ran(paths: Sequence[Path], tasks: set[int] | None) -> dict[str, list[int]]:
    """The tasks whose last attempt ran in each environment."""
    last: dict[int, tuple[int, str]] = {}
    for path in paths:
        for task, attempt, name in parquet.read_environments(path):
            if (tasks is None or task in tasks) and attempt >= last.get(task, (0, ""))[0]:
                last[task] = (attempt, name or "")
    found: dict[str, list[int]] = {}
    for task, (_, name) in sorted(last.items()):
        found.setdefault(name, []).append(task)
    return found


def _contents(paths: Sequence[Path]) -> dict[str, bytes]:
    """What was told of each environment, by the name that records have for it."""
    told = [
        fields["content"]
        for path in paths
        for _, _, _, fields in parquet.read_outputs(path, None)
        if fields["path"] == OUTPUT and fields["content"] is not None
    ]
    return {hashlib.sha256(content).hexdigest()[:16]: content for content in told}


def _compared(
    project: Project, target: Target, manifest: Manifest, name: str, tasks: list[int], content: bytes | None
) -> EnvironmentCheck:
    listed = format_tasks(tasks)
    if content is None:
        why = "the record that tells of it has not come" if name else "made before records told it"
        return EnvironmentCheck(name, listed, "", (), None, why)
    observed = pinned.observed_from_bytes(content)
    python, modules = str(observed.get("python", "")), tuple(map(str, observed.get("modules") or ()))
    found, note = _missing_modules(manifest, modules), ""
    environment = _locked(manifest)
    locked = {} if environment is None else pinned.pins(environment, _texts(project, target, environment))
    if environment is not None and locked:
        found += tuple(pinned.differences(locked, pinned.had(environment, observed)))
        note = "" if environment is manifest.environment else f"compared with {environment.lock}"
        if manifest.environment.id and observed.get("environment") != manifest.environment.id:
            note = f"it ran outside the environment {manifest.environment.id}"
    elif manifest.environment.kind != "modules":
        kind = manifest.environment.kind
        note = f"{environment.lock} pins nothing" if environment else f'environment = "{kind}" has no lock'
        return EnvironmentCheck(name, listed, python, modules, found or None, note)
    return EnvironmentCheck(name, listed, python, modules, found, note)


def _missing_modules(manifest: Manifest, loaded: tuple[str, ...]) -> tuple[EnvironmentDifference, ...]:
    """Modules that were asked for and not loaded; a name without its version stands for any."""
    return tuple(
        EnvironmentDifference(wanted, wanted, None)
        for wanted in manifest.environment.modules
        if not any(name == wanted or name.startswith(wanted + "/") for name in loaded)
    )


def _locked(manifest: Manifest) -> Environment | None:
    """What to compare with: the environment's lock, or else the package's nearest; None: there is none."""
    if manifest.environment.kind != "none":
        return manifest.environment if manifest.environment.lock else None
    found = {lock.path: lock for lock in manifest.locks}
    folders = [manifest.program.workdir, *map(str, PurePosixPath(manifest.program.workdir).parents)]
    for folder in folders:
        for kind, names in environments.LOCKS.items():
            for name in names:
                lock = found.get(str(PurePosixPath(folder, name)))
                if lock and not name.startswith(("pylock", "environment.y")):
                    return Environment(kind, lock=lock.path, files=(lock,))
    return None


def _texts(project: Project, target: Target, environment: Environment) -> dict[str, str]:
    paths = [lock.path for lock in environment.files]
    blobs = gitrepo.read_blobs(project.repo, [f"{target.package_id}:{path}" for path in paths])
    found = {path: blob for path, blob in zip(paths, blobs, strict=True) if blob is not None}
    return environments.sent(environment.kind, found)
