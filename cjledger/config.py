"""The configuration: ``.cjledger.toml`` of the repository, overlaid by the person's ``config.toml``."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cjledger.errors import CjError, nearest
from cjledger.model import Cluster, Data, Resources, Retry
from cjledger.quantities import parse_memory, parse_walltime
from cjledger.retries import SCHEMA as RETRY

__all__ = ["Config", "Limits", "cluster", "load", "parse_memory", "parse_walltime", "person_file"]

REPOSITORY_FILE = ".cjledger.toml"
SCHEDULERS = ("local", "slurm", "sge", "pbs", "torque", "lsf", "htcondor")
ENVIRONMENTS = ("none", "modules", "venv", "uv", "conda", "container")
TRANSPORTS = ("openssh", "paramiko")

REMOTE_ROOT = "~/.cjledger"

_PLAIN_PATH = re.compile(r"[A-Za-z0-9._/~+@%=,:-]+")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_Path = tuple[str, ...]


@dataclass(frozen=True)
class Limits:
    """What stops a launch: a count of tasks, and megabytes of untracked files, each and together."""

    max_tasks: int = 1_000_000
    file_mb: int = 10
    total_mb: int = 200


@dataclass(frozen=True)
class Config:
    """Both files merged; ``sources`` names those that were there."""

    clusters: dict[str, Cluster] = field(default_factory=dict)
    limits: Limits = Limits()
    outputs: tuple[str, ...] = ()
    default_cluster: str | None = None
    sources: tuple[str, ...] = ()
    data: tuple[Data, ...] = ()


def person_file(environment: Mapping[str, str] = os.environ) -> Path:
    """Where the person's own file belongs, by the XDG rules (a relative folder counts as unset)."""
    folder = environment.get("XDG_CONFIG_HOME", "")
    if not os.path.isabs(folder):
        folder = os.path.join(environment.get("HOME") or os.path.expanduser("~"), ".config")
    return Path(folder) / "cjledger" / "config.toml"


def load(top: Path, person: Path) -> Config:
    """Read and merge both files, the person's over the repository's, key by key.

    Raises one CjError that names every fault of both files.
    """
    faults: list[str] = []
    values: dict[_Path, Any] = {}
    sources = []
    for path in (top / REPOSITORY_FILE, person):
        raw = _read(path, faults)
        if raw is not None:
            sources.append(str(path))
            values.update(flatten(raw, str(path), faults))
    config = _build(values, tuple(sources))
    default = config.default_cluster
    if default is not None and default not in known(config):
        faults.append(f"default_cluster: there is no cluster {default}{_nearest(default, known(config))}")
    if faults:
        count = "a fault" if len(faults) == 1 else f"{len(faults)} faults"
        listed = "\n".join(f"  {fault}" for fault in faults)
        raise CjError(
            f"the configuration has {count}:\n{listed}", "edit it; docs/configuration.md has every key"
        )
    return config


def known(config: Config) -> list[str]:
    """The names of all clusters, the built-in one first."""
    return ["local", *sorted(name for name in config.clusters if name != "local")]


def cluster(config: Config, name: str, cj_dir: Path) -> Cluster:
    """The cluster of that name with its defaults filled in. Raises CjError when it cannot be used."""
    if name != "local" and name not in config.clusters:
        raise CjError(
            f"there is no cluster {name}{_nearest(name, known(config))}",
            f"one of: {', '.join(known(config))}; add others as [cluster.NAME] in {REPOSITORY_FILE}",
        )
    found = config.clusters.get(name, Cluster(name))
    if found.host is None:
        # On this machine: its own folder, unless told another.
        return replace(found, root=os.path.expanduser(found.root) if found.root else str(cj_dir / name))
    root = found.root or REMOTE_ROOT
    # It becomes part of a command there, read by whatever shell the person has there.
    if not _PLAIN_PATH.fullmatch(root):
        raise CjError(
            f"cluster {name}: its root {root!r} has characters other than letters, digits and ._/~+@%=,:-",
            "choose another root for this cluster",
        )
    return replace(found, root=root.removeprefix("~/"))


def _nearest(word: str, candidates: Iterable[str]) -> str:
    close = nearest(word, candidates)
    return f" (did you mean {close}?)" if close else ""


def _read(path: Path, faults: list[str]) -> dict[str, Any] | None:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError:
        faults.append(f"{path}: is not UTF-8 text")
    except OSError as problem:
        faults.append(f"{path}: {problem.strerror}")
    else:
        return _parsed(path, text, faults)
    return None


def _parsed(path: Path, text: str, faults: list[str]) -> dict[str, Any] | None:
    import tomllib  # many repositories have no file for it

    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as problem:
        faults.append(f"{path}: {problem}")
    return None


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value or _CONTROL.search(value):
        raise ValueError("must be a text without control characters")
    return value


def _host(value: Any) -> str:
    # It becomes an argument of ssh, and by %h part of a ProxyCommand: neither an option nor a shell's sign.
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,252}", value):
        raise ValueError("must be a host's name, or a Host of ~/.ssh/config: letters, digits, dot, dash, _")
    return value


def _user(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._@+-]{0,63}", value):
        raise ValueError("must be a login name: letters, digits and ._@+-")
    return value


def _folder(value: Any) -> str:
    if not _text(value).startswith(("/", "~/")):
        raise ValueError("must be an absolute path, or begin with ~/")
    return str(value)


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
        raise ValueError('must be a list of texts, such as ["a", "b"]')
    return tuple(_text(item) for item in value)


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError("must be a whole number, 1 or more")
    return value


def _count_or_none(value: Any) -> int:
    if value == 0 and isinstance(value, int) and not isinstance(value, bool):
        return 0
    return _count(value)


def _quantity(parse: Callable[[str], int]) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise ValueError("must be a text or a whole number")
        try:
            return parse(str(value))
        except CjError as problem:
            raise ValueError(problem.message) from None

    return read


def _choice(words: tuple[str, ...]) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if value not in words:
            raise ValueError(f"must be one of {', '.join(words)}{_nearest(str(value), words)}")
        return str(value)

    return read


def _data(value: Any) -> tuple[str, bool]:
    """Where data lies on the cluster, and whether its digest is wanted."""
    table = {"path": value} if isinstance(value, str) else value
    if not isinstance(table, dict) or set(table) - {"path", "hash"} or table.get("hash", False) not in (0, 1):
        raise ValueError('must be a path on the cluster, or { path = "/…", hash = true }')
    return _folder(table.get("path")), bool(table.get("hash"))


def is_inside(local: str) -> bool:
    """Whether a text names a path below the repository's top, and nothing else."""
    return not _CONTROL.search(local) and not {"", ".", "..", ".git", ".cj"} & set(local.split("/"))


# A table is a dict of readers; "*" stands for any name, "**" for any path inside the repository.
Schema = dict[str, Any]
SCHEMA: Schema = {
    "default_cluster": _text,
    "limits": {"max_tasks": _count, "file_mb": _count, "total_mb": _count},
    "program": {"outputs": _texts},
    "data": {"**": _data},
    "cluster": {
        "*": {
            "scheduler": _choice(SCHEDULERS),
            "host": _host,
            "user": _user,
            "root": _folder,
            "python": _text,
            "modules": _texts,
            "setup": _texts,
            "resources": {
                "nodes": _count,
                "tasks_per_node": _count,
                "cpus": _count,
                "gpus": _count_or_none,
                "memory": _quantity(parse_memory),
                "walltime": _quantity(parse_walltime),
                "jobs": _count,
                "workers": _count,
            },
            "alloc": _texts,
            "environment": _choice(ENVIRONMENTS),
            "image": _text,
            "data": {"**": _data},
            "retry": RETRY,
            "max_jobs": _count,
            "max_memory": _quantity(parse_memory),
            "max_walltime": _quantity(parse_walltime),
            "transport": _choice(TRANSPORTS),
        }
    },
}


def flatten(
    raw: dict[str, Any], file: str, faults: list[str], schema: Schema = SCHEMA, at: _Path = ()
) -> dict[_Path, Any]:
    """Parsed values by their full key; what does not fit the schema is added to ``faults``."""
    found: dict[_Path, Any] = {}
    for key, value in raw.items():
        path = (*at, key)
        name = ".".join(path)
        reader = schema.get(key) if key != "*" else None
        if "*" in schema:
            reader = schema["*"] if _NAME.fullmatch(key) else None
            if reader is None:
                faults.append(f"{file}: {name!r} is not a name: letters, digits, dot, dash, underscore")
                continue
            found[path] = None  # an empty table still says that the cluster is there
        if "**" in schema:
            reader = schema["**"] if is_inside(key) else None
            if reader is None:
                faults.append(f"{file}: {name!r} is not a path inside the repository")
                continue
        if reader is None:
            faults.append(f"{file}: unknown key {name}{_nearest(key, schema)}")
        elif isinstance(reader, dict) and not isinstance(value, dict):
            faults.append(f"{file}: {name} must be a table: [{name}]")
        elif isinstance(reader, dict):
            found.update(flatten(value, file, faults, reader, path))
        else:
            try:
                found[path] = reader(value)
            except ValueError as problem:
                faults.append(f"{file}: {name} {problem}")
    return found


def _build(values: Mapping[_Path, Any], sources: tuple[str, ...]) -> Config:
    names = sorted({path[1] for path in values if path[0] == "cluster"})
    limits = {path[1]: value for path, value in values.items() if path[0] == "limits"}
    data = {path[1]: value for path, value in values.items() if path[0] == "data"}
    return Config(
        {name: _cluster(name, values) for name in names},
        Limits(**limits),
        values.get(("program", "outputs"), ()),
        values.get(("default_cluster",)),
        sources,
        tuple(Data(local, *value) for local, value in sorted(data.items())),
    )


def _cluster(name: str, values: Mapping[_Path, Any]) -> Cluster:
    own = {path[2:]: value for path, value in values.items() if path[:2] == ("cluster", name)}
    plain = {path[0]: value for path, value in own.items() if len(path) == 1}
    fields = {"memory": "memory_mb", "walltime": "walltime_s"}
    below: dict[str, dict[str, Any]] = {"resources": {}, "data": {}, "retry": {}}
    for path, value in own.items():
        if len(path) == 2:
            below[path[0]][path[1]] = value
    asked = {fields.get(key, key): value for key, value in below["resources"].items()}
    alloc = plain.pop("alloc", ())
    data = tuple(Data(local, *value) for local, value in sorted(below["data"].items()))
    most = {f"max_{fields[key]}": plain.pop(f"max_{key}") for key in fields if f"max_{key}" in plain}
    retry = Retry(**{key.removeprefix("grow_"): value for key, value in below["retry"].items()})
    resources = Resources(**asked, alloc=alloc)
    return Cluster(name, **plain, **most, resources=resources, data=data, retry=retry)
