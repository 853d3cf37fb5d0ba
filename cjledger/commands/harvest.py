"""Harvest: bring new outputs home as one more shard, and read the files that tasks left."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from cjledger import ledger, package
from cjledger.cluster import Transport, replies
from cjledger.commands import others, state
from cjledger.errors import CjError
from cjledger.gitrepo import RefMove
from cjledger.harvest import gathering, store
from cjledger.harvest.manifest import RECORDS, Frame, Results
from cjledger.harvest.outputs import Output
from cjledger.harvest.outputs import outputs as read_outputs
from cjledger.harvest.tables import large_tables
from cjledger.model import Manifest
from cjledger.project import Project, Target, check_tasks, package_points, transport
from cjnode.package.points import format_tasks

__all__ = ["Harvested", "Output", "alone", "contents", "digest", "harvest", "outputs"]

Announce = Callable[[str], None]
PULL_BYTES = 256 << 20
FETCH_BYTES = 64 << 20


@dataclass(frozen=True)
class Harvested:
    """What a harvest brought: new records and rows, how many tasks are in, and what is broken."""

    package_id: str
    attempts: int
    rows: int
    tasks_in: int
    tasks: int
    broken: tuple[str, ...]


def harvest(project: Project, target: Target, announce: Announce = lambda line: None) -> Harvested:
    """Bring home what is new. Interrupted or repeated, it neither loses nor doubles a row."""
    manifest = package.read_manifest(project.repo, target.package_id)
    check_tasks(target, manifest.tasks)
    with alone(project, target.package_id):
        tip, before = store.load(project.repo, target.package_id)
        results = before
        if state.is_on_cluster(project, target.package_id) and _has_way(project, target, manifest):
            way = transport(project, manifest)
            more = True
            while more:
                tip, results, more = _once(project, target, manifest, way, tip, results)
    return _report(target, manifest, before, results)


def what_is_home(project: Project, target: Target, announce: Announce = lambda line: None) -> Harvested:
    """As ``harvest``; where the cluster cannot be asked, all that came home of a package at its end."""
    try:
        return harvest(project, target, announce)
    except CjError as problem:
        manifest = package.read_manifest(project.repo, target.package_id)
        check_tasks(target, manifest.tasks)  # that there are no such tasks stands
        seen = state.last_known(project, target.package_id)
        _, results = store.load(project.repo, target.package_id)
        kept = _report(target, manifest, results, results)
        if not (seen and seen.final and kept.tasks_in == kept.tasks):
            raise
        announce(f"as harvested before: {problem.message}")
        return kept


def _has_way(project: Project, target: Target, manifest: Manifest) -> bool:
    """Whether the package's cluster can be asked from here; else others harvest it, and sync."""
    return not others.is_unreachable(project, target.package_id, manifest)


@contextmanager
def alone(project: Project, package_id: str) -> Iterator[None]:
    """Keep other processes of this machine from moving a package's results meanwhile."""
    from filelock import FileLock  # 50 ms of import, for harvests alone

    folder = project.repo.cj_dir / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / f"{package_id}.lock"):
        yield


def _once(
    project: Project, target: Target, manifest: Manifest, way: Transport, tip: str | None, before: Results
) -> tuple[str | None, Results, bool]:
    """One pull, one commit: what memory holds stays bounded, and what is done stays done."""
    request = {
        "package": target.package_id,
        "positions": {block: list(at) for block, at in before.positions.items()},
        "limit": PULL_BYTES,
    }
    more: list[bool] = []
    frames = _frames(way, request, more)
    results, shards = gathering.gather(
        manifest,
        target.package_id,
        lambda tasks: package_points(project.repo, target.package_id, manifest.sweep, tasks),
        before,
        frames,
    )
    if results is before:
        return tip, before, False
    commit = store.commit(project.repo, target.package_id, tip, results, shards)
    rows = sum(shard.rows for shard, _ in shards if shard.table != RECORDS)
    ledger.append(
        project.repo,
        "harvested",
        target.package_id,
        f"harvested {target.short}: {rows} rows",
        {"harvest": results.harvest, "rows": rows, "shards": [shard.name for shard, _ in shards]},
        also=lambda: [RefMove(store.results_ref(target.package_id), commit, tip or project.repo.zero)],
    )
    return commit, results, more == [True]


def _frames(way: Transport, request: dict[str, object], more: list[bool]) -> Iterator[Frame]:
    for frame in way.stream("pull", request):
        head = frame.head
        if "block" not in head:
            more.append(head.get("more") is True)
            continue
        if set(head) != {"block", "records", "data"}:
            raise CjError("the cluster's reply cannot be read", "git cj doctor")
        start, size = head["records"]
        at = size
        pieces = []
        for offset, length in head["data"]:
            pieces.append((offset, frame.payload[at : at + length]))
            at += length
        pulled = Frame(replies.text(head, "block"), frame.payload[:size], start, tuple(pieces))
        yield _with_large_tables(way, str(request["package"]), pulled)


def _with_large_tables(way: Transport, package_id: str, pulled: Frame) -> Frame:
    """The frame with the tables that are too large for ``pull``: their rows are wanted all the same."""
    wanted = large_tables(pulled)
    if not wanted:
        return pulled
    items = [[pulled.block, offset, size] for offset, size in wanted]
    fetched = list(way.stream("fetch", {"package": package_id, "items": items}))
    if len(fetched) != len(wanted):
        raise CjError(f"the cluster sent {len(fetched)} outputs of {len(wanted)}", "git cj doctor")
    pieces = [(offset, frame.payload) for (offset, _), frame in zip(wanted, fetched, strict=True)]
    return replace(pulled, data=(*pulled.data, *pieces))


def _report(target: Target, manifest: Manifest, before: Results, after: Results) -> Harvested:
    new = after.shards[len(before.shards) :]
    return Harvested(
        target.package_id,
        sum(shard.rows for shard in new if shard.table == RECORDS),
        sum(shard.rows for shard in new if shard.table != RECORDS),
        after.count(RECORDS),
        manifest.tasks,
        tuple(f"task {b.task}, attempt {b.attempt}: {b.file}: {b.why}" for b in after.broken),
    )


def outputs(project: Project, target: Target) -> list[Output]:
    """What the last attempt of each task (or of those named) left; harvests first."""
    what_is_home(project, target)
    tip, results = store.load(project.repo, target.package_id)
    shards, problems = store.readable(project.repo, target.package_id, tip, results.of(RECORDS))
    if problems:
        raise CjError("\n".join(problems), f"git cj fsck {target.package_id[:8]}")
    return read_outputs(list(shards.values()), set(target.tasks) if target.tasks else None)


def contents(project: Project, target: Target, wanted: Sequence[Output]) -> Iterator[tuple[Output, bytes]]:
    """The bytes of outputs, verified; large ones come from the cluster."""
    manifest = package.read_manifest(project.repo, target.package_id)
    lost = cleaned(project, target, wanted)
    if lost:
        raise cleaned_away(target, lost)
    for output, content in _brought(project, target, manifest, wanted):
        if hashlib.sha256(content).hexdigest() != output.sha256:
            raise CjError(
                f"task {output.task}: {output.path} is not what the task left: its SHA-256 differs",
                f"git cj rerun {target.package_id[:8]}/{output.task}",
            )
        yield output, content


def cleaned(project: Project, target: Target, wanted: Sequence[Output]) -> list[Output]:
    """Those of the outputs that were on the cluster alone, and were cleaned there."""
    away = [output for output in wanted if output.content is None]
    return away if away and not state.is_on_cluster(project, target.package_id) else []


def cleaned_away(target: Target, lost: Sequence[Output]) -> CjError:
    """What to raise of outputs that were cleaned."""
    tasks: dict[str, list[int]] = {}
    for output in lost:
        tasks.setdefault(output.path, []).append(output.task)
    named = "; ".join(
        f"task{'s' * (len(those) > 1)} {format_tasks(those)}: {path}" for path, those in tasks.items()
    )
    return CjError(
        f"on the cluster alone, and cleaned there: {named}",
        f"git cj submit {target.package_id[:8]}, which runs all its tasks again",
    )


def _brought(
    project: Project, target: Target, manifest: Manifest, wanted: Sequence[Output]
) -> Iterator[tuple[Output, bytes]]:
    """The outputs with their bytes, in the order wanted; those that are on the cluster come in batches."""
    way = transport(project, manifest)
    for batch in _batches(wanted):
        items = [[one.block, one.offset, one.size] for one in batch if one.content is None]
        asked = {"package": target.package_id, "items": items}
        frames = way.stream("fetch", asked) if items else iter(())
        for output in batch:
            frame = next(frames, None) if output.content is None else None
            yield output, output.content or (frame.payload if frame else b"")


def _batches(wanted: Sequence[Output]) -> Iterator[list[Output]]:
    batch: list[Output] = []
    size = 0
    for output in wanted:
        here = 0 if output.content is not None else output.size
        if batch and size + here > FETCH_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(output)
        size += here
    if batch:
        yield batch


def digest(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
