"""Fsck: every package, ledger chain and shard against its hash."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from cjledger import gitrepo, gitstore, ledger, package
from cjledger.cluster.outbox import outbox
from cjledger.commands import family
from cjledger.errors import CjError
from cjledger.harvest import store
from cjledger.harvest.check import verify
from cjledger.model import Manifest
from cjledger.project import Project, package_points
from cjnode.vocabulary import PACKAGES


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: ``kind`` is package, ledger or shard; ``where`` names it."""

    kind: str
    where: str
    what: str


@dataclass(frozen=True)
class Report:
    """How much was checked, and what is wrong."""

    packages: int
    entries: int
    shards: int
    problems: tuple[Problem, ...]


def fsck(project: Project, package_id: str | None = None) -> Report:
    """Check all packages (or one), their shards, and all ledger chains."""
    refs = gitrepo.refs(project.repo, PACKAGES)
    ids = [name.removeprefix(PACKAGES) for name in refs]
    chosen = [found for found in ids if package_id in (None, found)]
    problems = list(_packages(project, chosen, refs))
    count, ledger_problems = _ledgers(project, set(ids))
    problems += ledger_problems
    shards = 0
    for found in chosen:
        try:
            _, results = store.load(project.repo, found)
        except CjError as problem:
            problems.append(Problem("shard", found[:12], problem.message))
            continue
        wrong = verify(project.repo, found, results)
        shards += len(results.shards)
        problems += [Problem("shard", found[:12], words) for words in wrong]
    return Report(len(chosen), count, shards, tuple(problems))


def _packages(project: Project, ids: list[str], refs: dict[str, str]) -> Iterator[Problem]:
    for found in ids:
        if refs[package.ref(found)] != found:
            yield Problem("package", found[:12], f"its ref points at {refs[package.ref(found)][:12]}")
    if project.repo.hash_name == "sha1":
        for found, words in gitstore.damaged(outbox(project.repo), ids):
            yield Problem("package", found[:12], words)
    else:  # libgit2 reads no SHA-256 repositories: git itself checks
        yield from _by_git(project, ids)
    for found in ids:
        try:
            manifest = package.read_manifest(project.repo, found)
        except CjError as problem:
            yield Problem("package", found[:12], problem.message)
        else:
            for words in [*family.gone(project, found, manifest), *_points(project, found, manifest)]:
                yield Problem("package", found[:12], words)


def _points(project: Project, package_id: str, manifest: Manifest) -> list[str]:
    """What is wrong with the points that a package lists, one of each that is repeated."""
    tasks = range(1, manifest.tasks + 1, manifest.sweep.repeat)
    try:
        if manifest.sweep.explicit:
            deque(package_points(project.repo, package_id, manifest.sweep, tasks), maxlen=0)
    except CjError as problem:
        return [problem.message]
    return []


def _by_git(project: Project, ids: list[str]) -> Iterator[Problem]:
    for found in ids:
        try:
            objects = gitrepo.run(project.repo, "rev-list", "--objects", "--no-object-names", found)
            gitrepo.run(project.repo, "cat-file", "--batch", stdin=objects)
        except gitrepo.GitError as problem:
            yield Problem("package", found[:12], problem.message)


def _ledgers(project: Project, ids: set[str]) -> tuple[int, list[Problem]]:
    problems = [Problem("ledger", words.split()[2], words) for words in ledger.lost_chains(project.repo)]
    known: set[str] = set()
    gone: set[str] = set()
    count = 0
    for name in ledger.chains(project.repo):
        try:
            chain, wrong = ledger.checked(project.repo, name)
        except CjError as problem:
            problems.append(Problem("ledger", name, problem.message))
            continue
        count += len(chain)
        known |= {entry.package_id for entry in chain if entry.event == "launched"}
        known |= {str(entry.data["then"]) for entry in chain if entry.data.get("then")}
        gone |= {entry.package_id for entry in chain if entry.event == "forgotten"}
        # Where an entry cannot be read its number is missing too.
        wrong = wrong or list(ledger.breaks(project.repo, name, chain))
        problems += [Problem("ledger", name, words) for words in wrong]
    problems += [
        Problem("ledger", found[:12], "the package has no entry in any ledger")
        for found in sorted(ids - known)
    ]
    problems += [
        Problem("package", lost[:12], "it was launched and not forgotten, but its ref is gone")
        for lost in sorted(known - ids - gone)
    ]
    return count, problems
