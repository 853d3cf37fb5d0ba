"""What the tests of the snapshot share: a repository to play with and git's own answer."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from cjledger import gitrepo


def git(where: Path, *arguments: str | bytes, env: dict[str, str] | None = None, stdin: bytes = b"") -> bytes:
    done = subprocess.run(
        ("git", *arguments), cwd=where, env={**os.environ, **(env or {})}, input=stdin, capture_output=True
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def new_repo(top: Path, *options: str) -> Path:
    top.mkdir(parents=True, exist_ok=True)
    git(top, "init", "-q", *options)
    return top


def commit(top: Path, message: str = "c") -> None:
    git(top, "add", "-A")
    git(top, "commit", "-qm", message, "--allow-empty")


def write(top: Path, path: str | bytes, content: bytes | str = b"x\n") -> None:
    file = os.path.join(os.fsencode(top), os.fsencode(path))
    os.makedirs(os.path.dirname(file), exist_ok=True)
    with open(file, "wb") as out:
        out.write(content.encode() if isinstance(content, str) else content)


def git_add_all(top: Path, *options: str) -> str:
    """The tree of ``git add -A && git write-tree`` on a copy of the index."""
    repo = gitrepo.discover(top)
    index = repo.git_dir / "test-index"
    index.unlink(missing_ok=True)
    if (repo.git_dir / "index").exists():
        shutil.copy2(repo.git_dir / "index", index)
    env = {"GIT_INDEX_FILE": str(index)}
    git(repo.top, "-c", "core.safecrlf=false", "-c", "core.splitIndex=false", "add", "-A", *options, env=env)
    tree = git(repo.top, "write-tree", env=env).decode().strip()
    index.unlink()
    return tree


def files_of(top: Path, tree: str) -> dict[str, bytes]:
    """Path to content; a link's content is the commit's ID."""
    found = {}
    for line in git(top, "ls-tree", "-r", "-z", tree).split(b"\0")[:-1]:
        head, path = line.split(b"\t", 1)
        _, kind, name = head.decode().split(" ")
        found[os.fsdecode(path)] = git(top, "cat-file", "blob", name) if kind == "blob" else name.encode()
    return found


def possessions(top: Path) -> dict[str, str]:
    """Everything of the person's by hash: the working copy and git's folder less objects and our own."""
    repo = gitrepo.discover(top)
    found = {}
    for root in {repo.top, repo.git_dir, repo.common_dir}:
        for folder, folders, files in os.walk(os.fsencode(root)):
            if folder == os.fsencode(repo.common_dir):
                folders[:] = [name for name in folders if name not in (b"objects", b"cj")]
            for name in [*files, *folders]:
                path = os.path.join(folder, name)
                status = os.lstat(path)
                found[repr(path)] = f"{status.st_mode} {_digest(path)}"
                # git freshens a shared index whenever it reads it, `git status` included.
                if not os.path.isdir(path) and not name.startswith(b"sharedindex."):
                    found[repr(path)] += f" {status.st_mtime_ns}"
    return found


def _digest(path: bytes) -> str:
    if os.path.islink(path):
        return repr(os.readlink(path))
    if not os.path.isfile(path):
        return ""
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()
