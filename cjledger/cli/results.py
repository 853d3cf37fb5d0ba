"""harvest, reduce, query, plot, sanity."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from cjledger.cli import output
from cjledger.cli.options import Json, Pid
from cjledger.errors import UsageError
from cjledger.project import Target, resolve, resolve_whole, runs_after
from cjledger.render import lay, number, plain, table


def harvest(pid: Pid = None, json: Json = False) -> None:
    """Bring new outputs home as one more Parquet shard.

    It may be interrupted and repeated at any time: no row is lost or doubled. reduce harvests by itself.
    """
    from cjledger.commands import harvest as harvesting
    from cjledger.commands import state

    project = output.project(prompts=True)
    target = resolve_whole(project, pid, "git cj harvest")
    done = harvesting.harvest(project, target, output.note)
    after = runs_after(project, target.package_id)
    if after and state.is_on_cluster(project, after):
        harvesting.harvest(project, Target(after), output.note)
    if json:
        content = asdict(done)
        output.emit({"package": content.pop("package_id"), **content})
        return
    output.say(
        f"{done.package_id[:12]}  {done.attempts} new records, {done.rows} new rows; "
        f"{done.tasks_in} of {done.tasks} tasks are in"
    )
    for line in done.broken:
        output.note(line)


def reduce(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FILE] [PID…]", help="The tasks' file, and packages; neither is needed if one is meant."
        ),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(
            "-o", "--output", metavar="OUT", help="csv, tsv, jsonl, parquet, arrow or txt by suffix."
        ),
    ] = None,
    by: Annotated[str | None, typer.Option("--by", metavar="A,B", help="Group by these columns.")] = None,
    agg: Annotated[
        str | None, typer.Option("--agg", metavar="LIST", help='Per group: "mean(pr),std(pr),count()".')
    ] = None,
    where: Annotated[
        str | None, typer.Option("--where", metavar="EXPR", help="Only rows for which this SQL is true.")
    ] = None,
    columns: Annotated[
        str | None, typer.Option("--columns", metavar="NAMES", help="Names, for files without a header.")
    ] = None,
    header: Annotated[
        int, typer.Option("--header", metavar="N", help="For txt: N header lines, kept of the first file.")
    ] = 0,
    json: Json = False,
) -> None:
    """Join all tasks' rows into one table.

    Each row has cj_task and the task's parameters beside the file's own columns. Without -o the table goes
    to standard output as CSV. Which tasks are missing, and why, is always said.

      git cj reduce results.txt -o results.csv
      git cj reduce results.txt --by delta,epsilon --agg "mean(pr),count()"
    """
    from cjledger.commands import reduce as reducing

    project = output.project()
    file, targets = reducing.words(project, words or [])
    done = reducing.reduce(
        project,
        targets,
        file,
        by=_names(by),
        agg=agg,
        where=where,
        columns=_names(columns),
        header=header,
        out=Path(out) if out else None,
        stream=sys.stdout.buffer,
        json=json,
        announce=output.note,
    )
    for line in done.report:
        output.note(line)


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip()) if text else ()


def query(
    sql: Annotated[str, typer.Argument(metavar="SQL", help='"SELECT … FROM results …"')],
    pid: Pid = None,
    every: Annotated[bool, typer.Option("--all", help="Rows of all packages of this repository.")] = False,
    json: Json = False,
) -> None:
    """Ask a package's rows, or all packages', in SQL.

    The rows are the table results; each has cj_package, cj_task and the task's parameters. Where tasks
    left several tables each has its file's name; records has every attempt. On a terminal the table is cut
    to its width and numbers are rounded; into a pipe or file go all columns and exact values.

      git cj query "SELECT delta, avg(pr) FROM results GROUP BY delta"
      git cj query 'SELECT * FROM "loss.csv" WHERE epoch = 10'
    """
    from cjledger.commands import query as asking

    project = output.project()
    if every and pid:
        raise UsageError("--all and a package exclude one another", "git cj query SQL --all")
    found = asking.query(project, None if every else resolve(project, pid), sql, announce=output.note)
    if json:
        for row in found.rows:
            output.emit(dict(zip(found.columns, row, strict=True)))
        return
    shown = lay(found.columns, found.rows, output.room())
    output.say(shown.text)
    if shown.left_out:
        output.note(
            f"{shown.left_out} more column{'s' * (shown.left_out > 1)}: add | cat or --json to see all"
        )


def plot(
    pid: Pid = None,
    x: Annotated[str | None, typer.Option("--x", metavar="NAME", help="The column across.")] = None,
    y: Annotated[str | None, typer.Option("--y", metavar="NAME", help="The column upward.")] = None,
    color: Annotated[
        str | None, typer.Option("--color", metavar="NAME", help="The column that colours; gives a map.")
    ] = None,
    by: Annotated[str | None, typer.Option("--by", metavar="NAME", help="A line for each value.")] = None,
    file: Annotated[
        str | None, typer.Option("--file", metavar="FILE", help="The tasks' file, if they left several.")
    ] = None,
    columns: Annotated[
        str | None, typer.Option("--columns", metavar="NAMES", help="Names, for files without a header.")
    ] = None,
    out: Annotated[
        str | None, typer.Option("-o", "--output", metavar="OUT", help="A picture: png or svg by suffix.")
    ] = None,
    json: Json = False,
) -> None:
    """Draw a package's rows.

    In the terminal, or with -o into a file.

      git cj plot --x delta --y epsilon --color pr
    """
    if x is None or y is None:
        raise UsageError("which columns?", "git cj plot --x NAME --y NAME")
    if color and by:
        words = "--color draws a map and --by lines: they exclude one another"
        raise UsageError(words, f"git cj plot --x {x} --y {y} --by {by}")
    from cjledger.commands import plot as plotting

    project = output.project()
    drawn = plotting.plot(
        project,
        resolve(project, pid),
        x=x,
        y=y,
        color=color,
        by=by,
        file=file,
        columns=_names(columns),
        out=Path(out) if out else None,
        width=output.width(),
        colour=output.colour(),
        announce=output.note,
    )
    if json:
        output.emit({"points": drawn.points, "path": drawn.path})
    else:
        output.say(drawn.text)


def sanity(
    check: Annotated[str, typer.Argument(metavar="CHECK", help="exists, or lines.")],
    file: Annotated[str, typer.Argument(metavar="FILE", help="The file each task should have left.")],
    pid: Pid = None,
    json: Json = False,
) -> None:
    """Find tasks whose file is missing or odd.

    exists names the tasks that left no FILE; lines those whose FILE has another number of lines than most.
    """
    from cjledger.commands import sanity as checking

    if check not in ("exists", "lines"):
        raise UsageError(f"there is no check {check}", f"git cj sanity exists {file}")
    project = output.project()
    found = checking.sanity(project, resolve(project, pid), check, file)
    if json:
        for task in found.tasks:
            output.emit(asdict(task))
        return
    if found.tasks:
        rows = [(task.task, task.state, number(task.lines), plain(task.why)) for task in found.tasks]
        output.say(table(["task", "state", "lines", "why"], rows, output.width(), output.colour()))
    output.note(found.summary)
