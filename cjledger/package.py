"""The package: one parentless commit that carries all a launch needs; its hash is its name."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence

from cjledger import gitrepo
from cjledger.errors import CjError
from cjledger.gitpack import BLOB, TREE, Entry, Pack, Person
from cjledger.gitrepo import Repo
from cjledger.model import Manifest, manifest_from_bytes
from cjnode.repository.tree import entries
from cjnode.vocabulary import PACKAGES

FOLDER = ".cj"


def ref(package_id: str) -> str:
    """The ref that names a package."""
    return PACKAGES + package_id


def identity(repo: Repo) -> Person:
    """Name and address of the person, as git knows them; the login's where git knows none."""
    ident = gitrepo.text(repo, "var", "GIT_AUTHOR_IDENT", ok=(0, 128))
    if not ident:
        return Person("unknown", "unknown@localhost")
    name, _, rest = ident.partition(" <")
    return Person(name, rest.split(">", 1)[0])


def build(
    pack: Pack, tops: Mapping[bytes, Entry], files: Mapping[str, bytes], message: str, author: Person
) -> str:
    """Add the commit of a package to what will be written, and return the package ID.

    ``tops`` are the entries of the snapshot's tree, with those of its ``.cj`` by whole path, and ``files``
    come below ``.cj``.
    """
    own = {path: Entry(BLOB, pack.blob(content)) for path, content in files.items()}
    folders: dict[bytes, dict[bytes, Entry]] = {b"": {}}
    for file, entry in own.items():
        folder, _, name = file.encode().rpartition(b"/")
        folders.setdefault(folder, {})[name] = entry
    whole = {}
    for path, entry in tops.items():
        folder, _, name = path.rpartition(b"/")
        if folder:
            folders[b""][name] = entry  # the snapshot's grafts: .cj/deps
        elif name != FOLDER.encode():
            whole[name] = entry
    inside = folders.pop(b"")
    inside.update({name: Entry(TREE, pack.tree(entries)) for name, entries in folders.items()})
    whole[FOLDER.encode()] = Entry(TREE, pack.tree(inside))
    return pack.commit(pack.tree(whole), (), author, message)


def tops(repo: Repo, tree: str) -> dict[bytes, Entry]:
    """What ``build`` needs of a snapshot's tree: its own entries, and those of its ``.cj``."""
    found = _entries(gitrepo.run(repo, "ls-tree", "-z", tree))
    if FOLDER.encode() in found:
        found |= _entries(gitrepo.run(repo, "ls-tree", "-z", tree, f"{FOLDER}/"))
    return found


def _entries(listing: bytes) -> dict[bytes, Entry]:
    return {each.path: Entry(each.mode.lstrip("0"), each.object_id) for each in entries(listing)}


def message(manifest: Manifest) -> str:
    """The commit message: the person's words, then trailers that make ``git log`` an audit."""
    subject = manifest.message.strip() or default_subject(manifest)
    trailers = [
        ("Cj-Program", manifest.program.name),
        ("Cj-Cluster", manifest.cluster),
        ("Cj-Tasks", str(manifest.tasks)),
        ("Cj-Seed", str(manifest.seed)),
        ("Cj-Head", manifest.head or "unborn"),
        ("Cj-Agent", manifest.agent),
    ]
    lines = "".join(f"{key}: {' '.join(value.split())}\n" for key, value in trailers)
    return f"{subject}\n\n{lines}"


def default_subject(manifest: Manifest) -> str:
    """What a launch without a message is called."""
    noun = "task" if manifest.tasks == 1 else "tasks"
    return f"{manifest.program.name} on {manifest.cluster}, {manifest.tasks} {noun}"


def read_manifest(repo: Repo, package_id: str) -> Manifest:
    """The manifest of a package. Raises CjError when the package is not here or damaged."""
    return read_manifests(repo, [package_id])[package_id]


def read_manifests(repo: Repo, package_ids: Sequence[str]) -> dict[str, Manifest]:
    """The manifests of many packages, in one process."""
    blobs = gitrepo.read_blobs(repo, [f"{p}:{FOLDER}/package.json" for p in package_ids])
    found: dict[str, Manifest] = {}
    for package_id, blob in zip(package_ids, blobs, strict=True):
        if blob is None:
            raise CjError(f"package {package_id[:12]} has no manifest", f"git cj fsck {package_id[:12]}")
        found[package_id] = manifest_from_bytes(blob, package_id)
    return found


def readable_manifests(repo: Repo, package_ids: Sequence[str]) -> dict[str, Manifest]:
    """The same of those that are whole; what is damaged is left out."""
    blobs = gitrepo.read_blobs(repo, [f"{p}:{FOLDER}/package.json" for p in package_ids])
    found: dict[str, Manifest] = {}
    for package_id, blob in zip(package_ids, blobs, strict=True):
        with contextlib.suppress(CjError):
            if blob is not None:
                found[package_id] = manifest_from_bytes(blob, package_id)
    return found


def is_then(first: Manifest, first_id: str, other: Manifest) -> bool:
    """Whether a package is what the launch of another one made to run after it, as ``commands.then`` does.

    It runs a script of the same code in the same way: nothing else of it could run anything.
    """
    if first.then is None or other.then_of is None or other.then_of.package != first_id:
        return False
    program = other.program
    is_its_script = (program.kind, program.path) == ("script", first.then.path) and not program.arguments
    asked = first.resources._replace(jobs=None, workers=None)
    same = {name: getattr(first, name) for name in _OF_ONE_ALONE}
    return is_its_script and other.resources == asked and other._replace(**same) == first


# What tells a package that runs after another one from that one.
_OF_ONE_ALONE = (
    *("program", "sweep", "tasks", "seed", "outputs", "unlinked", "resources"),
    *("message", "report", "linked", "after", "then", "then_of"),
)


def _made_of(manifest: Manifest) -> str:
    """The Python of the tasks, or what their environment was made of."""
    environment = manifest.environment
    source = environment.lock or environment.image
    return f"a {environment.kind} of {source}" if source else manifest.python


def readme(manifest: Manifest, script: str) -> bytes:
    """``.cj/README``: how a stranger runs the package again."""
    return f"""This folder was made by cjledger {manifest.version} at launch. The commit that holds it is the
package: the code exactly as it stood, and all that is needed to run its {manifest.tasks} task(s) again.

    program    {manifest.program.name}
    launched   {manifest.created} by {manifest.author}
    on         {manifest.cluster} ({manifest.scheduler}) with {_made_of(manifest)}
    root seed  {manifest.seed}

To run task 1 again, check the commit out and type, at its top:

    python3 {FOLDER}/{script} 1

The script needs the program's own language and libraries, not cjledger and no cluster.

    package.json     what was asked for: program, sweep, seed, resources, environment locks
    {script}    runs one task by its number; with --list, shows every task's parameters
    job.sh           the batch script the scheduler got
    cjnode.pyz       the runner that job.sh starts (Python 3.6 or newer)
    points/          the parameters of each task, where they were given one by one
""".encode()
