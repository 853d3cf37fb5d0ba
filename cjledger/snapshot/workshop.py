"""A private folder with a copy of the person's index, in which git works for a snapshot."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cjledger import gitrepo
from cjledger.errors import CjError
from cjledger.gitrepo import GitError, Repo

# Nothing of the person's may run or be written: no hooks, no monitors, no shared index. Line-ending
# warnings are the business of `git add`; an order file or colours would only bend what we parse.
SETTINGS = (
    *("-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "core.splitIndex=false"),
    *("-c", "core.safecrlf=false", "-c", "core.preloadIndex=true", "-c", "core.quotePath=false"),
    *("-c", "diff.orderFile=/dev/null", "-c", "gc.auto=0", "-c", "advice.addEmbeddedRepo=false"),
)

NO_INDEX = "none"  # for what does not ask the index, yet would read all of it

_FOREIGN_LEFTOVER_S = 24 * 3600

# What git says when a file changed under its hands, or when another process pruned objects.
_UNSTABLE = (
    r"unstable object source|short read|file changed|unable to (index|stat|read)|(invalid|bad) object"
    r"|not a tree object|No such file or directory|failed to insert|unable to find [0-9a-f]{40}"
)


class UnstableError(Exception):
    """The working copy changed while it was read; trying again may help."""


@dataclass(frozen=True)
class Workshop:
    """The private folder, and git run in it. ``index`` is the copy of the person's index."""

    repo: Repo
    folder: Path

    @property
    def index(self) -> Path:
        """The copy of the person's index; absent when there is none."""
        return self.folder / "index"

    def environment(self, index: str = "index") -> dict[str, str]:
        """What git needs to see this repository through an index of this folder."""
        return gitrepo.environment(self.repo, {"GIT_INDEX_FILE": str(self.folder / index)})

    def git(
        self, *arguments: str | bytes, stdin: bytes = b"", index: str = "index", ok: tuple[int, ...] = (0,)
    ) -> bytes:
        """Run git on an index of this folder and return its output.

        Raises UnstableError when a file changed meanwhile, CjError when one cannot be read.
        """
        done = subprocess.run(
            ("git", *SETTINGS, *arguments),
            cwd=self.repo.top,
            env=self.environment(index),
            input=stdin,
            capture_output=True,
        )
        words = done.stderr.decode(errors="replace")
        # A folder that cannot be listed is a warning to git; its files would be missing without a word.
        if "Permission denied" in words and (done.returncode or "could not open directory" in words):
            raise unreadable(_denied(words))
        if done.returncode < 0 or (done.returncode and re.search(_UNSTABLE, words)):
            raise UnstableError(words)
        if done.returncode not in ok:
            named = [os.fsdecode(argument) for argument in arguments]
            raise GitError(self.repo.common_dir, named, done.returncode, words)
        return done.stdout


def unreadable(name: str) -> CjError:
    """The refusal for something that lacks the permission to be read."""
    return CjError(f"{name} cannot be read: permission denied", f"chmod u+rX {name}, or add it to .gitignore")


def _denied(words: str) -> str:
    lines = [line for line in words.splitlines() if "Permission denied" in line]
    line = next((line for line in lines if "could not open directory" in line), lines[0])
    quoted = re.search(r"'([^']+)'|\"([^\"]+)\"", line)
    if quoted:
        return (quoted[1] or quoted[2]).rstrip("/")
    return re.sub(r"^(warning|error|fatal): |: Permission denied.*$", "", line)


@contextlib.contextmanager
def workshop(repo: Repo) -> Iterator[Workshop]:
    """Make the folder, copy the index into it, and remove it all afterwards."""
    home = repo.cj_dir / "snapshot"
    folder = home / f"{os.uname().nodename}.{os.getpid()}.{os.urandom(4).hex()}"
    try:
        try:
            home.mkdir(parents=True, exist_ok=True)
            _remove_leftovers(home)
            folder.mkdir(mode=0o700)
            _copy_with_times(repo.git_dir / "index", folder / "index")
        except OSError as problem:  # a full disk, a repository of someone else's
            hint = f"df -h {home.parent}; ls -ld {home.parent}"
            raise CjError(f"cannot copy the index to {home}: {problem.strerror}", hint) from problem
        yield Workshop(repo, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _copy_with_times(source: Path, target: Path) -> None:
    """Copy content and time stamps of one and the same file, even if it is replaced meanwhile.

    git trusts an entry only when it is older than the index: a copy with a newer time misses edits.
    """
    try:
        with source.open("rb") as readable, target.open("wb") as writable:
            shutil.copyfileobj(readable, writable, 1 << 20)
            times = os.fstat(readable.fileno())
    except FileNotFoundError:
        return
    os.utime(target, ns=(times.st_atime_ns, times.st_mtime_ns))


def _remove_leftovers(home: Path) -> None:
    for folder in home.iterdir():
        host, pid = folder.name.rsplit(".", 2)[:2] if folder.name.count(".") >= 2 else ("", "0")
        if host == os.uname().nodename and pid.isdigit():
            leftover = not _is_alive(int(pid))
        else:
            # Another machine's process cannot be asked; a snapshot takes seconds.
            leftover = False
            with contextlib.suppress(FileNotFoundError):
                leftover = time.time() - folder.stat().st_mtime > _FOREIGN_LEFTOVER_S
        if leftover:
            shutil.rmtree(folder, ignore_errors=True)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
