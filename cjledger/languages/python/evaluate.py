"""Evaluating a nest's iterables by running what precedes it in the program's interpreter."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cjledger.errors import CjError
from cjledger.languages.script import joined

_MODULES = ("program.loops", "program.seeding", "program.shelter", "program.survey")
_WAY_OUT = "write the values as literals, or give them to git cj run by --sweep NAME=… or --points FILE"


@dataclass(frozen=True)
class Evaluation:
    """What to run: a program, up to the nest on ``lines``."""

    path: Path
    shown: str
    lines: tuple[int, ...]
    interpreter: str
    workdir: Path
    search_path: tuple[Path, ...]
    arguments: tuple[str, ...]
    timeout_s: float
    limit: int


@dataclass(frozen=True)
class Found:
    """The branches of the nest (see ``cjnode.program.survey.Growth``), and which iterables are iterators."""

    branches: list[Any]
    one_shot: list[bool]


def evaluate(wanted: Evaluation) -> Found:
    """List the nest's iterations twice, with other random and hash seeds. Raises CjError.

    Runs in the program's working directory; what it opens for writing in the repository goes elsewhere.
    """
    with tempfile.TemporaryDirectory(prefix="cj-loops-") as folder:
        runs: list[_Run] = []
        try:
            for seed in (1, 2):
                runs.append(_Run(wanted, Path(folder), seed))
            deadline = time.monotonic() + wanted.timeout_s
            answers = [run.answer(max(0.0, deadline - time.monotonic())) for run in runs]
        finally:
            for run in runs:
                run.kill()
    first, second = (_checked(wanted, answer) for answer in answers)
    if first["branches"] != second["branches"]:
        raise _varies(wanted, wanted.lines[0])
    for line, unordered in zip(wanted.lines, first["unordered"], strict=True):
        if unordered:
            raise CjError(
                f"{wanted.shown}:{line}: the loop runs over a set, whose order differs from run to run",
                "loop over sorted(…) of it",
            )
    return Found(first["branches"], first["one_shot"])


class _Run:
    """One interpreter at work, in a process group of its own."""

    def __init__(self, wanted: Evaluation, folder: Path, seed: int) -> None:
        self.wanted = wanted
        aside = folder / str(seed)
        aside.mkdir()
        self.result = aside / "answer.json"
        request = {
            "path": str(wanted.path),
            "lines": wanted.lines,
            "argv0": os.path.relpath(wanted.path, wanted.workdir),
            "arguments": wanted.arguments,
            "search_path": [str(path) for path in wanted.search_path],
            "limit": wanted.limit,
            "seed": seed,
            "top": str(wanted.path)[: -len(wanted.shown)].rstrip("/") or "/",
        }
        (aside / "request.json").write_text(json.dumps(request))
        text = joined(*_MODULES) + "\n\nsurvey_main(sys.argv[1], sys.argv[2])\n"
        (aside / "survey.py").write_text(text, encoding="utf-8")
        self.errors = aside / "errors"
        with open(self.errors, "wb") as errors:
            self.process = self._start(aside, errors, seed)

    def _start(self, aside: Path, errors: Any, seed: int) -> subprocess.Popen[bytes]:
        wanted = self.wanted
        search = [*map(str, wanted.search_path), *filter(None, os.environ.get("PYTHONPATH", "").split(":"))]
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
            "PYTHONHASHSEED": str(seed),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": os.pathsep.join(search),
        }
        if not search:
            del environment["PYTHONPATH"]
        try:
            return subprocess.Popen(
                (wanted.interpreter, str(aside / "survey.py"), str(aside / "request.json"), str(self.result)),
                cwd=wanted.workdir,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                start_new_session=True,
            )
        except OSError as problem:
            raise CjError(
                f"the interpreter {wanted.interpreter} does not start: {problem.strerror}",
                "name another with python = … in .cjledger.toml",
            ) from None

    def answer(self, timeout_s: float) -> dict[str, Any]:
        """Wait for the result. Raises CjError when there is none in time."""
        wanted = self.wanted
        try:
            self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise CjError(
                f"{wanted.shown}: what precedes the loop on line {wanted.lines[0]} took longer than "
                f"{wanted.timeout_s:g} s",
                f"move slow work into the loop's body, or {_WAY_OUT}",
            ) from None
        try:
            answer: dict[str, Any] = json.loads(self.result.read_bytes())
        except (OSError, ValueError):
            return {"failed": self._last_words(), "line": None}
        said = self._said() if answer.get("ended") else ""
        return {**answer, "failed": f"{answer['failed']}: {said}"} if said else answer

    def _last_words(self) -> str:
        code = self.process.returncode
        ending = f"killed by signal {-code}" if code < 0 else f"it ended with exit code {code}"
        return self._said() or ending

    def _said(self) -> str:
        lines = self.errors.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else ""

    def kill(self) -> None:
        """End the whole process group."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def _checked(wanted: Evaluation, answer: dict[str, Any]) -> dict[str, Any]:
    if answer.get("too_many"):
        raise CjError(
            f"{wanted.shown}: the nest on line {wanted.lines[0]} has more than the configured maximum of "
            f"{wanted.limit} tasks",
            "raise max_tasks under [limits] in .cjledger.toml, or loop over fewer values",
        )
    if "failed" in answer:
        where = f"{wanted.shown}:{answer['line']}" if answer["line"] else wanted.shown
        path = os.path.relpath(wanted.path, wanted.workdir)
        raise CjError(
            f"{where}: {answer['failed']} (running what precedes the loop on line {wanted.lines[0]}, with "
            f"{wanted.interpreter})",
            f"try {shlex.join([wanted.interpreter, path, *wanted.arguments])}, or {_WAY_OUT}",
        )
    return answer


def _varies(wanted: Evaluation, line: int) -> CjError:
    return CjError(
        f"{wanted.shown}:{line}: what this loop runs over depends on random numbers: two evaluations differ",
        "set a seed before the loop, loop over sorted(…) of sets, or move the drawing into the loop's body",
    )
