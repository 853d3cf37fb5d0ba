"""A shell over there on the person's terminal."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import termios
import threading
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from cjledger.cluster.paramiko_ssh import pieces
from cjledger.cluster.paramiko_ssh.commands import Command


def join(shell: Command) -> int:
    """Join this terminal with a shell there until it ends; its exit code."""
    source, target = sys.stdin.fileno(), sys.stdout.fileno()
    with _raw(source), _resizing(shell):
        threading.Thread(target=_type, args=(shell, source), daemon=True).start()
        while part := shell.conversation.output():
            while part:
                part = part[os.write(target, part) :]
    return shell.ended().returncode


def _type(shell: Command, source: int) -> None:
    with contextlib.suppress(EOFError, OSError):
        while typed := os.read(source, pieces.CHUNK):
            shell.write(typed)
        shell.end_input()


@contextmanager
def _raw(descriptor: int) -> Iterator[None]:
    before = termios.tcgetattr(descriptor)
    tty.setraw(descriptor)
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


@contextmanager
def _resizing(shell: Command) -> Iterator[None]:
    def resize(*_: Any) -> None:
        size = os.get_terminal_size(sys.stdin.fileno())
        words = json.dumps([size.columns, size.lines]).encode()
        with contextlib.suppress(OSError):
            pieces.send(shell.conversation.holder, pieces.SIZE, words)

    before = signal.signal(signal.SIGWINCH, resize)
    try:
        yield
    finally:
        signal.signal(signal.SIGWINCH, before)
