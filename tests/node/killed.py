"""Runs a program as Python would, and kills it where a test says.

``python killed.py [-I -S] (-c CODE | ZIP) ARGUMENTS…`` with ``KILL_AT`` the number of the rename, link, fork
or start of a process before which to die, ``KILL_ROLE`` ``hook`` (the first process) or ``pool`` (one forked
from it), ``KILL_NOTE`` a file that then says what was not done.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

_AT = int(os.environ["KILL_AT"])
_ROLE = os.environ["KILL_ROLE"]
_FIRST = os.getpid()
_seen = 0


def _watched(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*arguments: Any, **options: Any) -> Any:
        global _seen
        if (os.getpid() == _FIRST) == (_ROLE == "hook"):
            _seen += 1
            if _seen == _AT:
                with open(os.environ["KILL_NOTE"], "w") as note:
                    note.write(f"{name} {arguments[:1] if name != 'Popen' else arguments[1:2]}")
                os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **options)

    return call


for _name in ("rename", "link", "fork", "execvpe"):
    setattr(os, _name, _watched(_name, getattr(os, _name)))


def _execv(program: str, argv: list[str], execv: Callable[..., Any] = os.execv) -> None:
    """A pool ends as another command: that one is watched on from here."""
    if _ROLE == "pool" and "-c" in argv:
        os.environ.update(KILL_AT=str(_AT - _seen), KILL_ROLE="hook")
        argv = [argv[0], os.path.abspath(__file__), *argv[1:]]
    execv(program, argv)


os.execv = _execv  # type: ignore[assignment]


class _Popen(subprocess.Popen):  # type: ignore[type-arg]
    __init__ = _watched("Popen", subprocess.Popen.__init__)


subprocess.Popen = _Popen  # type: ignore[misc]

_words = [word for word in sys.argv[1:] if word not in ("-I", "-S")]
assert _words[0] == "-c"
_code = _words[1]
sys.argv = ["-c", *_words[2:]]
exec(_code, {"__name__": "__main__"})
