"""Files for the person, at the places they named."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cjledger.errors import CjError

_NO_SUCH_PLACE = (FileNotFoundError, NotADirectoryError, FileExistsError, IsADirectoryError)


@contextmanager
def aside(path: Path, hint: str) -> Iterator[Path]:
    """What to write to so that ``path`` appears whole or not at all; others may read it as the umask says.

    Raises CjError with ``hint`` when there is no such place.
    """
    whole = Path(os.path.realpath(path))
    if whole.exists() and not (whole.is_file() or whole.is_dir()):
        yield whole  # a pipe or a device has nothing that could be replaced
        return
    place = whole.with_name(f".cj-{os.urandom(8).hex()}")
    try:
        if whole.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        place.touch(exist_ok=False)
    except _NO_SUCH_PLACE as problem:
        raise CjError(f"cannot write {path}: {problem.strerror}", hint) from problem
    try:
        yield place
        os.replace(place, whole)
    finally:
        place.unlink(missing_ok=True)


def folder(path: Path, hint: str) -> None:
    """Make a folder and those around it. Raises CjError with ``hint`` where a file is in the way."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except _NO_SUCH_PLACE as problem:
        raise CjError(f"cannot make the folder {path}: {problem.strerror}", hint) from problem
