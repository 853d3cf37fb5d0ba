"""The manifest as it comes from outside: checked field by field, all problems told at once."""

import json
import re
from itertools import chain
from typing import Any, Callable, Dict, List, Optional, Sequence

from cjnode import globs
from cjnode.errors import NodeError
from cjnode.package import points
from cjnode.package.axes import LARGEST_TASK, MANIFEST_FORMAT, Axis, Column
from cjnode.package.environment import KINDS
from cjnode.vocabulary import is_package_id

LIMIT = 64 << 20  # bytes; longer lists of points belong into .cj/points

_AGENT = re.compile(r"[a-z0-9][a-z0-9-]{0,60}\Z")
_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")  # in one line of a script or file
_NO_TEXT = re.compile("[\0\ud800-\udfff]")  # in any text: neither a file nor a terminal could take it
_SURROGATE = re.compile("[\ud800-\udfff]")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)\Z", re.ASCII)
_OBJECT = re.compile(r"([0-9a-f]{40}|[0-9a-f]{64})?\Z")
_SCALARS = {str, int, float, bool, type(None)}
_SWEEPS = ("single", "grid", "loops", "points")
_RESOURCES = ("nodes", "tasks_per_node", "cpus", "gpus", "memory_mb", "walltime_s", "jobs")


def parse(content: bytes) -> Dict[str, Any]:
    """The manifest's fields. Raises NodeError that names all that is wrong."""
    try:
        fields = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as problem:
        raise NodeError("the manifest is not JSON: %s" % problem)
    if not isinstance(fields, dict) or not _count(fields.get("format")):
        raise NodeError("the manifest has no format number")
    if fields["format"] > MANIFEST_FORMAT:
        raise NodeError(
            "the manifest has format %d, newer than this cluster's %d" % (fields["format"], MANIFEST_FORMAT),
            "git cj init CLUSTER",
        )
    checked(fields)
    return dict(fields)


def checked(fields: Dict[str, Any]) -> points.Sweep:
    """The sweep of a manifest, all of whose fields are checked. Raises NodeError that names what is wrong."""
    problems = [name for name, holds in _CHECKS.items() if name not in fields or not holds(fields[name])]
    # Packages that were made before these were known lack them.
    problems += [name for name, holds in _LATER.items() if name in fields and not holds(fields[name])]
    sweep = _sweep(fields["sweep"]) if isinstance(fields.get("sweep"), dict) else None
    if not problems:
        problems = ["sweep"] if sweep is None else _count_problems(fields, sweep)
    if problems or sweep is None:
        raise NodeError("the manifest is wrong in: %s" % ", ".join(problems))
    return sweep


def _count(value: Any) -> bool:
    return type(value) is int and 0 < value < 1 << 53


def _line(value: Any) -> bool:
    return isinstance(value, str) and not _UNFIT.search(value)


def _text(value: Any) -> bool:
    return isinstance(value, str) and not _NO_TEXT.search(value)


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_text, value))


def _objects(value: Any, *names: str) -> bool:
    """Whether this is a list of objects that have these texts."""
    return isinstance(value, list) and all(
        isinstance(each, dict) and all(_text(each.get(name)) for name in names) for each in value
    )


def _globs(value: Any) -> bool:
    try:
        return _texts(value) and bool(globs.pattern(value))
    except ValueError:
        return False


def _inside(path: Any) -> bool:
    return _text(path) and not path.startswith("/") and ".." not in path.split("/")


def _program(value: Any) -> bool:
    if not isinstance(value, dict) or value.get("kind") not in ("script", "function", "command"):
        return False
    named = ("path", "function", "command")
    if not all(key in value and (value[key] is None or _text(value[key])) for key in named):
        return False
    if not _text(value.get("language", "")) or not value["command" if value["kind"] == "command" else "path"]:
        return False
    if not _texts(value.get("arguments")) or not _texts(value.get("deps")):
        return False
    return all(_inside(path) for path in [value.get("workdir"), value["path"] or "."] + value["deps"])


def _resources(value: Any) -> bool:
    if not isinstance(value, dict) or not _texts(value.get("alloc")):
        return False
    priority = value.get("priority")  # packages that were made before it was known lack it
    if priority is not None and type(priority) is not int:
        return False
    counts = [key in value and value[key] for key in _RESOURCES] + [value.get("workers")]
    return all(each is None or _count(each) for each in counts)


def _sweep(raw: Dict[str, Any]) -> Optional[points.Sweep]:
    """The manifest's sweep; None where it is none."""
    try:
        sweep = points.sweep_from_json(raw)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        return None
    axes = [axis for block in sweep.blocks for axis in block.axes]
    names = list(sweep.names) + [name for axis in axes for name in axis.names]
    if sweep.kind not in _SWEEPS or not all(_line(name) and name for name in names):
        return None
    numbers = [sweep.explicit, sweep.repeat] + list(sweep.removed)
    if not all(type(number) is int and 0 <= number < 1 << 53 for number in numbers):
        return None
    if not isinstance(sweep.loops, (dict, type(None))) or not all(map(_axis, axes)):
        return None
    size = sum(map(points.block_size, sweep.blocks))
    return sweep if _ascend(sweep.removed, size) else None


def _axis(axis: Axis) -> bool:
    """Whether an axis has for each position as many scalars as it has names."""
    if isinstance(axis.values, Column):
        return True
    if not axis.names or set(map(len, axis.values)) - {len(axis.names)}:
        return False
    if set(map(type, chain.from_iterable(axis.values))) - _SCALARS:
        return False
    texts = "".join(value for value in chain.from_iterable(axis.values) if isinstance(value, str))
    return not _SURROGATE.search(texts)


def _ascend(positions: Sequence[int], size: int) -> bool:
    return all(map(int.__lt__, positions, positions[1:])) and (not positions or positions[-1] < size)


def _count_problems(fields: Dict[str, Any], sweep: points.Sweep) -> List[str]:
    counted = points.count(sweep)
    if counted != fields["tasks"]:
        return ["tasks (%s, the sweep has %s)" % (fields["tasks"], counted)]
    if counted > LARGEST_TASK:
        return ["tasks (%s, at most %d are accepted)" % (counted, LARGEST_TASK)]
    return []


def _environment(value: Any) -> bool:
    if not isinstance(value, dict) or value.get("kind") not in KINDS:
        return False
    words = [value.get(name) for name in ("id", "lock", "python", "image")]
    if not all(_line(word) for word in words) or not _texts(value.get("modules")):
        return False
    return _objects(value.get("files", []), "path", "sha256")


def is_data(value: Any) -> bool:
    """Whether this is a list of data: links inside the package to absolute paths."""
    return isinstance(value, list) and all(
        isinstance(each, dict)
        and _inside(each.get("local"))
        and _line(each["local"])
        and bool(each["local"])
        and _line(each.get("path"))
        and each["path"].startswith(("/", "~/"))
        and isinstance(each.get("hash", False), bool)
        for each in value
    )


def _is_after(value: Any) -> bool:
    """Whether this names packages to wait for, each with when and its cluster."""
    return isinstance(value, list) and all(
        isinstance(each, dict)
        and _is_package(each.get("package"))
        and each.get("when") in ("ok", "any")
        and _line(each.get("cluster"))
        for each in value
    )


def _is_linked(value: Any) -> bool:
    """Whether this names tasks of packages that count as this one's."""
    try:
        return isinstance(value, list) and all(
            _is_package(each["package"]) and _text(each["tasks"]) and bool(points.spans(each["tasks"]))
            for each in value
        )
    except (TypeError, KeyError, ValueError):
        return False


def _is_retry(value: Any) -> bool:
    # Loaded when needed: a launch waits for each module.
    if value is None:
        return True
    from cjnode.package.retries import is_policy  # few packages have one

    return is_policy(value)


def _is_then(value: Any) -> bool:
    """Whether this names the script that runs when all tasks have ended, and the file that it reads."""
    if value is None:
        return True
    return isinstance(value, dict) and _text(value.get("path")) and _may(_text)(value.get("table"))


def _is_then_of(value: Any) -> bool:
    """Whether this names the package after which this one runs, and the file of its tasks to be read."""
    if value is None:
        return True
    if not isinstance(value, dict) or not _is_package(value.get("package")):
        return False
    return value.get("table") is None or (_inside(value["table"]) and _line(value["table"]))


def _is_package(value: Any) -> bool:
    return isinstance(value, str) and is_package_id(value)


def _may(holds: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """What is also met by nothing."""
    return lambda value: value is None or holds(value)


_LATER: Dict[str, Callable[[Any], bool]] = {
    "environment": _environment,
    "data": is_data,
    "after": _is_after,
    "retry": _is_retry,
    "until_done": lambda value: isinstance(value, bool),
    "then": _is_then,
    "then_of": _is_then_of,
    "extends": _may(_is_package),
    "linked": _is_linked,
    "shuffle": lambda value: isinstance(value, bool),
    "preload": _may(_texts),
    "max_jobs": _may(_count),
    # Told to people alone.
    "message": _text,
    "created": lambda value: isinstance(value, str) and _MOMENT.match(value) is not None,
    "author": _text,
    "head": _may(_text),
    "branch": _may(_text),
    "dirty": lambda value: _objects(value, "path", "change"),
    "report": _texts,
    "locks": lambda value: _objects(value, "path", "sha256"),
    "version": _line,
    "code": lambda value: isinstance(value, str) and _OBJECT.match(value) is not None,
}

_CHECKS: Dict[str, Callable[[Any], bool]] = {
    "format": _count,
    "program": _program,
    "sweep": lambda value: isinstance(value, dict),
    "tasks": _count,
    "seed": lambda value: type(value) is int,
    "outputs": _globs,
    "unlinked": _texts,
    "resources": _resources,
    "cluster": _line,
    "scheduler": _line,
    "python": lambda value: _line(value) and bool(value),
    "setup": _texts,
    "agent": lambda value: isinstance(value, str) and _AGENT.match(value) is not None,
}
