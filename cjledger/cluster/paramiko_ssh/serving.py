"""One command for one client: its input, output and errors flow at the same time, whatever their sizes."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable
from typing import Any

import paramiko

from cjledger.cluster.paramiko_ssh import pieces

_PATIENCE_S = 60


def serve(
    session: paramiko.Transport, client: socket.socket, asked: dict[str, Any], close: Callable[[], None]
) -> None:
    """Run what a client asked for, until it ends or the client is gone.

    ``close`` is called before a client is told that the session is lost: it shall not find it again.
    """

    def lost(words: str) -> None:
        if not session.is_active():
            close()
        with contextlib.suppress(OSError):
            pieces.send(client, pieces.LOST, words.encode())

    try:
        channel = session.open_session(timeout=_PATIENCE_S)
    except (paramiko.SSHException, EOFError, OSError) as problem:
        lost(f"no session is opened there: {problem or type(problem).__name__}")
        return
    try:
        _start(channel, asked)
        if not _flow(session, channel, client):
            lost("")
    except (paramiko.SSHException, EOFError, OSError) as problem:
        lost(str(problem) or type(problem).__name__)
    finally:
        channel.close()


def _start(channel: paramiko.Channel, asked: dict[str, Any]) -> None:
    if terminal := asked.get("terminal"):
        channel.get_pty(*terminal)
        channel.set_combine_stderr(True)
    if asked["command"] is None:
        channel.invoke_shell()
    else:
        channel.exec_command(asked["command"])


def _flow(session: paramiko.Transport, channel: paramiko.Channel, client: socket.socket) -> bool:
    """Move all bytes. True when the command ended, and not the connection."""
    alone = threading.Lock()

    def tell(kind: bytes, data: bytes) -> None:
        with alone:
            pieces.send(client, kind, data)

    def pump(kind: bytes, source: Callable[[int], bytes]) -> None:
        # Unread, either stream fills the window and both sides wait for ever.
        with contextlib.suppress(OSError, EOFError):
            while part := source(pieces.CHUNK):
                tell(kind, part)

    def feed() -> None:
        with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
            while piece := pieces.receive(client):
                _take(channel, piece)
        # The client is gone: what it started shall not go on for nobody.
        channel.close()

    threading.Thread(target=feed, daemon=True).start()
    errors = threading.Thread(target=pump, args=(pieces.ERRORS, channel.recv_stderr), daemon=True)
    errors.start()
    pump(pieces.OUTPUT, channel.recv)
    errors.join()
    channel.status_event.wait()
    if channel.exit_status < 0 and not session.is_active():
        return False
    # A command that a signal ended has no status: its shell would say 128 and the signal.
    tell(pieces.STATUS, json.dumps(channel.exit_status if channel.exit_status >= 0 else 128).encode())
    return True


def _take(channel: paramiko.Channel, piece: pieces.Piece) -> None:
    if piece.kind == pieces.INPUT:
        channel.sendall(piece.data)
    elif piece.kind == pieces.END:
        channel.shutdown_write()
    elif piece.kind == pieces.SIZE:
        channel.resize_pty(*piece.json())
