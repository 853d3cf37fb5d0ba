"""A package's tree as git lists it: what may be expanded, and what may not."""

import posixpath
import re
from typing import Dict, List, NamedTuple

from cjnode.errors import NodeError

# One line of ``git ls-tree -r -z``; ``path`` is raw bytes, as file names are.
Entry = NamedTuple("Entry", [("mode", str), ("object_id", str), ("path", bytes)])

FILES = {"100644": 0o444, "100664": 0o444, "100755": 0o555}
LINK = "120000"
SUBMODULE = "160000"

# What no checkout may contain, whatever wrote the tree. Tabs and newlines are legal in names.
_BAD_PATH = rb"(?is)(?:\A|/)(?:\.\.?|\.git|git~1|)(?:/|\Z)|[\x01-\x08\x0b-\x1f\x7f]"
# The same but for control characters and ``git~1``, at the beginning of a path and within. A pattern that
# begins with one certain byte passes 100,000 lines in milliseconds, as a search for two bytes does not.
_HIDDEN = rb"(?:[/\0]|\.\.?[/\0]|\.[gG][iI][tT][/\0])"
_FIRST = re.compile(rb"\t" + _HIDDEN)
_INNER = re.compile(rb"/" + _HIDDEN)
_CONTROLS = bytes([*range(1, 9), *range(11, 32), 127])


def entries(listing: bytes) -> List[Entry]:
    """Parse ``git ls-tree -r -z``."""
    found = []
    for line in listing.split(b"\0")[:-1]:
        head, _, path = line.partition(b"\t")
        mode, _, object_id = head.decode("ascii").split(" ")
        found.append(Entry(mode, object_id, path))
    return found


def check_paths(listing: bytes) -> None:
    """Refuse paths that leave the tree or hide in it. Looks closely only where a quick look says so."""
    if not _suspect(listing):
        return
    for entry in entries(listing):
        if re.search(_BAD_PATH, entry.path):
            raise NodeError(
                "the package has a path that is refused: %s" % shown(entry.path),
                "rename it, or leave it out by .gitignore",
            )


def _suspect(listing: bytes) -> bool:
    if len(listing.translate(None, _CONTROLS)) < len(listing):
        return True
    if b"~" in listing and b"~1" in listing:
        return True
    return bool(_FIRST.search(listing) or _INNER.search(listing))


def links(listing: bytes) -> List[Entry]:
    """The symbolic links of the tree."""
    if b"\x00120000 " not in b"\0" + listing:
        return []
    return [entry for entry in entries(listing) if entry.mode == LINK]


def check_links(targets: Dict[bytes, bytes]) -> None:
    """Refuse links (path to target) that leave the tree, also by way of other links."""
    for path, target in targets.items():
        if _leaves(path, target):
            raise NodeError(
                "the symbolic link %s leads out of the package, to %s" % (shown(path), shown(target)),
                "git cj run … --dep FOLDER for a folder outside, or an absolute path in the program",
            )
        # A way through another link could climb from where that one leads.
        parent = posixpath.dirname(path)
        if b".." in target.split(b"/") and _through_link(posixpath.join(parent, target), targets):
            raise NodeError("the symbolic link %s climbs out of another link" % shown(path))


def _leaves(path: bytes, target: bytes) -> bool:
    if target.startswith(b"/") or not target or b"\0" in target:
        return True
    whole = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
    return whole == b".." or whole.startswith(b"../")


def _through_link(path: bytes, targets: Dict[bytes, bytes]) -> bool:
    """Whether a ``..`` of the path is applied to a symbolic link."""
    at: List[bytes] = []
    for part in path.split(b"/"):
        if part == b"..":
            if b"/".join(at) in targets:
                return True
            at = at[:-1]
        elif part not in (b"", b"."):
            at.append(part)
    return False


def shown(path: bytes) -> str:
    """A path that may hold anything, safe to print."""
    return ascii(path.decode("utf-8", "surrogateescape"))
