"""The door to pygit2: reading many objects in-process, from the tool's own bare store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pygit2


def damaged(store: Path, package_ids: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Read every object of some packages once; yield ``(package ID, what is wrong)``.

    ``store`` is a bare repository that sees the objects. libgit2 hashes what it reads and refuses an
    object whose bytes do not give its name.
    """
    repository = pygit2.Repository(str(store))
    sound: set[pygit2.Oid] = set()
    for package_id in package_ids:
        try:
            commit = repository.get(package_id)
        except (pygit2.GitError, ValueError) as problem:
            yield package_id, f"the commit cannot be read: {problem}"
            continue
        if not isinstance(commit, pygit2.Commit):
            yield package_id, "it is missing" if commit is None else "it is not a commit"
            continue
        if commit.parent_ids:
            yield package_id, "it has parents: it was not made by a launch"
        for problem_text in _tree(repository, commit.tree_id, "", sound):
            yield package_id, problem_text


def _tree(
    repository: pygit2.Repository, oid: pygit2.Oid, prefix: str, sound: set[pygit2.Oid]
) -> Iterator[str]:
    if oid in sound:
        return
    try:
        tree = repository[oid]
        repository.read(oid)
    except (KeyError, pygit2.GitError) as problem:
        yield f"folder {prefix or '.'} ({oid}): {problem}"
        return
    whole = True
    for entry in tree:  # type: ignore[attr-defined]
        path = prefix + (entry.name or "?")
        if entry.filemode == pygit2.enums.FileMode.COMMIT or entry.id in sound:
            continue
        if entry.filemode == pygit2.enums.FileMode.TREE:
            problems = list(_tree(repository, entry.id, path + "/", sound))
        else:
            problems = _blob(repository, entry.id, path)
        if problems:
            whole = False
            yield from problems
        else:
            sound.add(entry.id)
    if whole:
        sound.add(oid)


def _blob(repository: pygit2.Repository, oid: pygit2.Oid, path: str) -> list[str]:
    try:
        repository.read(oid)
    except KeyError:
        return [f"file {path} ({oid}) is missing"]
    except pygit2.GitError as problem:
        return [f"file {path} ({oid}): {problem}"]
    return []
