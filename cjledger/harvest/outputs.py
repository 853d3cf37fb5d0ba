"""What tasks left, read back from the ``cj:records`` shards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cjledger.harvest.manifest import is_name
from cjledger.shards import parquet


@dataclass(frozen=True)
class Output:
    """One file a task left, streams included (``cj:out``, ``cj:err``, ``cj:rows``).

    ``content`` is None when the bytes are on the cluster alone, at ``offset`` of ``block``'s data.
    """

    task: int
    attempt: int
    path: str
    size: int
    sha256: str
    block: str
    offset: int
    content: bytes | None


def _is_output(block: str | None, fields: dict[str, Any] | None) -> bool:
    """Whether this says where an output's bytes are and what they are, under a name that a file may have."""
    if block is None or fields is None or not is_name(fields["path"] or ""):
        return False
    size, offset = fields["bytes"], fields["offset"]
    return fields["sha256"] is not None and size is not None and size >= 0 and offset is not None


def outputs(paths: Sequence[Path], tasks: set[int] | None) -> list[Output]:
    """The outputs of the last attempt of each task (or of those given), by task and path."""
    found = [
        Output(
            task,
            attempt,
            fields["path"],
            fields["bytes"],
            fields["sha256"],
            block,
            fields["offset"],
            fields["content"],
        )
        for path in paths
        for task, attempt, block, fields in parquet.read_outputs(path, tasks)
        if _is_output(block, fields)
    ]
    last: dict[int, int] = {}
    for output in found:
        last[output.task] = max(output.attempt, last.get(output.task, 0))
    # Two machines may have harvested the same attempt: the first counts.
    kept: dict[tuple[int, str], Output] = {}
    for output in found:
        if output.attempt == last[output.task]:
            kept.setdefault((output.task, output.path), output)
    return sorted(kept.values(), key=lambda output: (output.task, output.path))
