"""Leave out of a launch what the ledger has already: rows are linked, not computed again."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from cjledger import gitrepo, ledger, package
from cjledger.commands.plan import Plan, tasks_of
from cjledger.errors import CjError
from cjledger.model import Environment, Linked, Manifest, Sweep, plain
from cjledger.project import Project, Target, package_points
from cjnode.package import points as numbering
from cjnode.package.points import POINTS_PER_FILE, block_size, format_tasks
from cjnode.package.seeds import task_seed

Announce = Callable[[str], None]

_SHOWN = 3


class Wanted(NamedTuple):
    """What a finished task must agree in, besides its parameters.

    ``seed`` is None where the person gave none: then any seed is as good as the one that would be drawn.
    ``by_point`` is for those who say that the parameters alone decide.
    """

    code: str
    environment: Environment
    seed: int | None
    by_point: bool


def narrow(
    project: Project, planned: Plan, wanted: Wanted, announce: Announce
) -> tuple[Plan | None, tuple[Linked, ...]]:
    """The plan without the points that are done (None: all of them), and where those are."""
    done = _done(project, planned, wanted, announce)
    found: dict[int, tuple[str, int]] = {}
    if done:
        for point in tasks_of(planned, range(1, planned.tasks + 1)):
            seed = None if wanted.seed is None else task_seed(wanted.seed, point.task)
            alike = done.get(_key(point.params, seed))
            if alike:
                # Points that are alike are as many draws: each stands for one.
                found[point.task] = alike[0] if wanted.by_point else alike.pop(0)
    repeat = planned.sweep.repeat
    # A point's replicates stay together: their numbers are counted within the point.
    whole = [
        place
        for place in range(planned.tasks // repeat)
        if all(place * repeat + k in found for k in range(1, repeat + 1))
    ]
    if not whole:
        _say_why(project, planned, wanted, announce)
        return planned, ()
    sources: dict[str, list[int]] = {}
    for place, k in itertools.product(whole, range(1, repeat + 1)):
        source_id, task = found[place * repeat + k]
        sources.setdefault(source_id, []).append(task)
    linked = tuple(Linked(name, format_tasks(sorted(set(tasks)))) for name, tasks in sources.items())
    if len(whole) * repeat == planned.tasks:
        return None, linked
    return _without(planned, frozenset(whole)), linked


def _say_why(project: Project, planned: Plan, wanted: Wanted, announce: Announce) -> None:
    """Name what differs from the program's last launch: a new file anywhere makes it other code."""
    launches = (entry for entry in ledger.all_entries(project.repo) if entry.event == "launched")
    own = (entry for entry in launches if entry.data.get("program") == planned.program.name)
    last = next((e for e in own if gitrepo.ref_value(project.repo, package.ref(e.package_id))), None)
    code = last.data.get("code") if last else None
    if last is None or wanted.by_point or code == wanted.code or not isinstance(code, str):
        announce(f"nothing is reused: no finished task fits, all {planned.tasks} run")
        return
    changed = gitrepo.text(project.repo, "diff-tree", "-r", "--name-only", code, wanted.code).splitlines()
    shown = ", ".join(changed[:_SHOWN]) + (", …" if len(changed) > _SHOWN else "")
    announce(
        f"nothing is reused: {shown} changed since {last.package_id[:12]}, and all files count as the code; "
        "--skip-done goes by the parameters alone"
    )


def _done(
    project: Project, planned: Plan, wanted: Wanted, announce: Announce
) -> dict[str, list[tuple[str, int]]]:
    """Completed tasks by their key, those of the package launched last first."""
    done: dict[str, list[tuple[str, int]]] = {}
    for package_id, manifest in _candidates(project, planned, wanted):
        tasks = _completed(project, package_id)
        if len(tasks) < manifest.tasks and _harvest(project, package_id, announce):
            tasks = _completed(project, package_id)
        for point in package_points(project.repo, package_id, manifest.sweep, tasks):
            seed = None if wanted.seed is None or wanted.by_point else task_seed(manifest.seed, point.task)
            done.setdefault(_key(point.params, seed), []).append((package_id, point.task))
    return done


def _candidates(project: Project, planned: Plan, wanted: Wanted) -> Iterator[tuple[str, Manifest]]:
    from cjledger.commands import state

    here = set(state.package_ids(project))
    for entry in ledger.all_entries(project.repo):
        if entry.event != "launched" or entry.package_id not in here:
            continue
        if not wanted.by_point and entry.data.get("code") != wanted.code:
            continue
        manifest = package.read_manifest(project.repo, entry.package_id)
        if set(manifest.sweep.names) != set(planned.sweep.names):
            continue
        same = manifest.program == planned.program and manifest.environment == wanted.environment
        if (same and manifest.outputs == planned.outputs) or wanted.by_point:
            yield entry.package_id, manifest


def _harvest(project: Project, package_id: str, announce: Announce) -> bool:
    """Bring home what completed since; whether anything came."""
    from cjledger.commands import harvest

    try:
        return harvest.harvest(project, Target(package_id)).attempts > 0
    except CjError as problem:
        announce(f"of {package_id[:12]} only what was harvested before is reused: {problem}")
        return False


def _completed(project: Project, package_id: str) -> list[int]:
    # polars takes a quarter of a second, for those who ask to reuse.
    from cjledger import query
    from cjledger.harvest import store
    from cjledger.harvest.manifest import RECORDS

    tip, results = store.load(project.repo, package_id)
    shards, _ = store.readable(project.repo, package_id, tip, results.of(RECORDS))
    return sorted(set(query.completed(list(shards.values()))["cj_task"].to_list()))


def _key(params: Mapping[str, Any], seed: int | None) -> str:
    return json.dumps([sorted(params.items()), seed], ensure_ascii=False)


def _without(planned: Plan, places: frozenset[int]) -> Plan:
    """The plan without the points at some places, from 0."""
    sweep = planned.sweep
    if sweep.explicit:
        lines = [line for _, content in planned.points for line in content.splitlines(keepends=True)]
        kept = [line for place, line in enumerate(lines) if place not in places]
        files = tuple(
            (f"points/{number:05}.jsonl", b"".join(kept[start : start + POINTS_PER_FILE]))
            for number, start in enumerate(range(0, len(kept), POINTS_PER_FILE))
        )
        smaller = sweep._replace(explicit=len(kept))
        return planned._replace(sweep=smaller, points=files, tasks=numbering.count(smaller))
    smaller = _grid_without(sweep, places)
    return planned._replace(sweep=smaller, tasks=numbering.count(smaller))


def _grid_without(sweep: Sweep, places: frozenset[int]) -> Sweep:
    removed = set(sweep.removed)
    there = (at for at in range(sum(map(block_size, sweep.blocks))) if at not in removed)
    gone = [at for place, at in enumerate(there) if place in places]
    return sweep._replace(removed=tuple(sorted(removed.union(gone))))


def remember(project: Project, planned: Plan, wanted: Wanted, package_id: str) -> None:
    """Note a launch under what it was, for ``launched_before``. Derived: may be deleted."""
    path = project.repo.cj_dir / "launched" / _name(planned, wanted)
    path.parent.mkdir(exist_ok=True)
    path.write_text(package_id)


def launched_before(project: Project, planned: Plan, wanted: Wanted) -> str | None:
    """The package with the same code and tasks, if there is one; one that no cluster took does not count."""
    try:
        package_id = (project.repo.cj_dir / "launched" / _name(planned, wanted)).read_text()
    except FileNotFoundError:
        return None
    from cjledger.commands import state

    is_there = gitrepo.ref_value(project.repo, package.ref(package_id))
    return package_id if is_there and state.was_submitted(project, package_id) else None


def _name(planned: Plan, wanted: Wanted) -> str:
    digest = hashlib.sha256()
    for part in (
        wanted.code,
        plain(planned.program),
        plain(wanted.environment),
        wanted.seed,
        planned.outputs,
        numbering.sweep_to_json(planned.sweep),
    ):
        digest.update(json.dumps(part, sort_keys=True).encode() + b"\0")
    for _, content in planned.points:
        digest.update(content)
    return digest.hexdigest()
