"""Diff: what two packages do not share: code, parameters, resources, environment."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from cjledger import gitrepo, package
from cjledger.model import Manifest, Retry, plain
from cjledger.project import Project, Target

_CODE = ("--", ".", ":(exclude).cj")


@dataclass(frozen=True)
class Difference:
    """One thing that differs: ``section`` is code, parameters, resources, environment or launch."""

    section: str
    name: str
    before: Any
    after: Any


@dataclass(frozen=True)
class Comparison:
    """All that two packages do not share; ``patch`` is git's diff of the code."""

    differences: tuple[Difference, ...]
    patch: str


def diff(project: Project, first: Target, second: Target, *, patch: bool = True) -> Comparison:
    """Compare two packages."""
    manifests = package.read_manifests(project.repo, [first.package_id, second.package_id])
    before, after = manifests[first.package_id], manifests[second.package_id]
    names = gitrepo.run(
        project.repo,
        "diff",
        "--no-ext-diff",
        "--name-status",
        "-z",
        first.package_id,
        second.package_id,
        *_CODE,
    ).decode(errors="replace")
    differences = [*_code(names), *_manifests(before, after)]
    text = ""
    if patch:
        text = gitrepo.run(
            project.repo, "diff", "--no-ext-diff", "--no-color", first.package_id, second.package_id, *_CODE
        ).decode(errors="replace")
    return Comparison(tuple(differences), text)


def _code(names: str) -> Iterator[Difference]:
    fields = iter(names.split("\0")[:-1])
    words = {"A": (None, "added"), "D": ("removed", None), "M": ("changed", "changed"), "T": ("type", "type")}
    for status in fields:
        path = next(fields)
        if status[0] in "RC":
            yield Difference("code", next(fields), path, "renamed")
            continue
        before, after = words.get(status[0], ("changed", "changed"))
        yield Difference("code", path, before, after)


def _manifests(before: Manifest, after: Manifest) -> Iterator[Difference]:
    yield from _fields("parameters", _parameters(before), _parameters(after))
    yield from _fields("resources", plain(before.resources), plain(after.resources))
    yield from _fields("resources", _retry(before), _retry(after))
    yield from _fields("environment", _environment(before), _environment(after))
    yield from _fields("launch", _launch(before), _launch(after))


def _parameters(manifest: Manifest) -> dict[str, Any]:
    axes: dict[str, Any] = {}
    blocks = manifest.sweep.blocks
    for number, block in enumerate(blocks, 1):
        for axis in block.axes:
            name = ",".join(axis.names) + (f" (block {number})" if len(blocks) > 1 else "")
            axes[name] = [row[0] if len(row) == 1 else list(row) for row in axis.values]
    if manifest.sweep.explicit:
        axes["points"] = manifest.sweep.explicit
    program = manifest.program
    return {
        "program": program.name,
        "arguments": list(program.arguments),
        "seed": manifest.seed,
        "tasks": manifest.tasks,
        "repeat": manifest.sweep.repeat,
        **axes,
    }


def _environment(manifest: Manifest) -> dict[str, Any]:
    environment = manifest.environment
    return {
        "environment": environment.kind,
        "id": environment.id,
        "modules": list(environment.modules),
        "image": environment.image,
        "python": manifest.python,
        "setup": list(manifest.setup),
        **{lock.path: lock.sha256[:12] for lock in manifest.locks},
    }


def _launch(manifest: Manifest) -> dict[str, Any]:
    return {
        "cluster": manifest.cluster,
        "head": manifest.head,
        "branch": manifest.branch,
        "message": manifest.message,
        "created": manifest.created,
        "author": manifest.author,
        "version": manifest.version,
    }


def _retry(manifest: Manifest) -> dict[str, Any]:
    return {f"retry {name}": value for name, value in plain(manifest.retry or Retry()).items()}


def _fields(section: str, before: dict[str, Any], after: dict[str, Any]) -> Iterator[Difference]:
    for name in [*before, *(name for name in after if name not in before)]:
        old, new = before.get(name), after.get(name)
        if old != new:
            yield Difference(section, name, old, new)
