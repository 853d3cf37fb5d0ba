"""One connection for all commands: OpenSSH's ControlMaster on a socket of our own.

One login serves for hours. Exactly one master is made for a host however many commands start at once, and no
more sessions run over it than servers allow (MaxSessions is 10 unless set otherwise; sshd_config(5)).
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import socket
import stat
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from cjledger.cluster.line import LostLineError
from cjledger.errors import CjError

SESSIONS = 8

# sun_path has 104 bytes on macOS, and ssh appends 17 of its own while it makes the socket.
_LONGEST_SOCKET = 104 - 18
_SILENT_S = 1.0
_PATIENCE_S = 40.0
_LOOK_S = 0.05


@dataclass(frozen=True)
class Master:
    """Where the socket of a host's master lies, with its locks beside it."""

    path: Path

    def is_alive(self) -> bool:
        """Whether a master listens. Costs no process and no round trip."""
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(self.path))
            except OSError:
                return False
        return True

    def open(self, login: Callable[[], None], waits: bool, say: Callable[[str], None]) -> bool:
        """Have a master: ``login`` makes it unless there is one. True when it was made now.

        Who finds another command at the login is told after a moment, and without ``waits`` gives up later.
        """
        if self.is_alive():
            return False
        with self._alone(waits, say):
            if self.is_alive():
                return False
            # What a master left that was killed: ssh would make none where a file lies.
            self.path.unlink(missing_ok=True)
            login()
            if not self.is_alive():
                raise LostLineError(
                    f"the connection ended when ssh had logged in, or cannot be kept in {self.path.parent}",
                    'if that stays: transport = "paramiko" for this cluster in .cjledger.toml',
                )
            return True

    @contextlib.contextmanager
    def session(self) -> Iterator[None]:
        """Hold one of the places for sessions; waits for one."""
        with contextlib.ExitStack() as stack:
            places = [
                stack.enter_context(open(self.path.with_suffix(f".{number}"), "wb"))
                for number in range(SESSIONS)
            ]
            taken = next((place for place in places if _took(place.fileno())), None)
            if taken is None:
                fcntl.flock(places[os.getpid() % SESSIONS], fcntl.LOCK_EX)
            yield

    @contextlib.contextmanager
    def _alone(self, waits: bool, say: Callable[[str], None]) -> Iterator[None]:
        with open(self.path.with_suffix(".lock"), "wb") as lock:
            began, told = time.monotonic(), False
            while not _took(lock.fileno()):
                waited = time.monotonic() - began
                if waited > _SILENT_S and not told:
                    told = True
                    say("another command is logging in there: waiting for it")
                if not waits and waited > _PATIENCE_S:
                    raise CjError(
                        "another command waits for a login there", "finish that login, then try again"
                    )
                time.sleep(_LOOK_S)
            yield


def _took(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def master(words: tuple[str, ...], environment: Mapping[str, str] = os.environ) -> Master:
    """The master of the host that ``words`` tell from others. Makes its folder, for the person alone."""
    name = hashlib.sha256("\0".join(words).encode()).hexdigest()[:16]
    refused = []
    for folder in _folders(environment):
        path = folder / name
        if len(os.fsencode(path)) > _LONGEST_SOCKET:
            refused.append(f"{folder} is too long for a socket")
            continue
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            found = folder.lstat()
        except OSError as problem:
            refused.append(f"{folder}: {problem.strerror}")
            continue
        # In a folder that others can write to, another's socket would get our commands.
        if stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077:
            return Master(path)
        refused.append(f"{folder} is not a folder of yours alone")
    raise CjError("no folder for ssh's connection: " + "; ".join(refused), "set XDG_RUNTIME_DIR")


def _folders(environment: Mapping[str, str]) -> Iterator[Path]:
    runtime = environment.get("XDG_RUNTIME_DIR", "")
    if runtime.startswith("/"):
        yield Path(runtime, "cjledger")
    # Not below the home: on network file systems sockets cannot be made.
    yield Path(tempfile.gettempdir(), f"cjledger-{os.getuid()}")
    yield Path("~/.ssh/cjledger").expanduser()
