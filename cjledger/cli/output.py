"""Where the command line speaks: results on standard output, everything else on standard error."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any

from cjledger.cluster import Contact
from cjledger.config import person_file
from cjledger.errors import CjError
from cjledger.gitrepo import Repo
from cjledger.project import Project, open_project
from cjledger.render import json_line, plain_lines


def project(prompts: bool = False, repo: Repo | None = None) -> Project:
    """The project around the folder the person stands in; ``repo`` where that was found already.

    With ``prompts`` a login to a cluster may ask for a password or a code, when someone is there to answer.
    """
    try:
        folder = Path.cwd()
    except FileNotFoundError:
        raise CjError("the folder you are in does not exist any more", "cd to the repository") from None
    found = open_project(folder, person_file(), Contact(prompts and _is_attended(), note), repo)
    send_what_waits(found)
    return found


def send_what_waits(project: Project) -> None:
    """Send the packages that waited on this machine for others, if any, and need not any more."""
    if not (project.repo.cj_dir / "waiting").is_dir():
        return
    from cjledger.commands import order

    order.settle(project, note)


def _is_attended() -> bool:
    """Whether ssh can ask someone: at the terminal, or by a program that was named for that."""
    if os.environ.get("SSH_ASKPASS") and os.environ.get("SSH_ASKPASS_REQUIRE") in ("force", "prefer"):
        return True
    return sys.stdin.isatty() and sys.stderr.isatty()


def say(text: str) -> None:
    """One result for a person; ``text`` has been through render."""
    print(text)


def emit(value: Any) -> None:
    """One result for a program: a line of JSON."""
    print(json_line(value))


def note(text: str) -> None:
    """What a person should know besides the result."""
    print(plain_lines(text), file=sys.stderr, flush=True)


def raw(content: bytes) -> None:
    """A file's bytes: as they are into a pipe or file, harmless on a terminal."""
    sys.stdout.flush()
    if sys.stdout.isatty():
        sys.stdout.write(plain_lines(content.decode(errors="replace")))
    else:
        sys.stdout.buffer.write(content)


def width() -> int:
    """The columns to fill: the terminal's, 80 where there is none."""
    return max(40, shutil.get_terminal_size((80, 24)).columns)


def room() -> int | None:
    """The columns for a table that is a result: as many as it takes where no person looks at it."""
    return width() if sys.stdout.isatty() else None


def is_terminal() -> bool:
    """Whether standard output can redraw lines."""
    return sys.stdout.isatty() and os.environ.get("TERM", "") not in ("", "dumb")


def colour() -> bool:
    """Whether to colour: on a terminal that can, and not against https://no-color.org."""
    return is_terminal() and not os.environ.get("NO_COLOR")
