"""Starting a process, waiting for it, and what it leaves."""

from __future__ import annotations

import subprocess
import sys

from .work_kit import HOOKS

# In a process of its own: the worker's signal handlers and the adoption of orphans would stay in the tests'.
HEAD = f"""
import sys; sys.path.insert(0, {str(HOOKS)!r})
import os, signal, time
from cjnode.worker import children, prison
prison.adopt_orphans()
signals = children.Signals()
null = os.open(os.devnull, os.O_RDWR)
def ended(run, look=lambda: ""):
    return children.wait(children.start(run, (null, null), signals.private()), signals, look)
"""


def result(code: str) -> str:
    done = subprocess.run((sys.executable, "-c", HEAD + code), capture_output=True, text=True, timeout=30)
    assert done.stderr == ""
    return done.stdout.strip()


def test_an_exit_code_and_a_signal_are_told_apart() -> None:
    assert (
        result("print(ended(lambda: 9)[:2], ended(lambda: os.kill(os.getpid(), 9))[:2])") == "(9, 0) (137, 9)"
    )


def test_a_program_that_is_not_there_ends_as_in_a_shell() -> None:
    code = (
        "print([ended(lambda: children.replace_by([name], {})).exit_code for name in ('/nothing', '/etc')])"
    )
    assert result(code) == "[127, 126]"


def test_a_program_gets_the_signals_that_a_shell_would_give_it() -> None:
    code = """
words = ["sh", "-c", "yes | head -1 >/dev/null; kill -PIPE $$"]
print(ended(lambda: children.replace_by(words, dict(os.environ))).signal)
"""
    assert result(code) == "13"


def test_a_child_has_its_own_session_and_none_of_the_workers_handlers() -> None:
    code = """
def run():
    plain = signal.getsignal(signal.SIGTERM) == signal.SIG_DFL and not signal.pthread_sigmask(0, [])
    return 5 if plain and os.getsid(0) == os.getpid() else 1
print(ended(run).exit_code)
"""
    assert result(code) == "5"


def test_a_reason_to_end_is_told() -> None:
    code = "os.environ['CJ_GRACE_S'] = '0'\nprint(ended(lambda: time.sleep(60), lambda: 'time')[:2])\n"
    assert result(code) in ("(143, 15)", "(137, 9)")


def test_a_helper_that_ends_by_itself_was_not_left_behind() -> None:
    code = "print(ended(lambda: os.fork() and 0 or time.sleep(0.01) or 0).left_behind)"
    assert result(code) == "0"
