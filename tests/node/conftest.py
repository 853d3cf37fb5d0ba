"""The interpreters that the node half must run under, and a cluster's root made by hand."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cjnode import files, processes
from cjnode.records import blocks, claims
from cjnode.records.blocks import BlockId, Output, Record
from cjnode.records.claims import Claim

from .cluster_kit import Site, new_site
from .fake_slurm import FakeSlurm, new_slurm

HOOKS = Path(__file__).parents[2] / "hooks"
PACKAGE = "8ab7a5aa0123" + "0" * 28
STARTED = "2026-01-31T12:00:00.000000Z"


def _oldest() -> list[str]:
    """A working Python 3.6, sought while HOME is still the person's."""
    homes = [Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser(), Path("~/.pyenv").expanduser()]
    installed = [str(path) for home in homes for path in sorted(home.glob("versions/3.6*/bin/python3.6"))]
    for program in [*installed, shutil.which("python3.6") or ""]:
        # A shim may stand on PATH that runs nothing.
        if program and subprocess.run((program, "-c", ""), capture_output=True).returncode == 0:
            return [program]
    return []


PYTHONS = [sys.executable, *_oldest()]


@pytest.fixture(params=PYTHONS, ids=["this python", "python 3.6"][: len(PYTHONS)])
def node_python(request: pytest.FixtureRequest) -> str:
    """An interpreter for the node half: ours, and Python 3.6 where there is one."""
    program: str = request.param
    return program


def call(python: str, root: Path, verb: str, request: dict[str, Any]) -> bytes:
    """What a verb replies between its markers, run as the hook and the laptop run it."""
    done = subprocess.run(
        (python, str(HOOKS / "cjnode"), verb, "--root", str(root), "--nonce", "n0"),
        input=json.dumps(request).encode(),
        capture_output=True,
        env={**os.environ, "PYTHONPATH": str(HOOKS)},
    )
    assert done.stderr == b""
    _, _, rest = done.stdout.partition(b"\ncj n0 begin ")
    _, _, rest = rest.partition(b"\n")  # who answers
    reply, _, _ = rest.rpartition(b"cj n0 end\n")
    return reply


@dataclass(frozen=True)
class Root:
    """A cluster's folder with one package in it."""

    path: Path
    package: str = PACKAGE

    @property
    def folder(self) -> Path:
        return self.path / "packages" / self.package

    def submission(self, number: int) -> Path:
        return self.folder / "submissions" / str(number)

    def submit(
        self, tasks: str, *, number: int = 1, block: int = 2, attempt: int = 1, job: str | None = "cj"
    ) -> None:
        """Write an intent, and a receipt unless ``job`` is None."""
        for part in ("blocks", "cancel"):
            (self.submission(number) / part).mkdir(parents=True)
        self.write(
            number, "intent.json", {"tasks": tasks, "attempt": attempt, "block": block, "submission": number}
        )
        if job:
            self.write(number, "receipt.json", {"job": self.job(number)})

    def job(self, number: int = 1) -> str:
        return f"cj-{self.package[:12]}-{number}"

    def write(self, number: int, name: str, fields: dict[str, Any]) -> None:
        (self.submission(number) / name).write_text(json.dumps({"format": 1, **fields}))

    def run_job(self, number: int = 1) -> None:
        """Let the job be alive: the process that plays its pool and its element is this one."""
        folder = self.path / "scheduler" / self.job(number)
        folder.mkdir(parents=True)
        who = json.dumps({"format": 1, **processes.identity(os.getpid())._asdict()})
        (folder / "owner-1.json").write_text(who)
        (folder / "element-1-1.json").write_text(who)

    def end_job(self, number: int = 1) -> None:
        shutil.rmtree(self.path / "scheduler" / self.job(number))

    def file(self, block: str, kind: str) -> Path:
        which = blocks.parse_block_id(block)
        folder = str(self.submission(which.submission))
        return Path(blocks.block_path(folder, which.block, which.generation, kind))

    def claim(self, block: str, task: int, attempt: int = 1) -> None:
        which: BlockId = blocks.parse_block_id(block)
        fd = claims.create_claim(
            str(self.file(block, "claim")), Claim(self.job(which.submission), 1, 1, "n1", 99)
        )
        assert fd is not None
        claims.write_current(fd, task, attempt, STARTED)
        os.close(fd)

    def append(self, block: str, records: Iterable[Record], data: bytes = b"") -> None:
        fd = blocks.open_appending(str(self.file(block, "data")))
        files.write_all(fd, data)
        os.close(fd)
        fd = blocks.open_appending(str(self.file(block, "records")))
        for record in records:
            blocks.append_record(fd, record)
        os.close(fd)


def record(task: int, state: str = "COMPLETED", *, attempt: int = 1, **changes: Any) -> Record:
    """A record as a runner writes it."""
    code = int(state != "COMPLETED")
    ended, job = "2026-01-31T12:00:01.250000Z", "cj-8ab7a5aa0123-1"
    plain = Record(
        task, attempt, state, code, 0, STARTED, ended, 1.25, "n1", job, 1, 34.1, 1.2, 123, "", "", "", ()
    )
    return plain._replace(**changes)


def output(path: str, offset: int, size: int) -> Output:
    return Output(path, offset, size, "0" * 64)


@pytest.fixture
def root(tmp_path: Path) -> Root:
    """A local cluster with a package of five tasks that was received and not submitted."""
    made = Root(tmp_path / "root")
    made.folder.mkdir(parents=True)
    (made.path / "cluster.json").write_text(json.dumps({"format": 1, "cluster": "l", "scheduler": "local"}))
    (made.folder / "package.json").write_text(json.dumps({"format": 1, "tasks": 5}))
    return made


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSlurm:
    """Slurm's commands on PATH, and little patience after unclear ends."""
    made = new_slurm(tmp_path / "slurm")
    monkeypatch.setenv("PATH", made.bin, prepend=os.pathsep)
    monkeypatch.setenv("CJ_SETTLE_S", "0.3")
    return made


@pytest.fixture
def site(tmp_path: Path, slurm: FakeSlurm, request: pytest.FixtureRequest) -> Site:
    """A cluster with Slurm; its parameter is the interpreter there, ours unless given."""
    made = new_site(tmp_path / "site", getattr(request, "param", sys.executable))
    assert "error" not in made.init(scheduler="slurm")
    return made
