"""What of a launch is for later: what it waits for, what runs after it, and the notes to go on with."""

from __future__ import annotations

from cjledger import package
from cjledger.commands import conditions, order, then, waiting
from cjledger.commands.packing import commit
from cjledger.commands.plan import Plan
from cjledger.commands.request import LaunchRequest
from cjledger.gitpack import Pack, Person
from cjledger.model import After, Manifest, Snapshot
from cjledger.project import Project


def after(project: Project, request: LaunchRequest) -> tuple[After, ...]:
    """What a launch waits for. Raises CjError for what can never be waited for."""
    return order.parse(project, request.after)


def why_wait(project: Project, request: LaunchRequest, manifest: Manifest) -> str:
    """Why a package must not be sent yet; empty when it may be, or is not to be."""
    return conditions.why_here(project, manifest) if manifest.after and request.submit else ""


def after_all(
    project: Project, planned: Plan, taken: Snapshot, made: tuple[Manifest, str, Pack], author: Person
) -> str | None:
    """Make the package that runs after this one, among the same objects; None where there is none."""
    if planned.then is None:
        return None
    manifest, package_id, pack = made
    tops = package.tops(project.repo, taken.tree)
    return commit(project, tops, then.manifest_of(planned, taken, manifest, package_id), (), author, pack)[0]


def note(project: Project, package_id: str, waits: str, last: str | None) -> None:
    """Note what is to be sent later, before anything is sent: a launch that is cut off is gone on with."""
    if waits:
        waiting.mark(project, package_id, waits)
    if last is not None:
        waiting.mark(project, last, f"it waits for {package_id[:12]} to end")
