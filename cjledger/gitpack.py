"""New objects for the person's repository, many in one process.

They are named here and given to git as a pack (https://git-scm.com/docs/gitformat-pack), which git takes
apart: how a repository keeps its objects is git's own business.
"""

from __future__ import annotations

import hashlib
import os
import struct
import time
import zlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from cjledger import gitrepo
from cjledger.errors import CjError
from cjledger.gitrepo import Repo

TREE = "40000"
BLOB = "100644"

_KINDS = {"commit": 1, "tree": 2, "blob": 3}


class Entry(NamedTuple):
    """A mode and an object, as they stand in a tree."""

    mode: str
    id: str


class Person(NamedTuple):
    """Whom a commit names, as git knows them."""

    name: str
    address: str


class Pack:
    """Objects that have their names and are not written yet. What git has already may be among them."""

    def __init__(self, repo: Repo) -> None:
        self._repo = repo
        self._objects: dict[str, tuple[int, bytes]] = {}

    def blob(self, content: bytes) -> str:
        """Add a file's content and return its name."""
        return self._add("blob", content)

    def tree(self, entries: Mapping[bytes, Entry]) -> str:
        """Add a tree of entries by file name and return its name."""

        def order(name: bytes) -> bytes:  # git sorts folders as if their names ended in a slash
            return name + b"/" if entries[name].mode == TREE else name

        lines = (
            f"{entries[name].mode} ".encode() + name + b"\0" + bytes.fromhex(entries[name].id)
            for name in sorted(entries, key=order)
        )
        return self._add("tree", b"".join(lines))

    def commit(self, tree: str, parents: Sequence[str], person: Person, message: str) -> str:
        """Add a commit of this moment, or of the one that git's own variables set; return its name."""
        if "\0" in message:
            raise CjError("a message cannot have a NUL character", "leave it out")
        lines = [f"tree {tree}", *(f"parent {parent}" for parent in parents)]
        lines += [f"{role} {self._ident(role.upper(), person)}" for role in ("author", "committer")]
        lines += ["", message]
        return self._add("commit", "\n".join(lines).encode(errors="surrogateescape"))

    def _ident(self, role: str, person: Person) -> str:
        who = f"{person.name} <{person.address}>"
        if os.environ.get(f"GIT_{role}_DATE"):  # in any of the ways in which git reads dates
            named = {f"GIT_{role}_NAME": person.name, f"GIT_{role}_EMAIL": person.address}
            ident = gitrepo.run(self._repo, "var", f"GIT_{role}_IDENT", env=named).decode()
            return f"{who} {' '.join(ident.split()[-2:])}"
        now = time.time()
        offset = time.localtime(now).tm_gmtoff // 60
        zone = f"{'-' if offset < 0 else '+'}{abs(offset) // 60:02d}{abs(offset) % 60:02d}"
        return f"{who} {int(now)} {zone}"

    def write(self) -> None:
        """Have git write what was added. Raises GitError."""
        if self._objects:
            gitrepo.run(self._repo, "unpack-objects", "-q", stdin=self._bytes())
            self._objects.clear()

    def _add(self, kind: str, content: bytes) -> str:
        head = f"{kind} {len(content)}".encode() + b"\0"
        name = hashlib.new(self._repo.hash_name, head + content, usedforsecurity=False).hexdigest()
        self._objects[name] = (_KINDS[kind], content)
        return name

    def _bytes(self) -> bytes:
        parts = [b"PACK" + struct.pack(">II", 2, len(self._objects))]
        for kind, content in self._objects.values():
            # Stored, not compressed: git compresses what it writes, its own way.
            parts += [_header(kind, len(content)), zlib.compress(content, 0)]
        whole = b"".join(parts)
        return whole + hashlib.new(self._repo.hash_name, whole, usedforsecurity=False).digest()


def _header(kind: int, size: int) -> bytes:
    """An object's kind and size: four bits of the size, then seven in each further byte."""
    first, size = kind << 4 | size & 15, size >> 4
    found = bytearray()
    while size:
        found.append(first | 0x80)
        first, size = size & 0x7F, size >> 7
    found.append(first)
    return bytes(found)
