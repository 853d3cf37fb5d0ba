"""What a package waits for that its cluster cannot see."""

from __future__ import annotations

from cjledger.commands import state, waiting
from cjledger.commands.descriptions import awaited
from cjledger.errors import CjError
from cjledger.model import Manifest
from cjledger.project import Project, Target


def why_here(project: Project, manifest: Manifest) -> str:
    """Why a package must not be sent yet: what it waits for its cluster cannot see. Empty when it may be.

    Raises CjError when it never may.
    """
    possible, why = look(project, manifest)
    if not possible:
        raise CjError(
            f"what it waits for did not come true: {why}", "git cj retry of that, then git cj submit"
        )
    return why


def look(project: Project, manifest: Manifest) -> tuple[bool, str]:
    """Whether what a package waits for can still come, and what it is; nothing when it has come."""
    whys = []
    for after in manifest.after:
        if after.cluster == manifest.cluster and state.is_on_cluster(project, after.package):
            continue  # the cluster's business
        words = f"it waits for {awaited(after)}, on {after.cluster}"
        if waiting.why(project, after.package) is not None:
            whys.append(words)
            continue
        found, _ = state.state(project, Target(after.package))
        left = found.tasks - found.counts.get("COMPLETED", 0)
        if not found.final:
            whys.append(words)
        elif left and after.when == "ok":
            what = "1 of its tasks" if left == 1 else f"{left} of its tasks"
            return False, f"{after.package[:12]} did not complete {what}"
    return True, "; ".join(whys)
