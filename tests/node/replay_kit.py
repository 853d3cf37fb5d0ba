"""Schedulers that are not to be had here: programs on PATH that replay what real ones printed."""

from __future__ import annotations

import importlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cjnode.schedulers import Job, JobSpec, batch_script, part_script

RECORDINGS = Path(__file__).parent / "replay" / "recordings"
PACKAGE = "8ab7a5aa01230123012301230123012301230123"
_PROGRAM = """#!{python} -I
import sys, pathlib
sys.path.insert(0, {top!r})
from tests.node.replay import {family}, play
sys.exit(play.main({family}.CHECKS, {program!r}, pathlib.Path({scene!r})))
"""


@dataclass(frozen=True)
class Replay:
    """A cluster's root and the programs that answer there."""

    scheduler: str
    root: Path
    scene: Path

    def says(self, program: str, out: str = "", err: str = "", code: int = 0) -> None:
        """The next answer of a program."""
        number = len(list(self.scene.glob(f"{program}-*.json")))
        answer = {"out": out, "err": err, "code": code}
        (self.scene / f"{program}-{number:03}.json").write_text(json.dumps(answer))

    def calls(self) -> list[list[str]]:
        """What was called, as argv."""
        return [[call["program"], *call["argv"]] for call in self._calls()]

    def _calls(self) -> list[dict[str, Any]]:
        path = self.scene / "calls.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def last(self, what: str) -> Any:
        """``stdin`` or ``environ`` of the last call."""
        return self._calls()[-1][what]

    def job(self, *, elements: int = 10, setup: tuple[str, ...] = (), **resources: Any) -> Job:
        """A part as a submission makes it, its script written."""
        folder = self.root / "packages" / PACKAGE / "submissions" / "1"
        folder.mkdir(parents=True, exist_ok=True)
        script, log = folder / "job-1.sh", folder / "elements.log"
        job_sh = batch_script(self.scheduler, JobSpec(sys.executable, list(setup), resources))
        script.write_text(part_script(job_sh, str(self.root), PACKAGE, 1, 1, str(log)))
        name = f"cj-{PACKAGE[:12]}-1"
        return Job(name, PACKAGE, 1, 1, elements, str(script), str(log), resources, 0, [])


def recording(name: str) -> str:
    """A recorded answer; SOURCES.md beside it says where from."""
    return (RECORDINGS / name).read_text()


def install(tmp_path: Path, patch: pytest.MonkeyPatch, scheduler: str) -> Replay:
    """Put a family of programs in front of PATH."""
    root, scene, folder = tmp_path / "root", tmp_path / "scene", tmp_path / "programs"
    for made in (root, scene, folder):
        made.mkdir(exist_ok=True)
    for program in importlib.import_module(f"tests.node.replay.{scheduler}").CHECKS:
        text = _PROGRAM.format(
            python=sys.executable,
            top=str(Path(__file__).parents[2]),
            family=scheduler,
            program=program,
            scene=str(scene),
        )
        (folder / program).write_text(text)
        (folder / program).chmod(0o755)
    patch.setenv("PATH", str(folder), prepend=":")
    return Replay(scheduler, root, scene)
