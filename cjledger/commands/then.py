"""What runs after a package's tasks: a package of its own, made and sent with the other one."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from cjledger import package
from cjledger.commands import state, waiting
from cjledger.commands.plan import Plan
from cjledger.errors import CjError
from cjledger.model import SINGLE, After, Manifest, Snapshot, ThenOf
from cjledger.project import Project, runs_after
from cjnode.package.points import sweep_from_json


def manifest_of(planned: Plan, taken: Snapshot, first: Manifest, package_id: str) -> Manifest:
    """The manifest of what runs after a package: its code is the same, its root seed follows from there."""
    assert planned.then is not None
    after = planned.then
    alone = planned._replace(program=after.program, written=after.written, given_outputs=False)
    digest = hashlib.sha256(f"cj-then-1:{first.seed}".encode()).digest()
    return first._replace(
        program=after.program,
        sweep=sweep_from_json(SINGLE),
        tasks=1,
        seed=int.from_bytes(digest[:6]),
        outputs=("**",),
        unlinked=tuple(sorted({*first.unlinked, *alone.unlinked(taken)})),
        resources=first.resources._replace(jobs=None, workers=None),
        message=f"after {package_id[:12]}",
        report=(),
        linked=(),
        after=(After(package_id, "any", first.cluster),),
        then=None,
        then_of=ThenOf(package_id, after.table),
    )


def send_too(
    project: Project,
    package_id: str,
    send: Callable[[str, Manifest], object],
    announce: Callable[[str], None],
) -> None:
    """Send what runs after a package that was sent. What fails is left to later commands."""
    found = runs_after(project, package_id)
    if found is None:
        return
    waiting.mark(project, found, f"it waits for {package_id[:12]} to end")
    try:
        send(found, package.read_manifest(project.repo, found))
        waiting.unmark(project, found)
    except CjError as problem:
        announce(f"{problem.message}: later git cj commands try it again")


def forget(project: Project, package_id: str) -> None:
    """Drop what was last seen of what runs after a package, or after the one that it extends."""
    seen: set[str] = set()
    at: str | None = package_id
    while at is not None and at not in seen:
        seen.add(at)
        manifest = package.read_manifest(project.repo, at)
        found = runs_after(project, at, manifest)
        if found is not None:
            state.forget(project, found)
        at = manifest.extends
