"""What is kept of an error that should not have happened."""

from __future__ import annotations

import os
import platform
import shlex
import sys
import tempfile
import traceback
from datetime import UTC, datetime
from pathlib import Path

from cjledger import __version__, gitrepo


def save(problem: BaseException, words: list[str]) -> str:
    """Write the traceback to a file of its own; says where, or prints it where no file can be written."""
    text = "".join(traceback.format_exception(problem))
    head = (
        f"git-cj {__version__}, Python {platform.python_version()}, {platform.platform()}\n"
        f"{shlex.join(['git-cj', *words])}\n"
    )
    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    try:
        path = _folder() / f"{moment}.txt"
        with os.fdopen(
            os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", errors="replace"
        ) as file:
            file.write(f"{head}\n{text}")
    except OSError:
        sys.stderr.write(text)
        return "the traceback is above"
    return f"the traceback is in {path}"


def _folder() -> Path:
    try:
        folder = gitrepo.discover(Path.cwd()).cj_dir / "bugs"
        folder.mkdir(parents=True, exist_ok=True)
        return folder
    except Exception:  # the bug may be in there
        # A fixed name in a shared folder could be someone else's link: a new folder each time.
        folder = Path(tempfile.mkdtemp(prefix="git-cj-")) / "cj" / "bugs"
        folder.mkdir(parents=True)
        return folder
