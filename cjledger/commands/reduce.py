"""Reduce: all tasks' rows as one table, or their files one after the other."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from cjledger import query as questions
from cjledger import tablefile
from cjledger.commands import tables, writing
from cjledger.commands.tables import Announce, Source
from cjledger.errors import CjError, UsageError
from cjledger.project import Project, Target, resolve
from cjnode.package.points import format_tasks

FORMATS = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".parquet": "parquet", ".arrow": "arrow"}


@dataclass(frozen=True)
class Reduced:
    """What a reduce says besides the table: how many tasks are in, and which are missing and why."""

    rows: int
    report: tuple[str, ...]


def words(project: Project, given: Sequence[str]) -> tuple[str | None, list[Target]]:
    """Tell ``[FILE] [PID…]`` apart: a file comes first, and is not the name of a package."""
    if not given:
        return None, [resolve(project, None)]
    first, rest = given[0], list(given[1:])
    if re.fullmatch(r"(@(~[0-9]*)?|[0-9a-fA-F]{4,64})(/([\d,-]+|then))?", first):
        return None, [resolve(project, word) for word in given]
    return first, [resolve(project, word) for word in rest] or [resolve(project, None)]


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
    sources = tables.sources_of(project, targets, file, announce)
    if not any(source.table for source in sources) and not (kind == "txt" and file):
        raise tables.nothing(project, sources, file)
    if kind == "txt":
        return _concatenate(project, sources, file, out or Path(), header, announce)
    with nullcontext(stream) if out is None else _at(project, out) as place:
        table = questions.collect(
            questions.reduce(tables.joined(sources), by, agg or "", where or "", columns)
        )
        tablefile.write(table, place, kind)
    return Reduced(table.height, tuple(line for one in sources for line in tables.report(project, one, file)))


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


def _concatenate(
    project: Project,
    sources: Sequence[Source],
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
            raise tables.nothing(project, sources, file)
    if missing:
        announce(f"too large to be at home, left out: tasks {format_tasks(missing)}; git cj get brings them")
    report = [tables.report(project, one, file, tasks) for one, tasks in zip(sources, taken, strict=True)]
    return Reduced(0, tuple(line for lines in report for line in lines))
