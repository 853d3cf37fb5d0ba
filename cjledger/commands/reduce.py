"""Reduce and query: all tasks' rows as one table, and which tasks are missing and why."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from cjledger import query as questions
from cjledger import tablefile
from cjledger.commands import family, state, writing
from cjledger.commands import harvest as harvesting
from cjledger.errors import CjError, UsageError
from cjledger.harvest import store
from cjledger.harvest.manifest import RECORDS, ROWS, Results
from cjledger.harvest.outputs import outputs as read_outputs
from cjledger.project import Project, Target, resolve
from cjledger.shards import parquet
from cjnode.points import format_tasks, parse_tasks

if TYPE_CHECKING:
    from cjledger.shards.frames import pl

Announce = Callable[[str], None]
FORMATS = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".parquet": "parquet", ".arrow": "arrow"}


@dataclass(frozen=True)
class Reduced:
    """What a reduce says besides the table: how many tasks are in, and which are missing and why."""

    rows: int
    report: tuple[str, ...]


@dataclass(frozen=True)
class Answer:
    """A query's answer: names of columns, and rows."""

    columns: list[str]
    rows: list[tuple[Any, ...]]


def words(project: Project, given: Sequence[str]) -> tuple[str | None, list[Target]]:
    """Tell ``[FILE] [PID…]`` apart: a file comes first, and is not the name of a package."""
    if not given:
        return None, [resolve(project, None)]
    first, rest = given[0], list(given[1:])
    if re.fullmatch(r"(@(~[0-9]*)?|[0-9a-fA-F]{4,64})(/([\d,-]+|then))?", first):
        return None, [resolve(project, word) for word in given]
    return first, [resolve(project, word) for word in rest] or [resolve(project, None)]


@dataclass(frozen=True)
class _Source:
    """One package's table: its shards' paths, and those of its records."""

    target: Target
    results: Results
    table: str | None
    paths: list[Path]
    records: list[Path]


def _sources(
    project: Project, targets: Sequence[Target], file: str | None, announce: Announce
) -> list[_Source]:
    """The tables of the targets and of what belongs to them."""
    members = family.members(project, targets, announce)
    return [_source(project, target, file, announce) for target in members]


def _source(project: Project, target: Target, file: str | None, announce: Announce) -> _Source:
    tip, results = _harvested(project, target, announce)
    return _read(project, target, tip, results, _choose(target, results, file), announce)


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
    table: str | None,
    announce: Announce,
) -> _Source:
    wanted = results.of(RECORDS) + (results.of(table) if table else ())
    readable, problems = store.readable(project.repo, target.package_id, tip, wanted)
    for problem in problems:
        announce(f"left out: {problem}")
    return _Source(
        target,
        results,
        table,
        [path for shard, path in readable.items() if shard.table == table],
        [path for shard, path in readable.items() if shard.table == RECORDS],
    )


def _choose(target: Target, results: Results, file: str | None) -> str | None:
    """The one table that is meant; None when the tasks left no table of that name (yet)."""
    names = results.names
    if file is not None:
        if file in names:
            return file
        same = [name for name in names if name.rpartition("/")[2] == file]
        return same[0] if len(same) == 1 else None
    if ROWS in names:
        return ROWS
    if len(names) > 1:
        raise CjError(
            f"the tasks of {target.short} left {len(names)} tables: {', '.join(names)}",
            f"git cj reduce {names[0]} {target.package_id[:8]}, or git cj plot --file {names[0]}",
        )
    return names[0] if names else None


def frame(
    project: Project, targets: Sequence[Target], file: str | None, announce: Announce = lambda line: None
) -> pl.LazyFrame:
    """The rows of some packages' table, lazily, in the order of packages and tasks."""
    sources = _sources(project, targets, file, announce)
    if not any(source.table for source in sources):
        raise _nothing(project, sources, file)
    return questions.reduce(_joined(sources))


def _joined(sources: Sequence[_Source]) -> pl.LazyFrame:
    tables = [_chosen(source) for source in sources if source.paths or len(sources) == 1]
    return questions.join(tables) if len(tables) != 1 else tables[0]


def _chosen(source: _Source) -> pl.LazyFrame:
    rows = questions.table(source.paths, source.records)
    return questions.only(rows, source.target.tasks) if source.target.tasks else rows


def reduce(
    project: Project,
    targets: Sequence[Target],
    file: str | None,
    *,
    by: Sequence[str],
    agg: str | None,
    where: str | None,
    columns: Sequence[str],
    header: int,
    out: Path | None,
    stream: IO[bytes],
    json: bool,
    announce: Announce,
) -> Reduced:
    """Write the table to ``out`` (its kind by suffix) or to ``stream`` as CSV, or JSON lines."""
    kind = _kind(out, json)
    if kind == "txt" and (by or agg or where or columns):
        words = "a .txt is the files as they are: --by, --agg, --where and --columns are for tables"
        raise UsageError(words, "git cj reduce -o table.csv")
    if header and kind != "txt":
        raise UsageError("--header is for the files as they are, in a .txt", "git cj reduce -o all.txt")
    sources = _sources(project, targets, file, announce)
    if not any(source.table for source in sources) and not (kind == "txt" and file):
        raise _nothing(project, sources, file)
    if kind == "txt":
        return _concatenate(project, sources, file, out or Path(), header, announce)
    with nullcontext(stream) if out is None else _at(project, out) as place:
        table = questions.collect(questions.reduce(_joined(sources), by, agg or "", where or "", columns))
        tablefile.write(table, place, kind)
    return Reduced(table.height, tuple(line for one in sources for line in _report(project, one, file)))


def _at(project: Project, out: Path) -> AbstractContextManager[Path]:
    return writing.aside(project.cwd / out, f"-o another/place{out.suffix}")


def _kind(out: Path | None, json: bool) -> str:
    if out is None:
        return "jsonl" if json else "csv"
    if out.suffix == ".txt":
        return "txt"
    if out.suffix not in FORMATS:
        raise CjError(f"{out}: unknown kind of file", f"one of {' '.join(FORMATS)} .txt")
    return FORMATS[out.suffix]


def _nothing(project: Project, sources: Sequence[_Source], file: str | None) -> CjError:
    names = sorted({name for source in sources for name in source.results.names})
    target = sources[0].target
    said = "; ".join(line.strip() for source in sources for line in _report(project, source, file))
    what = f"no task left a table {file}" if file else "no task left a table"
    hint = f"there are: {', '.join(names)}" if names else f"git cj ls {target.package_id[:8]}"
    return CjError(f"{what} ({said})", hint)


def _concatenate(
    project: Project,
    sources: Sequence[_Source],
    file: str | None,
    out: Path,
    header: int,
    announce: Announce,
) -> Reduced:
    name = file or next((source.table for source in sources if source.table), None) or ""
    taken: list[set[int]] = [set() for _ in sources]

    def pieces() -> Iterator[tuple[int, bytes | None]]:
        for source, tasks in zip(sources, taken, strict=True):
            for task, content in questions.contents(source.records, source.table or name):
                if source.target.tasks is None or task in source.target.tasks:
                    tasks.update(() if content is None else (task,))
                    yield task, content

    with _at(project, out) as place:
        with place.open("wb") as opened:
            missing = questions.concatenate(pieces(), opened, header)
        if not any(taken) and not missing:
            raise _nothing(project, sources, file)
    if missing:
        announce(f"too large to be at home, left out: tasks {format_tasks(missing)}; git cj get brings them")
    report = [_report(project, one, file, tasks) for one, tasks in zip(sources, taken, strict=True)]
    return Reduced(0, tuple(line for lines in report for line in lines))


def _report(project: Project, source: _Source, file: str | None, taken: set[int] | None = None) -> list[str]:
    """Which tasks are in the table; with ``taken``, whose files as they are were written."""
    target = source.target
    found, _ = state.state(project, Target(target.package_id))
    name = source.table or file or ""
    asked = len(target.tasks or range(found.tasks))
    is_whole = source.results.count(name) == found.tasks if taken is None else len(taken) == asked
    if is_whole and found.counts.get("COMPLETED") == found.tasks:
        # The common case: asking for a million tasks one by one would take longer than all else.
        return [f"{target.short}: {asked} of {asked} tasks are in"]
    wanted = set(target.tasks or range(1, found.tasks + 1))
    rows = (task for shard in source.results.of(name) for task in parse_tasks(shard.tasks))
    present = wanted & (set(rows) if taken is None else taken)
    found, listed = state.state(project, Target(target.package_id), tasks=True)
    completed = {task.task for task in listed if task.state == "COMPLETED"}
    bad = (item.task for item in source.results.broken if item.file == name and taken is None)
    broken = wanted.intersection(bad)
    unclear = (wanted & completed) - present - broken
    outputs = read_outputs(source.records, unclear) if unclear else ()
    left = {output.task for output in outputs if output.path == name}
    # The states are newer than the rows: what ended between the two is said so.
    read = {row[:2] for path in source.records * bool(unclear) for row in parquet.read_environments(path)}
    lines = [f"{target.short}: {len(present & completed)} of {len(wanted)} tasks are in"]
    reasons: dict[str, list[int]] = {}
    empty = "has no rows" if taken is None else "is on the cluster alone"
    for task in listed:
        if task.task not in wanted or (task.task in present and task.task in completed):
            continue
        if task.state != "COMPLETED":
            reasons.setdefault(task.state, []).append(task.task)
        elif (task.task, task.attempt) not in read:
            reasons.setdefault("COMPLETED only now, git cj reduce once more", []).append(task.task)
        elif task.task in broken:
            reasons.setdefault(f"COMPLETED, but {name} is not a table like the others'", []).append(task.task)
        elif task.task in left:
            reasons.setdefault(f"COMPLETED, but {name} {empty}", []).append(task.task)
        else:
            reasons.setdefault(f"COMPLETED, but left no {name or 'table'}", []).append(task.task)
    lines += [f"  missing, {why}: {_few(tasks)}" for why, tasks in reasons.items()]
    return lines


def _few(tasks: list[int]) -> str:
    text = format_tasks(tasks)
    return text if len(text) <= 60 else f"{text[:60].rpartition(',')[0]}, … ({len(tasks)} tasks)"


def query(project: Project, target: Target | None, sql: str, *, announce: Announce) -> Answer:
    """Answer SQL over ``results`` (and ``records``) of one package, or of all of this repository."""
    everything = [Target(found) for found in state.package_ids(project)]
    targets = family.members(project, [target]) if target else everything
    sources = []
    for one in targets:
        if target or state.was_submitted(project, one.package_id):
            sources += _tables(project, one, announce)
    records = questions.join([questions.records(source.records) for source in sources if source.records])
    table = questions.collect(questions.sql(sql, {"results": _joined(sources), "records": records}))
    return Answer(table.columns, table.rows())


def _tables(project: Project, target: Target, announce: Announce) -> list[_Source]:
    """The package's table; with several, each of them. Harvested once for all."""
    tip, results = _harvested(project, target, announce)
    names: list[str | None] = [ROWS] if ROWS in results.names else [*results.names]
    return [_read(project, target, tip, results, name, announce) for name in names or [None]]
