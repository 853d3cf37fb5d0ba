"""What a command and the holder of the session say to each other: pieces of one letter, a length, bytes."""

from __future__ import annotations

import json
import socket
import struct
from dataclasses import dataclass
from typing import Any

# From the command: what to run, its input, the input's end, the terminal's size, and that all shall end.
RUN, INPUT, END, SIZE, QUIT = b"R", b"I", b"E", b"W", b"Q"
# From the holder: output, errors, the exit status, and that there is none since the connection ended.
OUTPUT, ERRORS, STATUS, LOST = b"O", b"X", b"Z", b"L"

# A holder of another version is not asked: it serves its own until its session ends.
VERSION = 1

CHUNK = 1 << 15
_LARGEST = 1 << 24
_HEAD = struct.Struct(">cI")


@dataclass(frozen=True)
class Piece:
    """One letter and what comes with it."""

    kind: bytes
    data: bytes

    def json(self) -> Any:
        """The data as JSON."""
        return json.loads(self.data)


def send(to: socket.socket, kind: bytes, data: bytes = b"") -> None:
    """Send one piece; long data as several."""
    for start in range(0, len(data) or 1, CHUNK):
        part = data[start : start + CHUNK]
        to.sendall(_HEAD.pack(kind, len(part)) + part)


def receive(source: socket.socket) -> Piece | None:
    """The next piece; None when the other side is gone."""
    head = _exactly(source, _HEAD.size)
    if head is None:
        return None
    kind, size = _HEAD.unpack(head)
    data = _exactly(source, size) if size <= _LARGEST else None
    return None if data is None else Piece(kind, data)


def _exactly(source: socket.socket, size: int) -> bytes | None:
    data = b""
    while len(data) < size:
        try:
            part = source.recv(size - len(data))
        except OSError:
            return None
        if not part:
            return None
        data += part
    return data
