"""Folders that the working copy has and a package has not: git keeps none without files."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable

from cjledger.errors import CjError
from cjledger.model import Data, Program
from cjledger.project import Project


def check_start(program: Program, listing: bytes) -> None:
    """Refuse a launch from a folder that tasks would not find; ``listing`` is that of the tree."""
    if program.workdir != "." and not _holds(listing, program.workdir):
        raise CjError(
            f"{program.workdir}/ has no file in the package, so no task can start there",
            "cd .., then launch from there",
        )


def without(
    project: Project, program: Program, written: Iterable[str], listing: bytes, data: tuple[Data, ...]
) -> list[str]:
    """What to say of folders that are here, that the program writes to, and that tasks will not find."""
    source = (project.repo.top / (program.path or "")).read_bytes() if written else b""
    if b"mkdir" in source or b"makedirs" in source:
        return []
    linked = {each.local for each in data}
    folders = {posixpath.dirname(name): name for name in sorted(written, reverse=True)}
    found = []
    for folder, name in sorted(folders.items()):
        if not folder or folder.startswith(("/", "..")) or linked & {folder, *_above(folder)}:
            continue
        if (project.repo.top / folder).is_dir() and not _holds(listing, folder):
            make = posixpath.relpath(folder, program.workdir)
            found.append(
                f"{folder}/ is empty or ignored by git: no task has it to write {posixpath.basename(name)}, "
                "unless the program makes it: "
                f"os.makedirs({make!r}, exist_ok=True)"
            )
    return found


def _above(folder: str) -> Iterable[str]:
    while folder := posixpath.dirname(folder):
        yield folder


def _holds(listing: bytes, folder: str) -> bool:
    return b"\t" + os.fsencode(folder) + b"/" in listing
