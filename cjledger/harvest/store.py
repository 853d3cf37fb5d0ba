"""Harvest commits and the shard copies beside them. Nothing heavy is imported here."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path

from cjledger import gitrepo
from cjledger.gitrepo import Repo
from cjledger.harvest.manifest import RECORDS, Results, Shard, from_bytes, to_bytes
from cjledger.wholefiles import write_whole
from cjnode.package.points import spans as task_spans

BLOB_BYTES = 50 * 1000 * 1000  # a larger shard stays beside the repository: hosts refuse 100 MB
_NAME = "git cj"
_IDENTITY = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", _NAME), ("EMAIL", "git-cj@localhost"))
}


def results_ref(package_id: str) -> str:
    """The ref whose tip is the newest harvest."""
    return f"refs/cj/results/{package_id}"


def shard_path(repo: Repo, shard: Shard) -> Path:
    """Where the copy for reading lies."""
    return repo.cj_dir / "shards" / shard.name


def load(repo: Repo, package_id: str) -> tuple[str | None, Results]:
    """The tip of the results ref and its manifest; None and no results before the first harvest."""
    tip = gitrepo.ref_value(repo, results_ref(package_id))
    if tip is None:
        return None, Results(package_id)
    data = next(gitrepo.read_blobs(repo, [f"{tip}:manifest.json"]))
    return tip, from_bytes(data or b"", package_id)


def commit(
    repo: Repo,
    package_id: str,
    before_commit: str | None,
    results: Results,
    shards: Sequence[tuple[Shard, bytes]],
) -> str:
    """Write copies, blobs, tree and commit; no ref moves. Repeating it costs nothing and harms nothing."""
    for shard, data in shards:
        write_copy(shard_path(repo, shard), data)
    kept = [shard for shard, _ in shards if shard.bytes <= BLOB_BYTES]
    blobs = _write_blobs(repo, [shard_path(repo, shard) for shard in kept])
    entries = _entries(repo, before_commit)
    entries.update((shard.name, blob) for shard, blob in zip(kept, blobs, strict=True))
    tree = _tree(repo, entries, results)
    parent = ("-p", before_commit) if before_commit else ()
    subject = f"Harvest {results.harvest} of {package_id[:12]}: {sum(s.rows for s, _ in shards)} rows"
    return _object(repo, "commit-tree", *parent, tree, stdin=subject.encode(), env=_IDENTITY)


def commit_union(repo: Repo, package_id: str, parents: Sequence[str], results: Results) -> str:
    """Write a commit that unites harvests; no ref moves. The same parents give the same commit."""
    entries: dict[str, str] = {}
    for parent in parents:
        entries |= _entries(repo, parent)
    when = max(gitrepo.text(repo, "show", "-s", "--format=%ct", *parents).split(), key=int)
    dates = dict.fromkeys(("GIT_AUTHOR_DATE", "GIT_COMMITTER_DATE"), f"@{when} +0000")
    subject = f"Harvest {results.harvest} of {package_id[:12]}: unites {len(parents)} machines' harvests"
    words = [word for parent in parents for word in ("-p", parent)]
    tree = _tree(repo, entries, results)
    return _object(repo, "commit-tree", *words, tree, stdin=subject.encode(), env={**_IDENTITY, **dates})


def _tree(repo: Repo, entries: Mapping[str, str], results: Results) -> str:
    lines = [f"100644 blob {entries[name]}\t{name}\n" for name in sorted(entries)]
    folder = _object(repo, "mktree", stdin="".join(lines).encode())
    manifest = _object(repo, "hash-object", "-w", "--stdin", stdin=to_bytes(results))
    top = [f"100644 blob {manifest}\tmanifest.json\n"]
    if entries:
        top.append(f"040000 tree {folder}\tshards\n")
    return _object(repo, "mktree", stdin="".join(top).encode())


def _object(repo: Repo, *arguments: str, stdin: bytes, env: dict[str, str] | None = None) -> str:
    return gitrepo.run(repo, *arguments, stdin=stdin, env=env).decode().strip()


def _write_blobs(repo: Repo, paths: Sequence[Path]) -> list[str]:
    if not paths:
        return []
    # Shards are compressed already: git's own compression would take most of the harvest's time.
    loose = ("-c", "core.looseCompression=0", "-c", "core.compression=0")
    if any("\n" in str(path) for path in paths):
        return [
            _object(repo, *loose, "hash-object", "-w", "--stdin", stdin=path.read_bytes()) for path in paths
        ]
    lines = "".join(f"{path}\n" for path in paths).encode(errors="surrogateescape")
    return (
        gitrepo.run(repo, *loose, "hash-object", "-w", "--no-filters", "--stdin-paths", stdin=lines)
        .decode()
        .split()
    )


def _entries(repo: Repo, commit_id: str | None) -> dict[str, str]:
    """The shards of a harvest commit, name to blob."""
    if commit_id is None:
        return {}
    listing = gitrepo.text(repo, "ls-tree", "-r", commit_id, "shards/")
    lines = (line.split("\t", 1) for line in listing.splitlines())
    return {path.removeprefix("shards/"): about.split(" ")[2] for about, path in lines}


def write_copy(path: Path, data: bytes) -> None:
    """Write a shard's copy so that it is there whole or not at all, also after a power cut."""
    write_whole(path, data)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def readable(
    repo: Repo, package_id: str, commit_id: str | None, shards: Sequence[Shard]
) -> tuple[dict[Shard, Path], list[str]]:
    """The shards whose copies have their SHA-256 and fit the manifest, and what is wrong with the others.

    A copy that is missing or damaged is made again from the harvest commit when that has the shard.
    """
    paths: dict[Shard, Path] = {}
    problems: list[str] = []
    lost = {shard: why for shard in shards if (why := damage(shard_path(repo, shard), shard))}
    restored = dict(_restored(repo, commit_id, list(lost)))
    for shard in shards:
        path = shard_path(repo, shard)
        why = lost[shard] if shard in lost and shard not in restored else fault(path, shard)
        if why:
            about = f"table {shard.table}, tasks {shard.tasks:.60}, harvest {shard.harvest}"
            problems.append(f"shard {shard.name[:12]} of package {package_id[:12]} ({about}): {why}")
        else:
            paths[shard] = path
    return paths, problems


def fault(content: Path | bytes, shard: Shard) -> str:
    """Why a shard that has the bytes of its name is not the table that the manifest says."""
    from cjledger.shards import footer  # pyarrow, for those who go on to read the rows

    spans = task_spans(shard.tasks) if shard.tasks else ()
    return footer.fault(content, shard.table == RECORDS, shard.rows, sorted(spans))


def damage(path: Path, shard: Shard) -> str:
    """What is wrong with a shard's copy; nothing when its bytes are those of its name."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return "missing"
    except OSError as problem:
        return f"unreadable: {problem.strerror}"
    if len(data) != shard.bytes:
        return f"{len(data)} bytes, not {shard.bytes}"
    return "" if f"{sha256(data).hexdigest()}.parquet" == shard.name else "its bytes have changed"


def _restored(repo: Repo, commit_id: str | None, shards: Sequence[Shard]) -> Iterator[tuple[Shard, Path]]:
    if not commit_id or not shards:
        return
    for shard in shards:  # one at a time: a shard may have 50 MB
        data = blob(repo, commit_id, shard)
        if data is not None:
            path = shard_path(repo, shard)
            write_copy(path, data)
            yield shard, path


def blob(repo: Repo, commit_id: str, shard: Shard) -> bytes | None:
    """A shard's bytes from the harvest commit when they are there and whole."""
    try:
        data = next(gitrepo.read_blobs(repo, [f"{commit_id}:shards/{shard.name}"]))
    except (gitrepo.GitError, ValueError):
        return None  # git found its own object damaged
    if data is None or f"{sha256(data).hexdigest()}.parquet" != shard.name:
        return None
    return data
