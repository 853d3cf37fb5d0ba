"""Make a pushed commit a package of this cluster: check it whole, then give it its name here."""

import os
from typing import Any, Dict, NamedTuple, Optional

from cjnode.errors import NodeError
from cjnode.files import replace
from cjnode.package import manifest
from cjnode.records import layout
from cjnode.repository import gitbare, tree
from cjnode.vocabulary import INBOX, PACKAGES, TIPS

LOOSE_REFS = 100

Package = NamedTuple("Package", [("content", bytes), ("fields", Dict[str, Any])])


def adopt(root: str, package: str, arrival: Optional[gitbare.Arrival] = None) -> None:
    """Make a pushed commit a package of this cluster. Idempotent; what is refused leaves no ref.

    ``arrival`` is git's look at it, where that was begun already.
    """
    folder = layout.checked_package(root, package)
    with arrival or gitbare.Arrival(root, package) as looked:
        try:
            found = inspect(looked, package)
        except NodeError:
            looked.moves.do(["delete %s%s" % (INBOX, package)])
            raise
        looked.moves.do(
            [
                # The name is the hash, so writing it again cannot change what it names.
                "update %s%s %s" % (PACKAGES, package, package),
                "update %s%s %s" % (TIPS, found.fields["agent"], package),
                "delete %s%s" % (INBOX, package),
            ]
        )
    os.makedirs(os.path.join(folder, "submissions"), 0o700, exist_ok=True)
    replace(layout.manifest_path(root, package), found.content)
    _pack_refs(gitbare.repo_path(root))


def _pack_refs(repo: str) -> None:
    """Put many refs into one file: each push reads all there are, and a thousand files took 40 ms."""
    try:
        loose = len(os.listdir(os.path.join(repo, PACKAGES)))
    except FileNotFoundError:
        return
    if loose > LOOSE_REFS:
        try:
            gitbare.run(repo, "pack-refs", "--all")
        except NodeError:
            pass  # another push is at it


def pushed(root: str, package: str) -> bool:
    """Whether the repository has the package under one of our refs, though the hook was cut off."""
    names = [INBOX + package, PACKAGES + package]
    return bool(gitbare.run(gitbare.repo_path(root), "for-each-ref", "--count=1", *names))


def purged(root: str, package: str) -> str:
    """What to say of a package whose folder a site removed, and which can be made again; else empty."""
    if os.path.isdir(layout.checked_package(root, package)):
        return ""
    try:
        known = pushed(root, package)
    except (NodeError, OSError):
        known = False
    if not known:
        return ""
    return "package %s was purged on the cluster: its folder is gone" % package[:12]


def inspect(looked: gitbare.Arrival, package: str) -> Package:
    """Check a pushed object as a package: commit, manifest, paths, links. Writes nothing."""
    kind, _ = looked.answer(package, manifest.LIMIT)
    if kind != "commit":
        raise NodeError("%s is no commit but a %s" % (package[:12], kind or "missing object"))
    kind, content = looked.answer(".cj/package.json", manifest.LIMIT)
    if kind != "blob":
        raise NodeError("%s has no manifest: it was not made by git cj" % package[:12])
    fields = manifest.parse(content)
    out, err = looked.listing.communicate()
    if looked.listing.returncode:
        raise NodeError("git ls-tree: %s" % gitbare.words(err))
    tree.check_paths(out)
    targets = {}
    for entry in tree.links(out):
        looked.ask(entry.object_id)
        targets[entry.path] = looked.answer(tree.shown(entry.path), 4096)[1]
    tree.check_links(targets)
    return Package(content, fields)
