"""Submit: a package that exists here goes to its cluster. Once, however often asked."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from cjledger import cluster, config, environments, ledger, package
from cjledger.cluster import replies
from cjledger.commands import waiting
from cjledger.commands.plan import check_priority
from cjledger.errors import CjError
from cjledger.ledger import Entry
from cjledger.model import Cluster, Linked, Manifest
from cjledger.project import Project, Target, is_ours

Announce = Callable[[str], None]


class Launched(NamedTuple):
    """A package that now exists; ``jobs`` is empty when it was not submitted."""

    package_id: str
    ref: str
    tasks: int
    cluster: str
    jobs: tuple[str, ...]
    report: tuple[str, ...]
    program: str
    waiting: str = ""  # why it is not with the scheduler yet
    linked: tuple[Linked, ...] = ()  # where all its points are done, if they are and nothing was made
    before: bool = False  # whether it had been submitted already


def launched(manifest: Manifest, package_id: str, jobs: tuple[str, ...]) -> Launched:
    """What a launch tells of a package."""
    return Launched(
        package_id,
        package.ref(package_id),
        manifest.tasks,
        manifest.cluster,
        jobs,
        manifest.report,
        manifest.program.name,
    )


_AGAIN = re.compile(r"(,? ?then )?(run (the command|it) again|try again)(; )?")


def submit(
    project: Project,
    target: Target,
    announce: Announce,
    *,
    trusted: bool = False,
    priority: int | None = None,
) -> Launched:
    """Send a package that was launched without submitting, or whose submission failed. Idempotent.

    One that was launched elsewhere and came by a sync is sent only when it is ``trusted``, since its code
    will run as the one who sends it. ``priority`` counts instead of the package's own.
    """
    manifest = package.read_manifest(project.repo, target.package_id)
    if not trusted and not is_ours(project, target.package_id, manifest):
        raise CjError(
            f"package {target.short} was not launched from here; it says it is of {manifest.author}, and its "
            "code would run as you",
            f"git cj show {target.package_id[:8]} --diff, then git cj submit {target.package_id[:8]} --yes",
        )
    where = config.cluster(project.config, manifest.cluster, project.repo.cj_dir)
    if priority is not None:
        _wish(project, target, where, priority, announce)
    why = _why_waiting(project, target.package_id, manifest)
    if why:
        return launched(manifest, target.package_id, ())._replace(report=(), waiting=why)
    before = _is_there(project, target.package_id)
    jobs = send(project, target.package_id, manifest, where, announce, None)
    from cjledger.commands.state import forget

    forget(project, target.package_id)
    return launched(manifest, target.package_id, jobs)._replace(report=(), before=before)


def _wish(project: Project, target: Target, where: Cluster, priority: int, announce: Announce) -> None:
    """Tell the cluster of a priority before the package comes: the push alone submits it."""
    check_priority(where, priority)
    if _is_there(project, target.package_id):
        raise CjError(
            f"{target.short} was submitted already, and keeps its priority",
            f"git cj cancel {target.package_id[:8]}, then launch it again",
        )
    way = cluster.transport(where, project.repo.cj_dir, project.contact)
    if cluster.ensure_ready(way, project.repo):
        announce(f"cluster {where.name}: set up in {where.root}")
    way.call("prepare", {"wish": {"package": target.package_id, "priority": priority}})


def _is_there(project: Project, package_id: str) -> bool:
    from cjledger.commands.state import is_on_cluster  # a launch knows it without asking

    return is_on_cluster(project, package_id)


def _why_waiting(project: Project, package_id: str, manifest: Manifest) -> str:
    """Why a package must not be sent yet, which is noted; empty when it may be."""
    if not manifest.after or _is_there(project, package_id):
        return ""
    from cjledger.commands import conditions  # for packages that wait alone

    why = conditions.why_here(project, manifest)
    if why:
        waiting.mark(project, package_id, why)
    return why


def send(
    project: Project,
    package_id: str,
    manifest: Manifest,
    where: Cluster,
    announce: Announce,
    entry: Entry | None,
) -> tuple[str, ...]:
    """Push a package and have it submitted; ``entry`` is that of its launch, if that was just now."""
    way = cluster.transport(where, project.repo.cj_dir, project.contact)
    try:
        if cluster.ensure_ready(way, project.repo):
            announce(f"cluster {where.name}: set up in {where.root}")
        reply = environments.push(way, project.repo, package_id, manifest, announce, ask=entry is None)
        job = replies.text(reply, "job")
    except CjError as problem:
        raise _refused(project, package_id, where, problem) from problem
    # Sending twice submits once, and is noted once.
    if entry or not _is_there(project, package_id):
        data = {"job": job, "submission": 1, "tasks": manifest.tasks}
        data.update({key: reply[key] for key in ("data",) if key in reply})
        words = f"submitted {package_id[:12]} to {where.name}" + (f" as {job}" if job else "")
        ledger.append(project.repo, "submitted", package_id, words, data, after=entry)
    if manifest.then is not None:
        from cjledger.commands import then  # for packages with --then alone

        def send_it(which: str, its: Manifest) -> object:
            return send(project, which, its, where, announce, None)

        then.send_too(project, package_id, send_it, announce)
    if not job and manifest.then_of is None:
        announce(f"{package_id[:12]} is not with the scheduler yet: {reply.get('why') or 'it waits'}")
    return (job,)


def _refused(project: Project, package_id: str, where: Cluster, problem: CjError) -> CjError:
    """Note that a cluster did not take a package; what to say of it."""
    words = f"refused {package_id[:12]} by {where.name}"
    data = {"error": problem.message, "submission": 1}
    ledger.append(project.repo, "refused", package_id, words, data)
    # The launch once more would make another package.
    first = _AGAIN.sub("", problem.hint or "")
    submit_it = f"git cj submit {package_id[:8]}"
    return CjError(
        f"package {package_id[:12]} is kept, but {where.name} did not take it: {problem.message}",
        f"{first}, then {submit_it}" if first and submit_it not in first else first or submit_it,
    )
