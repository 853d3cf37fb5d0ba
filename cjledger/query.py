"""Questions to the shards: one table of the newest attempts, SQL, aggregates, the files that tasks left."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from cjledger.errors import CjError
from cjledger.shards import frames
from cjledger.shards.aggregates import aggregates
from cjledger.shards.explain import check, explained
from cjledger.shards.frames import pl
from cjledger.shards.plain import plain

KEYS = ("cj_package", "cj_task", "cj_attempt")


def table(paths: Sequence[Path], records: Sequence[Path] = ()) -> pl.LazyFrame:
    """The rows of one table from its shards in the order of their harvests.

    Of each task only the rows of its newest completed attempt are there; ``records`` are the shards of
    `cj:records`, which say which that is. Columns are united by the rules of ``shards.frames``.
    """
    if not paths:
        return pl.LazyFrame(schema={"cj_package": pl.String, "cj_task": pl.Int64, "cj_attempt": pl.Int64})
    return _newest(frames.scan(paths), paths, completed(records))


def records(paths: Sequence[Path]) -> pl.LazyFrame:
    """All attempts' records, without what they left: sorted by task and attempt."""
    if not paths:
        return table(())
    rows = frames.scan(paths).drop("outputs")
    if len(paths) > 1:  # two machines may have harvested the same attempt
        rows = rows.unique(KEYS[1:], keep="first", maintain_order=True)
    return rows.sort("cj_task", "cj_attempt", maintain_order=True)


def completed(records: Sequence[Path]) -> pl.DataFrame:
    """Task and attempt of every attempt that completed."""
    kept = [
        pl.scan_parquet(path).filter(pl.col("state") == "COMPLETED").select("cj_task", "cj_attempt")
        for path in records
    ]
    return _here(pl.concat(kept)) if kept else pl.DataFrame(schema=dict.fromkeys(KEYS[1:], pl.Int64))


def _here(rows: pl.LazyFrame) -> pl.DataFrame:
    """Rows of shards in memory. Raises CjError when one cannot be read."""
    try:
        return rows.collect()
    except pl.exceptions.PolarsError as problem:
        words = str(problem).partition("\n")[0]
        raise CjError(f"a shard cannot be read: {words}", "git cj fsck") from problem


def _newest(rows: pl.LazyFrame, paths: Sequence[Path], ended: pl.DataFrame) -> pl.LazyFrame:
    """Leave out superseded rows; nothing is joined when no attempt is."""
    keys = _here(
        pl.concat(
            [
                pl.scan_parquet(path)
                .select("cj_task", "cj_attempt", pl.lit(place, pl.Int64).alias("cj_shard"))
                .unique()
                for place, path in enumerate(paths)
            ]
        )
    )
    attempts = pl.concat([keys.select(KEYS[1:]), ended]).group_by("cj_task").agg(pl.max("cj_attempt"))
    wanted = keys.join(attempts, on=KEYS[1:]).group_by(KEYS[1:]).agg(pl.min("cj_shard"))
    if wanted.height == keys.height:
        return rows
    lone = wanted.rename({"cj_shard": frames.SHARD})
    return (
        frames.scan(paths, numbered=True)
        .join(lone.lazy(), on=[*KEYS[1:], frames.SHARD], how="semi", maintain_order="left")
        .drop(frames.SHARD)
    )


def only(rows: pl.LazyFrame, tasks: Sequence[int]) -> pl.LazyFrame:
    """The rows of some tasks."""
    return rows.filter(pl.col("cj_task").is_in(list(tasks)))


def join(tables: Sequence[pl.LazyFrame]) -> pl.LazyFrame:
    """Several packages' tables as one."""
    return frames.unite_lazily(tables) if tables else table(())


def reduce(
    rows: pl.LazyFrame,
    by: Sequence[str] = (),
    agg: str = "",
    where: str = "",
    columns: Sequence[str] = (),
) -> pl.LazyFrame:
    """The one table a person asked for, in the order of tasks, or of ``by`` with aggregates."""
    rows = _named(rows.sort("cj_package", "cj_task", maintain_order=True), columns)
    known = rows.collect_schema().names()
    if where:
        rows = _filter(rows, where, known)
    if not by and not agg:
        return rows
    for name in by:
        check(name, known)
    expressions = aggregates(agg or "count()", rows)
    if not by:
        return rows.select(expressions)
    return rows.group_by(by, maintain_order=True).agg(expressions).sort(by, maintain_order=True)


def _named(rows: pl.LazyFrame, columns: Sequence[str]) -> pl.LazyFrame:
    if not columns:
        return rows
    made_up = [name for name in rows.collect_schema().names() if re.fullmatch(r"column_\d+", name)]
    if not made_up:
        raise CjError("every column of the table has a name", "leave out --columns")
    if len(made_up) != len(columns):
        there = f"{len(made_up)} column{'s' * (len(made_up) > 1)} without a name"
        given = "1 was" if len(columns) == 1 else f"{len(columns)} were"
        right = [*columns, *(f"name_{place}" for place in range(len(columns) + 1, len(made_up) + 1))]
        raise CjError(
            f"the table has {there}, and {given} given", f"--columns {','.join(right[: len(made_up)])}"
        )
    names = rows.collect_schema().names()
    taken = [name for name in columns if name in names or columns.count(name) > 1]
    if taken:
        raise CjError(f"there is a column {taken[0]} already", "give it another name")
    return rows.rename(dict(zip(made_up, columns, strict=True)))


def _filter(rows: pl.LazyFrame, where: str, known: Sequence[str]) -> pl.LazyFrame:
    try:
        kept = rows.filter(pl.sql_expr(where))
        kept.collect_schema()
    except pl.exceptions.PolarsError as problem:
        raise explained(problem, known, f"--where {where}") from problem
    return kept


def sql(query: str, tables: Mapping[str, pl.LazyFrame]) -> pl.LazyFrame:
    """The answer to an SQL query; the tables are named as in ``tables`` (`results`, `records`, `a.csv`)."""
    names = {table: rows.collect_schema().names() for table, rows in tables.items()}
    if not re.match(r"[\s(]*(select|with)\b", query, re.IGNORECASE):
        raise CjError(f"not a question: {query}", 'git cj query "SELECT * FROM results"')
    try:
        answer = pl.SQLContext(dict(tables), eager=False).execute(query)
        answer.collect_schema()
    except pl.exceptions.PolarsError as problem:
        known = list(dict.fromkeys(name for columns in names.values() for name in columns))
        raise explained(problem, known, query, names) from problem
    return answer


def collect(rows: pl.LazyFrame) -> pl.DataFrame:
    """The rows in memory. Raises CjError when a query fails on the way (a sum over text, say)."""
    known: list[str] = []  # what cannot be planned has none
    try:
        known = rows.collect_schema().names()
        return rows.collect()
    except pl.exceptions.PolarsError as problem:
        raise explained(problem, known) from problem


def columns(rows: pl.LazyFrame, names: Sequence[str]) -> dict[str, list[Any]]:
    """Some columns as lists, for a plot. Raises CjError for a column that is not there."""
    known = rows.collect_schema().names()
    for name in names:
        check(name, known)
    found = plain(collect(rows.select(list(dict.fromkeys(names)))))
    return {name: found[name].to_list() for name in names}


def contents(paths: Sequence[Path], file: str) -> Iterator[tuple[int, bytes | None]]:
    """Each task's output of that path, newest completed attempt, in the order of tasks.

    None where it is larger than what a harvest keeps, or was broken. ``paths`` are `cj:records` shards.
    """
    if not paths:
        return
    newest = completed(paths).group_by("cj_task").agg(pl.max("cj_attempt")).lazy()
    rows = (
        pl.concat([pl.scan_parquet(path).select("cj_task", "cj_attempt", "outputs") for path in paths])
        .join(newest, on=KEYS[1:], how="semi", maintain_order="left")
        .explode("outputs")
        .filter(pl.col("outputs").struct.field("path") == file)
        .select("cj_task", pl.col("outputs").struct.field("content"))
    )
    found = _here(rows).unique("cj_task", keep="first", maintain_order=True).sort("cj_task")
    yield from zip(found["cj_task"].to_list(), found["content"].to_list(), strict=True)


def concatenate(pieces: Iterator[tuple[int, bytes | None]], out: IO[bytes], header: int = 0) -> list[int]:
    """CJ's reduce: write the files one after the other, the first ``header`` lines of the first alone.

    Returns the tasks whose content is not here.
    """
    missing: list[int] = []
    first = True
    for task, content in pieces:
        if content is None:
            missing.append(task)
            continue
        lines = content.splitlines(keepends=True) if header and not first else [content]
        body = b"".join(lines[header:] if header and not first else lines)
        out.write(body if not body or body.endswith(b"\n") else body + b"\n")
        first = False
    return missing
