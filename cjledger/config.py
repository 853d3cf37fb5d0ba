"""The configuration: ``.cjledger.toml`` of the repository, overlaid by the person's ``config.toml``."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from cjledger.errors import CjError
from cjledger.model import Cluster, Data, Resources, Retry
from cjledger.quantities import parse_memory, parse_walltime
from cjledger.schema import Key, flatten, meant

__all__ = ["Config", "Limits", "cluster", "load", "parse_memory", "parse_walltime", "person_file"]

REPOSITORY_FILE = ".cjledger.toml"
REMOTE_ROOT = "~/.cjledger"

_PLAIN_PATH = re.compile(r"[A-Za-z0-9._/~+@%=,:-]+")


class Limits(NamedTuple):
    """What stops a launch: a count of tasks, and megabytes of untracked files, each and together."""

    max_tasks: int = 1_000_000
    file_mb: int = 10
    total_mb: int = 200


class Config(NamedTuple):
    """Both files merged; ``sources`` names those that were there."""

    clusters: Mapping[str, Cluster] = MappingProxyType({})
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
    values: dict[Key, Any] = {}
    sources = []
    for path in (top / REPOSITORY_FILE, person):
        raw = _read(path, faults)
        if raw is not None:
            sources.append(str(path))
            values.update(flatten(raw, str(path), faults))
    config = _build(values, tuple(sources))
    default = config.default_cluster
    if default is not None and default not in known(config):
        faults.append(f"default_cluster: there is no cluster {default}{meant(default, known(config))}")
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
            f"there is no cluster {name}{meant(name, known(config))}",
            f"one of: {', '.join(known(config))}; add others as [cluster.NAME] in {REPOSITORY_FILE}",
        )
    found = config.clusters.get(name, Cluster(name))
    if found.host is None:
        # On this machine: its own folder, unless told another.
        return found._replace(root=os.path.expanduser(found.root) if found.root else str(cj_dir / name))
    root = found.root or REMOTE_ROOT
    # It becomes part of a command there, read by whatever shell the person has there.
    if not _PLAIN_PATH.fullmatch(root):
        raise CjError(
            f"cluster {name}: its root {root!r} has characters other than letters, digits and ._/~+@%=,:-",
            "choose another root for this cluster",
        )
    return found._replace(root=root.removeprefix("~/"))


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
    except ValueError as problem:  # a number too long is no TOMLDecodeError
        faults.append(f"{path}: {problem}")
    except RecursionError:
        faults.append(f"{path}: is nested too deep")
    return None


def _build(values: Mapping[Key, Any], sources: tuple[str, ...]) -> Config:
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


def _cluster(name: str, values: Mapping[Key, Any]) -> Cluster:
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
