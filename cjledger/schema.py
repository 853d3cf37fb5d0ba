"""What the configuration may say: every key with the reader of its value."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from cjledger.errors import CjError, nearest
from cjledger.quantities import parse_memory, parse_walltime
from cjledger.retries import SCHEMA as RETRY
from cjnode.vocabulary import SCHEDULERS

ENVIRONMENTS = ("none", "modules", "venv", "uv", "conda", "container")
TRANSPORTS = ("openssh", "paramiko")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

Key = tuple[str, ...]  # a key with those of the tables around it


def meant(word: str, candidates: Iterable[str]) -> str:
    """What to add about a word that is not among the candidates."""
    close = nearest(word, candidates)
    return f" (did you mean {close}?)" if close else ""


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
            raise ValueError(f"must be one of {', '.join(words)}{meant(str(value), words)}")
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


def _meant_key(path: Key, schema: Schema) -> str:
    """What to add about an unknown key: the same word in another table, or one like it, here at best."""
    key = path[-1]
    everywhere = dict(reversed([*_places(SCHEMA, (), path[1] if len(path) > 2 else "NAME")]))
    close = None if key in everywhere else nearest(key, schema)
    other = nearest(key, everywhere)
    if close is None and other is not None:
        close = everywhere[other]
    return f" (did you mean {close}?)" if close else ""


def _places(schema: Schema, at: Key, cluster: str) -> Iterator[tuple[str, str]]:
    """Every key that there is, with its full name."""
    for key, reader in schema.items():
        path = (*at, cluster if key == "*" else key)
        if not key.startswith("*"):
            yield key, ".".join(path)
        if isinstance(reader, dict):
            yield from _places(reader, path, cluster)


def flatten(
    raw: dict[str, Any], file: str, faults: list[str], schema: Schema = SCHEMA, at: Key = ()
) -> dict[Key, Any]:
    """Parsed values by their full key; what does not fit the schema is added to ``faults``."""
    found: dict[Key, Any] = {}
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
            faults.append(f"{file}: unknown key {name}{_meant_key(path, schema)}")
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
