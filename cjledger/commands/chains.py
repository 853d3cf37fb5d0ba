"""The ledgers of others: which of a remote's chains are taken over, and what is wrong with the rest."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path

from cjledger import gitrepo, ledger
from cjledger.errors import CjError
from cjledger.gitrepo import RefMove, Repo
from cjledger.ledger import Entry
from cjledger.remote import Remote
from cjledger.wholefiles import write_whole

Refs = Mapping[str, str]
Refuse = Callable[[str], None]
LEDGER = ledger.CHAINS


def of(refs: Refs, kind: str) -> dict[str, str]:
    """The references of one kind."""
    return {ref: value for ref, value in refs.items() if ref.startswith(kind)}


def contains(repo: Repo, descendant: str, ancestor: str) -> bool:
    """Whether a commit of ours has another, which may not be here, in its history."""
    try:
        gitrepo.run(repo, "merge-base", "--is-ancestor", ancestor, descendant)
    except gitrepo.GitError:
        return False
    return True


def keep_own(repo: Repo, where: Remote, there: Refs, refuse: Refuse) -> None:
    """Take another name where somebody else wrote under this installation's: a copied clone, most often."""
    name = ledger.agent(repo)
    value, tip = there.get(LEDGER + name), gitrepo.ref_value(repo, LEDGER + name)
    if value is None or value == tip or (tip and contains(repo, tip, value)):
        return
    new = ledger.rename(repo)
    refuse(
        f"{where.name} has entries of {name} that were not made here, as when a clone was copied: "
        f"what is launched from here is {new}'s from now on"
    )


def taken(repo: Repo, where: Remote, came: Refs, here: Refs, refuse: Refuse) -> list[tuple[RefMove, Entry]]:
    """The chains that go on from what is here, each with its newest entry."""
    moves = []
    for ref, value in came.items():
        name, before = ref.removeprefix(LEDGER), here.get(ref)
        try:
            chain = ledger.read_chain(repo, name, value, before)
            wrong = list(ledger.links(chain, ledger.entry_at(repo, name, before) if before else None))
        except CjError as problem:
            refuse(f"the ledger of {name} on {where.name} is left there: {problem.message}")
            continue
        if before and not contains(repo, value, before):
            wrong = [f"it does not go on from {before[:12]}, which is here: it was rewritten"]
        if wrong:
            refuse(f"the ledger of {name} on {where.name} is left there: {wrong[0]}")
        elif chain:
            moves.append((RefMove(ref, value, before or repo.zero), chain[0]))
    return moves


def notice_rewinding(repo: Repo, where: Remote, there: Refs, refuse: Refuse) -> None:
    """Name chains that had more entries there at the last sync: what is here stays, and is sent again."""
    try:
        seen = dict(json.loads(_seen_path(repo, where).read_bytes()))
    except (OSError, ValueError, TypeError):
        return
    for ref, value in of(seen, LEDGER).items():
        now = there.get(ref)
        if now != value and (now is None or contains(repo, value, now)):
            name = ref.removeprefix(LEDGER)
            refuse(f"{where.name} has lost entries of the ledger of {name} since the last sync")


def note_seen(repo: Repo, where: Remote, refs: Refs) -> None:
    """Keep the tips of the chains as they are there now."""
    write_whole(_seen_path(repo, where), json.dumps({"format": 1, **of(refs, LEDGER)}).encode())


def _seen_path(repo: Repo, where: Remote) -> Path:
    return repo.cj_dir / "synced" / f"{sha256(where.push_url.encode()).hexdigest()[:16]}.json"
