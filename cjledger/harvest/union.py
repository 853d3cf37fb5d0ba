"""Two machines' harvests of one package as one: every row of both, none of them twice.

Readers take of an attempt that was recorded twice the first (``query.table``), so shards are put one after
the other. The same two harvests give the same commit on every machine.
"""

from __future__ import annotations

from cjledger import gitrepo
from cjledger.gitrepo import Repo
from cjledger.harvest import store
from cjledger.harvest.manifest import Results, from_bytes


def unite(first: Results, second: Results) -> Results:
    """What both have read. Pure.

    A block's records are read from its start, so who read further read all that the other did.
    """
    positions = {
        block: tuple(map(max, first.positions.get(block, (0, 0)), second.positions.get(block, (0, 0))))
        for block in {**first.positions, **second.positions}
    }
    names = {shard.name for shard in first.shards}
    return Results(
        first.package,
        max(first.harvest, second.harvest) + 1,
        {block: (at, data) for block, (at, data) in positions.items()},
        {**second.tables, **first.tables},
        (*first.shards, *(shard for shard in second.shards if shard.name not in names)),
        tuple(sorted({*first.broken, *second.broken})),
    )


def disagreements(first: Results, second: Results) -> list[str]:
    """Tables whose rows the two read by different rules. Pure."""
    both = sorted(set(first.tables) & set(second.tables))
    return [name for name in both if dict(first.tables[name]) != dict(second.tables[name])]


def load_at(repo: Repo, commit: str, package_id: str) -> Results:
    """The results of one harvest commit. Raises CjError when they cannot be read."""
    data = next(gitrepo.read_blobs(repo, [f"{commit}:manifest.json"]))
    return from_bytes(data or b"", package_id)


def merge(repo: Repo, package_id: str, one: str, other: str) -> tuple[str, list[str]]:
    """Commit the union of two harvests; no ref moves. Also returns the tables that were read differently."""
    parents = sorted((one, other))
    first, second = (load_at(repo, commit, package_id) for commit in parents)
    commit = store.commit_union(repo, package_id, parents, unite(first, second))
    return commit, disagreements(first, second)
