"""A package on a cluster's root, made by hand, and the worker run on it as a scheduler runs it."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cjnode.package.seeds import hash_seed
from cjnode.records import blocks
from cjnode.records.blocks import Record
from cjnode.worker.observed import OUTPUT

HOOKS = Path(__file__).parents[2] / "hooks"
PACKAGE = "8ab7a5aa0123" + "0" * 28


@dataclass
class Bench:
    """One package with its submission 1."""

    root: Path
    python: str = sys.executable
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        return self.root / "packages" / PACKAGE

    @property
    def submission(self) -> Path:
        return self.folder / "submissions" / "1"

    def package(
        self,
        files: dict[str, str],
        *,
        kind: str = "script",
        tasks: int = 1,
        command: str | None = None,
        path: str | None = "main.py",
        workdir: str = ".",
        elements: int = 1,
        block: int = 100,
        slots: int = 1,
        **fields: Any,
    ) -> Bench:
        code = self.folder / "code"
        for name, text in files.items():
            (code / name).parent.mkdir(parents=True, exist_ok=True)
            (code / name).write_text(text)
        (code / ".cj").mkdir(parents=True)
        program: dict[str, Any] = {
            "kind": kind,
            "path": None if kind == "command" else path,
            "function": "f" if kind == "function" else None,
            "command": command,
            "language": "python",
            "workdir": workdir,
            "arguments": [],
            "deps": [],
        }
        axis = {"names": ["x"], "values": [[k] for k in range(1, tasks + 1)]}
        sweep = {
            "kind": "grid",
            "blocks": [{"axes": [axis]}],
            "removed": [],
            "names": ["x"],
            "explicit": 0,
            "repeat": 1,
            "loops": None,
        }
        resources = dict.fromkeys(
            ("nodes", "tasks_per_node", "cpus", "gpus", "memory_mb", "walltime_s", "jobs")
        )
        manifest = {
            "format": 1,
            "program": program,
            "sweep": sweep,
            "tasks": tasks,
            "seed": 7,
            "outputs": ["**"],
            "unlinked": [],
            "resources": {**resources, "alloc": []},
            "cluster": "local",
            "scheduler": "local",
            "python": self.python,
            **fields,
        }
        (code / ".cj" / "package.json").write_text(json.dumps(manifest))
        for file in sorted(code.rglob("*"), reverse=True):
            file.chmod(0o555 if file.is_dir() else 0o444)
        for part in ("blocks", "cancel"):
            (self.submission / part).mkdir(parents=True)
        intent = {
            "format": 1,
            "tasks": f"1-{tasks}",
            "attempt": 1,
            "elements": elements,
            "block": block,
            "slots": slots,
            "submission": 1,
        }
        (self.submission / "intent.json").write_text(json.dumps(intent))
        (self.submission / "receipt.json").write_text(json.dumps({"format": 1, "job": "cj-8ab7a5aa0123-1"}))
        return self

    def start(self, *, element: int = 1, incarnation: int = 1, preamble: str = "") -> subprocess.Popen[bytes]:
        call = (str(self.root), PACKAGE, 1, element, incarnation, "cj-8ab7a5aa0123-1")
        code = f"import sys\n{preamble}\nfrom cjnode.worker.work import work\nsys.exit(work(*{call!r}))"
        environment = {
            **os.environ,
            "PYTHONPATH": str(HOOKS),
            "CJ_GRACE_S": "0.5",
            "CJ_IDLE_S": "1",
            "PYTHONHASHSEED": str(hash_seed(7)),  # else the worker starts itself again
            **self.environment,
        }
        return subprocess.Popen(
            (self.python, "-c", code),
            env=environment,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def work(self, *, element: int = 1, incarnation: int = 1, code: int = 0) -> dict[int, Record]:
        """Run an element to its end and return the records that count."""
        worker = self.start(element=element, incarnation=incarnation)
        words = worker.communicate(timeout=50)[1].decode()
        assert worker.returncode == code, words
        assert not list((self.folder / "scratch").glob(f"1-{element}-{incarnation}*"))
        return self.records()

    def every_record(self) -> list[tuple[Path, Record]]:
        return [
            (file, blocks.record_from_line(line))
            for file in sorted((self.submission / "blocks").glob("*.records"))
            for line in blocks.whole_lines(file.read_bytes())
        ]

    def records(self) -> dict[int, Record]:
        """Each task's record with the highest attempt; no attempt has two."""
        found = self.every_record()
        attempts = [(record.task, record.attempt) for _, record in found]
        assert len(attempts) == len(set(attempts))
        return {record.task: record for _, record in sorted(found, key=lambda item: item[1].attempt)}

    def outputs(self, task: int = 1) -> dict[str, bytes]:
        """The outputs of a task's record that counts, read from the block's data, less what it ran in."""
        counts = self.records()[task]
        for file, record in self.every_record():
            if record == counts:
                left = [each for each in record.outputs if each.path != OUTPUT]
                return {each.path: _span(file.with_suffix(".data"), each) for each in left}
        raise AssertionError


def _span(path: Path, output: blocks.Output) -> bytes:
    with path.open("rb") as file:
        file.seek(output.offset)
        content = file.read(output.bytes)
    assert hashlib.sha256(content).hexdigest() == output.sha256
    return content
