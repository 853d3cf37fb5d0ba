"""An experiment in several packages: what was linked, and what was added later."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cjledger import gitrepo, ledger, package
from cjledger.commands import state
from cjledger.model import Linked, Manifest
from cjledger.project import Project, Target
from cjnode.package.points import parse_tasks
from cjnode.vocabulary import PACKAGES

EXTENDING = ("--fixed-strings", '--grep="extends": "')


def children(project: Project) -> dict[str, list[str]]:
    """The packages that extend others, oldest first, by the package that each extends."""
    entries = [
        (entry, str(entry.data["extends"]))
        for name in ledger.chains(project.repo)
        for entry in ledger.entries(project.repo, name, only=EXTENDING)
        if entry.event == "launched" and "extends" in entry.data
    ]
    here = gitrepo.refs(project.repo, PACKAGES) if entries else {}
    found: dict[str, list[str]] = {}
    for entry, parent in sorted(entries, key=lambda each: (each[0].when, each[0].sequence)):
        if package.ref(entry.package_id) in here:
            found.setdefault(parent, []).append(entry.package_id)
    return found


def members(
    project: Project, targets: Sequence[Target], announce: Callable[[str], None] = lambda line: None
) -> list[Target]:
    """The targets, each whole package followed by what is linked to it and what extends it.

    What is linked and not here any more is announced.
    """
    # In rounds: however many packages there are, each question is asked of git a few times.
    found: dict[str, Target] = {}
    added = children(project)
    waiting = list(targets)
    while waiting:
        whole = []
        for target in waiting:
            before = found.get(target.package_id)
            found[target.package_id] = _united(before, target) if before else target
            if target.tasks is None and (before is None or before.tasks is not None):
                whole.append(target.package_id)
        waiting = _next(project, whole, added, announce)
    return list(found.values())


def tell_parents(project: Project, members: Sequence[Target], announce: Callable[[str], None]) -> None:
    """Tell of those that extend what is not among them: their rows are a part of the experiment's."""
    here = {member.package_id for member in members}
    for package_id, manifest in package.readable_manifests(project.repo, list(here)).items():
        if manifest.extends and manifest.extends not in here:
            first = manifest.extends
            announce(f"{package_id[:12]} adds points to {first[:12]}: name {first[:8]} for the rows of both")


def _united(one: Target, other: Target) -> Target:
    """All that two targets name of one package."""
    if one.tasks is None or other.tasks is None:
        return Target(one.package_id)
    return Target(one.package_id, tuple(sorted({*one.tasks, *other.tasks})))


def dependents(project: Project, package_id: str) -> dict[str, str]:
    """What of a package counts as other packages' that are here, in words by package."""
    found = {}
    for other, manifest in package.readable_manifests(project.repo, state.package_ids(project)).items():
        tasks = ",".join(link.tasks for link in manifest.linked if link.package == package_id)
        if tasks:
            found[other] = f"tasks {tasks}, whose rows count as those of {other[:12]}"
        elif manifest.extends == package_id:
            found[other] = f"the rows that {other[:12]}, which extends it, is read with"
    return found


def gone(project: Project, package_id: str, manifest: Manifest) -> list[str]:
    """In words, the tasks that a package links and that are not here any more."""
    return [_lacks(package_id, link) for link in manifest.linked if not _is_here(project, link)]


def _is_here(project: Project, link: Linked) -> bool:
    return gitrepo.ref_value(project.repo, package.ref(link.package)) is not None


def _lacks(package_id: str, link: Linked) -> str:
    return f"{package_id[:12]} lacks tasks {link.tasks} of {link.package[:12]}, which is not here any more"


def _next(
    project: Project, whole: Sequence[str], added: dict[str, list[str]], announce: Callable[[str], None]
) -> list[Target]:
    """What is linked to packages or extends them."""
    manifests = package.read_manifests(project.repo, whole) if whole else {}
    found = []
    for package_id in whole:
        for link in manifests[package_id].linked:
            if not _is_here(project, link):
                announce(_lacks(package_id, link))
            else:
                found.append(Target(link.package, tuple(parse_tasks(link.tasks))))
        found += [Target(child) for child in added.get(package_id, ())]
    return found
