"""Write files as git blobs, converted as `git add` would, and say which entries a tree needs for them."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from cjledger.gitpack import Entry
from cjledger.gitrepo import GitError
from cjledger.snapshot.workshop import UnstableError, Workshop


class Raw(NamedTuple):
    """A file that goes into the tree byte for byte."""

    source: bytes  # absolute
    target: bytes  # in the tree


# A small index instead of the person's 100,000 entries: 5 ms instead of 90 for update and tree.
SMALL = "small"
_SEEDS_A_CALL = 400


def add(shop: Workshop, seeds: Mapping[bytes, Entry], paths: Sequence[bytes]) -> dict[bytes, Entry]:
    """Add files of the working copy; a path that is gone is left out of the answer.

    ``seeds`` are entries of the index that git must know: the paths' own (line endings and, without
    core.fileMode, modes follow them) and attributes that lie in the index only.
    """
    (shop.folder / SMALL).unlink(missing_ok=True)
    known = [b"%s,%s,%s" % (seed.mode.encode(), seed.id.encode(), path) for path, seed in seeds.items()]
    update: list[str | bytes] = ["update-index", "-z", "--add", "--remove", "--replace"]
    while len(known) > _SEEDS_A_CALL:
        call, known = known[:_SEEDS_A_CALL], known[_SEEDS_A_CALL:]
        shop.git(*update, *_cacheinfo(call), index=SMALL)
    listing = b"".join(path + b"\0" for path in paths)
    shop.git(*update, *_cacheinfo(known), "--stdin", stdin=listing, index=SMALL)
    wanted = frozenset(paths)
    return {
        path: entry
        for path, entry in _entries(shop.git("ls-files", "-s", "-z", index=SMALL))
        if path in wanted
    }


def add_link(shop: Workshop, path: bytes) -> Entry | None:
    """The entry of a nested repository; None when it has no commit to link to."""
    index = "link"
    (shop.folder / index).unlink(missing_ok=True)
    try:
        shop.git("update-index", "-z", "--add", "--stdin", stdin=path + b"\0", index=index)
    except (GitError, UnstableError):
        return None
    return dict(_entries(shop.git("ls-files", "-s", "-z", index=index))).get(path)


def add_raw(shop: Workshop, files: Sequence[Raw]) -> dict[bytes, Entry]:
    """Add files from anywhere without any conversion; symbolic links stay links."""
    if not files:
        return {}
    sources = []
    modes = []
    for number, file in enumerate(files):
        found = os.lstat(file.source)
        if stat.S_ISLNK(found.st_mode):
            text = shop.folder / f"link-{number}"
            text.write_bytes(os.readlink(file.source))
            sources.append(os.fsencode(text))
            modes.append("120000")
        else:
            sources.append(file.source)
            modes.append("100755" if found.st_mode & 0o100 else "100644")
    listing = b"".join(quoted(source) + b"\n" for source in sources)
    ids = shop.git("hash-object", "-w", "--no-filters", "--stdin-paths", stdin=listing).decode().split()
    return {file.target: Entry(mode, id_) for file, mode, id_ in zip(files, modes, ids, strict=True)}


def quoted(path: bytes) -> bytes:
    """A path in C quotes, as git reads it line by line."""
    return b'"' + re.sub(rb"[^ !#-\[\]-~]", lambda found: b"\\%03o" % found[0][0], path) + b'"'


def index_entries(shop: Workshop, *arguments: str | bytes) -> dict[bytes, Entry]:
    """Entries of the person's index; of a conflict ours, else the base, else theirs, as git prefers."""
    found: dict[bytes, Entry] = {}
    ranks: dict[bytes, int] = {}
    for line in shop.git("ls-files", "-s", "-z", *arguments).split(b"\0")[:-1]:
        head, path = line.split(b"\t", 1)
        mode, id_, stage = head.decode().split(" ")
        rank = "0213".index(stage)
        if path not in found or rank < ranks[path]:
            found[path], ranks[path] = Entry(mode, id_), rank
    return found


def _cacheinfo(known: Iterable[bytes]) -> Iterable[bytes]:
    for entry in known:
        yield b"--cacheinfo"
        yield entry


def _entries(listing: bytes) -> Iterable[tuple[bytes, Entry]]:
    for line in listing.split(b"\0")[:-1]:
        head, path = line.split(b"\t", 1)
        mode, id_, _ = head.decode().split(" ")
        yield path, Entry(mode, id_)
