"""The protocol of clusters that are elsewhere, whatever carries it: one remote command for each operation.

A ``Line`` runs a command over there and pushes; all else is here, the same for every kind of line.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import random
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from cjledger.cluster import bootstrap, patience, replies
from cjledger.cluster.line import BusyLineError, Ended, Line, LostLineError
from cjledger.cluster.node import hooks, node_zip
from cjledger.cluster.notes import Notes, address, noise_path, notes_path, read_notes, write_notes
from cjledger.cluster.transport import Contact, Frame, Json, LostReplyError, frames, most_bytes, printable
from cjledger.errors import CjError
from cjledger.gitrepo import Repo
from cjledger.model import Cluster
from cjledger.quantities import now
from cjnode import VERSION
from cjnode.host.owners import NOT_OURS
from cjnode.space import TAKES_NO_MORE

T = TypeVar("T")

# A login node that restarts its sshd, or counts connections, answers again within seconds.
PAUSES_S = (0.5, 2.0, 6.0)
BUSY_S = 120.0
# git's words for a connection that ended under it, or under another that it is in the way of.
_CUT = (
    *("hung up", "early EOF", "unexpected disconnect", "Broken pipe", "Connection", "Could not read from"),
    *("session request failed", "the remote end"),
    *("cannot lock ref", "failed to update ref"),  # one that was killed there left a lock: `submit` frees it
)
# What Python says of a file that is not there or a verb it does not know, and shells of a program they lack.
_NOT_THERE = (2, 126, 127)


class _NotThereError(CjError):
    """The node half is not there, or is of another time."""


@dataclass(frozen=True)
class Remote:
    """A cluster at the other end of a line."""

    cluster: Cluster
    line: Line
    notes: Path
    contact: Contact = field(default_factory=Contact)
    pauses_s: tuple[float, ...] = PAUSES_S
    late_s: float = patience.LATE_S

    def call(self, verb: str, request: Mapping[str, Any]) -> list[Json]:
        """Ask and return the reply's lines. Raises CjError with the cluster's own words."""
        # Every verb may be repeated: those that act carry a token.
        return self._patiently(lambda: [frame.head for frame in self._asked(verb, request)])

    def stream(self, verb: str, request: Mapping[str, Any]) -> Iterator[Frame]:
        """Ask and yield the reply's frames as they come; begins anew only while none has come."""
        source, first = self._patiently(lambda: _started(self._asked(verb, request)))
        with contextlib.closing(source):
            yield from first
            yield from source

    def push(self, repo: Repo, package_id: str) -> Json:
        """Send a package and have it submitted. Asks the cluster when a push does not say how it went."""
        pauses = list(self.pauses_s)
        while True:
            pushed = self._patiently(lambda: self._pushed(repo, package_id))
            if isinstance(pushed, dict):
                return pushed
            before = self._read()
            try:
                asked = {"package": package_id, "submission": 1, "token": package_id}
                return replies.one(self.call("submit", asked), "submit")
            except LostLineError:
                raise
            except CjError as problem:
                # There was no node half any more: now there is, and it has not seen the package.
                was_mended = self._read().seen != before.seen
                # Git tells of a connection that ended (RECEIVE refused) or of a file (the disk is full).
                is_refused = NOT_OURS in problem.message or TAKES_NO_MORE in problem.message
                if is_refused or not pauses or not (was_mended or _was_cut(pushed)):
                    told = problem.message if is_refused else pushed or problem.message
                    raise CjError(
                        f"the push to {self.cluster.name} failed: {told}", problem.hint
                    ) from problem
                self._pause(pauses.pop(0), f"the push to {self.cluster.name} was cut off")

    def installed(self) -> str | None:
        """The SHA-256 of the node half last brought there, as far as is known here; connects to nothing."""
        return self._read().offered

    def install(self, node: bytes, request: Mapping[str, Any]) -> None:
        """Bring the node half and run its ``init``; a newer one that is there stays, which is said.

        What was brought already is brought once more only if the request says ``again``.
        """
        digest = hashlib.sha256(node).hexdigest()
        with self._alone():
            if self._read().offered == digest and not request.get("again"):
                return  # another command has done it meanwhile
            reply = self._patiently(lambda: self._bring(node, request))
            version = replies.count(reply, "version")
            if version > VERSION:
                self.contact.say(
                    f"cluster {self.cluster.name}: what is there is newer than this git cj; it stays"
                )
            write_notes(
                self.notes,
                Notes(
                    address(self.cluster),
                    digest,
                    replies.text(reply, "cjnode"),
                    version,
                    replies.text(reply, "root"),
                    str(reply.get("python") or ""),
                    str(request.get("hash", "sha1")),
                    now(),
                ),
            )

    def _bring(self, node: bytes, request: Mapping[str, Any]) -> Json:
        nonce = os.urandom(16).hex()
        payload = bootstrap.payload(node, request, self._root(), self.cluster.python, nonce)
        with self.line.run(bootstrap.COMMAND, payload) as running:
            try:
                return replies.one(
                    [frame.head for frame in frames(running.stdout, nonce, self._heard)], "init"
                )
            except LostReplyError as problem:
                ended = running.ended()
                raise bootstrap.diagnosis(self.cluster, ended.returncode, ended.words) from problem

    def _asked(self, verb: str, request: Mapping[str, Any]) -> Generator[Frame, None, None]:
        nonce = os.urandom(16).hex()
        python = self._read().python or bootstrap.plain_program(self.cluster.python) or "python3"
        root = self._root()
        command = f"{python} -I -S {root}/cjnode.pyz {verb} --root {root} --nonce {nonce}"
        with self.line.run(command, json.dumps(request).encode()) as running:
            try:
                found = frames(running.stdout, nonce, self._greeted, most_bytes(verb, request))
                with patience.told(self.contact.say, self.cluster.name, self.late_s):
                    first = list(islice(found, 1))
                yield from first
                yield from found
            except LostReplyError as problem:
                ended = running.ended()
                if ended.returncode in _NOT_THERE:
                    raise _NotThereError(ended.words) from problem
                raise LostReplyError(f"{verb} on {self.cluster.name}: {_last(ended, problem)}") from problem

    def _patiently(self, act: Callable[[], T]) -> T:
        """Do it, again after a pause when the connection was lost, again when the node half was."""
        pauses = list(self.pauses_s)
        mended = False
        deadline = time.monotonic() + BUSY_S
        while True:
            try:
                return act()
            except BusyLineError:
                if time.monotonic() > deadline:
                    raise
                # Not all at the same time again.
                time.sleep(random.uniform(0.1, 1.0))
            except LostLineError as problem:
                if not pauses:
                    raise
                self._pause(pauses.pop(0), problem.message)
            except _NotThereError as problem:
                if mended:
                    raise bootstrap.diagnosis(self.cluster, 2, problem.message) from problem
                mended = True
                self._mend()

    def _pause(self, seconds: float, why: str) -> None:
        self.contact.say(f"{why}; trying again in {seconds:g} s")
        time.sleep(seconds)

    def _mend(self) -> None:
        notes = self._read()
        where = self.cluster
        if notes.offered is None:
            raise CjError(f"cluster {where.name} is not set up in {where.root}", f"git cj init {where.name}")
        self.contact.say(
            f"cluster {where.name}: nothing answers in {notes.root} any more; setting it up again"
        )
        write_notes(self.notes, replace(notes, offered=None))
        request = {
            "cluster": where.name,
            "scheduler": where.scheduler,
            "hash": notes.hash,
            "hooks": hooks(),
            "remote": True,
        }
        self.install(node_zip(), request)

    def _pushed(self, repo: Repo, package_id: str) -> Json | str:
        """The hook's answer, or git's words when there is none."""
        done = self.line.push(repo, package_id, f"{self._root()}/repo.git")
        for reply in done.replies:
            if reply.get("package", package_id) == package_id:
                if "error" in reply:
                    raise CjError(printable(str(reply["error"])), printable(str(reply.get("hint", ""))))
                return reply
        return done.words

    def _heard(self, greeting: Json) -> None:
        # git reads what a login prints as its own protocol: a push has to know.
        if greeting.get("noise"):
            noise_path(self.notes).parent.mkdir(parents=True, exist_ok=True)
            noise_path(self.notes).touch()

    def _greeted(self, greeting: Json) -> None:
        self._heard(greeting)
        notes = self._read()
        if notes.offered is None or greeting.get("cjnode") == notes.installed:
            return
        # Someone else was there. What is older than ours is replaced by the next launch.
        version = greeting.get("version")
        is_newer = type(version) is int and version > VERSION
        found = str(greeting.get("cjnode") or "")
        write_notes(self.notes, replace(notes, installed=found, offered=notes.offered if is_newer else None))

    def _root(self) -> str:
        # Never begins with a dash, and no shell takes it for a variable's or another person's home.
        root = self.cluster.root
        return root if root.startswith("/") else f"./{root}"

    def _read(self) -> Notes:
        return read_notes(self.notes, self.cluster)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other commands of this repository from bringing the node half at the same time."""
        self.notes.parent.mkdir(parents=True, exist_ok=True)
        with open(self.notes.with_suffix(".lock"), "wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _started(source: Generator[Frame, None, None]) -> tuple[Generator[Frame, None, None], list[Frame]]:
    """A reply of which the first frame has come."""
    return source, list(islice(source, 1))


def _was_cut(words: str) -> bool:
    """Whether git tells of a connection that ended, and not of a refusal."""
    return any(sign in words for sign in _CUT)


def _last(ended: Ended, problem: LostReplyError) -> str:
    return ended.words.strip()[-1000:] or problem.message


def remote(where: Cluster, line: Line, cj_dir: Path, contact: Contact) -> Remote:
    """A cluster at the other end of a line, its notes below ``cj_dir``."""
    return Remote(where, line, notes_path(cj_dir, where), contact)
