"""sync."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated

import typer

from cjledger.cli import output
from cjledger.cli.options import Json
from cjledger.render import plain, wrap


def sync(
    remote: Annotated[
        str | None,
        typer.Argument(metavar="REMOTE", help="A git remote; the branch's own, or origin, left out."),
    ] = None,
    json: Json = False,
) -> None:
    """Share packages, results and ledgers by a git remote.

    Brings what the others launched and harvested, and sends what they lack. Branches and tags stay as they
    are; nothing is forced or deleted. Whoever reads the remote can read the packages.
    """
    from cjledger.commands import sync as syncing

    done = syncing.sync(output.project(), remote)
    if json:
        output.emit(asdict(done))
    else:
        output.say(f"{plain(done.remote)}  brought {_counts(done.brought)}; sent {_counts(done.sent)}")
        for words in done.refused:
            output.note(wrap(f"warning: {plain(words)}", output.width(), "  "))
    if done.refused:
        raise typer.Exit(1)


def _counts(counts: Mapping[str, int]) -> str:
    words = [f"{count} {name}" for name, count in counts.items() if count]
    return ", ".join(words) or "nothing"
