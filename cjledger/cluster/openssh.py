"""The way to a cluster by the system's ssh: the person's own configuration, agent, jumps and logins."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from cjledger.cluster import hush, logins, patience
from cjledger.cluster.line import RECEIVE, BusyLineError, Ended, LostLineError
from cjledger.cluster.logins import Patience
from cjledger.cluster.masters import Master, master
from cjledger.cluster.outbox import Pushed, persons_environment, push
from cjledger.cluster.remote import Remote, remote
from cjledger.cluster.transport import Contact, printable
from cjledger.errors import CjError
from cjledger.gitrepo import Repo
from cjledger.model import Cluster

# ssh's own exit code when it failed, and not the command over there.
LOST = 255

# Only over the master: else ssh, refused a session, logs in anew by itself, and asks for a code each time.
_SESSION = (
    *("-T", "-o", "BatchMode=yes", "-o", "ControlMaster=no", "-o", "ProxyCommand=false"),
    *("-o", "ForwardAgent=no", "-o", "ForwardX11=no", "-o", "ClearAllForwardings=yes"),
    *("-o", "RequestTTY=no", "-o", "RemoteCommand=none", "-o", "PermitLocalCommand=no"),
    *("-o", "LogLevel=ERROR"),
)


@dataclass(frozen=True)
class _Process:
    line: OpenSsh
    process: subprocess.Popen[bytes]
    errors: IO[bytes]

    @property
    def stdout(self) -> IO[bytes]:
        assert self.process.stdout
        return self.process.stdout

    def ended(self) -> Ended:
        self.stdout.close()
        code = self.process.wait()
        words = _tail(self.errors)
        if code == LOST:
            raise self.line.lost(words)
        return Ended(code, words)


@dataclass(frozen=True)
class OpenSsh:
    """Sessions over one connection that is kept; ``noisy`` marks a login shell that prints."""

    cluster: Cluster
    contact: Contact
    noisy: Path
    patience: Patience = field(default_factory=Patience)

    @contextmanager
    def run(self, command: str, stdin: bytes) -> Iterator[_Process]:
        """Run a command there; it is ended when the block is left."""
        self.open(waits=self.contact.prompts)
        with (
            self._master().session(),
            tempfile.TemporaryFile() as asked,
            tempfile.TemporaryFile() as errors,
        ):
            asked.write(stdin)
            asked.seek(0)
            argv = (*self._session(), "--", self._host(), command)
            with subprocess.Popen(
                argv, stdin=asked, stdout=subprocess.PIPE, stderr=errors, env=persons_environment()
            ) as process:
                assert process.stdout
                try:
                    yield _Process(self, process, errors)
                except BaseException:
                    process.kill()
                    raise
                finally:
                    process.stdout.close()

    def push(self, repo: Repo, package_id: str, path: str) -> Pushed:
        """Push by git over the kept connection. Never raises for a connection that ends meanwhile."""
        self.open(waits=self.contact.prompts)
        done = self._push(repo, package_id, path)
        if "bad line length character" in done.words and not self.noisy.exists():
            self.noisy.parent.mkdir(parents=True, exist_ok=True)
            self.noisy.touch()
            done = self._push(repo, package_id, path)
        return done

    def _push(self, repo: Repo, package_id: str, path: str) -> Pushed:
        ssh, receive = self._session(), RECEIVE
        if self.noisy.exists():
            mark = f"cj-{os.urandom(16).hex()}"
            ssh = (sys.executable, "-I", "-S", hush.__file__, mark, *ssh)
            # Every shell knows echo and &&; git quotes the path and appends it.
            receive = f"echo && echo {mark} && {RECEIVE}"
        environment = {
            "GIT_ALLOW_PROTOCOL": "ssh",
            "GIT_SSH_COMMAND": shlex.join(ssh),
            "GIT_SSH_VARIANT": "ssh",
        }
        with self._master().session(), patience.told(self.contact.say, self.cluster.name):
            return push(repo, package_id, f"{self._host()}:{path}", environment, receive)

    def lost(self, words: str) -> CjError:
        """What ended a session that ssh itself gave up."""
        told = words.strip().splitlines()
        name = self.cluster.name
        if "session request failed" in words:
            return BusyLineError(
                f"{name} allows no more sessions over one connection: {told[0]}", "try again"
            )
        said = f": {told[-1]}" if told else ""
        return LostLineError(f"the connection to {name} was lost{said}", "run the command again")

    def open(self, waits: bool = True) -> bool:
        """Log in unless a connection is kept; asks the person only if the contact allows it."""
        found = self._master()
        return found.open(
            lambda: logins.log_in(self.cluster, self._ssh(), self.contact, self.patience),
            waits,
            self.contact.say,
        )

    def close(self) -> bool:
        """End the kept connection."""
        if not self._master().is_alive():
            return False
        argv = (*self._ssh(), "-O", "exit", "--", self._host())
        subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True)
        return True

    def shell(self) -> int:
        """A shell there on this terminal."""
        self.open()
        settings = ("-t", "-o", "ControlMaster=no", "-o", "ForwardAgent=no", "-o", "ClearAllForwardings=yes")
        argv = (*self._ssh(), *settings, "-o", "ProxyCommand=false", "--", self._host())
        return subprocess.run(argv).returncode

    def _session(self) -> tuple[str, ...]:
        return (*self._ssh(), *_SESSION)

    def _ssh(self) -> tuple[str, ...]:
        user = self.cluster.user
        return (
            *("ssh", "-o", f"ControlPath={logins.escaped(str(self._master().path))}"),
            *(("-l", user) if user else ()),
        )

    def _host(self) -> str:
        assert self.cluster.host
        return self.cluster.host

    def _master(self) -> Master:
        # Another ssh, or another home, has another configuration: the same name may be another host.
        ssh = shutil.which("ssh") or ""
        return master((self._host(), self.cluster.user or "", ssh, os.path.expanduser("~")))


def _tail(errors: IO[bytes]) -> str:
    size = errors.seek(0, os.SEEK_END)
    errors.seek(max(0, size - 4000))
    # ssh ends its lines as if the terminal were raw.
    return printable(errors.read().decode(errors="replace").replace("\r\n", "\n"))


def way(where: Cluster, cj_dir: Path, contact: Contact) -> Remote:
    """The way to a cluster by ssh."""
    return remote(
        where, OpenSsh(where, contact, cj_dir / "clusters" / f"{where.name}.noisy"), cj_dir, contact
    )
