"""The ledger: an append-only chain of commits for each installation.

Each entry's parent is the entry before it, so history cannot be edited unseen. Appending is a
compare-and-swap on the chain's ref; who loses the race reads the new tip and appends after it.
"""

from __future__ import annotations

import heapq
import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from cjledger import gitrepo
from cjledger.agent import agent as agent
from cjledger.agent import draw
from cjledger.entry import Entry as Entry
from cjledger.entry import parse
from cjledger.errors import CjError
from cjledger.gitpack import Pack, Person
from cjledger.gitrepo import GitError, RefMove, Repo
from cjledger.wholefiles import write_whole
from cjnode.vocabulary import PACKAGES

CHAINS = "refs/cj/ledger/"
_FORMAT = "--format=%H%x1f%P%x1f%cI%x1f%B%x00"
_ATTEMPTS = 50


def rename(repo: Repo) -> str:
    """Give this installation another name, under which its chain goes on. Returns the name.

    For a clone that was copied: two that write under one name would each undo the other's chain.
    """
    old, new = agent(repo), draw(repo)
    tip_now = gitrepo.ref_value(repo, CHAINS + old)
    if tip_now:
        moves = [RefMove(CHAINS + new, tip_now, repo.zero), RefMove(CHAINS + old, repo.zero, tip_now)]
        gitrepo.move_refs(repo, moves, f"cj: {old} is {new} from now on")
        lines = [[new if word == old else word for word in line] for line in _anchor_lines(repo)]
        write_whole(anchors(repo), "".join(f"{' '.join(line)}\n" for line in lines).encode())
    return new


def chains(repo: Repo) -> dict[str, str]:
    """The tip of each agent's chain."""
    return {name.removeprefix(CHAINS): tip for name, tip in gitrepo.refs(repo, CHAINS).items()}


def tip(repo: Repo, name: str) -> Entry | None:
    """The newest entry of an agent. Raises CjError when the chain's tip is none."""
    return next((_read(raw, name) for raw in _told(repo, name, "-n1")), None)


def of_package(repo: Repo, name: str, package_id: str) -> Iterator[Entry]:
    """An agent's entries about one package, newest first."""
    return entries(repo, name, only=("--fixed-strings", f"--grep=Cj-Package: {package_id}"))


def entries(repo: Repo, name: str, only: Sequence[str] = ()) -> Iterator[Entry]:
    """An agent's entries, newest first; ``only`` narrows as ``git log`` does.

    A commit that is no entry is left out: one bad line must not hide all others. Fsck names it.
    """
    for raw in _told(repo, name, *only):
        try:
            yield parse(raw, name)
        except ValueError:
            continue


def checked(repo: Repo, name: str) -> tuple[list[Entry], list[str]]:
    """An agent's entries, newest first, and what is wrong with the commits of its chain that are none."""
    found: list[Entry] = []
    wrong: list[str] = []
    for raw in _told(repo, name):
        try:
            found.append(_read(raw, name))
        except CjError as problem:
            wrong.append(problem.message)
    return found, wrong


def entry_at(repo: Repo, name: str, commit: str) -> Entry:
    """The entry that a commit is. Raises CjError when it is none."""
    out = gitrepo.run(repo, "log", "--no-show-signature", "-n1", _FORMAT, commit, "--")
    return _read(next(_pieces(out)), name)


def read_chain(repo: Repo, name: str, newest: str, before: str | None) -> list[Entry]:
    """The entries that lead from ``before`` (None: from the beginning) to a commit, newest first.

    Raises CjError when one is no entry.
    """
    known = (f"^{before}",) if before else ()
    out = gitrepo.run(repo, "log", "--no-show-signature", _FORMAT, newest, *known, "--")
    return [_read(raw, name) for raw in _pieces(out)]


def _told(repo: Repo, name: str, *words: str) -> Iterator[str]:
    """The commits of an agent's chain as git tells them, newest first."""
    # 128: no chain yet, which costs no question of its own.
    try:
        out = gitrepo.run(repo, "log", "--no-show-signature", *words, _FORMAT, CHAINS + name, "--")
    except GitError:
        if gitrepo.ref_value(repo, CHAINS + name) is not None:
            raise
        return
    yield from _pieces(out)


def _pieces(out: bytes) -> Iterator[str]:
    return (raw.lstrip("\n") for raw in out.decode(errors="replace").split("\0") if raw.strip())


def _read(raw: str, name: str) -> Entry:
    try:
        return parse(raw, name)
    except ValueError as problem:
        raise CjError(
            f"{raw[:12]} in {CHAINS}{name} is not a ledger entry: {problem}", "git cj fsck"
        ) from None


def all_entries(repo: Repo) -> list[Entry]:
    """Every agent's entries merged, newest first."""
    told = [_timed(list(entries(repo, name))) for name in sorted(chains(repo))]
    merged = (entry for _, entry in heapq.merge(*told, key=lambda pair: pair[0], reverse=True))
    # Two chains have their beginning in common where an installation took another name.
    return list({entry.id: entry for entry in merged}.values())


def _timed(chain: list[Entry]) -> list[tuple[datetime, Entry]]:
    """A chain with times that keep its order: whoever set a clock back was not there before."""
    found: list[tuple[datetime, Entry]] = []
    for entry in reversed(chain):
        when = datetime.fromisoformat(entry.when)
        found.append((max(when, found[-1][0]) if found else when, entry))
    return found[::-1]


def append(
    repo: Repo,
    event: str,
    package_id: str,
    subject: str,
    data: dict[str, Any],
    also: Callable[[], Sequence[RefMove]] = tuple,
    after: Entry | None = None,
    pack: Pack | None = None,
) -> Entry:
    """Append one event; ``also`` names refs that must move in the same transaction.

    ``also`` is asked anew at each try. ``after`` is an entry of ours that probably is the tip still, which
    saves looking; ``pack`` has objects that must be there before the refs move. Raises CjError when the
    refs cannot move together.
    """
    name = agent(repo)
    pack = pack or Pack(repo)
    for _ in range(_ATTEMPTS):
        before, after = after or tip(repo, name), None
        sequence = before.sequence + 1 if before else 1
        last = package_id if event == "launched" else before.last if before else package_id
        body = (
            f"{subject}\n\nCj-Event: {event}\nCj-Package: {package_id}\nCj-Sequence: {sequence}\n"
            f"Cj-Last: {last}\nCj-Data: {json.dumps(data, ensure_ascii=True)}\n"
        )
        parents = (before.id,) if before else ()
        commit = pack.commit(pack.tree({}), parents, Person(name, f"{name}@cj.invalid"), body)
        pack.write()
        move = RefMove(CHAINS + name, commit, before.id if before else repo.zero)
        if gitrepo.move_refs(repo, [*also(), move], f"cj: {event}"):
            _anchor(repo, name, sequence, commit)
            return Entry(commit, parents, "", name, event, package_id, sequence, last, data)
    raise CjError(f"the ledger of {name} kept moving for {_ATTEMPTS} tries", "run the command again")


def _anchor(repo: Repo, name: str, sequence: int, commit: str) -> None:
    """Note the tip outside git, so that a chain rewritten as a whole is noticed by fsck."""
    with anchors(repo).open("a") as file:
        file.write(f"{name} {sequence} {commit}\n")


def anchors(repo: Repo) -> Path:
    """The file of tips: ``agent sequence commit`` a line, appended."""
    return repo.cj_dir / "anchors"


def likely_tip(repo: Repo) -> Entry | None:
    """What was appended last by the anchors, without asking git: enough to launch after, if it still is."""
    name = agent(repo)
    noted = list(_anchored(repo, name))
    if not noted:
        return None
    sequence, commit = noted[-1]
    return Entry(commit, (), "", name, "", "", sequence, "", {})


def last_package(repo: Repo, before: int = 0) -> str | None:
    """Of the packages launched by this installation that are still here the last, or so many before it."""
    newest = tip(repo, agent(repo))
    if newest is None:
        return None
    if not before and gitrepo.ref_value(repo, PACKAGES + newest.last):
        return newest.last
    here = (
        entry.package_id
        for entry in entries(repo, newest.agent)
        if entry.event == "launched" and gitrepo.ref_value(repo, PACKAGES + entry.package_id)
    )
    return next(itertools.islice(here, before, None), None)


def breaks(repo: Repo, name: str, chain: Sequence[Entry]) -> Iterator[str]:
    """What is wrong with a chain (newest first): gaps, foreign links, a tip older than the anchors say."""
    yield from links(chain)
    by_number = {entry.sequence: entry.id for entry in chain}
    for number, commit in _anchored(repo, name):
        if by_number.get(number) != commit:
            yield f"entry {number} was {commit[:12]}: it was removed or rewritten"


def links(chain: Sequence[Entry], before: Entry | None = None) -> Iterator[str]:
    """What is wrong with entries (newest first) that go on from ``before``: gaps and merges. Pure."""
    for entry, earlier in zip(chain, [*chain[1:], before], strict=True):
        expected = earlier.sequence + 1 if earlier else 1
        if entry.sequence != expected:
            yield f"entry {entry.id[:12]} has number {entry.sequence} where {expected} belongs"
        if len(entry.parents) > 1:
            yield f"entry {entry.id[:12]} is a merge"


def note_tip(repo: Repo, newest: Entry) -> None:
    """Note the tip of a chain that came from elsewhere, as those of our own are noted."""
    repo.cj_dir.mkdir(parents=True, exist_ok=True)
    _anchor(repo, newest.agent, newest.sequence, newest.id)


def lost_chains(repo: Repo) -> Iterator[str]:
    """What is wrong with chains that are noted but have no ref any more, and how to bring them back."""
    there = chains(repo)
    for name in sorted({line[0] for line in _anchor_lines(repo)} - set(there)):
        number, commit = max((int(line[1]), line[2]) for line in _anchor_lines(repo) if line[0] == name)
        yield (
            f"the chain {name} had {number} entries and its ref is gone or broken: "
            f"rm -f '{repo.common_dir}/{CHAINS}{name}'; git update-ref {CHAINS}{name} {commit}"
        )


def _anchored(repo: Repo, name: str) -> Iterator[tuple[int, str]]:
    return ((int(number), commit) for owner, number, commit in _anchor_lines(repo) if owner == name)


def _anchor_lines(repo: Repo) -> list[list[str]]:
    """The noted tips; a last line that was cut off is none."""
    try:
        lines = [line.split() for line in anchors(repo).read_text().splitlines()]
    except FileNotFoundError:
        return []
    whole = len(repo.zero)
    return [line for line in lines if len(line) == 3 and line[1].isdigit() and len(line[2]) == whole]
