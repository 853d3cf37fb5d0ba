"""A person at a terminal: a real one, on which each prompt is awaited and answered."""

from __future__ import annotations

import os
import pty
import re
import select
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

Answers = Sequence[tuple[str, str]]

_PATIENCE_S = 60


@dataclass
class Typist:
    """Types each answer when its prompt has come; ``seen`` is all that the terminal showed."""

    descriptor: int
    answers: Answers
    path: str = ""
    seen: str = ""
    left: list[tuple[str, str]] = field(default_factory=list)

    def work(self) -> None:
        """Read and answer until the other side is gone."""
        self.left = list(self.answers)
        unread = ""
        while part := self._read():
            self.seen += part
            unread += part
            if self.left and (found := re.search(self.left[0][0], unread)):
                unread = unread[found.end() :]
                os.write(self.descriptor, f"{self.left.pop(0)[1]}\n".encode())

    def _read(self) -> str:
        ready, _, _ = select.select([self.descriptor], [], [], _PATIENCE_S)
        try:
            return os.read(self.descriptor, 4096).decode(errors="replace") if ready else ""
        except OSError:  # Linux says so when no process has the terminal any more.
            return ""


@contextmanager
def typing(*answers: tuple[str, str]) -> Iterator[Typist]:
    """A terminal at ``path`` whose person knows the answers; all must have been asked for."""
    ours, theirs = pty.openpty()
    typist = Typist(ours, answers, os.ttyname(theirs))
    work = threading.Thread(target=typist.work)
    work.start()
    try:
        yield typist
    finally:
        os.close(theirs)
        work.join()
        os.close(ours)
    assert typist.left == [], typist.seen


def at_terminal(program: str, *answers: tuple[str, str]) -> tuple[int, str]:
    """Run a Python program in a session of its own on a terminal; its exit code and what was shown."""
    pid, descriptor = pty.fork()
    if not pid:
        os.execv(sys.executable, (sys.executable, "-c", program))
    typist = Typist(descriptor, answers)
    typist.work()
    _, status = os.waitpid(pid, 0)
    os.close(descriptor)
    return os.waitstatus_to_exitcode(status), typist.seen
