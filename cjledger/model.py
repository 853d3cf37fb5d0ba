"""The values everything else passes around: parsed once at the edge, then trusted."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from cjledger.errors import CjError
from cjnode.errors import NodeError
from cjnode.package.axes import MANIFEST_FORMAT, Axis, Block
from cjnode.package.points import Point, Sweep, sweep_from_json, sweep_to_json

__all__ = ["Axis", "Block", "Point", "Sweep"]


class Program(NamedTuple):
    """The person's script, function or command template. Paths are relative to the repository's top."""

    kind: str  # script, function or command
    path: str | None = None
    function: str | None = None
    command: str | None = None
    language: str = "python"
    workdir: str = "."
    arguments: tuple[str, ...] = ()
    deps: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What a person calls it: ``PT.py``, ``model.py:fit`` or the command."""
        if self.kind == "command":
            return self.command or ""
        return f"{self.path}:{self.function}" if self.kind == "function" else self.path or ""


class Resources(NamedTuple):
    """What one scheduler element asks for; None leaves it to the site."""

    nodes: int | None = None
    tasks_per_node: int | None = None
    cpus: int | None = None
    gpus: int | None = None
    memory_mb: int | None = None
    walltime_s: int | None = None
    alloc: tuple[str, ...] = ()
    jobs: int | None = None
    priority: int | None = None  # of the package's jobs: higher goes first
    workers: int | None = None


class Growth(NamedTuple):
    """What a retry is given: so many times what was not enough, so much more, at most so much."""

    times: float
    plus: int
    most: int | None = None


class Retry(NamedTuple):
    """How often a task runs again by itself, after which states and exit codes, and with how much more."""

    count: int = 0  # type: ignore[assignment]  # a tuple's own is not needed
    on: tuple[str | int, ...] = ()
    memory: Growth | None = None
    walltime: Growth | None = None


class Cluster(NamedTuple):
    """A configured machine with a scheduler.

    ``root`` is absolute, or relative to the person's home where ``host`` is given; ``python`` is a program
    there.
    """

    name: str
    scheduler: str = "local"
    root: str = ""
    python: str | None = None
    setup: tuple[str, ...] = ()
    resources: Resources = Resources()
    host: str | None = None
    user: str | None = None
    modules: tuple[str, ...] = ()
    environment: str = "none"
    image: str | None = None
    data: tuple[Data, ...] = ()
    max_jobs: int | None = None
    transport: str | None = None
    retry: Retry = Retry()
    max_memory_mb: int | None = None
    max_walltime_s: int | None = None


class Data(NamedTuple):
    """A file or folder that lies on the cluster already, and where a task finds it.

    ``local`` is relative to the repository's top, ``path`` absolute there or below ``~/``.
    """

    local: str
    path: str
    hash: bool = False


class Change(NamedTuple):
    """A path of the working copy that differs from HEAD: added, modified, deleted, untracked, …"""

    path: str
    change: str


class Snapshot(NamedTuple):
    """The git tree of the working copy, and what a person must be told about it.

    ``listing`` is what ``git ls-tree -r -z`` says of it. ``missing`` names repositories inside it whose
    files the tree should have and has not: each a ``nested`` one or a ``submodule`` with changes.
    """

    tree: str
    listing: bytes
    changes: tuple[Change, ...]
    report: tuple[str, ...]
    missing: tuple[Change, ...] = ()


class Lock(NamedTuple):
    """A file that pins the environment, with the SHA-256 of its bytes."""

    path: str
    sha256: str


class Environment(NamedTuple):
    """How the program's environment is made on the cluster.

    ``id`` names what is built there, and is empty when nothing is; ``lock`` is one of ``files``.
    """

    kind: str = "none"
    id: str = ""
    lock: str = ""
    files: tuple[Lock, ...] = ()
    modules: tuple[str, ...] = ()
    python: str = ""
    image: str = ""


class Linked(NamedTuple):
    """Tasks of another package that count as this one's: they had run already."""

    package: str
    tasks: str


class After(NamedTuple):
    """A package to wait for: with ``ok`` until all its tasks completed, with ``any`` until they ended."""

    package: str
    when: str
    cluster: str


class Then(NamedTuple):
    """The script that runs when all tasks have ended, and the file of theirs that it reads as a table."""

    path: str
    table: str | None = None


class ThenOf(NamedTuple):
    """The package after which this one runs, and the file of its tasks that it reads as a table."""

    package: str
    table: str | None = None


class Manifest(NamedTuple):
    """``.cj/package.json``: all that a launch needs besides the code."""

    program: Program
    sweep: Sweep
    tasks: int
    seed: int
    outputs: tuple[str, ...]
    unlinked: tuple[str, ...]
    resources: Resources
    cluster: str
    scheduler: str
    python: str
    setup: tuple[str, ...]
    message: str
    created: str
    author: str
    agent: str
    head: str | None
    branch: str | None
    dirty: tuple[Change, ...]
    report: tuple[str, ...]
    locks: tuple[Lock, ...]
    version: str
    max_jobs: int | None = None
    environment: Environment = Environment()
    data: tuple[Data, ...] = ()
    code: str = ""  # the snapshot's tree
    extends: str | None = None  # the package whose experiment this one adds points to
    linked: tuple[Linked, ...] = ()
    after: tuple[After, ...] = ()
    retry: Retry | None = None
    until_done: bool = False  # workers that come to their walltime have successors
    then: Then | None = None
    then_of: ThenOf | None = None
    shuffle: bool = False  # tasks run in an order that follows from the seed
    preload: tuple[str, ...] | None = None  # modules that workers load for all tasks; None: the script's
    format: int = 1


def plain(value: Any) -> Any:
    """A value of this module as JSON has it."""
    if isinstance(value, tuple):
        if hasattr(value, "_fields"):
            return {name: plain(field) for name, field in zip(value._fields, value, strict=True)}
        return [plain(item) for item in value]
    return value


SINGLE = sweep_to_json(Sweep("single", (), (), (), 0, 1, None))


def manifest_to_bytes(manifest: Manifest) -> bytes:
    """The canonical bytes of ``.cj/package.json``."""
    data = plain(manifest._replace(sweep=sweep_from_json(SINGLE)))
    data["sweep"] = sweep_to_json(manifest.sweep)
    axes = [axis for block in data["sweep"]["blocks"] for axis in block["axes"]]
    number = max(data.pop("format"), MANIFEST_FORMAT if any("range" in axis for axis in axes) else 1)
    ordered = {"format": number, **data}
    return (json.dumps(ordered, ensure_ascii=False, allow_nan=True, indent=1) + "\n").encode()


def manifest_from_bytes(data: bytes, package_id: str) -> Manifest:
    """Read ``.cj/package.json``; refuses a newer format, and fields that no cluster would accept, by name."""
    from cjnode.package.manifest import checked  # a launch, which reads no manifest, does not wait for it

    try:
        raw = json.loads(data)
        if raw["format"] > MANIFEST_FORMAT:
            raise CjError(
                f"package {package_id[:12]} has format {raw['format']}, "
                f"newer than this program's {MANIFEST_FORMAT}",
                "pip install --upgrade cjledger",
            )
        return _manifest(raw, checked(raw))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, NodeError) as problem:
        raise CjError(
            f"package {package_id[:12]} has a manifest that cannot be read: {problem}",
            f"git cj fsck {package_id[:12]}",
        ) from problem


def _manifest(raw: dict[str, Any], sweep: Sweep) -> Manifest:
    def tuples(values: dict[str, Any]) -> dict[str, Any]:
        return {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}

    return Manifest(
        **{
            **tuples(raw),
            "program": Program(**tuples(raw["program"])),
            "sweep": sweep,
            "resources": Resources(**tuples(raw["resources"])),
            "dirty": tuple(Change(**change) for change in raw["dirty"]),
            "locks": tuple(Lock(**lock) for lock in raw["locks"]),
            "environment": _environment(raw.get("environment") or {}),
            "data": tuple(Data(**each) for each in raw.get("data", ())),
            "linked": tuple(Linked(**each) for each in raw.get("linked", ())),
            "after": tuple(After(**each) for each in raw.get("after", ())),
            "retry": _retry(raw.get("retry")),
            "then": Then(**raw["then"]) if raw.get("then") else None,
            "then_of": ThenOf(**raw["then_of"]) if raw.get("then_of") else None,
        }
    )


def _retry(raw: dict[str, Any] | None) -> Retry | None:
    if not raw:
        return None
    grown = {name: Growth(**raw[name]) if raw.get(name) else None for name in ("memory", "walltime")}
    return Retry(raw["count"], tuple(raw["on"]), **grown)


def _environment(raw: dict[str, Any]) -> Environment:
    files = tuple(Lock(**lock) for lock in raw.get("files", ()))
    return Environment(**{**raw, "files": files, "modules": tuple(raw.get("modules", ()))})
