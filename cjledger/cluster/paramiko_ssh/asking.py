"""Questions to the person at the terminal, who may have sent everything else into files."""

from __future__ import annotations

import os
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from cjledger.cluster.transport import printable
from cjledger.errors import CjError


@dataclass(frozen=True)
class Terminal:
    """The terminal that this process belongs to."""

    path: str = "/dev/tty"

    def is_there(self) -> bool:
        """True when it can be opened."""
        try:
            os.close(os.open(self.path, os.O_RDWR | os.O_NOCTTY))
        except OSError:
            return False
        return True

    def say(self, text: str) -> None:
        """Show a text, without what the terminal would obey."""
        descriptor = os.open(self.path, os.O_WRONLY | os.O_NOCTTY)
        with open(descriptor, "w", encoding="utf-8", errors="replace") as out:
            out.write(printable(text).rstrip("\n") + "\n")

    def ask(self, prompt: str, echo: bool = False) -> str:
        """Ask and return the line that was typed; raises CjError at the end of input."""
        descriptor = os.open(self.path, os.O_RDWR | os.O_NOCTTY)
        try:
            with _echo_off(descriptor, not echo):
                # What was typed before the question is no answer to it, and not kept.
                os.write(descriptor, printable(prompt).encode(errors="replace"))
                return _line(descriptor)
        finally:
            os.close(descriptor)


def _line(descriptor: int) -> str:
    typed = b""
    while not typed.endswith(b"\n"):
        part = os.read(descriptor, 4096)
        if not part:
            raise CjError("the question was not answered", "try again")
        typed += part
    return typed.decode(errors="surrogateescape").rstrip("\r\n")


@contextmanager
def _echo_off(descriptor: int, wanted: bool) -> Iterator[None]:
    if not wanted:
        yield
        return
    before = termios.tcgetattr(descriptor)
    quiet = list(before)
    quiet[3] &= ~termios.ECHO
    termios.tcsetattr(descriptor, termios.TCSAFLUSH, quiet)
    try:
        yield
    finally:
        # The newline typed was not shown either.
        os.write(descriptor, b"\n")
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
