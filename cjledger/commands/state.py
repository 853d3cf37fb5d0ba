"""State: what the cluster says of a package, kept for when nothing can change any more."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from cjledger import gitrepo, ledger, package
from cjledger.cluster import replies
from cjledger.commands import others
from cjledger.commands.descriptions import PackageState, TaskState, reasons, unsubmitted
from cjledger.errors import CjError
from cjledger.model import Manifest
from cjledger.project import Project, Target, check_tasks, package_points, runs_after, transport
from cjledger.wholefiles import write_whole
from cjnode.vocabulary import PACKAGES, STATES

KEPT_TASKS = 10_000
LONGEST_PAUSE_S = 15.0


def state(
    project: Project,
    target: Target,
    *,
    tasks: bool = False,
    fresh: bool = False,
    spread: bool = False,
    anew: bool = False,
) -> tuple[PackageState, list[TaskState]]:
    """The state of a package and, if asked, of its tasks (all, or those the target names).

    ``fresh`` has the scheduler asked, however short ago it was; ``anew`` has the cluster asked of what was
    final when it was looked at last.
    """
    kept = None if anew else _kept(project, target.package_id)
    if kept and kept[0].final and (kept[1] or not tasks):
        found, listed = kept
    else:
        found, listed = _ask(project, target, tasks, fresh, spread)
    check_tasks(target, found.tasks)
    if not tasks:
        return found, []
    if target.tasks:
        wanted = set(target.tasks)
        listed = [task for task in listed if task.task in wanted]
    return found, listed


def with_params(project: Project, package_id: str, listed: Sequence[TaskState]) -> list[TaskState]:
    """The same tasks with their parameters."""
    manifest = package.read_manifest(project.repo, package_id)
    points = package_points(project.repo, package_id, manifest.sweep, [task.task for task in listed])
    return [
        TaskState(**{**asdict(task), "params": point.params})
        for task, point in zip(listed, points, strict=True)
    ]


def package_ids(project: Project) -> list[str]:
    """Every package in this repository."""
    names = gitrepo.refs(project.repo, PACKAGES)
    return [name.removeprefix(PACKAGES) for name in names]


def follow(
    project: Project,
    target: Target,
    period_s: float = 0.5,
    before: Callable[[], None] = lambda: None,
) -> Iterator[PackageState]:
    """The state again and again until it is final, no worker is left or only a sync tells more.

    ``before`` is done before each look.

    Each look is a process on the login node, so another machine is asked less often the longer it takes.
    """
    far = package.read_manifest(project.repo, target.package_id).scheduler != "local"
    began = time.monotonic()
    while True:
        asked = time.monotonic()
        before()
        found, _ = state(project, target, spread=True)
        spent = time.monotonic() - asked
        yield found
        if found.final or found.left or found.elsewhere:
            return
        waited = time.monotonic() - began if far else 0.0
        # Of a million tasks a look takes a second of a processor that the tasks could have.
        time.sleep(max(period_s, min(LONGEST_PAUSE_S, max(waited / 20, 6 * spent - 2))))


def last_known(project: Project, package_id: str) -> PackageState | None:
    """What was last seen of a package, without asking its cluster."""
    kept = _kept(project, package_id)
    return kept[0] if kept else None


def forget(project: Project, package_id: str) -> None:
    """Drop what was last seen: the package's tasks run again."""
    _path(project, package_id).unlink(missing_ok=True)


def _ask(
    project: Project, target: Target, tasks: bool, fresh: bool, spread: bool
) -> tuple[PackageState, list[TaskState]]:
    manifest = package.read_manifest(project.repo, target.package_id)
    known = _unasked(project, target, manifest)
    if known:
        return known
    listing = tasks or manifest.tasks <= KEPT_TASKS
    request = {"packages": [target.package_id], "tasks": listing, "fresh": fresh, "spread": spread}
    lines = transport(project, manifest).call("state", request)
    found = _package(project, manifest, target.package_id, replies.one(lines, "state"))
    instead = _instead(project, target, manifest, found, lines[0])
    if instead:
        return instead
    listed = [TaskState(**replies.task_fields(line, manifest.tasks)) for line in lines[1:]]
    keep(project, found, listed if found.final and len(listed) <= KEPT_TASKS else [])
    return found, listed


def states(
    project: Project,
    targets: Sequence[Target],
    *,
    fresh: bool = False,
    failed: Callable[[CjError], None] | None = None,
) -> list[PackageState]:
    """The states of several packages, each cluster asked once for all of its own.

    With ``failed`` one that cannot be asked is told to it, and its packages are as they were seen last.
    """
    found: dict[str, PackageState] = {}
    asked: dict[str, list[tuple[Target, Manifest]]] = {}
    for target in targets:
        kept = last_known(project, target.package_id)
        if kept and kept.final:
            found[target.package_id] = kept
            continue
        manifest = package.read_manifest(project.repo, target.package_id)
        known = _unasked(project, target, manifest)
        if known:
            found[target.package_id] = known[0]
        else:
            asked.setdefault(manifest.cluster, []).append((target, manifest))
    for pairs in asked.values():
        manifests = {target.package_id: manifest for target, manifest in pairs}
        try:
            found.update(_of_one_cluster(project, manifests, fresh))
        except CjError as problem:
            if failed is None:
                raise
            failed(problem)
            found.update(
                (package_id, _as_seen(project, package_id, manifest, problem))
                for package_id, manifest in manifests.items()
            )
    return [found[target.package_id] for target in targets]


def _of_one_cluster(project: Project, manifests: dict[str, Manifest], fresh: bool) -> dict[str, PackageState]:
    """What a cluster says of packages that are on it."""
    found: dict[str, PackageState] = {}
    request = {"packages": list(manifests), "tasks": False, "fresh": fresh}
    manifest = next(iter(manifests.values()))
    for line in transport(project, manifest).call("state", request):
        package_id = replies.text(line, "package")
        if package_id not in manifests:
            continue
        told = _package(project, manifests[package_id], package_id, line)
        instead = _instead(project, Target(package_id), manifests[package_id], told, line)
        found[package_id] = instead[0] if instead else told
        if not instead:
            keep(project, told, [])
    for package_id in manifests.keys() - found.keys():
        raise CjError(f"the cluster says nothing of {package_id[:12]}", f"git cj doctor {manifest.cluster}")
    return found


def _as_seen(project: Project, package_id: str, manifest: Manifest, problem: CjError) -> PackageState:
    seen = last_known(project, package_id) or PackageState(
        package_id, manifest.cluster, manifest.program.name, manifest.tasks, {}, False
    )
    when = "as seen last" if seen.counts else "not seen yet"
    return replace(seen, reasons={}, then=None, problems=(f"{when}: {problem.message}",))


def _package(project: Project, manifest: Manifest, package_id: str, line: dict[str, Any]) -> PackageState:
    fields = replies.package_fields(line, package_id, manifest.tasks)
    fields["reasons"] = reasons(manifest, fields["reasons"])
    then = runs_after(project, package_id, manifest)
    name = manifest.program.name
    return PackageState(package_id, manifest.cluster, name, manifest.tasks, **fields, then=then)


def _unasked(
    project: Project, target: Target, manifest: Manifest
) -> tuple[PackageState, list[TaskState]] | None:
    """What is told of a package whose cluster cannot be asked; None when it is to be asked."""
    if not was_submitted(project, target.package_id):
        return unsubmitted(project, target, manifest)
    if others.is_unreachable(project, target.package_id, manifest):
        return _as_harvested(project, target, manifest)
    return None


def _instead(
    project: Project, target: Target, manifest: Manifest, told: PackageState, line: dict[str, Any]
) -> tuple[PackageState, list[TaskState]] | None:
    """What is told instead of an answer that knows no tasks; None when the answer stands."""
    if not told.jobs and others.is_elsewhere(project, target.package_id):
        # It went to another person's account there.
        return _as_harvested(project, target, manifest)
    if not replies.count(line, "tasks"):  # its files were deleted there
        return _as_harvested(project, target, manifest, "; ".join(told.problems))
    return None


def _as_harvested(
    project: Project, target: Target, manifest: Manifest, why: str = ""
) -> tuple[PackageState, list[TaskState]]:
    """What the harvests here tell of a package whose cluster cannot be asked, or has lost it (``why``)."""
    rows, unread = others.attempts(project, target.package_id, manifest.tasks)
    listed = [TaskState(**row) for row in rows]
    counts = dict(Counter(task.state for task in listed))
    words = f"{why}; as harvested before"
    if not why:
        who = others.launcher(project, target.package_id, manifest)
        words = f"{who}; its results come with their harvest and git cj sync"
    is_final = len(listed) == manifest.tasks
    found = PackageState(
        target.package_id,
        manifest.cluster,
        manifest.program.name,
        manifest.tasks,
        counts,
        is_final,
        problems=(*(f"left out: {each}" for each in unread), *(() if is_final else (words,))),
        elsewhere=not why,
    )
    if is_final:  # until a sync brings newer results
        keep(project, found, listed if len(listed) <= KEPT_TASKS else [])
    return found, listed


def was_submitted(project: Project, package_id: str) -> bool:
    """Whether this repository's ledgers say that the package was taken by its cluster."""
    return bool(others.senders(project, package_id))


def is_on_cluster(project: Project, package_id: str) -> bool:
    """Whether the package's files are on its cluster: it knew them, and they were not cleaned since."""
    for name in ledger.chains(project.repo):
        for entry in ledger.of_package(project.repo, name, package_id):
            if entry.event == "cleaned" or others.is_there(entry):
                return entry.event != "cleaned"
    return False


def _path(project: Project, package_id: str) -> Path:
    return project.repo.cj_dir / "state" / f"{package_id}.json"


def keep(project: Project, found: PackageState, listed: Sequence[TaskState]) -> None:
    """Remember what was seen, for ``git cj log`` and for packages that are final."""
    content = {"state": asdict(found), "tasks": [asdict(task) for task in listed]}
    write_whole(_path(project, found.package_id), json.dumps(content).encode())


def _kept(project: Project, package_id: str) -> tuple[PackageState, list[TaskState]] | None:
    try:
        content = json.loads(_path(project, package_id).read_bytes())
        raw = content["state"]
        fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in raw.items()}
        found = PackageState(**fields)
        return found, [TaskState(**task) for task in content["tasks"]]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None  # derived: asked anew


def check_state(word: str) -> str:
    """A state's name as a person typed it. Raises CjError."""
    if word.upper() not in STATES:
        raise CjError(f"there is no state {word}", f"one of {' '.join(STATES)}")
    return word.upper()
