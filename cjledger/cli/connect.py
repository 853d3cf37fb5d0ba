"""connect."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Annotated

import typer

from cjledger.cli import output
from cjledger.cli.options import Json
from cjledger.errors import CjError, UsageError
from cjledger.render import plain

_WORDS = {
    "opened": "connected",
    "live": "connected already",
    "closed": "disconnected",
    "absent": "not connected",
}


def connect(
    name: Annotated[str, typer.Argument(metavar="CLUSTER", help="A cluster of the configuration.")],
    no_shell: Annotated[bool, typer.Option("--no-shell", help="Only log in.")] = False,
    close: Annotated[bool, typer.Option("--close", help="End the connection.")] = False,
    json: Json = False,
) -> None:
    """Log in to a cluster once, and get a shell there.

    With ssh the connection is kept: other commands use it without asking, until nothing has used it for four
    hours. Without a terminal, and with --json, no shell is started.
    """
    from cjledger.commands import connect as connecting

    if close and no_shell:
        raise UsageError("--close and --no-shell exclude one another", f"git cj connect {name} --close")
    way = connecting.remote(output.project(prompts=True), name)
    try:
        done = connecting.close(way) if close else connecting.connect(way)
    except CjError as problem:
        if problem.hint.startswith(f"git cj connect {name}") and not way.contact.prompts:
            raise CjError(problem.message, f"in a terminal, where you can be asked: {problem.hint}") from None
        raise
    if json:
        output.emit(asdict(done))
        return
    output.note(f"{plain(done.cluster)}  {_WORDS[done.state]} ({plain(done.host)})")
    if not (close or no_shell) and sys.stdin.isatty():
        raise typer.Exit(connecting.shell(way))
