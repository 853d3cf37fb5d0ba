"""An experiment in several packages: what was linked, and what was added later."""

from __future__ import annotations

from collections.abc import Sequence

from cjledger import gitrepo, ledger, package
from cjledger.project import Project, Target
from cjnode.points import parse_tasks


def children(project: Project, package_id: str) -> list[str]:
    """The packages that extend one, oldest first."""
    pattern = ("--fixed-strings", f'--grep="extends": "{package_id}"')
    found = [
        entry
        for name in ledger.chains(project.repo)
        for entry in ledger.entries(project.repo, name, only=pattern)
        if entry.event == "launched" and gitrepo.ref_value(project.repo, package.ref(entry.package_id))
    ]
    return [entry.package_id for entry in sorted(found, key=lambda entry: (entry.when, entry.sequence))]


def members(project: Project, targets: Sequence[Target]) -> list[Target]:
    """The targets, each whole package followed by what is linked to it and what extends it."""
    found: dict[str, Target] = {}
    waiting = list(targets)
    while waiting:
        target = waiting.pop(0)
        if target.package_id in found:
            continue
        found[target.package_id] = target
        if target.tasks is not None:
            continue
        for link in package.read_manifest(project.repo, target.package_id).linked:
            if gitrepo.ref_value(project.repo, package.ref(link.package)):
                waiting.append(Target(link.package, tuple(parse_tasks(link.tasks))))
        waiting += [Target(child) for child in children(project, target.package_id)]
    return list(found.values())
