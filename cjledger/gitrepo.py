"""The door to the git program, for the person's repository.

The person's repository may be SHA-256, reftable, split or sparse: git itself is the only reader that
knows them all, so nothing else touches it.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from cjledger.errors import CjError

# What git exports to hooks and aliases; left in place it would send our git to another repository.
_INHERITED = frozenset(
    """GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE GIT_PREFIX GIT_OBJECT_DIRECTORY GIT_COMMON_DIR GIT_NAMESPACE
    GIT_ALTERNATE_OBJECT_DIRECTORIES GIT_CONFIG GIT_CONFIG_PARAMETERS GIT_CONFIG_COUNT GIT_GRAFT_FILE
    GIT_IMPLICIT_WORK_TREE GIT_REPLACE_REF_BASE GIT_SHALLOW_FILE GIT_QUARANTINE_PATH
    GIT_INTERNAL_SUPER_PREFIX""".split()  # noqa: SIM905
)


# The first whose fetch takes references on standard input.
OLDEST = "2.29"

_PROBE_BYTES = 1 << 16


class GitError(CjError):
    """The git program refused to work in a folder; ``stderr`` holds its own words."""

    def __init__(self, folder: Path, arguments: Sequence[str], returncode: int, stderr: str) -> None:
        words = stderr.strip() or f"exit {returncode}"
        is_full = any(known in words for known in ("No space left", "quota exceeded"))
        if not is_full and "write" in words and (why := _takes_no_more(folder)):
            is_full, words = True, f"{words}: {why}"
        hint = (
            "free some space, then run the command again"
            if is_full
            else "git fsck, then run the command again"
        )
        super().__init__(f"git {arguments[0]}: {words}", hint)
        self.returncode = returncode
        self.stderr = stderr


def _takes_no_more(folder: Path) -> str | None:
    """Why the disk takes no file now. Git says of a ref that it could not write it, and not why."""
    try:
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"\0" * _PROBE_BYTES)
            probe.flush()
            os.fsync(probe.fileno())
    except OSError as problem:
        return problem.strerror
    return None


class Repo(NamedTuple):
    """A repository with a working copy. All paths are absolute."""

    top: Path
    git_dir: Path
    common_dir: Path
    head: str | None
    branch: str | None  # None where HEAD is detached or unborn
    hash_name: str  # sha1 or sha256
    scratch: Path | None = None  # a folder to which all new objects go, for a rehearsal

    @property
    def zero(self) -> str:
        """The object ID that means "no object"."""
        return "0" * (64 if self.hash_name == "sha256" else 40)

    @property
    def empty_tree(self) -> str:
        """The ID of the tree without entries."""
        if self.hash_name == "sha256":
            return "6ef19b41225c5369f1c104d45d8d85efa9b057b53b14b4b9b939dd74decc5321"
        return "4b825dc642cb6eb9a060e54bf8d69288fbee4904"

    @property
    def cj_dir(self) -> Path:
        """The tool's own folder beside the objects; shared by linked worktrees."""
        return self.common_dir / "cj"


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment without what git exports to its children, messages in English."""
    environment = {key: value for key, value in os.environ.items() if key not in _INHERITED}
    environment.update(LC_ALL="C", GIT_OPTIONAL_LOCKS="0", GIT_TERMINAL_PROMPT="0")
    environment.update(extra or {})
    return environment


def discover(start: Path) -> Repo:
    """Find the repository around ``start``. Raises CjError outside one, and in a bare one."""
    places = ("--show-object-format", "--absolute-git-dir", "--git-common-dir", "--show-toplevel")
    found = _rev_parse(start, *places, "HEAD", "--abbrev-ref", "HEAD")
    answers = found.stdout.removesuffix("\n").split("\n")
    if answers[0] == places[0]:  # an old git repeats a question that it does not know
        raise CjError(f"the git program on PATH is older than {OLDEST}", "install a newer one: git cj doctor")
    if len(answers) < 5:
        if "work tree" in found.stderr:
            words = f"{start} has no working copy: it is a bare repository or a git folder"
            raise CjError(words, "cd to a working copy of it: git worktree list")
        if "not a git repository" in found.stderr:
            raise CjError(f"{start} is not in a git repository", "git init, then run it again")
        raise CjError(found.stderr.strip(), "git status")
    is_unborn = found.returncode != 0
    head, branch = (None, None) if is_unborn else (answers[-2], answers[-1])
    answers = answers[: -1 if is_unborn else -2]
    if len(answers) > len(places):  # a path holds a newline: one question at a time
        answers = [_rev_parse(start, place).stdout.removesuffix("\n") for place in places]
    hash_name, git_dir, common, top = answers
    return Repo(
        Path(top),
        Path(git_dir),
        (start / common).resolve(),
        head,
        None if branch == "HEAD" else branch,
        hash_name,
    )


def _rev_parse(start: Path, *questions: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            ("git", "rev-parse", *questions),
            cwd=start,
            env={**os.environ, "LC_ALL": "C"},
            capture_output=True,
            text=True,
            errors="surrogateescape",
        )
    except FileNotFoundError as problem:
        raise CjError("there is no git program on PATH", "install git, then try again") from problem


def run(
    repo: Repo,
    *arguments: str,
    stdin: bytes | None = None,
    env: Mapping[str, str] | None = None,
    ok: Iterable[int] = (0,),
) -> bytes:
    """Run git in the repository's top and return its standard output. Raises GitError."""
    done = subprocess.run(
        ("git", *arguments),
        cwd=repo.top,
        env=environment(repo, env),
        input=stdin if stdin is not None else b"",
        capture_output=True,
    )
    if done.returncode not in ok:
        raise GitError(repo.common_dir, arguments, done.returncode, done.stderr.decode(errors="replace"))
    return done.stdout


def start(repo: Repo, *arguments: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
    """Start git in the repository's top, its output piped, for work that goes on beside ours."""
    return subprocess.Popen(
        ("git", *arguments),
        cwd=repo.top,
        env=environment(repo, env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def environment(repo: Repo, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment in which git sees exactly this repository."""
    own = {"GIT_DIR": str(repo.git_dir), "GIT_WORK_TREE": str(repo.top)}
    if repo.scratch:
        lender = str(repo.common_dir / "objects").replace("\\", "\\\\").replace('"', '\\"')
        own |= {"GIT_OBJECT_DIRECTORY": str(repo.scratch), "GIT_ALTERNATE_OBJECT_DIRECTORIES": f'"{lender}"'}
    return clean_environment({**own, **(extra or {})})


def text(repo: Repo, *arguments: str, ok: Iterable[int] = (0,)) -> str:
    """Run git and return its output as text without the final newline."""
    return run(repo, *arguments, ok=ok).decode(errors="surrogateescape").removesuffix("\n")


class RefMove(NamedTuple):
    """One step of a ref transaction: from ``old`` (zero: must not exist) to ``new`` (zero: delete)."""

    ref: str
    new: str
    old: str


def move_refs(repo: Repo, moves: Sequence[RefMove], reason: str) -> bool:
    """Move several refs by compare-and-swap, all or none. False when one had moved in between."""
    lines = ["start", *(f"update {m.ref} {m.new} {m.old}" for m in moves), "prepare", "commit"]
    try:
        run(repo, "update-ref", "-m", reason, "--stdin", stdin="".join(f"{x}\n" for x in lines).encode())
    except GitError as problem:
        if any(word in problem.stderr for word in ("but expected", "already exists", "unable to resolve")):
            return False
        raise
    return True


def ref_value(repo: Repo, ref: str) -> str | None:
    """The object a ref names, or None."""
    return text(repo, "rev-parse", "-q", "--verify", ref, ok=(0, 1)) or None


def refs(repo: Repo, prefix: str) -> dict[str, str]:
    """All refs below a prefix (ending in ``/`` or whole), name to object ID."""
    lines = text(repo, "for-each-ref", "--format=%(refname) %(objectname)", prefix).splitlines()
    return dict(line.split(" ", 1) for line in lines)


def read_blobs(repo: Repo, names: Sequence[str]) -> Iterator[bytes | None]:
    """The contents of objects by name (``COMMIT:path``), in one process; None where there is none."""
    if any("\n" in name for name in names):
        for name in names:
            yield run(repo, "cat-file", "-p", name)
        return
    out = run(repo, "cat-file", "--batch", stdin="".join(f"{n}\n" for n in names).encode())
    at = 0
    for _ in names:
        end = out.index(b"\n", at)
        header = out[at:end].split(b" ")
        if header[-1] in (b"missing", b"ambiguous"):
            at = end + 1
            yield None
            continue
        size = int(header[-1])
        yield out[end + 1 : end + 1 + size]
        at = end + 2 + size
