"""A shell over there on the person's terminal."""

from __future__ import annotations

import os
import selectors
import signal
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import paramiko

_CHUNK = 1 << 15


def shell(session: paramiko.Transport) -> int:
    """Join this terminal with a login shell there until it ends; its exit code."""
    size = os.get_terminal_size(sys.stdin.fileno())
    channel = session.open_session(timeout=60)
    try:
        channel.get_pty(os.environ.get("TERM", "vt100"), size.columns, size.lines)
        channel.set_combine_stderr(True)
        channel.invoke_shell()
        with _raw(sys.stdin.fileno()), _resizing(channel):
            _join(channel, sys.stdin.fileno(), sys.stdout.fileno())
        return max(int(channel.recv_exit_status()), 0)
    finally:
        channel.close()


def _join(channel: paramiko.Channel, source: int, target: int) -> None:
    with selectors.DefaultSelector() as ready:
        ready.register(channel, selectors.EVENT_READ, "there")
        ready.register(source, selectors.EVENT_READ)
        while True:
            for key, _ in ready.select():
                if key.data:
                    part = channel.recv(_CHUNK)
                    if not part:
                        return
                    _write(target, part)
                elif typed := os.read(source, _CHUNK):
                    channel.sendall(typed)
                else:
                    ready.unregister(source)
                    channel.shutdown_write()


def _write(target: int, data: bytes) -> None:
    while data:
        data = data[os.write(target, data) :]


@contextmanager
def _raw(descriptor: int) -> Iterator[None]:
    before = termios.tcgetattr(descriptor)
    tty.setraw(descriptor)
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


@contextmanager
def _resizing(channel: paramiko.Channel) -> Iterator[None]:
    def resize(*_: Any) -> None:
        size = os.get_terminal_size(sys.stdin.fileno())
        channel.resize_pty(size.columns, size.lines)

    before = signal.signal(signal.SIGWINCH, resize)
    try:
        yield
    finally:
        signal.signal(signal.SIGWINCH, before)
