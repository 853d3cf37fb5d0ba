"""An experiment in several packages: what was linked, and what was added later."""

from __future__ import annotations

from collections.abc import Sequence

from cjledger import gitrepo, ledger, package
from cjledger.project import Project, Target
from cjnode.points import parse_tasks

EXTENDING = ("--fixed-strings", '--grep="extends": "')


def children(project: Project) -> dict[str, list[str]]:
    """The packages that extend others, oldest first, by the package that each extends."""
    entries = [
        (entry, str(entry.data["extends"]))
        for name in ledger.chains(project.repo)
        for entry in ledger.entries(project.repo, name, only=EXTENDING)
        if entry.event == "launched" and "extends" in entry.data
    ]
    here = gitrepo.refs(project.repo, package.PACKAGES) if entries else {}
    found: dict[str, list[str]] = {}
    for entry, parent in sorted(entries, key=lambda each: (each[0].when, each[0].sequence)):
        if package.ref(entry.package_id) in here:
            found.setdefault(parent, []).append(entry.package_id)
    return found


def members(project: Project, targets: Sequence[Target]) -> list[Target]:
    """The targets, each whole package followed by what is linked to it and what extends it."""
    # In rounds: however many packages there are, each question is asked of git a few times.
    found: dict[str, Target] = {}
    added = children(project)
    waiting = list(targets)
    while waiting:
        fresh: dict[str, Target] = {}
        for target in waiting:
            if target.package_id not in found:
                fresh.setdefault(target.package_id, target)
        found.update(fresh)
        whole = [target.package_id for target in fresh.values() if target.tasks is None]
        waiting = _next(project, whole, added)
    return list(found.values())


def _next(project: Project, whole: Sequence[str], added: dict[str, list[str]]) -> list[Target]:
    """What is linked to packages or extends them."""
    manifests = package.read_manifests(project.repo, whole) if whole else {}
    found = []
    for package_id in whole:
        for link in manifests[package_id].linked:
            if gitrepo.ref_value(project.repo, package.ref(link.package)):
                found.append(Target(link.package, tuple(parse_tasks(link.tasks))))
        found += [Target(child) for child in added.get(package_id, ())]
    return found
