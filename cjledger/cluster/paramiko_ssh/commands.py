"""Commands over a session: their input, output and errors flow at the same time, whatever their sizes."""

from __future__ import annotations

import contextlib
import io
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO, Any

import paramiko

from cjledger.cluster.remote import Ended, LostLineError

_WORDS = 1 << 16
_CHUNK = 1 << 15


class _Output(io.RawIOBase):
    """A channel's standard output as a raw stream."""

    def __init__(self, channel: paramiko.Channel) -> None:
        self._channel = channel

    def readable(self) -> bool:
        """Always: it is for nothing else."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer with what has come; nothing at the end."""
        part = self._channel.recv(min(len(buffer), _CHUNK))
        buffer[: len(part)] = part
        return len(part)


@dataclass
class Command:
    """A command that runs over there."""

    name: str
    channel: paramiko.Channel
    stdout: IO[bytes]
    _errors: bytearray = field(default_factory=bytearray)
    _drain: threading.Thread | None = None

    def write(self, data: bytes) -> None:
        """Send to its standard input; LostLineError when nobody takes it any more."""
        try:
            self.channel.sendall(data)
        except OSError as problem:
            raise LostLineError(f"the connection to {self.name} was lost: {problem}") from problem

    def ended(self) -> Ended:
        """Wait for its end. Raises LostLineError when the connection ended instead."""
        self.channel.status_event.wait()
        if self._drain:
            self._drain.join()
        words = bytes(self._errors).decode(errors="replace")
        if self.channel.exit_status < 0 and not self.channel.transport.is_active():
            raise LostLineError(f"the connection to {self.name} was lost", f"git cj connect {self.name}")
        # A command that a signal ended has no exit status: its shell would say 128 and the signal.
        return Ended(self.channel.exit_status if self.channel.exit_status >= 0 else 128, words)

    def keep_errors(self) -> None:
        """Read standard error at once: unread, it fills the window and both sides wait for ever."""
        while part := self.channel.recv_stderr(_CHUNK):
            self._errors.extend(part)
            del self._errors[:-_WORDS]


@contextlib.contextmanager
def running(session: paramiko.Transport, name: str, command: str, stdin: bytes | None) -> Iterator[Command]:
    """Run a command; with ``stdin`` None its input stays open to ``write``. Left, its channel is closed."""
    try:
        channel = session.open_session(timeout=60)
        channel.exec_command(command)
    except (paramiko.SSHException, EOFError, OSError) as problem:
        told = str(problem) or type(problem).__name__
        raise LostLineError(f"{name} opens no session: {told}", f"git cj connect {name}") from problem
    found = Command(name, channel, io.BufferedReader(_Output(channel), 1 << 16))
    found._drain = threading.Thread(target=found.keep_errors, daemon=True)
    found._drain.start()
    if stdin is not None:
        threading.Thread(target=_feed, args=(channel, stdin), daemon=True).start()
    try:
        yield found
    finally:
        channel.close()


def _feed(channel: paramiko.Channel, stdin: bytes) -> None:
    # A command may end without reading it all.
    with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
        channel.sendall(stdin)
        channel.shutdown_write()
