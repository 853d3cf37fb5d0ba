"""Make a pushed commit a package of this cluster: check it whole, then give it its name here."""

import os
import subprocess
from typing import Any, Dict, NamedTuple, Optional, Tuple

from cjnode import gitbare, layout, manifest, tree
from cjnode.errors import NodeError
from cjnode.files import replace

INBOX = "refs/cj/inbox/"
PACKAGES = "refs/cj/packages/"
TIPS = "refs/cj/tip/"

LOOSE_REFS = 100

Package = NamedTuple("Package", [("content", bytes), ("fields", Dict[str, Any])])


def adopt(root: str, package: str) -> None:
    """Make a pushed commit a package of this cluster. Idempotent; what is refused leaves no ref."""
    folder = layout.checked_package(root, package)
    repo = layout.repo_path(root)
    with gitbare.RefMoves(repo) as moves:  # begun now: a launch waits for each process
        try:
            found = inspect(repo, package)
        except NodeError:
            moves.do(["delete %s%s" % (INBOX, package)])
            raise
        moves.do(
            [
                # The name is the hash, so writing it again cannot change what it names.
                "update %s%s %s" % (PACKAGES, package, package),
                "update %s%s %s" % (TIPS, found.fields["agent"], package),
                "delete %s%s" % (INBOX, package),
            ]
        )
    os.makedirs(os.path.join(folder, "submissions"), 0o700, exist_ok=True)
    replace(layout.manifest_path(root, package), found.content)
    _pack_refs(repo)


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
    return bool(gitbare.run(layout.repo_path(root), "for-each-ref", "--count=1", *names))


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


def inspect(repo: str, package: str) -> Package:
    """Check a pushed object as a package: commit, manifest, paths, links. Writes nothing."""
    listing = gitbare.start(repo, "ls-tree", "-r", "-z", "--full-tree", package)
    batch = gitbare.start(repo, "cat-file", "--batch", stdin=subprocess.PIPE)
    try:
        kind, _ = _ask(batch, package, manifest.LIMIT)
        if kind != "commit":
            raise NodeError("%s is no commit but a %s" % (package[:12], kind or "missing object"))
        kind, content = _ask(batch, package + ":.cj/package.json", manifest.LIMIT)
        if kind != "blob":
            raise NodeError("%s has no manifest: it was not made by git cj" % package[:12])
        fields = manifest.parse(content)
        out, err = listing.communicate()
        if listing.returncode:
            raise NodeError("git ls-tree: %s" % gitbare.words(err))
        tree.check_paths(out)
        targets = {}
        for entry in tree.links(out):
            targets[entry.path] = _ask(batch, entry.object_id, 4096)[1]
        tree.check_links(targets)
    finally:
        for process in (listing, batch):
            if process.returncode is None:
                process.kill()
                process.communicate()
    return Package(content, fields)


def _ask(batch: "subprocess.Popen[bytes]", name: str, limit: int) -> Tuple[Optional[str], bytes]:
    """An object's type and content; type None when it is missing. Refuses what is larger than limit."""
    assert batch.stdin
    assert batch.stdout
    batch.stdin.write(name.encode("ascii") + b"\n")
    batch.stdin.flush()
    header = batch.stdout.readline().split()
    if len(header) != 3:
        return None, b""
    size = int(header[2])
    if size > limit:
        raise NodeError("%s has %d bytes; at most %d are accepted" % (name[-40:], size, limit))
    return header[1].decode("ascii"), batch.stdout.read(size + 1)[:-1]
