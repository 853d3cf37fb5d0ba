"""Clean: end a package, bring small outputs home and free its cluster's files; say before what that loses."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass

from cjledger import gitrepo, ledger, package
from cjledger.cluster import replies
from cjledger.commands import control, family, harvest, others, state, waiting
from cjledger.gitrepo import RefMove
from cjledger.harvest.outputs import Output
from cjledger.project import Project, Target, runs_after, transport
from cjnode.vocabulary import FINAL_STATES

Announce = Callable[[str], None]


@dataclass(frozen=True)
class Cleaned:
    """What a clean freed, and what of the package's outputs is now nowhere."""

    package_id: str
    freed: int
    lost: tuple[str, ...]


def at_stake(project: Project, target: Target, *, forget: bool) -> list[str]:
    """In words, what a clean would end or lose for good; brings home what it would bring home."""
    after = runs_after(project, target.package_id)
    found = at_stake(project, Target(after), forget=forget) if after else []
    there = _is_to_free(project, target, forget)
    if there or waiting.why(project, target.package_id) is not None:
        now, _ = state.state(project, target)
        ended = sum(now.counts.get(name, 0) for name in FINAL_STATES)
        if not now.final:
            tasks = "1 task" if now.tasks - ended == 1 else f"{now.tasks - ended} tasks"
            found.append(f"{tasks} of {target.short}, not at an end yet")
    if there:
        found += [f"{_words(output)}, which is on the cluster alone" for output in _away(project, target)]
    return found + (_forgotten(project, target) if forget else [])


def clean(project: Project, target: Target, *, forget: bool, announce: Announce) -> Cleaned:
    """End what runs, bring small outputs home, and free the cluster's files.

    The package, its shards and the ledger stay; with ``forget`` package and shards go too.
    """
    lost: list[str] = []
    freed = 0
    after = runs_after(project, target.package_id)
    if after:
        # First: it would begin when the other one is gone.
        also = clean(project, Target(after), forget=forget, announce=announce)
        lost, freed = list(also.lost), also.freed
    if _is_to_free(project, target, forget):
        nowhere, size = _free(project, target, announce)
        lost, freed = lost + nowhere, freed + size
    elif not forget and not control.was_sent(project, target.package_id):
        control.cancel(project, target)
    if forget:
        lost += _forgotten(project, target)
    event = "forgotten" if forget else "cleaned"
    ledger.append(
        project.repo,
        event,
        target.package_id,
        f"{event} {target.short}",
        {"freed": freed, "lost": lost[:100]},
        also=lambda: _drop(project, target.package_id) if forget else (),
    )
    if forget:
        state.forget(project, target.package_id)
        shutil.rmtree(project.repo.cj_dir / "points" / target.package_id, ignore_errors=True)
    return Cleaned(target.package_id, freed, tuple(lost))


def _is_to_free(project: Project, target: Target, forget: bool) -> bool:
    """Whether the package has files on its cluster. Refuses one that cannot be asked, unless to forget it."""
    manifest = package.read_manifest(project.repo, target.package_id)
    if not forget:
        others.check_reachable(project, target, manifest)
    elif others.is_unreachable(project, target.package_id, manifest):
        return False
    return state.is_on_cluster(project, target.package_id)


def _free(project: Project, target: Target, announce: Announce) -> tuple[list[str], int]:
    """Free the cluster's files; what only they had, in words, and how many bytes that freed."""
    manifest = package.read_manifest(project.repo, target.package_id)
    found, _ = state.state(project, target)
    if not found.final:
        announce(f"ending what runs of {target.short}")
        control.cancel(project, target)
        for _ in state.follow(project, target):
            pass
    lost = [f"{_words(output)}, which was on the cluster alone" for output in _away(project, target)]
    state.state(project, target, tasks=True)  # the last chance to learn it: kept from here on
    reply = replies.one(transport(project, manifest).call("clean", {"package": target.package_id}), "clean")
    return lost, replies.count(reply, "freed")


def _away(project: Project, target: Target) -> list[Output]:
    """The outputs that are too large to be at home; harvests first."""
    return [output for output in harvest.outputs(project, target) if output.content is None]


def _words(output: Output) -> str:
    return f"task {output.task}: {output.path} ({output.size} bytes)"


def _forgotten(project: Project, target: Target) -> list[str]:
    """In words, what goes with a package: other packages are read with its rows."""
    first = package.read_manifest(project.repo, target.package_id).then_of
    which = f", which runs after {first.package[:12]}" if first else ""
    named = f"package {target.short}{which}: its code, parameters and harvested rows"
    return [named, *family.dependents(project, target.package_id).values()]


def _drop(project: Project, package_id: str) -> list[RefMove]:
    names = (package.ref(package_id), f"refs/cj/results/{package_id}")
    values = {name: gitrepo.ref_value(project.repo, name) for name in names}
    return [RefMove(name, project.repo.zero, value) for name, value in values.items() if value]
