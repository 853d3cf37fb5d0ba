"""Shared file systems and their habits, played by a library between a program and its files."""

from __future__ import annotations

import functools
import subprocess
import tempfile
from pathlib import Path

from tests.clusters.packages import MissingError, compiler

SOURCE = Path(__file__).with_suffix(".c")


@functools.cache
def _library() -> tempfile.TemporaryDirectory[str]:
    made = tempfile.TemporaryDirectory(prefix="cj-strange-")
    argv = (str(compiler()), "-shared", "-fPIC", "-O1", "-o", f"{made.name}/strange.so", str(SOURCE), "-ldl")
    done = subprocess.run(argv, capture_output=True, text=True)
    if done.returncode:
        raise MissingError(f"the C compiler does not work: {done.stderr.strip()[-500:]}")
    return made


def strange(below: Path, words: str, node: str = "") -> dict[str, str]:
    """Variables under which a program finds a folder with these habits (see the source).

    Raises MissingError where there is no compiler.
    """
    found = {
        "LD_PRELOAD": f"{_library().name}/strange.so",
        "STRANGE_BELOW": str(below),
        "STRANGE": words,
    }
    if node:
        made = below.parent / "strange-made"
        made.mkdir(exist_ok=True)
        found.update(STRANGE_NODE=node, STRANGE_MADE=str(made))
    return found
