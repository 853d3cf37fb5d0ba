"""Packages as they lie on a cluster, and ways to run their tasks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cjledger.languages.script import file_name, script
from cjledger.model import Axis, Block, Manifest, Program, Resources, Sweep, manifest_to_bytes
from cjnode.package.points import count
from cjnode.program.reproduce import Package, load, task, task_environment, working_directory
from cjnode.program.running import run_to_exit

OLD_PYTHON = Path(os.path.realpath(sys.executable)).parents[2] / "3.6.15/bin/python"
PYTHONS = [
    sys.executable,
    pytest.param(str(OLD_PYTHON), marks=pytest.mark.skipif(not OLD_PYTHON.exists(), reason="no Python 3.6")),
]

SINGLE = Sweep("single", (), (), (), 0, 1, None)


def grid(**axes: tuple[Any, ...]) -> Sweep:
    block = Block(tuple(Axis((name,), tuple((value,) for value in values)) for name, values in axes.items()))
    return Sweep("grid", (block,), (), tuple(axes), 0, 1, None)


def loops(lines: list[int], **axes: tuple[Any, ...]) -> Sweep:
    return grid(**axes)._replace(kind="loops", loops={"line": lines[0], "depth": len(lines), "lines": lines})


def manifest_of(program: Program, sweep: Sweep, **words: Any) -> Manifest:
    return Manifest(
        program=program,
        sweep=sweep,
        tasks=count(sweep),
        seed=42,
        outputs=("**",),
        unlinked=(),
        resources=Resources(),
        cluster="local",
        scheduler="local",
        python=sys.executable,
        setup=(),
        message="Test PT\nof things",
        created="2026-01-31T12:00:00.000000Z",
        author="Mia <mia@example.org>",
        agent="mia-laptop-3f2a",
        head=None,
        branch=None,
        dirty=(),
        report=(),
        locks=(),
        version="0.1.0",
    )._replace(**words)


def package_in(
    folder: Path, program: Program, sweep: Sweep = SINGLE, text: str = "", **words: Any
) -> tuple[Package, Manifest]:
    """Write a package's files as they lie on a cluster."""
    manifest = manifest_of(program, sweep, **words)
    cj = folder / ".cj"
    cj.mkdir(parents=True, exist_ok=True)
    (cj / "package.json").write_bytes(manifest_to_bytes(manifest))
    (cj / file_name(program)).write_bytes(script(manifest))
    (folder / program.workdir).mkdir(exist_ok=True)
    if program.path:
        (folder / program.path).write_text(text)
    return load(str(cj)), manifest


def by_hand(
    package: Package, *words: str, python: str = sys.executable, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run the package's script as a person would, from another folder."""
    found = next(Path(package.folder).glob("reproduce_*.py"))
    return subprocess.run(
        (python, str(found), *words),
        cwd="/",
        env={**os.environ, **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )


def forked(package: Package, number: int, folder: Path) -> tuple[int, str, str, bytes]:
    """Run a task in a fork of this process, as the worker does; exit code, both streams, rows."""
    here = task(package, number)
    out, err, rows = folder / "out", folder / "err", folder / "rows"

    def keep(lines: bytes) -> None:
        rows.write_bytes(lines)

    child = os.fork()
    if child == 0:
        try:
            for path, stream in ((out, 1), (err, 2)):
                os.dup2(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC), stream)
            sys.stdout = os.fdopen(1, "w")
            sys.stderr = os.fdopen(2, "w")
            sys.excepthook = sys.__excepthook__
            os.environ.update(task_environment(package, here, 1))
            os.chdir(working_directory(package, package.tree))
            os._exit(run_to_exit(package, here, package.tree, keep, lambda trace: None))
        finally:
            os._exit(99)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return code, out.read_text(), err.read_text(), rows.read_bytes() if rows.exists() else b""
