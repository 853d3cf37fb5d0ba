"""Sync: share packages, results and ledgers with a group by an ordinary git remote.

Packages are only added. A ledger's chain has one writer, so it only grows. Two machines' harvests of one
package are united. So nothing conflicts, nothing is forced and nothing deleted; interrupted anywhere, the
next sync goes on.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from cjledger import gitrepo, ledger, package, remote
from cjledger.commands import others, state
from cjledger.commands.chains import Refs, contains, keep_own, note_seen, notice_rewinding, of, taken
from cjledger.commands.harvest import alone
from cjledger.errors import CjError
from cjledger.gitrepo import RefMove, Repo
from cjledger.harvest import union
from cjledger.project import Project
from cjledger.remote import KINDS, Remote
from cjnode.vocabulary import is_package_id

PACKAGES, RESULTS, LEDGER = KINDS
_WORDS = {PACKAGES: "packages", RESULTS: "results", LEDGER: "ledgers"}
_TRIES = 10
_AGENT = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")


@dataclass(frozen=True)
class Synced:
    """How many references of each kind came and went, and what was refused and why."""

    remote: str
    brought: dict[str, int]
    sent: dict[str, int]
    refused: tuple[str, ...]


def _nothing() -> dict[str, int]:
    return dict.fromkeys(_WORDS.values(), 0)


@dataclass(frozen=True)
class _Tally:
    brought: dict[str, int] = field(default_factory=_nothing)
    sent: dict[str, int] = field(default_factory=_nothing)
    refused: dict[str, None] = field(default_factory=dict)  # each once, in order

    def refuse(self, words: str) -> None:
        self.refused[words] = None


def sync(project: Project, name: str | None) -> Synced:
    """Bring what the others have, send what they lack. Raises CjError when the remote takes nothing."""
    where = remote.choose(project.repo, name)
    tally = _Tally()
    for _ in range(_TRIES):
        remote.unstage(project.repo)
        there = remote.listing(project.repo, where)
        notice_rewinding(project.repo, where, there, tally.refuse)
        is_done = _bring(project, where, there, tally) and _send(project.repo, where, there, tally)
        remote.unstage(project.repo)
        if is_done:
            return Synced(where.name, tally.brought, tally.sent, tuple(tally.refused))
    raise CjError(f"{where.name} kept changing for {_TRIES} tries", f"git cj sync {where.name}")


def _bring(project: Project, where: Remote, there: Refs, tally: _Tally) -> bool:
    """Take over what is new there; False when something here moved meanwhile."""
    keep_own(project.repo, where, there, tally.refuse)
    repo, here = project.repo, _own(project.repo)
    wanted = _wanted(repo, where, there, here, tally)
    came = remote.fetch(repo, where, wanted)
    packages = _packages(repo, where, of(came, PACKAGES), tally)
    known = {ref.removeprefix(PACKAGES) for ref in of(here, PACKAGES)} | {move.new for move in packages}
    chains = taken(repo, where, of(came, LEDGER), here, tally.refuse)
    # In this order, so that a ledger never names what is not here yet.
    if not _move(repo, where, PACKAGES, packages, tally):
        return False
    for ref, value in of(came, RESULTS).items():
        package_id = ref.removeprefix(RESULTS)
        if package_id in known and not _bring_results(project, where, package_id, value, tally):
            return False
    if not _move(repo, where, LEDGER, [move for move, _ in chains], tally):
        return False
    for _, newest in chains:
        ledger.note_tip(repo, newest)
    return True


def _wanted(repo: Repo, where: Remote, there: Refs, here: Refs, tally: _Tally) -> list[str]:
    """What to fetch: whatever is well named, not as it is here, and not forgotten on purpose."""
    gone = _forgotten(repo)
    found = []
    for ref, value in there.items():
        name = ref.rpartition("/")[2]
        if not _is_name(ref):
            tally.refuse(f"{ref} of {where.name} is not named as cjledger names")
        elif here.get(ref) == value or (name in gone and not ref.startswith(LEDGER)):
            continue
        elif ref.startswith(PACKAGES) and name != value:
            tally.refuse(f"{ref} of {where.name} names another commit, {value[:12]}")
        elif not (here.get(ref) and contains(repo, here[ref], value)):
            found.append(ref)
    return found


def _is_name(ref: str) -> bool:
    name = ref.removeprefix(LEDGER)
    if name != ref:
        return bool(_AGENT.fullmatch(name))
    return is_package_id(ref.removeprefix(PACKAGES).removeprefix(RESULTS))


def _forgotten(repo: Repo) -> set[str]:
    """Packages that this installation dropped on purpose, and does not want back."""
    gone: set[str] = set()
    for entry in reversed(list(ledger.entries(repo, ledger.agent(repo)))):
        if entry.event == "forgotten":
            gone.add(entry.package_id)
        elif entry.event == "launched":
            gone.discard(entry.package_id)
    return gone


def _packages(repo: Repo, where: Remote, came: Refs, tally: _Tally) -> list[RefMove]:
    """The packages that are what they should be: named by their hash, without parents, with a manifest."""
    moves = []
    names = "".join(f"{value}\n" for value in came.values()).encode()
    lines = (
        gitrepo.run(repo, "rev-list", "--no-walk=unsorted", "--parents", "--stdin", stdin=names)
        if came
        else b""
    )
    parents = {words[0]: words[1:] for words in (line.split() for line in lines.decode().splitlines())}
    unread = _unread(repo, list(came.values()))
    for ref, value in came.items():
        why = unread.get(value, "")
        if not why and (ref != package.ref(value) or parents.get(value) != []):
            why = "it is no commit without parents of that name"
        if why:
            tally.refuse(f"{ref} of {where.name} is no package: {why}")
        else:
            moves.append(RefMove(ref, value, repo.zero))
    return moves


def _unread(repo: Repo, ids: Sequence[str]) -> dict[str, str]:
    """Those of some commits whose manifests cannot be read, and why; one question where all can."""
    wrong: dict[str, str] = {}
    try:
        package.read_manifests(repo, ids)
    except CjError:
        for package_id in ids:
            try:
                package.read_manifest(repo, package_id)
            except CjError as problem:
                wrong[package_id] = problem.message
    return wrong


def _bring_results(project: Project, where: Remote, package_id: str, came: str, tally: _Tally) -> bool:
    """Take over or unite a package's harvests; False when another harvest was first."""
    repo, ref = project.repo, f"{RESULTS}{package_id}"
    try:
        union.load_at(repo, came, package_id)
    except CjError as problem:
        tally.refuse(f"{ref} of {where.name}: {problem.message}")
        return True
    with alone(project, package_id):
        before = gitrepo.ref_value(repo, ref)
        if before is None or contains(repo, came, before):
            new = came
        elif contains(repo, before, came):
            return True
        else:
            try:
                new, differing = union.merge(repo, package_id, before, came)
            except CjError as problem:
                tally.refuse(f"{ref} of {where.name} is not united with what is here: {problem.message}")
                return True
            for table in differing:
                tally.refuse(f"{table} of {package_id[:12]} was read in two ways: its columns may differ")
        if not _move(repo, where, RESULTS, [RefMove(ref, new, before or repo.zero)], tally):
            return False
    if others.is_elsewhere(project, package_id):
        state.forget(project, package_id)
    return True


def _move(repo: Repo, where: Remote, kind: str, moves: Sequence[RefMove], tally: _Tally) -> bool:
    if moves and not gitrepo.move_refs(repo, moves, f"cj: sync with {where.name}"):
        return False
    tally.brought[_WORDS[kind]] += len(moves)
    return True


def _send(repo: Repo, where: Remote, there: Refs, tally: _Tally) -> bool:
    """Send what the remote lacks; False when somebody else was first, and all is to be looked at again."""
    here = _own(repo)
    lacking = {ref: value for ref, value in here.items() if there.get(ref) != value}
    packages = {ref: value for ref, value in of(lacking, PACKAGES).items() if ref not in there}
    others = {
        ref: value
        for ref, value in lacking.items()
        if not ref.startswith(PACKAGES) and (ref not in there or contains(repo, value, there[ref]))
    }
    known = [value for ref, value in here.items() if ref.startswith(PACKAGES) and there.get(ref) == value]
    chain = [*known[-1:], *packages.values()]
    for values, base in ((packages, chain), (others, ())):
        refused = remote.push(repo, where, values, base)
        for kind in KINDS:
            names = set(of(values, kind)) - {refusal.ref for refusal in refused}
            tally.sent[_WORDS[kind]] += len(names)
        for refusal in refused:
            if not refusal.is_race:
                raise remote.explained(where, refusal)
        if refused:
            return False
    note_seen(repo, where, {**there, **packages, **others})
    return True


def _own(repo: Repo) -> dict[str, str]:
    """What is here to share; a package whose ref names another commit is not (`git cj fsck` tells)."""
    found = gitrepo.refs(repo, "refs/cj/")
    return {ref: value for ref, value in found.items() if ref.startswith(KINDS) and _is_sound(ref, value)}


def _is_sound(ref: str, value: str) -> bool:
    return not ref.startswith(PACKAGES) or ref == package.ref(value)
