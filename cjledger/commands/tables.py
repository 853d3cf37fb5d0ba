"""The tables of packages: their shards, and which tasks are in and why others are not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from cjledger import query as questions
from cjledger.commands import family, state
from cjledger.commands import harvest as harvesting
from cjledger.commands.descriptions import TaskState
from cjledger.errors import CjError
from cjledger.harvest import store
from cjledger.harvest.manifest import RECORDS, ROWS, Results, Shard
from cjledger.harvest.outputs import outputs as read_outputs
from cjledger.project import Project, Target
from cjledger.shards import parquet
from cjnode.package.points import format_tasks, parse_tasks

if TYPE_CHECKING:
    from cjledger.shards.frames import pl

Announce = Callable[[str], None]

RESULTS = "results"  # what a person calls the rows that functions returned


@dataclass(frozen=True)
class Source:
    """One package's table: its shards' paths, and those of its records.

    ``here`` are the results less the shards that cannot be read, such as those too large to be shared.
    """

    target: Target
    results: Results
    here: Results
    table: str | None
    paths: list[Path]
    records: list[Path]


def sources_of(
    project: Project, targets: Sequence[Target], file: str | None, announce: Announce
) -> list[Source]:
    """The tables of the targets and of what belongs to them."""
    members = family.members(project, targets, announce)
    family.tell_parents(project, members, announce)
    return [_source(project, target, file, announce) for target in members]


def _source(project: Project, target: Target, file: str | None, announce: Announce) -> Source:
    tip, results = _harvested(project, target, announce)
    return _read(project, target, tip, results, [_choose(target, results, file)], announce)[0]


def every_table(project: Project, target: Target, announce: Announce) -> list[Source]:
    """All tables of a package; one without a name when it has none yet."""
    tip, results = _harvested(project, target, announce)
    return _read(project, target, tip, results, results.names or [None], announce)


def _harvested(project: Project, target: Target, announce: Announce) -> tuple[str | None, Results]:
    """The package's results with what is new, saying what was broken."""
    for line in harvesting.what_is_home(project, target, announce).broken:
        announce(f"left out: {line}")
    return store.load(project.repo, target.package_id)


def _read(
    project: Project,
    target: Target,
    tip: str | None,
    results: Results,
    tables: Sequence[str | None],
    announce: Announce,
) -> list[Source]:
    wanted = [shard for name in (RECORDS, *tables) if name for shard in results.of(name)]
    readable, problems = store.readable(project.repo, target.package_id, tip, wanted)
    for problem in problems:
        announce(f"left out: {problem}")
    paths: dict[str | None, list[Path]] = {}
    for shard, path in readable.items():
        paths.setdefault(shard.table, []).append(path)
    here = replace(results, shards=tuple(readable))
    records = paths.get(RECORDS, [])
    return [Source(target, results, here, name, paths.get(name, []), records) for name in tables]


def main_table(results: Results) -> str | None:
    """The table that is meant where none is named: the tasks' rows, else the only one there is."""
    if ROWS in results.names:
        return ROWS
    return results.names[0] if len(results.names) == 1 else None


def called(table: str) -> str:
    """A table's name as a person types it."""
    return RESULTS if table == ROWS else table


def _choose(target: Target, results: Results, file: str | None) -> str | None:
    """The one table that is meant; None when the tasks left no table of that name (yet)."""
    names = results.names
    if file is not None:
        if file in names:
            return file
        if file == RESULTS:
            return main_table(results)
        same = [name for name in names if name.rpartition("/")[2] == file]
        return same[0] if len(same) == 1 else None
    found = main_table(results)
    if names and not found:
        raise CjError(
            f"the tasks of {target.short} left {len(names)} tables: {', '.join(names)}",
            f"git cj reduce {names[0]} {target.package_id[:8]}, or git cj plot --file {names[0]}",
        )
    return found


def frame(
    project: Project, targets: Sequence[Target], file: str | None, announce: Announce = lambda line: None
) -> pl.LazyFrame:
    """The rows of some packages' table, lazily, in the order of packages and tasks."""
    sources = sources_of(project, targets, file, announce)
    if not any(source.table for source in sources):
        raise nothing(project, sources, file)
    return questions.reduce(joined(sources))


def joined(sources: Sequence[Source]) -> pl.LazyFrame:
    """Several packages' rows as one table."""
    tables = [_chosen(source) for source in sources if source.paths or len(sources) == 1]
    return questions.join(tables) if len(tables) != 1 else tables[0]


def _chosen(source: Source) -> pl.LazyFrame:
    rows = questions.table(source.paths, source.records)
    return questions.only(rows, source.target.tasks) if source.target.tasks else rows


def nothing(project: Project, sources: Sequence[Source], file: str | None) -> CjError:
    """What to raise when no package has the table."""
    names = sorted({name for source in sources for name in source.results.names})
    said = "; ".join(line.strip() for source in sources for line in report(project, source, file))
    what = f"no task left a table {file}" if file else "no task left a table"
    if names:
        return CjError(f"{what} ({said})", f"there are: {', '.join(map(called, names))}")
    states = (state.state(project, Target(source.target.package_id))[0] for source in sources)
    away = next((problem for found in states if found.elsewhere for problem in found.problems), None)
    if away is not None:
        return CjError(f"{what} ({said}): {away}", "git cj sync")
    return CjError(f"{what} ({said})", f"git cj ls {sources[0].target.package_id[:8]}")


def report(project: Project, source: Source, file: str | None, taken: set[int] | None = None) -> list[str]:
    """Which tasks are in the table; with ``taken``, whose files as they are were written."""
    target = source.target
    found, _ = state.state(project, Target(target.package_id))
    name = source.table or file or ""
    asked = len(target.tasks or range(found.tasks))
    is_whole = source.here.count(name) == found.tasks if taken is None else len(taken) == asked
    if is_whole and found.counts.get("COMPLETED") == found.tasks:
        # The common case: asking for a million tasks one by one would take longer than all else.
        return [f"{target.short}: {asked} of {asked} tasks are in"]
    wanted = set(target.tasks or range(1, found.tasks + 1))
    present = wanted & (_tasks(source.here.of(name)) if taken is None else taken)
    _, listed = state.state(project, Target(target.package_id), tasks=True)
    kept = {task.task for task in listed if task.state == "COMPLETED"} & present
    left_out = [task for task in listed if task.task in wanted - kept]
    if taken is None:
        reasons = _reasons(source, left_out, name, _broken(source.results, name), "has no rows")
    else:
        reasons = _reasons(source, left_out, name, set(), "is on the cluster alone")
    lines = [f"  missing, {why}: {_few(tasks)}" for why, tasks in reasons.items()]
    return [f"{target.short}: {len(kept)} of {len(wanted)} tasks are in", *lines]


def _tasks(shards: Iterable[Shard]) -> set[int]:
    return {task for shard in shards for task in parse_tasks(shard.tasks)}


def _broken(results: Results, name: str) -> set[int]:
    """The tasks whose file of that name is no table like the others'."""
    return {item.task for item in results.broken if item.file == name}


def _reasons(
    source: Source, left_out: Sequence[TaskState], name: str, broken: set[int], empty: str
) -> dict[str, list[int]]:
    """The tasks that are not in a table, by why not."""
    completed = {task.task for task in left_out if task.state == "COMPLETED"}
    outputs = read_outputs(source.records, completed - broken) if completed - broken else ()
    left = {output.task for output in outputs if output.path == name}
    # The states are newer than the rows: what ended between the two is said so.
    read = {row[:2] for path in source.records * bool(completed) for row in parquet.read_environments(path)}
    known = source.results.of(name) + source.results.of(RECORDS)
    lost = _tasks(set(known).difference(source.here.shards))
    reasons: dict[str, list[int]] = {}
    for task in left_out:
        if task.state != "COMPLETED":
            why = task.state
        elif task.task in lost:
            why = "COMPLETED, but its rows are in a shard that is not here"
        elif (task.task, task.attempt) not in read:
            why = "COMPLETED only now, git cj reduce once more"
        elif task.task in broken:
            why = f"COMPLETED, but {called(name)} is not a table like the others'"
        elif task.task in left:
            why = f"COMPLETED, but {called(name)} {empty}"
        else:
            why = f"COMPLETED, but left no {called(name) or 'table'}"
        reasons.setdefault(why, []).append(task.task)
    return reasons


def _few(tasks: list[int]) -> str:
    text = format_tasks(tasks)
    return text if len(text) <= 60 else f"{text[:60].rpartition(',')[0]}, … ({len(tasks)} tasks)"
