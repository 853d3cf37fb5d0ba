"""Change a few entries of a git tree at a cost that grows with the changes, not with the tree."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from typing import IO

from cjledger import gitrepo
from cjledger.gitpack import TREE, Entry
from cjledger.gitrepo import Repo
from cjledger.snapshot.workshop import UnstableError

Edits = Mapping[bytes, Entry | None]


class _Node:
    """The edits below one folder."""

    def __init__(self) -> None:
        self.own: dict[bytes, Entry | None] = {}
        self.below: dict[bytes, _Node] = {}

    def adds(self) -> bool:
        return any(self.own.values()) or any(node.adds() for node in self.below.values())


class _Objects:
    """One `git cat-file` and one `git mktree` to talk with."""

    def __init__(self, repo: Repo) -> None:
        self._id_bytes = len(repo.zero) // 2
        environment = gitrepo.environment(repo)
        self._cat, self._make = (
            subprocess.Popen(
                ("git", *arguments),
                cwd=repo.top,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
            for arguments in (("cat-file", "--batch"), ("mktree", "-z", "--missing", "--batch"))
        )

    def close(self) -> None:
        for process in (self._cat, self._make):
            _pipe(process.stdin).close()
            _pipe(process.stdout).close()
            process.wait()

    def read(self, name: str) -> tuple[str, dict[bytes, Entry]]:
        """The ID and the entries of a tree."""
        _ask(self._cat, name.encode() + b"\n")
        out = _pipe(self._cat.stdout)
        header = out.readline().decode().split()
        if len(header) != 3 or header[1] != "tree":
            raise UnstableError(f"tree {name} cannot be read")
        body = out.read(int(header[2]) + 1)[:-1]
        entries: dict[bytes, Entry] = {}
        at = 0
        while at < len(body):
            end = body.index(b"\0", at)
            mode, path = body[at:end].split(b" ", 1)
            at = end + 1 + self._id_bytes
            entries[path] = Entry(mode.decode(), body[end + 1 : at].hex())
        return header[0], entries

    def write(self, entries: Mapping[bytes, Entry]) -> str:
        lines = (
            f"{entry.mode} {_KINDS.get(entry.mode, 'blob')} {entry.id}\t".encode() + name + b"\0"
            for name, entry in entries.items()
        )
        _ask(self._make, b"".join(lines) + b"\0")
        reply = _pipe(self._make.stdout).readline().decode().strip()
        if not reply:
            raise UnstableError("git mktree ended early")
        return reply


_KINDS = {TREE: "tree", "160000": "commit"}


def edit(repo: Repo, base: str, edits: Edits, drop: bytes, grafts: Edits) -> str:
    """The tree ``base`` without the top-level entry ``drop``, with the edits, then the grafts.

    An added path replaces whatever stands in its way, as `git update-index --replace` does; a folder left
    empty disappears.
    """
    root = _plan(
        {path: entry for path, entry in edits.items() if path.split(b"/", 1)[0] != drop} | dict(grafts)
    )
    objects = _Objects(repo)
    try:
        tree, entries = objects.read(base)
        if drop not in entries and not root.own and not root.below:
            return tree
        entries.pop(drop, None)
        return objects.write(_edited(objects, entries, root))
    except BrokenPipeError as problem:
        raise UnstableError("git ended early") from problem
    finally:
        objects.close()


def _plan(edits: Edits) -> _Node:
    root = _Node()
    for path, entry in edits.items():
        *folders, name = path.split(b"/")
        node = root
        for folder in folders:
            node = node.below.setdefault(folder, _Node())
        node.own[name] = entry
    return root


def _edited(objects: _Objects, entries: dict[bytes, Entry], node: _Node) -> dict[bytes, Entry]:
    for name, entry in node.own.items():
        if entry:
            entries[name] = entry
        elif name in entries and entries[name].mode != TREE:
            del entries[name]
    for name, below in node.below.items():
        old = entries.get(name)
        is_tree = old is not None and old.mode == TREE
        if not is_tree and not below.adds():
            continue  # what stood below went when this became a file
        inside = _edited(objects, objects.read(old.id)[1] if old and is_tree else {}, below)
        if inside:
            entries[name] = Entry(TREE, objects.write(inside))
        else:
            entries.pop(name, None)
    return entries


def _ask(process: subprocess.Popen[bytes], words: bytes) -> None:
    pipe = _pipe(process.stdin)
    pipe.write(words)
    pipe.flush()


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None
    return pipe
