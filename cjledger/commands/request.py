"""What a person asks for in a launch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple


class LaunchRequest(NamedTuple):
    """What a person asks for in one launch, as typed."""

    program: str | None
    cluster: str
    command: str | None = None
    message: str = ""
    arguments: tuple[str, ...] = ()
    loops: bool = False
    line: int | None = None
    depth: int | None = None
    evaluate: bool = True
    sweep: tuple[str, ...] = ()
    block: Mapping[str, Any] | None = None  # values or a specification by name, from Python
    points: Path | None = None  # ``-`` is standard input
    commands: Path | None = None
    samples: int | None = None
    design: str = "random"
    rows: tuple[Mapping[str, Any], ...] | None = None  # explicit points, from Python
    blocks: Path | None = None
    repeat: int = 1
    dep: tuple[Path, ...] = ()
    out: tuple[str, ...] = ()
    seed: int | None = None
    memory: str | None = None
    walltime: str | None = None
    cpus: int | None = None
    gpus: int | None = None
    nodes: int | None = None
    tasks_per_node: int | None = None
    alloc: tuple[str, ...] = ()
    jobs: int | None = None
    priority: int | None = None
    after: tuple[str, ...] = ()
    then: str | None = None
    workers: int | None = None
    retries: int | None = None
    retry_on: str | tuple[str | int, ...] | None = None
    grow_memory: str | None = None
    grow_walltime: str | None = None
    until_done: bool = False
    shuffle: bool | None = None  # None: where there are many tasks and their parameters are computed
    preload: tuple[str, ...] | None = None  # None: what the script imports
    submit: bool = True
    allow_large: bool = False
    allow_secret: tuple[str, ...] = ()
    reuse: bool = False
    skip_done: bool = False
