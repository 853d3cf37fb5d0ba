"""The door to the git program on the cluster: the root's bare repository alone."""

import os
import subprocess
from typing import Dict, List, Optional, Tuple

from cjnode import processes
from cjnode.errors import NodeError

_LOCKED = (b".lock': File exists", b"could not lock config file")


def repo_path(root: str) -> str:
    """The bare repository."""
    return os.path.join(root, "repo.git")


def command(repo: str, *arguments: str) -> List[str]:
    """The argv of a git command in that repository."""
    return ["git", "--git-dir=" + repo] + list(arguments)


def start(repo: str, *arguments: str, stdin: Optional[int] = None) -> "subprocess.Popen[bytes]":
    """Start git with its output piped."""
    return subprocess.Popen(
        command(repo, *arguments),
        env=_quiet(),
        stdin=subprocess.DEVNULL if stdin is None else stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def run(repo: str, *arguments: str, stdin: bytes = b"", again: int = 2) -> bytes:
    """Run git and return what it printed. Raises NodeError with git's own words."""
    process = start(repo, *arguments, stdin=subprocess.PIPE)
    out, err = process.communicate(stdin)
    if not process.returncode:
        return out
    if again and _freed(repo, err):
        return run(repo, *arguments, stdin=stdin, again=again - 1)
    raise _refused(repo, arguments[0], process.returncode, err)


def _freed(repo: str, err: bytes) -> bool:
    """Whether it is worth another try: a lock of another git was why, and is gone now."""
    if not any(sign in err for sign in _LOCKED):
        return False
    from cjnode.repository import gitlocks

    gitlocks.free(repo)
    return True


def _full(repo: str, act: str, said: str) -> Optional[NodeError]:
    """What to say when the disk is why git failed."""
    from cjnode import space

    full = space.refusal_of_git(said, os.path.dirname(repo))
    if full is None and act == "update-ref":  # of a ref that it cannot write git does not tell why
        full = space.tried(os.path.dirname(repo))
    return full


class Arrival:
    """What git is asked of a pushed object, and the move of its refs; begun before the rest of us loads."""

    def __init__(self, root: str, package: str) -> None:
        repo = repo_path(root)
        self.listing = start(repo, "ls-tree", "-r", "-z", "--full-tree", package)
        self.batch = start(repo, "cat-file", "--batch", stdin=subprocess.PIPE)
        self.moves = RefMoves(repo)
        self.ask(package)
        self.ask(package + ":.cj/package.json")

    def __enter__(self) -> "Arrival":
        return self

    def __exit__(self, *_: object) -> None:
        self.moves.__exit__()
        for process in (self.listing, self.batch):
            if process.returncode is None:
                process.kill()
                process.communicate()

    def ask(self, name: str) -> None:
        """Ask for an object; ``answer`` gives what was asked for, in that order."""
        assert self.batch.stdin
        self.batch.stdin.write(name.encode("ascii") + b"\n")
        self.batch.stdin.flush()

    def answer(self, name: str, limit: int) -> Tuple[Optional[str], bytes]:
        """An object's type and content; type None when it is missing. Refuses what is larger than limit."""
        assert self.batch.stdout
        header = self.batch.stdout.readline().split()
        if len(header) != 3:
            return None, b""
        size = int(header[2])
        if size > limit:
            raise NodeError("%s has %d bytes; at most %d are accepted" % (name, size, limit))
        return header[1].decode("ascii"), self.batch.stdout.read(size + 1)[:-1]


class RefMoves:
    """One ``git update-ref --stdin``, begun before its steps are known. Without steps it does nothing."""

    def __init__(self, repo: str) -> None:
        self._repo = repo
        self._process = start(repo, "update-ref", "--stdin", stdin=subprocess.PIPE)

    def __enter__(self) -> "RefMoves":
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.returncode is None:
            self._process.communicate()

    def do(self, steps: List[str]) -> None:
        """Do the steps, together; git before 1.8.5 does one at a time, in their order."""
        given = "".join(step + "\n" for step in steps).encode("ascii")
        _, err = self._process.communicate(given)
        if not self._process.returncode:
            return
        if _freed(self._repo, err):
            run(self._repo, "update-ref", "--stdin", stdin=given)
            return
        if b"usage: git update-ref" not in err:
            raise _refused(self._repo, "update-ref", self._process.returncode, err)
        for step in steps:
            act, ref, *value = step.split(" ")
            if act == "update":
                run(self._repo, "update-ref", ref, *value)
            elif run(self._repo, "for-each-ref", ref):
                run(self._repo, "update-ref", "-d", ref)


def _refused(repo: str, verb: str, code: int, err: bytes) -> NodeError:
    said = words(err)
    return _full(repo, verb, said) or NodeError("git %s: %s" % (verb, said or "exit %d" % code))


def version() -> str:
    """What the program calls itself: ``git 2.39.5``."""
    told = subprocess.Popen(["git", "--version"], env=_quiet(), stdout=subprocess.PIPE).communicate()[0]
    return words(told).replace("git version", "git")


def words(err: bytes) -> str:
    """What git said, as text."""
    return err.decode("utf-8", "replace").strip()


def _quiet() -> Dict[str, str]:
    kept = processes.environment()
    kept["LC_ALL"] = "C"
    # A replace ref would show other content under a package's name.
    kept["GIT_NO_REPLACE_OBJECTS"] = "1"
    return kept
