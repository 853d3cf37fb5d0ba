"""What git leaves out of a tree in silence, said in sentences."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from cjledger.model import Change
from cjledger.snapshot.blobs import SMALL
from cjledger.snapshot.look import GITLINK, RAW, Seen, parse_raw
from cjledger.snapshot.workshop import Workshop

# Looking at every entry of 100,000 for pipes and sockets would cost half of `git status`: in larger trees
# only the top folder and those that hold a change are looked at.
_LOOKED_AT = 4000
_SHOWN = 5


class Links(NamedTuple):
    """Nested repositories: all, those without a commit to link to, and their files that `--dep` took."""

    nested: tuple[bytes, ...]
    without_commit: tuple[bytes, ...]
    taken: tuple[bytes, ...] = ()

    def lacks(self, path: bytes) -> bool:
        """Whether the tree has no file of this repository."""
        return not any(file.startswith(path + b"/") for file in self.taken)


def missing(shop: Workshop, seen: Seen, links: Links) -> tuple[Change, ...]:
    """Repositories in the working copy whose files, or changes to them, a launch would leave behind."""
    return (
        *(Change(_name(path), "submodule") for path in _submodules(shop, seen, links)),
        *(Change(_name(path), "nested") for path in links.nested if links.lacks(path)),
    )


def report(shop: Workshop, seen: Seen, links: Links, listing: bytes) -> tuple[str, ...]:
    """Everything a person must know that the tree, which is listed as by ``ls-tree -r -z``, does not hold."""
    changed = tuple(_submodules(shop, seen, links))
    return (
        *(
            f"submodule {_name(path)} has changes that are not in the package: commit them there"
            for path in changed
        ),
        *_bare(shop, listing, (*changed, *links.nested)),
        *_nested(links),
        *_hidden_edits(shop, seen),
        *_sparse(shop, seen),
        *_filtered(shop, seen),
        *_special_files(shop, seen),
    )


def hidden(tracked: bytes) -> bool:
    """Whether some tracked file carries assume-unchanged or skip-worktree."""
    ordinary = tracked.count(b"\0H ") + tracked.startswith(b"H ")
    return ordinary != tracked.count(b"\0") and bool(_hidden(tracked))


def _hidden(tracked: bytes) -> list[bytes]:
    return [line[2:] for line in tracked.split(b"\0") if line[:1].islower() or line[:1] == b"S"]


def _submodules(shop: Workshop, seen: Seen, links: Links) -> Iterable[bytes]:
    """Submodules with changes of their own, less those whose files `--dep` took."""
    changed = sorted(path for path, line in seen.edited.items() if GITLINK in (line.old_mode, line.new_mode))
    if not changed:
        return
    listing = shop.git(
        "status",
        "--porcelain=v2",
        "-z",
        "--ignore-submodules=none",
        "--no-renames",
        "-uno",
        "--",
        *_literal(changed),
    )
    for line in listing.split(b"\0"):
        fields = line.split(b" ", 8)
        is_changed = len(fields) == 9 and fields[2][:1] == b"S" and fields[2][2:] != b".."
        if is_changed and links.lacks(fields[8]):
            yield fields[8]


def _bare(shop: Workshop, listing: bytes, said: Sequence[bytes]) -> Iterable[str]:
    """Submodules as they are committed: their files are here, and not where tasks run."""
    mark = GITLINK.encode() + b" commit "
    if mark not in listing:
        return
    lines = [line for line in listing.split(b"\0") if line.startswith(mark)]
    paths = [line.partition(b"\t")[2] for line in lines]
    top = os.fsencode(shop.repo.top)
    here = [path for path in paths if path not in said and _scan(top + b"/" + path)]
    if here:
        noun, link = ("submodule", "a link") if len(here) == 1 else ("submodules", "links")
        yield f"{_list(here)}: {noun}, in the package as {link} without files (--dep FOLDER takes the files)"


def _nested(links: Links) -> Iterable[str]:
    for path in filter(links.lacks, links.nested):
        name = _name(path)
        if path in links.without_commit:
            yield f"nested repository {name} has no commit and is left out: --dep {name} takes its files"
        else:
            yield f"nested repository {name} is in the package as a bare link: --dep {name} takes its files"


def _hidden_edits(shop: Workshop, seen: Seen) -> Iterable[str]:
    """Edits behind assume-unchanged and skip-worktree, found with an index that has the flags taken off."""
    tags = {line[2:]: line[:1] for line in seen.tracked.split(b"\0")} if hidden(seen.tracked) else {}
    flagged = {
        path: "skip-worktree" for path, tag in tags.items() if tag in (b"S", b"s") and _is_there(shop, path)
    }
    flagged |= {path: "assume-unchanged" for path, tag in tags.items() if tag.islower() and tag != b"s"}
    if not flagged:
        return
    index = "unflagged"
    (shop.folder / index).write_bytes(shop.index.read_bytes())
    names = b"".join(path + b"\0" for path in flagged)
    for flag in ("--no-assume-unchanged", "--no-skip-worktree"):
        shop.git("update-index", "-z", flag, "--stdin", stdin=names, index=index)
    differing = parse_raw(shop.git("diff", *RAW, index=index))
    for path in sorted(flagged.keys() & differing.keys()):
        is_gone = differing[path].status == "D"
        what = (
            "deleted: it is in the package as committed"
            if is_gone
            else "edited: the edit is not in the package"
        )
        name, flag = _name(path), flagged[path]
        yield f"{name} is marked {flag} but {what} (git update-index --no-{flag} {name})"


def _is_there(shop: Workshop, path: bytes) -> bool:
    return os.path.lexists(os.fsencode(shop.repo.top) + b"/" + path)


def _sparse(shop: Workshop, seen: Seen) -> Iterable[str]:
    if not (shop.repo.git_dir / "info" / "sparse-checkout").exists():
        return
    if (
        shop.git("config", "--type=bool", "--default=false", "--get", "core.sparseCheckout").strip()
        != b"true"
    ):
        return
    absent = [path for path in _hidden(seen.tracked) if not _is_there(shop, path)]
    if absent:
        yield f"{_count(absent, 'file')} outside the sparse checkout and in the package as committed"
    present = _outside_patterns(shop)
    if present:
        yield f"{_list(present)}: outside the sparse checkout, in the package nevertheless"


def _outside_patterns(shop: Workshop) -> list[bytes]:
    """Changed and new files that lie outside the sparse patterns, which are of the kind .gitignore holds."""
    if not (shop.folder / SMALL).exists():
        return []
    patterns = os.fsencode(shop.repo.git_dir / "info" / "sparse-checkout")
    everything = shop.git("ls-files", "-z", index=SMALL)
    inside = shop.git("ls-files", "-z", "-c", "-i", b"--exclude-from=" + patterns, index=SMALL)
    return sorted(frozenset(everything.split(b"\0")) - frozenset(inside.split(b"\0")))


def _filtered(shop: Workshop, seen: Seen) -> Iterable[str]:
    """Files whose bytes git replaces when it adds them: by a pointer, or by what a filter makes of them."""
    found = [
        *_named(seen.tracked, b".gitattributes"),
        *(path for path in seen.untracked if _is_attributes(path)),
    ]
    top = os.fsencode(shop.repo.top)
    sources = [
        *(top + b"/" + path for path in found),
        os.fsencode(shop.repo.common_dir / "info" / "attributes"),
    ]
    for name in sorted({name for source in sources for name in _filters(source)}):
        attribute = b":(top,attr:filter=" + name + b")"
        listing = shop.git("ls-files", "-z", "-c", "-o", "--exclude-standard", "--", attribute)
        paths = sorted(frozenset(listing.split(b"\0")[:-1]))
        if paths and name == b"lfs":
            yield f"{_list(paths)}: stored by Git LFS, in the package as pointers, not as data"
        elif paths and shop.git("config", b"filter." + name + b".clean", ok=(0, 1)):
            told = os.fsdecode(name)
            yield f"{_list(paths)}: in the package as git's filter {told} stores it, not as it stands here"


def _named(tracked: bytes, name: bytes) -> Iterable[bytes]:
    """The tracked paths of a file name; a search for bytes is 20 times faster than a pattern."""
    at = tracked.find(name + b"\0")
    while at >= 0:
        start = tracked.rfind(b"\0", 0, at) + 1
        path = tracked[start + 2 : at + len(name)]
        if path == name or path.endswith(b"/" + name):
            yield path
        at = tracked.find(name + b"\0", at + 1)


def _is_attributes(path: bytes) -> bool:
    return path.rpartition(b"/")[2] == b".gitattributes"


def _filters(path: bytes) -> list[bytes]:
    """The filters that a file of attributes names."""
    try:
        with open(path, "rb") as file:
            return list(re.findall(rb"\bfilter=([\w.-]+)", file.read()))
    except OSError:
        return []


def _special_files(shop: Workshop, seen: Seen) -> Iterable[str]:
    top = os.fsencode(shop.repo.top)
    folders = {b"", *(path.rpartition(b"/")[0] for path in (*seen.edited, *seen.untracked))}
    if seen.tracked.count(b"\0") <= _LOOKED_AT:
        folders |= {line[2:].rpartition(b"/")[0] for line in seen.tracked.split(b"\0") if line}
    for folder in sorted(folders):
        for entry in _scan(top + b"/" + folder):
            kind = _special(entry)
            if kind:
                name = folder + b"/" + entry.name if folder else entry.name
                yield f"{_name(name)} is a {kind} and is left out"


def _scan(folder: bytes) -> Sequence[os.DirEntry[bytes]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError:
        return []


def _special(entry: os.DirEntry[bytes]) -> str | None:
    if entry.is_file(follow_symlinks=False) or entry.is_dir(follow_symlinks=False) or entry.is_symlink():
        return None
    try:
        mode = entry.stat(follow_symlinks=False).st_mode
    except OSError:
        return None
    return "named pipe" if stat.S_ISFIFO(mode) else "socket" if stat.S_ISSOCK(mode) else "device"


def _literal(paths: Iterable[bytes]) -> Iterable[bytes]:
    return (b":(top,literal)" + path for path in paths)


def _name(path: bytes) -> str:
    text = path.decode(errors="backslashreplace")
    return text if text.isprintable() else repr(text)[1:-1]


def _count(paths: Sequence[bytes], noun: str) -> str:
    return f"1 {noun} is" if len(paths) == 1 else f"{len(paths)} {noun}s are"


def _list(paths: Sequence[bytes]) -> str:
    shown = ", ".join(_name(path) for path in paths[:_SHOWN])
    return shown + (f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else "")
