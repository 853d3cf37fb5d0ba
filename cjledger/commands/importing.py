"""Import: ClusterJob's own ``ssh_config`` becomes tables of the person's ``config.toml``.

Its format is that of https://github.com/monajemi/clusterjob: ``[NAME]``, lines of a key and a value, and
``[NAME]`` again; keys are read in upper and lower case alike.
"""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cjledger.errors import CjError
from cjledger.schema import flatten
from cjledger.wholefiles import write_whole

_SECTION = re.compile(r"\[([\w-]+)\](.*?)\[\1\]", re.DOTALL | re.IGNORECASE | re.ASCII)
_SCHEDULERS = {
    "slurm": "slurm",
    "sge": "sge",
    "pbs": "pbs",
    "torque": "torque",
    "lsf": "lsf",
    "htcondor": "htcondor",
    "condor": "htcondor",
    "none": "local",
}
_KEYS = ("host", "user", "bqs", "bq", "repo", "mat", "matlib", "python", "pythonlib", "r", "rlib", "alloc")
# What has no key of ours, and where it belongs.
_ELSEWHERE = {
    "matlib": "add its folders by addpath in the program, or by MATLABPATH in setup",
    "pythonlib": 'name its packages in requirements.txt and set environment = "uv", or in environment.yml',
    "rlib": "install its packages there once, and name their folder by R_LIBS in setup",
}


@dataclass(frozen=True)
class Table:
    """A cluster of the file as ours: its keys, and what has no place among them."""

    name: str
    values: dict[str, str | list[str]]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Imported:
    """What was written where: the text, the clusters, and what was not understood."""

    file: str
    text: str
    clusters: tuple[str, ...]
    notes: tuple[str, ...]


def tables(text: str) -> list[Table]:
    """The clusters of a ``ssh_config`` of ClusterJob's. Pure. Raises CjError when there is none."""
    found = [_table(name, body) for name, body in _SECTION.findall(text)]
    names = [table.name for table in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise CjError(f"it has the cluster {_printable(twice)} twice", "keep one of them, then again")
    if not found:
        raise CjError(
            "this is not ClusterJob's ssh_config: it has no [NAME] … [NAME]",
            "OpenSSH's own ~/.ssh/config needs no import: host = the alias in it",
        )
    return found


def _table(name: str, body: str) -> Table:
    given: dict[str, str] = {}
    notes: list[str] = []
    for line in body.splitlines():
        words = line.split(None, 1)
        if not words or words[0].startswith("#"):
            continue
        key, value = words[0].lower(), _printable(words[1].strip()) if len(words) > 1 else ""
        if key not in _KEYS:
            notes.append(f"{_printable(words[0])} is not known")
        elif value.strip("\"'"):
            given[key] = value
    values, more = _values(given)
    return Table(name, values, (*notes, *more))


def _printable(text: str) -> str:
    return "".join(char for char in text if char.isprintable())


def _values(given: Mapping[str, str]) -> tuple[dict[str, str | list[str]], list[str]]:
    values: dict[str, str | list[str]] = {}
    notes: list[str] = []
    bqs = given.get("bqs", given.get("bq", ""))
    scheduler = _SCHEDULERS.get(bqs.lower())
    if scheduler:
        values["scheduler"] = scheduler
    elif bqs:
        notes.append(f"Bqs {bqs} is no scheduler known here: write scheduler = … yourself")
    for key in ("host", "user"):
        if key in given and not (key == "host" and given[key] == "local"):
            values[key] = given[key]
    if "repo" in given and "host" in values:
        values["root"] = _root(given["repo"])
    modules = [given[key] for key in ("mat", "r") if key in given]
    python = given.get("python", "")
    if "/" in python and not python.startswith("/"):
        modules.append(python)
    elif python.startswith("/"):
        values["python"] = python
    elif python:
        notes.append(
            f'Python {python}: ClusterJob made a conda environment of it; environment = "conda" does'
        )
    if modules:
        values["modules"] = modules
    if "alloc" in given:
        values["alloc"] = flags(given["alloc"])
    notes += [f"{key} {given[key]}: {_ELSEWHERE[key]}" for key in _ELSEWHERE if key in given]
    return values, notes


def _root(repo: str) -> str:
    """A folder of our own in CJ's, whose files are not ours."""
    path = repo.rstrip("/") or "/"
    if not path.startswith(("/", "~/")):
        path = "~/" + path.removeprefix("./")
    return path.removesuffix("/.").rstrip("/") + "/cjledger"


def flags(text: str) -> list[str]:
    """Flags with their values: ``-p gpu --mem 8G`` as two. Pure."""
    found: list[str] = []
    try:
        words = shlex.split(text)
    except ValueError:
        words = text.split()
    for word in words:
        if word.startswith("-") or not found:
            found.append(word)
        else:
            found[-1] += f" {word}"
    return found


def import_file(path: Path, person: Path, overwrite: bool) -> Imported:
    """Write a file's clusters into the person's configuration, which keeps all else that it says.

    Raises CjError, and writes nothing, when a cluster of that name is there and is not to be overwritten.
    """
    try:
        found = tables(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as problem:
        raise CjError(f"{path} cannot be read: {problem}", "git cj config import FILE") from problem
    before = person.read_text(encoding="utf-8") if person.exists() else ""
    there = _clusters(before, person)
    taken = [table.name for table in found if table.name in there]
    if taken and not overwrite:
        raise CjError(
            f"{person} has {', '.join(taken)} already", f"git cj config import {path} --yes overwrites them"
        )
    kept = before
    for name in taken:
        kept = without(kept, name)
    text = "\n".join(written(table) for table in found)
    whole = f"{kept.rstrip()}\n\n{text}".lstrip()
    faults: list[str] = []
    flatten(_parsed(whole, person), str(person), faults)
    if faults:
        raise CjError("what was read does not fit:\n" + "\n".join(faults), f"correct {path}, then again")
    write_whole(person, whole.encode())
    notes = [f"{table.name}: {note}" for table in found for note in table.notes]
    return Imported(str(person), text, tuple(table.name for table in found), tuple(notes))


def _clusters(text: str, person: Path) -> Sequence[str]:
    found = _parsed(text, person).get("cluster", {})
    return list(found) if isinstance(found, dict) else []


def _parsed(text: str, person: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as problem:
        raise CjError(f"{person}: {problem}", f"correct {person} by hand") from None


def written(table: Table) -> str:
    """A cluster's table as TOML, what has no key as comments. Pure."""
    lines = [f"[cluster.{table.name}]"]
    # A JSON text or list of texts is one of TOML's too.
    lines += [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in table.values.items()]
    lines += [f"# {' '.join(note.split())}" for note in table.notes]
    return "\n".join(lines) + "\n"


def without(text: str, name: str) -> str:
    """The same TOML without a cluster's tables. Pure."""
    return "".join(_lines_without(text, name))


def _lines_without(text: str, name: str) -> Iterator[str]:
    own = re.compile(rf"\s*\[\s*cluster\s*\.\s*[\"']?{re.escape(name)}[\"']?\s*(\.[^\]]*)?\]")
    is_own = False
    for line in text.splitlines(keepends=True):
        if re.match(r"\s*\[", line):
            is_own = bool(own.match(line))
        if not is_own:
            yield line
