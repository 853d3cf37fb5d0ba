"""Frames made by hand as `pull` sends them, for the tests of the harvest."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from cjledger.harvest.gathering import gather
from cjledger.harvest.manifest import RECORDS, Frame, Results, Shard
from cjledger.model import Axis, Block, Manifest, Program, Resources, Sweep
from cjledger.query import table
from cjledger.shards.frames import pl
from cjnode.package.points import points

PACKAGE = "8ab7a5aa" * 5


def record(task: int, attempt: int = 1, state: str = "COMPLETED", **more: Any) -> dict[str, Any]:
    moment = "2026-01-31T12:00:00.000000Z"
    return {
        "task": task,
        "attempt": attempt,
        "state": state,
        "exit_code": 0 if state == "COMPLETED" else 1,
        "signal": 0,
        "started": moment,
        "ended": moment,
        "seconds": 1.25,
        "host": "n1",
        "job": "j-1",
        "element": 1,
        "max_rss_mb": 34.1,
        "cpu_s": 1.0,
        "seed": 7,
        "error": "",
        "note": "",
        "outputs": [],
        **more,
    }


def frame(
    *attempts: tuple[dict[str, Any], Mapping[str, bytes]],
    block: str = "1/000001-01",
    at: int = 0,
    data_at: int = 0,
) -> Frame:
    """A frame of records with their outputs, the block's records being read up to ``at``."""
    lines: list[str] = []
    data = b""
    for about, files in attempts:
        outputs = []
        for path, content in files.items():
            where = {"path": path, "offset": len(data), "bytes": len(content)}
            outputs.append({**where, "sha256": sha256(content).hexdigest()})
            data += content
        lines.append(json.dumps({**about, "outputs": outputs}, separators=(",", ":")) + "\n")
    return Frame(block, "".join(lines).encode(), at, ((0, data),) if data else ())


def tasks_frame(name: str, contents: Sequence[bytes], block: str = "1/000001-01") -> Frame:
    """One block: task k left ``contents[k - 1]`` under that name."""
    return frame(*((record(task), {name: content}) for task, content in enumerate(contents, 1)), block=block)


def manifest(sweep: Sweep | None = None, tasks: int = 9) -> Manifest:
    axis = Axis(("delta",), tuple((i / 10,) for i in range(1, tasks + 1)))
    sweep = sweep or Sweep("grid", (Block((axis,)),), (), ("delta",), 0, 1, None)
    words = ("local", "local", "python3", (), "", "", "", "", None, None, (), (), ())
    return Manifest(
        Program("script", "PT.py"), sweep, tasks, 1, ("**",), (), Resources(), *words, version="0"
    )


def harvest(
    *frames: Frame, given: Manifest | None = None, before: Results | None = None, batch_bytes: int = 2**28
) -> tuple[Results, list[tuple[Shard, bytes]]]:
    given = given or manifest()
    return gather(
        given,
        PACKAGE,
        lambda tasks: points(given.sweep, list(tasks), ""),
        before or Results(PACKAGE),
        frames,
        batch_bytes,
    )


def on_disk(folder: Path, shards: Sequence[tuple[Shard, bytes]], name: str) -> list[Path]:
    paths = []
    for shard, data in shards:
        if shard.table == name:
            (folder / shard.name).write_bytes(data)
            paths.append(folder / shard.name)
    return paths


def rows(folder: Path, shards: Sequence[tuple[Shard, bytes]], name: str) -> pl.DataFrame:
    """The table as a query sees it, without the package's column."""
    found = table(on_disk(folder, shards, name), on_disk(folder, shards, RECORDS))
    return found.drop("cj_package").sort("cj_task", maintain_order=True).collect()
