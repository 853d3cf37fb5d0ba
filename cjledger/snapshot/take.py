"""Take the working copy, as it stands at one instant, as a git tree."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import NamedTuple

from cjledger.background import Beside
from cjledger.errors import CjError
from cjledger.gitpack import Entry
from cjledger.gitrepo import Repo
from cjledger.model import Change, Snapshot
from cjledger.snapshot import losses
from cjledger.snapshot.blobs import add, add_link, add_raw, index_entries
from cjledger.snapshot.gates import Candidate, Limits, check
from cjledger.snapshot.look import GITLINK, RAW, Difference, Seen, look, moving, parse_raw, still
from cjledger.snapshot.outside import Outside, gather
from cjledger.snapshot.trees import edit
from cjledger.snapshot.workshop import NO_INDEX, UnstableError, Workshop, workshop

_TRIES = 3
_OWN = b".cj"
_CHANGES = {"A": "added", "D": "deleted", "M": "modified", "T": "type-changed", "U": "conflicted"}


class Begun(NamedTuple):
    """A look at the working copy that goes on beside what else a launch does. It has read, and no more."""

    shop: Workshop
    seen: Beside[Seen]


@contextmanager
def begin(repo: Repo) -> Iterator[Begun]:
    """Begin to look at the working copy: git takes its time on another processor."""
    with workshop(repo) as shop, Beside(look, shop) as seen:
        yield Begun(shop, seen)


class Wanted(NamedTuple):
    """What to take besides what git would, and what may be taken."""

    force: tuple[str, ...] = ()  # files and folders of the repository, even if git ignores them
    grafts: tuple[tuple[Path, str], ...] = ()  # folders outside, and where they go in the tree
    allow_large: bool = False
    allow_secrets: tuple[str, ...] = ()
    limits: Limits = Limits()


def take(repo: Repo, wanted: Wanted = Wanted(), begun: Begun | None = None) -> Snapshot:  # noqa: B008 - frozen
    """Take the tree that ``git add -A && git write-tree`` would give, less a top-level ``.cj``.

    ``begun`` is a look that is under way already. Only objects are written, and none before secrets, sizes
    and permissions were checked. Raises CjError when a check fails, or when the working copy does not hold
    still.
    """
    words = ""
    with nullcontext(begun) if begun else begin(repo) as own:
        assert own
        shop = own.shop
        for attempt in range(_TRIES):
            outside = gather(repo, wanted.force, wanted.grafts)
            others = (*outside.forced, *(raw.target for raw in outside.nested))
            seen = look(shop, others) if others or attempt else own.seen.result()
            check(_candidates(repo, seen, outside), wanted.allow_large, wanted.allow_secrets, wanted.limits)
            touched: frozenset[bytes] = frozenset()
            try:
                tree, links = _write(shop, seen, outside)
                with Beside(shop.git, "ls-tree", "-r", "-z", tree, index=NO_INDEX) as listing:
                    changes = _changes(shop, seen, tree, frozenset(outside.forced))
                touched = still(repo, seen)
                if not touched:
                    missing = losses.missing(shop, seen, links)
                    report = losses.report(shop, seen, links, listing.result())
                    return Snapshot(tree, listing.result(), changes, report, missing)
            except (UnstableError, FileNotFoundError) as problem:
                words = str(problem)
                touched = still(repo, seen)
    if touched:
        raise moving(touched)
    raise CjError(f"git could not take the snapshot: {words.strip()}", "git status; git fsck")


def _candidates(repo: Repo, seen: Seen, outside: Outside) -> Iterator[Candidate]:
    top = os.fsencode(repo.top)
    new = {path for path in seen.untracked if not path.endswith(b"/")} | set(outside.forced)
    changed = {path for path, line in (seen.staged | seen.edited).items() if line.new_mode != GITLINK}
    for path in sorted(new | changed):
        yield Candidate(os.fsdecode(path), top + b"/" + path, path in new and path not in changed)
    for raw in outside.nested:
        yield Candidate(os.fsdecode(raw.target), raw.source, True)
    for raw in outside.grafted:
        yield Candidate(os.fsdecode(raw.source), raw.source, True)


def _write(shop: Workshop, seen: Seen, outside: Outside) -> tuple[str, losses.Links]:
    repo = shop.repo
    untracked = sorted(path for path in seen.untracked if not path.endswith(b"/"))
    nested = sorted(path.rstrip(b"/") for path in seen.untracked if path.endswith(b"/"))
    paths = [path for path in sorted(seen.edited) if not _is_own(path) and _is_addable(seen, path)]
    extra = _untracked_only(seen, outside.forced)
    edits: dict[bytes, Entry | None] = {
        path: None if line.status == "D" else Entry(line.new_mode, line.new_id)
        for path, line in seen.staged.items()
    }
    edits.update(dict.fromkeys(seen.edited))
    wanted = [*paths, *untracked, *extra]
    written = add(shop, _seeds(shop, seen), wanted) if wanted else {}
    edits.update({path: written.get(path) for path in wanted})
    linked = {path: add_link(shop, path) for path in nested}
    edits.update({path: entry for path, entry in linked.items() if entry})
    raws = add_raw(shop, (*outside.nested, *outside.grafted))
    edits.update({raw.target: raws[raw.target] for raw in outside.nested})
    grafts = {raw.target: raws[raw.target] for raw in outside.grafted}
    base = f"{repo.head}^{{tree}}" if repo.head else repo.empty_tree
    tree = edit(repo, base, edits, _OWN, grafts)
    without = tuple(path for path, entry in linked.items() if not entry)
    return tree, losses.Links(tuple(nested), without, tuple(raw.target for raw in outside.nested))


def _is_addable(seen: Seen, path: bytes) -> bool:
    """Whether something is there that a tree can hold: no pipe took the place of the file."""
    mark = seen.marks[path]
    kinds = (stat.S_IFREG, stat.S_IFLNK, stat.S_IFDIR)
    return seen.edited[path].status != "D" and mark.depth == 0 and stat.S_IFMT(mark.mode) in kinds


def _seeds(shop: Workshop, seen: Seen) -> dict[bytes, Entry]:
    seeds = {
        path: Entry(line.old_mode, line.old_id)
        for path, line in seen.edited.items()
        if line.old_mode != "000000" and line.status != "D"
    }
    if any(line.status == "U" for line in seen.edited.values()):
        seeds |= index_entries(shop, "-u")
    if losses.hidden(seen.tracked):
        # Attributes of a folder outside the sparse checkout are in the index alone.
        attributes = index_entries(shop, "--", ":(top,glob)**/.gitattributes")
        seeds = {path: entry for path, entry in attributes.items() if not _is_there(shop.repo, path)} | seeds
    return seeds


def _untracked_only(seen: Seen, forced: Sequence[bytes]) -> list[bytes]:
    if not forced:
        return []
    tracked = frozenset(line[2:] for line in seen.tracked.split(b"\0"))
    return sorted(frozenset(forced) - tracked - seen.untracked)


def _changes(shop: Workshop, seen: Seen, tree: str, forced: frozenset[bytes]) -> tuple[Change, ...]:
    base = shop.repo.head or shop.repo.empty_tree
    raw = shop.git("diff-tree", "-r", *RAW, base, tree, index=NO_INDEX)
    found = {
        path: _word(path, line, seen, forced) for path, line in parse_raw(raw).items() if not _is_own(path)
    }
    found |= {path: "conflicted" for path, line in seen.edited.items() if line.status == "U"}
    return tuple(Change(readable(path), found[path]) for path in sorted(found))


def _word(path: bytes, line: Difference, seen: Seen, forced: frozenset[bytes]) -> str:
    known = path in seen.staged or path in seen.edited
    if line.status == "A" and not known and (path in seen.untracked or path in forced):
        return "untracked"
    return "untracked" if line.status == "A" and path + b"/" in seen.untracked else _CHANGES[line.status]


def readable(path: bytes) -> str:
    """A path for a manifest, which is UTF-8: other bytes as ``\\xNN``."""
    return path.decode(errors="backslashreplace")


def _is_own(path: bytes) -> bool:
    return path == _OWN or path.startswith(_OWN + b"/")


def _is_there(repo: Repo, path: bytes) -> bool:
    return os.path.lexists(os.fsencode(repo.top) + b"/" + path)
