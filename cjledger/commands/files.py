"""Ls, get and gather: the files that tasks left."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from cjledger import package
from cjledger.commands import harvest, writing
from cjledger.commands.harvest import Output
from cjledger.errors import CjError
from cjledger.project import Project, Target

_INVISIBLE = re.compile("[\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]")


@dataclass(frozen=True)
class Fetched:
    """Files brought home, those that were there with other content, and how many were there as they are.

    ``left`` are those that were not brought since they lie in a ``.git``, which git obeys, ``lost`` says
    which were on the cluster alone and were cleaned there.
    """

    written: tuple[Path, ...]
    kept: tuple[Path, ...]
    there: int
    left: tuple[str, ...]
    lost: CjError | None


def ls(project: Project, target: Target, glob: str | None = None) -> list[Output]:
    """The files of a package's tasks, or of the tasks named; streams are not among them."""
    found = [output for output in harvest.outputs(project, target) if not output.path.startswith("cj:")]
    return [output for output in found if _matches(output.path, glob)]


def _matches(path: str, glob: str | None) -> bool:
    if not glob or path == glob:
        return True
    return fnmatchcase(path, glob) or fnmatchcase(PurePosixPath(path).name, glob)


def get(project: Project, target: Target, glob: str | None, folder: Path) -> Fetched:
    """Bring files home as ``FOLDER/TASK/PATH`` (``FOLDER/PATH`` for one task)."""
    single = target.tasks is not None and len(target.tasks) == 1
    places = [
        (output, folder / output.path if single else folder / str(output.task) / output.path)
        for output in _some(project, target, glob)
    ]
    return _write(project, target, places)


def gather(project: Project, target: Target, glob: str, folder: Path) -> Fetched:
    """Bring every task's file home into one folder, the task's number in its name; overwrites nothing."""
    chosen = _some(project, target, glob)
    # By all tasks of the package: the same file has the same name whatever else is asked for.
    digits = len(str(package.read_manifest(project.repo, target.package_id).tasks))
    places = []
    for output in chosen:
        flat = PurePosixPath(output.path.replace("/", "_"))
        places.append((output, folder / f"{flat.stem}_{output.task:0{digits}d}{flat.suffix}"))
    return _write(project, target, places)


def _some(project: Project, target: Target, glob: str | None) -> list[Output]:
    chosen = ls(project, target, glob)
    if not chosen:
        what = f"a file like {glob}" if glob else "a file"
        raise CjError(f"no task of {target.short} left {what}", f"git cj ls {target.package_id[:8]}")
    return chosen


def _write(project: Project, target: Target, places: Sequence[tuple[Output, Path]]) -> Fetched:
    written: list[Path] = []
    kept: list[Path] = []
    left: list[str] = []
    there = 0
    todo = []
    for output, place in places:
        path = project.cwd / place
        # A path from a cluster is data: it must stay below the folder it is meant for.
        parts = PurePosixPath(output.path).parts
        if ".." in parts or output.path.startswith("/") or "\0" in output.path:
            raise CjError(f"task {output.task} left a file that would escape: {output.path!r}")
        if any(map(_is_git_s, parts)):
            left.append(output.path)
        elif path.exists():
            if path.is_file() and harvest.digest(path) == output.sha256:
                there += 1
            else:
                kept.append(path)
        else:
            todo.append((output, path))
    lost = harvest.cleaned(project, target, [output for output, _ in todo])
    if lost:
        todo = [(output, path) for output, path in todo if output.content is not None]
    for (_, path), (_, content) in zip(
        todo, harvest.contents(project, target, [output for output, _ in todo]), strict=True
    ):
        writing.folder(path.parent, "name another folder")
        with writing.aside(path, "name another folder") as place:
            place.write_bytes(content)
        written.append(path)
    gone = harvest.cleaned_away(target, lost) if lost else None
    return Fetched(tuple(written), tuple(kept), there, tuple(left), gone)


def _is_git_s(name: str) -> bool:
    """Whether some file system takes a folder's name for ``.git``: a configuration there can run programs."""
    return _INVISIBLE.sub("", name).rstrip(". ").casefold() in (".git", "git~1")
