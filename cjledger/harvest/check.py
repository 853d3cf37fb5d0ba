"""What ``fsck`` asks about a package's results."""

from __future__ import annotations

from pathlib import Path

from cjledger import gitrepo
from cjledger.errors import CjError
from cjledger.gitrepo import Repo
from cjledger.harvest.manifest import Results, Shard
from cjledger.harvest.store import BLOB_BYTES, blob, damage, fault, results_ref, shard_path
from cjledger.shards import parquet


def verify(repo: Repo, package_id: str, results: Results) -> list[str]:
    """Every shard of the manifest against its hash, rows and pages, in git and as a copy."""
    tip = gitrepo.ref_value(repo, results_ref(package_id))
    problems: list[str] = []
    inside = _names(repo, tip) if tip else set()
    for shard in results.shards:
        label = (
            f"shard {shard.name[:12]} of package {package_id[:12]} (table {shard.table}, tasks {shard.tasks})"
        )
        problems += [f"{label}: {why}" for why in _about(repo, tip, shard, shard.name in inside)]
    known = {shard.name for shard in results.shards}
    problems += [
        f"results of package {package_id[:12]}: {name} is in the tree and not in the manifest"
        for name in sorted(inside - known)
    ]
    return problems


def _names(repo: Repo, tip: str) -> set[str]:
    try:
        listing = gitrepo.text(repo, "ls-tree", "--name-only", "-z", tip, "shards/")
    except CjError:
        return set()
    return {name.removeprefix("shards/") for name in listing.split("\0") if name}


def _about(repo: Repo, tip: str | None, shard: Shard, inside: bool) -> list[str]:
    path = shard_path(repo, shard)
    wrong = damage(path, shard)
    content: bytes | None = None
    found = [f"the copy {path}: {wrong}"] if wrong and wrong != "missing" else []
    if shard.bytes <= BLOB_BYTES and not inside:
        found.append("not in the results' tree")
    elif inside and tip and (content := blob(repo, tip, shard)) is None:
        found.append("its bytes in git are not those of its name")
    elif wrong == "missing" and not inside:
        found.append(f"the copy {path} is missing, and git does not have it")
    return found + _within(content if wrong else path, shard)


def _within(content: Path | bytes | None, shard: Shard) -> list[str]:
    """What is wrong inside a shard that has the bytes of its name."""
    if content is None:
        return []
    unfit = fault(content, shard)
    if unfit:
        return [unfit]  # and it is not read: it may be of any size
    try:
        parquet.check(content)
    except parquet.ParseError as problem:
        return [str(problem)]
    return []
