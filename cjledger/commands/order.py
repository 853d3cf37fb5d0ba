"""Order between packages: what ``--after`` asks for, and sending what waited on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from cjledger import config, gitrepo, ledger, package
from cjledger.commands import conditions, state, waiting
from cjledger.commands.submit import send
from cjledger.errors import CjError
from cjledger.model import After, Cluster, Manifest
from cjledger.project import Project, Target, resolve_whole, runs_after, without_prompts

Announce = Callable[[str], None]

ASK_EVERY_S = 30.0


def parse(project: Project, words: Sequence[str]) -> tuple[After, ...]:
    """What ``--after PID[:ok|:any]`` names. Raises CjError for what can never be waited for."""
    found: dict[tuple[str, str], After] = {}
    for word in words:
        pid, colon, when = word.partition(":")
        if colon and when not in ("ok", "any"):
            raise CjError(f"--after {word}: {when!r} is neither ok nor any", f"--after {pid}:any")
        target = resolve_whole(project, pid, "--after")
        after = After(target.package_id, when or "ok", _cluster_of(project, target))
        _check(project, target, after)
        found[after.package, after.when] = after
    return tuple(found.values())


def _cluster_of(project: Project, target: Target) -> str:
    return package.read_manifest(project.repo, target.package_id).cluster


def _check(project: Project, target: Target, after: After) -> None:
    short = target.short
    if waiting.why(project, target.package_id) is not None:
        return
    if not state.was_submitted(project, target.package_id):
        raise CjError(
            f"--after {short}: it was not submitted", f"git cj submit {target.package_id[:8]}, then launch"
        )
    if not state.is_on_cluster(project, target.package_id):
        raise CjError(f"--after {short}: it was cleaned, and has no more to wait for", "launch without it")
    found, _ = state.state(project, target)
    left = found.tasks - found.counts.get("COMPLETED", 0)
    if found.final and left and after.when == "ok":
        noun = "task" if left == 1 else "tasks"
        raise CjError(
            f"--after {short}: {left} {noun} of it did not complete",
            f"git cj retry {target.package_id[:8]}, or --after {target.package_id[:8]}:any",
        )


def settle(project: Project, announce: Announce, *, eager: bool = False) -> None:
    """Send what waits here and need not any more; what cannot be asked now goes on waiting.

    Other machines are asked at most every 30 s, unless one is ``eager`` to know.
    """
    quiet = without_prompts(project)
    last = waiting.folder(project) / ".last"
    recent = last.exists() and 0 <= time.time() - last.stat().st_mtime < ASK_EVERY_S
    for package_id in waiting.marked(project):
        if gitrepo.ref_value(project.repo, package.ref(package_id)) is None:
            waiting.unmark(project, package_id)  # it was forgotten
            continue
        manifest = package.read_manifest(project.repo, package_id)
        far = [after.cluster for after in manifest.after if _is_far(project, after.cluster)]
        if far and recent and not eager:
            continue
        if far:
            last.touch()
        try:
            possible, why = conditions.look(quiet, manifest)
        except CjError as problem:
            possible, why = True, f"what it waits for cannot be asked: {problem.message}"
        if not possible:
            give_up(project, package_id, manifest, why)
        elif why:
            if waiting.why(project, package_id) != why:
                waiting.mark(project, package_id, why)
        else:
            _send(quiet, package_id, manifest, announce)


def _is_far(project: Project, name: str) -> bool:
    where = project.config.clusters.get(name)
    return where is not None and where.host is not None


def _send(project: Project, package_id: str, manifest: Manifest, announce: Announce) -> None:
    try:
        where: Cluster = config.cluster(project.config, manifest.cluster, project.repo.cj_dir)
        jobs = send(project, package_id, manifest, where, announce, None)
        announce(f"{package_id[:12]}, which waited, went to {where.name} {' '.join(jobs)}".rstrip())
    except CjError as problem:
        announce(f"{problem.message}: git cj submit {package_id[:8]}")
    # Only now: who is killed before leaves it to the next, and what is sent twice is submitted once.
    waiting.unmark(project, package_id)
    state.forget(project, package_id)


def give_up(project: Project, package_id: str, manifest: Manifest, why: str) -> None:
    """Cancel what can never be sent, and what would run after it, and say why."""
    after = runs_after(project, package_id, manifest)
    if after is not None:
        give_up(project, after, package.read_manifest(project.repo, after), why)
    told = f"it never ran: {why}"
    ledger.append(
        project.repo,
        "cancelled",
        package_id,
        f"cancelled {package_id[:12]}: {why}",
        {"tasks": None, "cancelled": manifest.tasks, "why": told},
    )
    waiting.unmark(project, package_id)
    state.forget(project, package_id)
