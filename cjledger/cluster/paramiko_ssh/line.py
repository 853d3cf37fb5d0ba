"""The line to a cluster: a session that another process keeps, which is started when it is first needed."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

from cjledger.cluster import patience
from cjledger.cluster.line import RECEIVE, LostLineError, Running
from cjledger.cluster.masters import Master, master
from cjledger.cluster.outbox import Pushed
from cjledger.cluster.paramiko_ssh import commands, pieces
from cjledger.cluster.paramiko_ssh.asking import Terminal
from cjledger.cluster.paramiko_ssh.commands import Command
from cjledger.cluster.paramiko_ssh.shells import join
from cjledger.cluster.transport import Contact, printable
from cjledger.cluster.wire import push_over
from cjledger.errors import CjError
from cjledger.gitrepo import Repo
from cjledger.model import Cluster

# They become part of a ProxyCommand that a shell reads.
_HOST = re.compile(r"[A-Za-z0-9_\[][A-Za-z0-9._:%\[\]-]*")
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._@+-]*")
_LONGEST_LINE = 1 << 20
_HOLDER = "cjledger.cluster.paramiko_ssh.holder"


@dataclass(frozen=True)
class ParamikoLine:
    """Runs commands and pushes over a session that a holder keeps."""

    cluster: Cluster
    contact: Contact

    def run(self, command: str, stdin: bytes) -> AbstractContextManager[Running]:
        """Run a command in the person's home there; it is ended when the block is left."""
        return self._running(command, stdin)

    @contextmanager
    def _running(
        self, command: str | None, stdin: bytes | None, terminal: tuple[Any, ...] = ()
    ) -> Iterator[Command]:
        self._open(self.contact.prompts)
        found = self._master()
        with (
            found.session(),
            commands.running(found.path, self.cluster.name, command, stdin, terminal) as running,
        ):
            yield running

    def push(self, repo: Repo, package_id: str, path: str) -> Pushed:
        """Push a package to the repository at ``path``. Never raises for a connection that ends meanwhile."""
        marker = f"cj-{os.urandom(8).hex()}"
        with self._running(f"echo && echo {marker} && {RECEIVE} {path}", None) as command:
            # What a login prints before would be noise in git's protocol.
            while (line := command.stdout.readline(_LONGEST_LINE)) and line.rstrip() != marker.encode():
                pass
            with patience.told(self.contact.say, self.cluster.name):
                pushed = push_over(repo, package_id, command.stdout.read, command.write)
            command.end_input()
            if not pushed.returncode:
                return pushed
            try:
                words = command.ended().words
            except LostLineError as problem:
                words = problem.message
            return pushed._replace(words="\n".join(filter(None, (words.strip(), pushed.words))))

    def open(self) -> bool:
        """Log in, asking the person if need be. True when that was needed."""
        return self._open(True)

    def _open(self, waits: bool) -> bool:
        return self._master().open(self._log_in, waits, self.contact.say)

    def close(self) -> bool:
        """End the session. True when there was one."""
        return quit_holder(self._master())

    def shell(self) -> int:
        """Give the person a shell there on this terminal; its exit code."""
        size = os.get_terminal_size(sys.stdin.fileno())
        terminal = (os.environ.get("TERM", "vt100"), size.columns, size.lines)
        with self._running(None, None, terminal) as command:
            return join(command)

    def _log_in(self) -> None:
        """Start the holder, and wait until it has logged in."""
        asks = self.contact.prompts and Terminal().is_there()
        if asks:
            self.contact.say(f"logging in to {self.cluster.name}")
        asked = {
            "path": str(self._master().path),
            "host": self.cluster.host,
            "user": self.cluster.user,
            "prompts": asks,
        }
        # Without -P Python would import what lies in the person's folder.
        argv = (sys.executable, "-P", "-m", _HOLDER, json.dumps(asked))
        with subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as holder:
            assert holder.stdout
            answer = holder.stdout.readline()
            if not answer:
                holder.wait()
                raise CjError(
                    f"the login to {self.cluster.name} broke off", f"git cj connect {self.cluster.name}"
                )
            reply = json.loads(answer)
            if "ready" in reply:
                # It goes on without us: its end is not waited for.
                holder.returncode = 0
                return
        raise self._refusal(reply, asks)

    def _refusal(self, reply: dict[str, Any], asks: bool) -> CjError:
        name, words = self.cluster.name, printable(reply["error"])
        if reply["lost"]:
            return LostLineError(words, reply["hint"])
        if reply["needs_terminal"] and not asks:
            return CjError(f"there is no live connection to {name}: {words}", f"git cj connect {name}")
        return CjError(words, reply["hint"].replace("git cj connect", f"git cj connect {name}"))

    def _master(self) -> Master:
        host, user = self.cluster.host or "", self.cluster.user or ""
        if not _HOST.fullmatch(host) or not (not user or _USER.fullmatch(user)):
            raise CjError(
                f"cluster {self.cluster.name}: {user}@{host} is no user and host",
                "write host and user plainly, or as a Host of ~/.ssh/config",
            )
        # Another home has another configuration: the same name may be another host.
        return master((host, user, f"paramiko-{pieces.VERSION}", os.path.expanduser("~")))


def quit_holder(found: Master) -> bool:
    """Have a session ended; waits until its holder is gone. False when there was none."""
    with socket.socket(socket.AF_UNIX) as holder:
        try:
            holder.connect(str(found.path))
        except OSError:
            return False
        pieces.send(holder, pieces.QUIT)
        with contextlib.suppress(OSError):
            holder.recv(1)
    return True
