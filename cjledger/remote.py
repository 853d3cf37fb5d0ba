"""The door to ordinary git remotes, for what a group shares: lists, fetches and pushes below ``refs/cj``.

Nothing is forced, nothing deleted there, and the person's branches, tags and tracking refs stay as they are.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from cjledger import gitrepo
from cjledger.cluster import outbox
from cjledger.cluster.transport import printable
from cjledger.errors import CjError
from cjledger.gitrepo import GitError, Repo
from cjnode.vocabulary import PACKAGES

KINDS = (PACKAGES, "refs/cj/results/", "refs/cj/ledger/")
STAGING = "refs/cj/sync/"
_MANY = 500  # references on one command line
_MOST_SAID = 300  # characters of a hook's own words

# Of a push, each says that somebody else was there first.
_RACES = (
    "fetch first",
    "non-fast-forward",
    "stale info",
    "already exists",
    "cannot lock ref",
    "failed to update ref",
    "failed to lock",
    "incorrect old value",
)
# Settings of the person's that would change what a fetch or push moves or runs.
_FETCHING = (
    "fetch.fsckObjects=true",
    "fetch.prune=false",
    "fetch.pruneTags=false",
    "fetch.recurseSubmodules=no",
    "fetch.writeCommitGraph=false",
)
_PUSHING = (
    "core.hooksPath=/dev/null",
    "push.followTags=false",
    "push.gpgSign=false",
    "push.recurseSubmodules=no",
    "push.pushOption=",
    "advice.graftFileDeprecated=false",
)


@dataclass(frozen=True)
class Remote:
    """A git remote by the person's name for it, and where it is."""

    name: str
    fetch_url: str
    push_url: str


@dataclass(frozen=True)
class Refusal:
    """A reference that a push did not move, and why; ``is_race`` when somebody else was first."""

    ref: str
    why: str
    is_race: bool


def choose(repo: Repo, name: str | None) -> Remote:
    """The remote that is meant: the one named, else the branch's own, else ``origin``, else the only one."""
    names = gitrepo.text(repo, "remote").splitlines()
    if name is None:
        upstream = _setting(repo, f"branch.{repo.branch}.remote") if repo.branch else ""
        candidates = [word for word in (upstream, "origin", *names[: len(names) == 1]) if word in names]
        if not candidates:
            listed = f"git cj sync {names[0]}" if names else "git remote add origin URL"
            raise CjError("no remote is named, and there is no origin", listed)
        name = candidates[0]
    if name in names:
        url = _setting(repo, f"remote.{name}.url")
        return Remote(name, url, _setting(repo, f"remote.{name}.pushurl") or url)
    if "/" in name or ":" in name:
        return Remote(name, name, name)
    raise CjError(f"there is no remote {name}", f"git remote add {name} URL")


def _setting(repo: Repo, key: str) -> str:
    values = gitrepo.text(repo, "config", "--get-all", key, ok=(0, 1)).splitlines()
    return values[0] if values else ""


def listing(repo: Repo, remote: Remote) -> dict[str, str]:
    """What the remote has of packages, results and ledgers: reference to object ID."""
    patterns = [f"{kind}*" for kind in KINDS]
    out = _git(repo, remote, "ls-remote", "--quiet", "--", remote.fetch_url, *patterns)
    pairs = (line.split("\t", 1) for line in out.splitlines() if "\t" in line)
    return {ref: value for value, ref in pairs if ref.startswith(KINDS)}


def fetch(repo: Repo, remote: Remote, refs: Sequence[str]) -> dict[str, str]:
    """Bring references, checked by git object for object; they move nothing here.

    Returns the commits by reference. They are kept below ``refs/cj/sync`` until ``unstage``.
    """
    if not refs:
        return {}
    place = f"{STAGING}{os.getpid()}-{os.urandom(4).hex()}/"
    wanted = "".join(f"{ref}:{place}{ref.removeprefix('refs/cj/')}\n" for ref in refs)
    settings = [word for setting in _FETCHING for word in ("-c", setting)]
    words = ("--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--no-auto-gc")
    _git(
        repo,
        remote,
        *settings,
        *("fetch", *words, "--refmap=", "--stdin", "--", remote.fetch_url),
        stdin=wanted,
    )
    staged = gitrepo.refs(repo, place)
    return {f"refs/cj/{name.removeprefix(place)}": value for name, value in staged.items()}


def unstage(repo: Repo) -> None:
    """Drop what a fetch kept, that of an interrupted one included."""
    names = gitrepo.refs(repo, STAGING)
    if names:
        lines = "".join(f"delete {name}\n" for name in names)
        gitrepo.run(repo, "update-ref", "--stdin", stdin=lines.encode())


def push(repo: Repo, remote: Remote, values: Mapping[str, str], chain: Sequence[str] = ()) -> list[Refusal]:
    """Move references of the remote to commits, none of them by force. Returns those that did not move.

    ``chain`` are packages of which each is shown to git as the next one's parent, the first being on the
    remote: so only what differs is sent (see ``cluster.outbox``).
    """
    refused: list[Refusal] = []
    names = list(values)
    for at in range(0, len(names), _MANY):
        some = [f"{values[name]}:{name}" for name in names[at : at + _MANY]]
        found = _push(repo, remote, some, chain)
        if chain and any("unpack" in refusal.why for refusal in found):
            # What the remote shows it has, it lacks in part: all is sent.
            found = _push(repo, remote, some, ())
        refused += found
    return refused


def _push(repo: Repo, remote: Remote, specs: Sequence[str], chain: Sequence[str]) -> list[Refusal]:
    settings = [word for setting in _PUSHING for word in ("-c", setting)]
    # The person's own settings of the way there (ssh command, proxy, credentials, URL rewriting) hold.
    settings = ["-c", f"include.path={repo.common_dir / 'config'}", *settings]
    with tempfile.NamedTemporaryFile("w", prefix="cj-graft-") as graft:
        graft.write("".join(f"{child} {parent}\n" for parent, child in pairwise(chain)))
        graft.flush()
        done = subprocess.run(
            (
                *("git", f"--git-dir={outbox(repo)}", *settings),
                *("push", "--porcelain", "--no-verify", "--", remote.push_url, *specs),
            ),
            cwd=repo.top,
            env=gitrepo.clean_environment({"GIT_TERMINAL_PROMPT": "1", "GIT_GRAFT_FILE": graft.name}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
        )
    refused = refusals(done.stdout.decode(errors="replace"))
    words = done.stderr.decode(errors="replace")
    if done.returncode and not refused:
        raise _unreachable(remote, "push", words)
    # What a hook there says is beside git's report, and of all at once.
    said = [line.removeprefix("remote:").strip() for line in words.splitlines() if line.startswith("remote:")]
    told = "; ".join(printable(line) for line in said if line)[:_MOST_SAID]
    return [replace(each, why=f"{each.why}: {told}") if told else each for each in refused]


def refusals(report: str) -> list[Refusal]:
    """What ``git push --porcelain`` says it did not do. Pure."""
    found = []
    for line in report.splitlines():
        parts = line.split("\t")
        if parts[0].strip() == "!" and len(parts) == 3:
            why = parts[2]
            found.append(Refusal(parts[1].split(":", 1)[1], why, any(word in why for word in _RACES)))
    return found


def explained(remote: Remote, refusal: Refusal) -> CjError:
    """Why a remote takes no such references, in plain words."""
    if "hidden ref" in refusal.why:
        return CjError(
            f"{remote.name} keeps {refusal.ref} to itself and lets nobody write there ({refusal.why})",
            "share by another remote: a bare repository reached by ssh or as a folder takes all references",
        )
    hint = "ask who runs it to accept references below refs/cj"
    return CjError(f"{remote.name} refused {refusal.ref}: {refusal.why}", hint)


def _git(repo: Repo, remote: Remote, *words: str, stdin: str = "") -> str:
    try:
        out = gitrepo.run(repo, *words, stdin=stdin.encode(), env={"GIT_TERMINAL_PROMPT": "1"})
    except GitError as problem:
        verb = next(word for word in words if re.fullmatch("fetch|ls-remote", word))
        raise _unreachable(remote, verb, problem.stderr) from problem
    return out.decode(errors="surrogateescape")


def _unreachable(remote: Remote, verb: str, words: str) -> CjError:
    told = words.strip() or "no reason given"
    return CjError(f"{remote.name}: git {verb}: {told}", f"git ls-remote {remote.name}")
