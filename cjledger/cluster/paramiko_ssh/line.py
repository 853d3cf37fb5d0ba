"""The line to a cluster: one session for the process, made when it is first needed."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace

import paramiko

from cjledger.cluster.outbox import Pushed
from cjledger.cluster.paramiko_ssh.asking import Terminal
from cjledger.cluster.paramiko_ssh.commands import Command, running
from cjledger.cluster.paramiko_ssh.connection import connect
from cjledger.cluster.paramiko_ssh.logins import LoginRefusedError
from cjledger.cluster.paramiko_ssh.shells import shell
from cjledger.cluster.paramiko_ssh.ssh_config import settings
from cjledger.cluster.remote import Running
from cjledger.cluster.transport import Contact
from cjledger.cluster.wire import push_over
from cjledger.errors import CjError
from cjledger.gitrepo import Repo
from cjledger.model import Cluster

# They become part of a ProxyCommand that a shell reads.
_HOST = re.compile(r"[A-Za-z0-9_\[][A-Za-z0-9._:%\[\]-]*")
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._@+-]*")
_LONGEST_LINE = 1 << 20


@dataclass
class ParamikoLine:
    """Runs commands and pushes over a session of this process."""

    cluster: Cluster
    contact: Contact
    _session: paramiko.Transport | None = field(default=None, repr=False)

    def run(self, command: str, stdin: bytes) -> AbstractContextManager[Running]:
        """Run a command in the person's home there; it is ended when the block is left."""
        return self._running(command, stdin)

    @contextmanager
    def _running(self, command: str, stdin: bytes | None) -> Iterator[Command]:
        with running(self._connected(), self.cluster.name, command, stdin) as found:
            yield found

    def push(self, repo: Repo, package_id: str, path: str) -> Pushed:
        """Push a package to the repository at ``path``, absolute or relative to the home."""
        marker = f"cj-{os.urandom(8).hex()}"
        with self._running(f"sh -c 'echo {marker}; exec git-receive-pack {path}'", None) as command:
            # What a login prints before would be noise in git's protocol.
            while (line := command.stdout.readline(_LONGEST_LINE)) and line.rstrip() != marker.encode():
                pass
            pushed = push_over(repo, package_id, command.stdout.read, command.write)
            command.channel.shutdown_write()
            if not pushed.returncode:
                return pushed
            ended = command.ended()
            return replace(pushed, words="\n".join(filter(None, (ended.words.strip(), pushed.words))))

    def open(self) -> bool:
        """Log in, asking the person if need be. True when that was needed."""
        if self._session and self._session.is_active():
            return False
        self._connected()
        return True

    def close(self) -> bool:
        """End the session. True when there was one."""
        session, self._session = self._session, None
        if session is None or not session.is_active():
            return False
        session.close()
        return True

    def shell(self) -> int:
        """Give the person a shell there on this terminal; its exit code."""
        return shell(self._connected())

    def _connected(self) -> paramiko.Transport:
        if self._session is None or not self._session.is_active():
            host, user = self.cluster.host or "", self.cluster.user
            if not _HOST.fullmatch(host) or not (user is None or _USER.fullmatch(user)):
                raise CjError(
                    f"cluster {self.cluster.name}: {user or ''}@{host} is no user and host",
                    "write host and user plainly, or as a Host of ~/.ssh/config",
                )
            terminal = Terminal()
            asks = self.contact.prompts and terminal.is_there()
            try:
                self._session = connect(settings(host, user), terminal if asks else None)
            except LoginRefusedError as problem:
                if problem.needs_terminal and not asks:
                    name = self.cluster.name
                    raise CjError(problem.message, f"git cj connect {name}, which asks") from problem
                raise
        return self._session
