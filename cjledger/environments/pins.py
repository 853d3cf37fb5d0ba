"""What a lock file pins, and what differs from it in what a task really had."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cjledger.errors import CjError
from cjledger.model import Environment
from cjnode.worker.observed import normal

# Parts of every environment's own tools, which lock files leave out.
_TOOLS = frozenset(("pip", "setuptools", "wheel", "distribute", "uv"))
_PINNED = re.compile(
    r"^\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[[^\]]*\])?\s*===?\s*([^\s;,#\\]+)\s*(;?)", re.MULTILINE
)
_CONDA_FILE = re.compile(
    r"/([^/#\s]+?)-([^-/#\s]+)-([^-/#\s]+?)\.(?:conda|tar\.bz2)(?:#\S*)?\s*$", re.MULTILINE
)
_CONDA_LOCKED = re.compile(
    r"^- name: (\S+)\n\s+version: ['\"]?([^'\"\n]+)['\"]?\n\s+manager: (\S+)", re.MULTILINE
)
_CONDA_NAME = re.compile(r"(.+)-([^-]+)-[^-]+\Z")


@dataclass(frozen=True)
class Pin:
    """One package of a lock file; ``optional`` when it need not be installed everywhere."""

    name: str
    version: str
    optional: bool = False


@dataclass(frozen=True)
class EnvironmentDifference:
    """A package that a task had and the lock has not, or the other way round; None where it is not."""

    name: str
    locked: str | None
    had: str | None

    @property
    def what(self) -> str:
        """In one word: missing, other or extra."""
        return "missing" if self.had is None else "extra" if self.locked is None else "other"


def pins(environment: Environment, files: Mapping[str, str]) -> dict[str, Pin]:
    """All packages that the lock files pin, by normal name. Raises CjError for a kind that pins none."""
    if environment.kind == "uv" or environment.lock.endswith("uv.lock"):
        found = _of_uv(files[environment.lock])
    elif environment.kind == "venv":
        found = [pin for path in sorted(files) for pin in _of_requirements(files[path])]
    elif environment.kind == "conda":
        found = list(_of_conda(files[environment.lock]))
    else:
        found = []
    return {normal(pin.name): pin for pin in found}


def _of_uv(text: str) -> list[Pin]:
    """All of it but the project's own packages; which of the others belong on a machine the markers say."""
    packages = tomllib.loads(text).get("package", [])
    return [
        Pin(package["name"], package["version"], True)
        for package in packages
        if "version" in package and not {"virtual", "editable", "directory"} & set(package.get("source", {}))
    ]


def _of_requirements(text: str) -> Iterator[Pin]:
    for name, version, marker in _PINNED.findall(text):
        yield Pin(name, version, bool(marker))


def _of_conda(text: str) -> Iterator[Pin]:
    for name, version, _ in _CONDA_FILE.findall(text):
        yield Pin(name, version)
    for name, version, manager in _CONDA_LOCKED.findall(text):
        if manager == "conda":
            yield Pin(name, version, True)  # it lists several platforms


def had(environment: Environment, observed: Mapping[str, Any]) -> dict[str, str]:
    """The packages that a task had, by normal name: conda's own for a conda environment."""
    try:
        if environment.kind == "conda":
            matches = [_CONDA_NAME.match(str(name)) for name in observed["conda"]]
            return {normal(match[1]): match[2] for match in matches if match}
        return {normal(str(name)): str(version) for name, version in observed["packages"].items()}
    except (LookupError, TypeError, AttributeError) as problem:
        raise CjError(f"what the tasks ran in cannot be read: {problem}", "git cj fsck") from problem


def differences(locked: Mapping[str, Pin], had: Mapping[str, str]) -> list[EnvironmentDifference]:
    """Package by package what is not as the lock says, by name."""
    found = []
    for name in sorted({*locked, *had}):
        pin, version = locked.get(name), had.get(name)
        if pin is None:
            if name not in _TOOLS:
                found.append(EnvironmentDifference(name, None, version))
        elif version is None:
            if not pin.optional:
                found.append(EnvironmentDifference(name, pin.version, None))
        elif _plain(version) != _plain(pin.version):
            found.append(EnvironmentDifference(name, pin.version, version))
    return found


def _plain(version: str) -> str:
    """A version as folders' names have it: 1.0-rc.1 is 1.0rc1, and 1.0+cu118 is 1.0_cu118 there for some."""
    lowered = version.lower().replace("_", "+").lstrip("v")
    public, _, local = lowered.partition("+")
    return re.sub(r"(?<=\d)[-.]?(a|b|rc|alpha|beta|post|dev)[-.]?(?=\d)", r"\1", public) + (
        "+" + local if local else ""
    )


def observed_from_bytes(content: bytes) -> dict[str, Any]:
    """What a worker wrote of its environment. Raises CjError when it cannot be read, or is newer."""
    try:
        fields = json.loads(content)
        if fields["format"] > 1:
            raise CjError(
                f"it has format {fields['format']}, newer than this program's", "pip install -U cjledger"
            )
        return dict(fields)
    except (ValueError, LookupError, TypeError) as problem:
        raise CjError(f"what a task ran in cannot be read: {problem}", "git cj fsck") from problem
