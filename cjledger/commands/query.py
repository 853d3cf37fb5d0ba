"""Query: SQL over the tables of packages."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cjledger import query as questions
from cjledger.commands import family, state
from cjledger.commands.tables import Announce, Source, every_table, joined, main_table
from cjledger.harvest.manifest import ROWS
from cjledger.project import Project, Target, nothing_launched
from cjledger.shards.plain import as_json, plain

if TYPE_CHECKING:
    from cjledger.shards.columns import pl


@dataclass(frozen=True)
class Answer:
    """A query's answer: names of columns, and rows."""

    columns: list[str]
    rows: list[tuple[Any, ...]]


def query(project: Project, target: Target | None, sql: str, *, announce: Announce) -> Answer:
    """Answer SQL over one package, or all of this repository.

    ``results`` is each package's main table, ``records`` has its attempts. A table that tasks left as a file
    has the file's name, too.
    """
    if target:
        targets = family.members(project, [target], announce)
        family.tell_parents(project, targets, announce)
    else:
        everything = list(map(Target, state.package_ids(project)))
        if not everything:
            raise nothing_launched(project)
        targets = [one for one in everything if state.was_submitted(project, one.package_id)]
    sources = [source for one in targets for source in every_table(project, one, announce)]
    frames = {name: joined(found) for name, found in _tables(sources, announce).items()}
    records = {source.target: questions.records(source.records) for source in sources if source.records}
    frames["records"] = questions.join(list(records.values()))
    table = questions.collect(questions.sql(sql, frames))
    return Answer(table.columns, list(zip(*map(_values, plain(table).get_columns()), strict=True)))


def _values(column: pl.Series) -> list[Any]:
    """A column's values as JSON has them; lists and structs by their JSON text."""
    if not column.dtype.is_nested():
        return column.to_list()
    return [text and json.loads(text) for text in as_json(column)]


def _tables(sources: Sequence[Source], announce: Announce) -> dict[str, list[Source]]:
    """What may be named: every file's table, and ``results`` unless each package has several."""
    files: dict[str, list[Source]] = {}
    main = []
    several = {}
    for source in sources:
        meant = main_table(source.results)
        if source.table is not None and source.table != ROWS:
            files.setdefault(source.table, []).append(source)
        if source.table == meant:
            main.append(source)
        elif meant is None:
            several[source.target.short] = source.results.names
    if several and not any(source.table for source in main):
        return files
    for package, names in several.items():
        announce(f'not in results: {package} left {len(names)} tables; FROM "{names[0]}" asks one of them')
    return {**files, "results": main}
