"""Acts on a package that is on its cluster: cancel, retry, rerun, hold, release, pause and resume."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from cjledger import ledger, package
from cjledger.cluster import replies
from cjledger.commands import order, others, state, then, waiting
from cjledger.commands.descriptions import PackageState, TaskState
from cjledger.errors import CjError
from cjledger.model import Manifest
from cjledger.project import Project, Target, check_tasks, runs_after, transport
from cjledger.quantities import check_count, parse_memory, parse_walltime
from cjnode.package.points import format_tasks
from cjnode.records.layout import ABSENT
from cjnode.vocabulary import FINAL_STATES

SUBMITTING = ("submitted", "retried")  # the events after which there is one submission more


class Switched(NamedTuple):
    """The jobs of a package that was held, released, paused or resumed; whether it was not so before."""

    jobs: tuple[str, ...]
    changed: bool


@dataclass(frozen=True)
class Resubmitted:
    """A further submission of some tasks of a package."""

    package_id: str
    submission: int
    attempt: int
    tasks: str
    count: int
    job: str


def cancel(project: Project, target: Target) -> int:
    """End a package, or the named tasks of it. Returns how many tasks had not ended by themselves.

    What runs after a package is ended with it, and counts.
    """
    manifest = package.read_manifest(project.repo, target.package_id)
    check_tasks(target, manifest.tasks)
    others.check_reachable(project, target, manifest)
    if not was_sent(project, target.package_id):
        return _never_send(project, target, manifest)
    tasks = format_tasks(list(target.tasks)) if target.tasks else None
    after = None if tasks else runs_after(project, target.package_id, manifest)
    last = 0
    if after and state.is_on_cluster(project, after):
        last = cancel(project, Target(after))  # first: it would begin when the others have ended
    done = _count(project, target.package_id, *SUBMITTING, "cancelled")
    token = _token(target.package_id, "cancel", str(done), tasks or "all")
    asked = {"package": target.package_id, "tasks": tasks, "token": token}
    try:
        reply = replies.one(transport(project, manifest).call("cancel", asked), "cancel")
    except CjError as problem:
        if ABSENT not in problem.message:
            raise
        if state.was_submitted(project, target.package_id):  # to send it again would not end it
            raise CjError(problem.message, f"git cj state {target.package_id[:8]}") from problem
        return _never_send(project, target, manifest)  # it was refused before it was taken in there
    cancelled = replies.count(reply, "cancelled")
    state.forget(project, target.package_id)
    ledger.append(
        project.repo,
        "cancelled",
        target.package_id,
        f"cancelled {target.short}" + (f", tasks {tasks}" if tasks else ""),
        {"tasks": tasks, "cancelled": cancelled},
    )
    return cancelled + last


def _never_send(project: Project, target: Target, manifest: Manifest) -> int:
    """End a package that its cluster does not have."""
    if target.tasks:
        raise CjError(f"{target.short} was not submitted", f"git cj cancel {target.package_id[:8]}")
    if waiting.given_up(project, target.package_id):
        return 0
    order.give_up(project, target.package_id, manifest, "it was cancelled")
    return manifest.tasks


def hold(project: Project, target: Target) -> tuple[str, ...]:
    """Keep from starting what has not started of a package. Returns the jobs that are held."""
    return _switch(project, target, "hold", "held").jobs


def release(project: Project, target: Target) -> Switched:
    """Let a package's held jobs start."""
    return _switch(project, target, "release", "released")


def pause(project: Project, target: Target) -> tuple[str, ...]:
    """Have workers end after their present tasks, and nothing more begin. Returns the jobs held."""
    return _switch(project, target, "pause", "paused").jobs


def resume(project: Project, target: Target) -> Switched:
    """Let a paused package go on; its jobs are those that were released or added."""
    state.forget(project, target.package_id)
    return _switch(project, target, "resume", "resumed")


def _switch(project: Project, target: Target, verb: str, event: str) -> Switched:
    manifest = package.read_manifest(project.repo, target.package_id)
    if not state.was_submitted(project, target.package_id):
        raise CjError(f"{target.short} was not submitted", f"git cj submit {target.package_id[:8]}")
    others.check_reachable(project, target, manifest)
    reply = replies.one(transport(project, manifest).call(verb, {"package": target.package_id}), verb)
    jobs = replies.texts(reply, "jobs")
    # An older node half does not always tell.
    changed = reply["changed"] is True if "changed" in reply else bool(jobs)
    if changed:
        ledger.append(project.repo, event, target.package_id, f"{event} {target.short}", {"jobs": list(jobs)})
    return Switched(jobs, changed)


def retry(
    project: Project,
    target: Target,
    *,
    jobs: int | None = None,
    memory: str | None = None,
    walltime: str | None = None,
) -> Resubmitted | None:
    """Run again, as new attempts, the tasks that ended without completing. None when there are none.

    ``memory`` and ``walltime`` are what they have instead of what the package asked for.
    """
    more = _more(memory, walltime)
    manifest = package.read_manifest(project.repo, target.package_id)
    check_tasks(target, manifest.tasks)
    others.check_reachable(project, target, manifest)
    # Somebody else may have retried it since it was final.
    found, listed = _listed(project, target)
    again = [task for task in listed if task.state in FINAL_STATES and task.state != "COMPLETED"]
    if not again:
        return None
    return _resubmit(project, target, manifest, found, again, jobs, more)


def rerun(
    project: Project,
    target: Target,
    *,
    jobs: int | None = None,
    memory: str | None = None,
    walltime: str | None = None,
) -> Resubmitted:
    """Run the named tasks (all, if none are named) again as new attempts, whatever became of them."""
    more = _more(memory, walltime)
    manifest = package.read_manifest(project.repo, target.package_id)
    check_tasks(target, manifest.tasks)
    others.check_reachable(project, target, manifest)
    found, listed = _listed(project, target)
    busy = [task.task for task in listed if task.state not in FINAL_STATES]
    if busy:
        raise CjError(
            f"tasks {format_tasks(busy)} of {target.short} have not ended yet",
            f"git cj cancel {target.package_id[:8]}/{format_tasks(busy)}, or wait for them",
        )
    return _resubmit(project, target, manifest, found, listed, jobs, more)


def _listed(project: Project, target: Target) -> tuple[PackageState, list[TaskState]]:
    """The package and its tasks as they are now. Refuses one of whose tasks nothing is known."""
    found, listed = state.state(project, target, tasks=True, anew=True)
    if not listed:
        again = f"git cj submit {target.package_id[:8]}, which runs all its tasks"
        raise CjError(
            "; ".join((f"nothing is known of the tasks of {target.short}", *found.problems)),
            "git cj sync" if found.elsewhere else again,
        )
    return found, listed


def _more(memory: str | None, walltime: str | None) -> dict[str, int]:
    asked = {
        "memory_mb": memory and parse_memory(memory),
        "walltime_s": walltime and parse_walltime(walltime),
    }
    return {name: value for name, value in asked.items() if isinstance(value, int)}


def _resubmit(
    project: Project,
    target: Target,
    manifest: Manifest,
    found: PackageState,
    again: Sequence[TaskState],
    jobs: int | None,
    more: dict[str, int],
) -> Resubmitted:
    check_count("--jobs", jobs)
    tasks = format_tasks([task.task for task in again])
    attempt = 1 + max(task.attempt or 0 for task in again)
    # An older node half does not tell how many there are.
    known = _count(project, target.package_id, *SUBMITTING)
    submission = 1 + (found.submissions or max(len(found.jobs), known))
    # The same wish gives the same token: two people retrying at once, or one twice, submit once.
    words = [f"{name}={value}" for name, value in more.items()]
    token = _token(target.package_id, "retry", str(submission), tasks, str(attempt), *words)
    request: dict[str, Any] = {
        "package": target.package_id,
        "submission": submission,
        "token": token,
        "tasks": tasks,
        "attempt": attempt,
        "jobs": jobs or manifest.resources.jobs,
        **more,
    }
    job = replies.text(replies.one(transport(project, manifest).call("submit", request), "submit"), "job")
    state.forget(project, target.package_id)
    then.forget(project, target.package_id)
    ledger.append(
        project.repo,
        "retried",
        target.package_id,
        f"retried {target.short}, tasks {tasks}, attempt {attempt}",
        {"job": job, "submission": submission, "tasks": tasks, "attempt": attempt, **more},
    )
    return Resubmitted(target.package_id, submission, attempt, tasks, len(again), job)


def was_sent(project: Project, package_id: str) -> bool:
    """Whether the cluster may know the package: it took it, or refused it."""
    return any(
        entry.event in ("submitted", "retried", "refused")
        for name in ledger.chains(project.repo)
        for entry in ledger.of_package(project.repo, name, package_id)
    )


def _count(project: Project, package_id: str, *events: str) -> int:
    """How often the ledgers know that something befell a package."""
    return sum(
        1
        for name in ledger.chains(project.repo)
        for entry in ledger.of_package(project.repo, name, package_id)
        if entry.event in events
    )


def _token(*words: str) -> str:
    return hashlib.sha256("\0".join(words).encode()).hexdigest()[:16]
