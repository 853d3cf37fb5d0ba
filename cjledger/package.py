"""The package: one parentless commit that carries all a launch needs; its hash is its name."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from cjledger import gitrepo
from cjledger.errors import CjError
from cjledger.gitrepo import Repo
from cjledger.model import Manifest, manifest_from_bytes

PACKAGES = "refs/cj/packages/"
FOLDER = ".cj"


def ref(package_id: str) -> str:
    """The ref that names a package."""
    return PACKAGES + package_id


def identity(repo: Repo) -> tuple[str, str]:
    """Name and address of the person, as git knows them; the login's where git knows none."""
    ident = gitrepo.text(repo, "var", "GIT_AUTHOR_IDENT", ok=(0, 128))
    if not ident:
        return "unknown", "unknown@localhost"
    name, _, rest = ident.partition(" <")
    return name, rest.split(">", 1)[0]


def build(repo: Repo, tree: str, files: Mapping[str, bytes], message: str, author: tuple[str, str]) -> str:
    """Write the commit of a package: the snapshot's tree plus ``files`` below ``.cj``.

    Only objects are written; no ref moves. Returns the package ID.
    """
    asked = gitrepo.start(repo, "ls-tree", "-z", tree)
    with _TreeWriter(repo) as trees:
        blobs = _write_blobs(repo, files)  # meanwhile
        listing, words = asked.communicate()
        if asked.returncode:
            raise gitrepo.GitError(("ls-tree",), asked.returncode, words.decode(errors="replace"))
        entries = {entry.split(b"\t", 1)[1]: entry for entry in listing.split(b"\0")[:-1]}
        if FOLDER.encode() in entries:  # the snapshot's grafts: .cj/deps
            grafted = gitrepo.run(repo, "ls-tree", "-z", f"{tree}:{FOLDER}").split(b"\0")[:-1]
            entries[FOLDER.encode()] = trees.folder(blobs, grafted)
        else:
            entries[FOLDER.encode()] = trees.folder(blobs, [])
        whole = trees.write(list(entries.values()))
    name, address = author
    env = {
        "GIT_AUTHOR_NAME": name,
        "GIT_AUTHOR_EMAIL": address,
        "GIT_COMMITTER_NAME": name,
        "GIT_COMMITTER_EMAIL": address,
    }
    commit = gitrepo.run(
        repo, "-c", "i18n.commitEncoding=UTF-8", "commit-tree", whole, stdin=message.encode(), env=env
    )
    return commit.decode().strip()


class _TreeWriter:
    """Several trees through one ``git mktree``."""

    def __init__(self, repo: Repo) -> None:
        self._process = subprocess.Popen(
            ("git", "mktree", "-z", "--missing", "--batch"),
            cwd=repo.top,
            env=gitrepo.environment(repo),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def __enter__(self) -> _TreeWriter:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()

    def write(self, entries: Sequence[bytes]) -> str:
        """Write one tree of ``ls-tree`` lines and return its ID."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(b"".join(entry + b"\0" for entry in entries) + b"\0")
        self._process.stdin.flush()
        name = self._process.stdout.readline().decode().strip()
        if not name:
            raise CjError("git mktree could not write a tree", "check the free space, then run it again")
        return name

    def folder(self, blobs: Mapping[str, str], extra: Sequence[bytes]) -> bytes:
        """Write the ``.cj`` folder of blobs by relative path; return its entry."""
        subfolders: dict[str, dict[str, str]] = {}
        entries = list(extra)
        for path, blob in blobs.items():
            head, _, rest = path.partition("/")
            if rest:
                subfolders.setdefault(head, {})[rest] = blob
            else:
                entries.append(f"100644 blob {blob}\t{path}".encode())
        for name, inner in subfolders.items():
            lines = [f"100644 blob {blob}\t{path}".encode() for path, blob in inner.items()]
            entries.append(f"040000 tree {self.write(lines)}\t{name}".encode())
        return f"040000 tree {self.write(entries)}\t{FOLDER}".encode()


def _write_blobs(repo: Repo, files: Mapping[str, bytes]) -> dict[str, str]:
    repo.cj_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=repo.cj_dir, prefix="package-") as folder:
        paths = []
        for number, content in enumerate(files.values()):
            path = Path(folder) / str(number)
            path.write_bytes(content)
            paths.append(f"{number}\n")
        # Relative names and -C keep a newline in the repository's own path out of the list.
        hashed = subprocess.run(
            ("git", "hash-object", "-w", "--no-filters", "--stdin-paths"),
            cwd=folder,
            env=gitrepo.environment(repo, {"GIT_WORK_TREE": folder}),
            input="".join(paths).encode(),
            capture_output=True,
        )
        if hashed.returncode:
            raise gitrepo.GitError(
                ("hash-object",), hashed.returncode, hashed.stderr.decode(errors="replace")
            )
    return dict(zip(files, hashed.stdout.decode().split(), strict=True))


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
