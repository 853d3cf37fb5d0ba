"""Arguments and options that several verbs share."""

from __future__ import annotations

from typing import Annotated

import typer

Pid = Annotated[
    str | None,
    typer.Argument(
        metavar="PID",
        help="The package: 4 or more digits of its ID, @ for the last one, @~1 for the one before.",
    ),
]
PidTasks = Annotated[
    str | None,
    typer.Argument(metavar="PID[/TASKS]", help="The package, or tasks of it: 8ab7a5aa/7, @/3,5-9."),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON object a line, for programs.")]
Jobs = Annotated[
    int | None, typer.Option("--jobs", metavar="N", help="How many elements of the job run at a time.")
]
Wait = Annotated[
    bool,
    typer.Option("--wait", help="Stay until every task has ended; exits with 4 if one did not complete."),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
