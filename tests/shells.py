"""``git cj`` as a person types it, for the end-to-end tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

UNFINISHED = 4  # of --wait: a task did not complete

PROGRAMS = Path(sys.executable).parent


@dataclass
class Shell:
    """Runs commands in one folder; ``git cj`` is the installed program."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    timeout_s: float = 120

    def run(self, *words: str, code: int | None = 0, stdin: str = "") -> subprocess.CompletedProcess[str]:
        env = self._environment()
        done = subprocess.run(
            words,
            cwd=self.folder,
            env=env,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=self.timeout_s,
        )
        # How tasks ended is for the tests to look at.
        as_told = done.returncode in ((0, UNFINISHED) if code == 0 and "--wait" in words else (code,))
        assert code is None or as_told, (
            f"{' '.join(words)}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        )
        return done

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """Start a command and let it run beside the test."""
        quiet = subprocess.DEVNULL
        return subprocess.Popen(words, cwd=self.folder, env=self._environment(), stdout=quiet, stderr=quiet)

    def _environment(self) -> dict[str, str]:
        env = {**os.environ, "PATH": f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}", **self.environment}
        env.pop("VIRTUAL_ENV", None)
        return env

    def cj(self, *words: str, code: int = 0, stdin: str = "") -> str:
        """Standard output of ``git cj WORDS``."""
        return self.run("git", "cj", *words, code=code, stdin=stdin).stdout

    def refused(self, *words: str, code: int = 1) -> str:
        """Standard error of ``git cj WORDS``, which must fail."""
        done = self.run("git", "cj", *words, code=code)
        assert "Traceback" not in done.stderr
        return done.stderr

    def lines(self, *words: str, code: int = 0) -> list[dict[str, Any]]:
        """The JSON lines of ``git cj WORDS --json``."""
        return [json.loads(line) for line in self.cj(*with_option(words, "--json"), code=code).splitlines()]

    def git(self, *words: str) -> str:
        return self.run("git", *words).stdout.strip()

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def launch(self, *words: str) -> str:
        """Launch, wait for the end, and return the package ID."""
        return str(self.lines(*with_option(words, "--wait"))[0]["package"])


def with_option(words: tuple[str, ...], option: str) -> tuple[str, ...]:
    """The words with one more option, before what goes to the program."""
    at = words.index("--") if "--" in words else len(words)
    return (*words[:at], option, *words[at:])


NEST = """\
import random

deltas = [0.1, 0.2, 0.3]
for delta in deltas:
    for epsilon in range(1, 5):
        value = delta * epsilon
        with open("results.txt", "a") as out:
            out.write(f"{delta},{epsilon},{value},{random.random()}\\n")
print("done", delta, epsilon)
"""
