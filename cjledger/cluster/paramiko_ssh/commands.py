"""Commands over the session that a holder keeps: the side of the process that wants them run."""

from __future__ import annotations

import contextlib
import io
import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from cjledger.cluster.line import Ended, LostLineError
from cjledger.cluster.paramiko_ssh import pieces
from cjledger.cluster.transport import printable

_WORDS = 1 << 16


@dataclass
class Conversation:
    """One command with the holder: what comes is told apart here."""

    name: str
    holder: socket.socket
    errors: bytearray = field(default_factory=bytearray)
    status: int | None = None
    lost: str | None = None

    def output(self) -> bytes:
        """The next output; nothing at its end."""
        while self.status is None and self.lost is None:
            piece = pieces.receive(self.holder)
            if piece is None:
                self.lost = ""
            elif piece.kind == pieces.OUTPUT:
                return piece.data
            elif piece.kind == pieces.ERRORS:
                self.errors.extend(piece.data)
                del self.errors[:-_WORDS]
            elif piece.kind == pieces.STATUS:
                self.status = int(piece.json())
            elif piece.kind == pieces.LOST:
                self.lost = piece.data.decode(errors="replace")
        return b""

    def ended(self) -> Ended:
        """Wait for the end. Raises LostLineError when the connection ended instead."""
        while self.output():
            pass
        if self.status is None:
            raise self.failure(self.lost or "")
        return Ended(self.status, printable(bytes(self.errors).decode(errors="replace")))

    def failure(self, words: str) -> LostLineError:
        """That the connection was lost."""
        told = f": {printable(words)}" if words else ""
        return LostLineError(f"the connection to {self.name} was lost{told}", f"git cj connect {self.name}")


class _Output(io.RawIOBase):
    """A command's standard output as a raw stream."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self._left = b""

    def readable(self) -> bool:
        """Always: it is for nothing else."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer with what has come; nothing at the end."""
        part = self._left or self._conversation.output()
        size = min(len(buffer), len(part))
        buffer[:size], self._left = part[:size], part[size:]
        return size


@dataclass(frozen=True)
class Command:
    """A command that runs over there."""

    conversation: Conversation
    stdout: IO[bytes]

    def write(self, data: bytes) -> None:
        """Send to its standard input. Raises EOFError when nobody takes it any more."""
        try:
            pieces.send(self.conversation.holder, pieces.INPUT, data)
        except OSError as problem:
            raise EOFError(f"the connection was lost: {problem}") from problem

    def end_input(self) -> None:
        """Close its standard input."""
        with contextlib.suppress(OSError):
            pieces.send(self.conversation.holder, pieces.END)

    def ended(self) -> Ended:
        """Wait for its end. Raises LostLineError when the connection ended instead."""
        return self.conversation.ended()


@contextlib.contextmanager
def running(
    path: Path, name: str, command: str | None, stdin: bytes | None, terminal: tuple[Any, ...] = ()
) -> Iterator[Command]:
    """Run a command, or a shell when there is none; without ``stdin`` its input stays open.

    It is ended when the block is left.
    """
    with socket.socket(socket.AF_UNIX) as holder:
        conversation = Conversation(name, holder)
        try:
            holder.connect(str(path))
            asked = {"command": command, "terminal": terminal}
            pieces.send(holder, pieces.RUN, json.dumps(asked).encode())
        except OSError as problem:
            raise conversation.failure(problem.strerror or "") from problem
        found = Command(conversation, io.BufferedReader(_Output(conversation), 1 << 16))
        if stdin is not None:
            threading.Thread(target=_feed, args=(found, stdin), daemon=True).start()
        yield found


def _feed(command: Command, stdin: bytes) -> None:
    # A command may end without reading it all.
    with contextlib.suppress(EOFError):
        command.write(stdin)
        command.end_input()
