"""The process that logs in and keeps the session, so that one login serves many commands for hours.

Started as ``python -P -m cjledger.cluster.paramiko_ssh.holder``: while it logs in it belongs to the terminal
and may ask there; then it says so in one line, leaves the terminal, and serves a socket that is the person's.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any

import paramiko

from cjledger.cluster.line import LostLineError
from cjledger.cluster.paramiko_ssh import pieces
from cjledger.cluster.paramiko_ssh.asking import Terminal
from cjledger.cluster.paramiko_ssh.connection import connect
from cjledger.cluster.paramiko_ssh.logins import LoginRefusedError
from cjledger.cluster.paramiko_ssh.serving import serve
from cjledger.cluster.paramiko_ssh.ssh_config import settings
from cjledger.errors import CjError

# As long as the system's ssh keeps its own.
IDLE_S = 4 * 3600
_LOOK_S = 0.5


def main(arguments: list[str]) -> int:
    """Log in, report, and serve until the session ends or nobody has asked for hours."""
    asked = json.loads(arguments[0])
    try:
        terminal = Terminal() if asked["prompts"] else None
        session = connect(settings(asked["host"], asked["user"]), terminal)
        listener = _listener(Path(asked["path"]))
    except CjError as problem:
        _report(_refusal(problem))
        return 1
    except KeyboardInterrupt:
        return 130
    _detach()
    try:
        _Holder(session, listener).serve()
    finally:
        session.close()
    return 0


def _refusal(problem: CjError) -> dict[str, Any]:
    return {
        "error": problem.message,
        "hint": problem.hint,
        "lost": isinstance(problem, LostLineError),
        "needs_terminal": isinstance(problem, LoginRefusedError) and problem.needs_terminal,
    }


def _report(words: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


def _listener(path: Path) -> socket.socket:
    found = socket.socket(socket.AF_UNIX)
    try:
        before = os.umask(0o177)
        try:
            found.bind(str(path))
        finally:
            os.umask(before)
        found.listen(64)
    except OSError as problem:
        raise CjError(f"the connection cannot be kept in {path.parent}: {problem.strerror}") from problem
    found.settimeout(_LOOK_S)
    return found


def _detach() -> None:
    """Leave the terminal and the pipes to whoever started this, and the folder it was started in."""
    os.setsid()
    os.chdir("/")
    _report({"ready": os.getpid()})
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)


class _Holder:
    def __init__(self, session: paramiko.Transport, listener: socket.socket) -> None:
        self.session, self.listener = session, listener
        self.clients = 0
        self.last = time.monotonic()
        self.over = False
        self.alone = threading.Lock()

    def serve(self) -> None:
        """Take clients, each in a thread of its own."""
        while self.session.is_active() and not self.over:
            try:
                client, _ = self.listener.accept()
            except TimeoutError:
                with self.alone:
                    if not self.clients and time.monotonic() - self.last > IDLE_S:
                        return
                continue
            except OSError:
                break
            client.settimeout(None)
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()
        self._close()
        self.listener.close()
        # Those that are served hear that the connection is lost.
        deadline = time.monotonic() + _LOOK_S * 4
        while self.clients and time.monotonic() < deadline:
            time.sleep(_LOOK_S / 10)

    def _close(self) -> None:
        self.over = True
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)

    def _serve(self, client: socket.socket) -> None:
        with self.alone:
            self.clients += 1
        try:
            with client:
                asked = pieces.receive(client)
                if asked and asked.kind == pieces.QUIT:
                    # The one who asked hears of it when nobody can find a connection any more.
                    self._close()
                    self.session.close()
                elif asked and asked.kind == pieces.RUN:
                    serve(self.session, client, asked.json(), self._close)
        finally:
            with self.alone:
                self.clients -= 1
                self.last = time.monotonic()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
