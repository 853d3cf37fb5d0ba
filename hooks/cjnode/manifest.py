"""The manifest as it comes from outside: checked field by field, all problems told at once."""

import importlib
import json
import re
from typing import Any, Callable, Dict, List

from cjnode import globs, points
from cjnode.axes import LARGEST_TASK, MANIFEST_FORMAT
from cjnode.blocks import is_package_id
from cjnode.environment import KINDS
from cjnode.errors import NodeError

LIMIT = 64 << 20  # bytes; longer lists of points belong into .cj/points

_AGENT = re.compile(r"[a-z0-9][a-z0-9-]{0,60}\Z")
_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")  # in one line of a script or file
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
    problems = [name for name, holds in _CHECKS.items() if name not in fields or not holds(fields[name])]
    # Packages that were made before these were known lack them.
    problems += [name for name, holds in _LATER.items() if name in fields and not holds(fields[name])]
    if not problems:
        problems = _sweep_problems(fields)
    if fields.get("max_jobs") is not None and not _count(fields["max_jobs"]):
        problems.append("max_jobs")
    if problems:
        raise NodeError("the manifest is wrong in: %s" % ", ".join(problems))
    return dict(fields)


def _count(value: Any) -> bool:
    return type(value) is int and 0 < value < 1 << 53


def _line(value: Any) -> bool:
    return isinstance(value, str) and not _UNFIT.search(value)


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) and "\0" not in item for item in value)


def _globs(value: Any) -> bool:
    try:
        return _texts(value) and bool(globs.pattern(value))
    except ValueError:
        return False


def _inside(path: Any) -> bool:
    if not isinstance(path, str) or path.startswith("/") or "\0" in path:
        return False
    return ".." not in path.split("/")


def _program(value: Any) -> bool:
    if not isinstance(value, dict) or value.get("kind") not in ("script", "function", "command"):
        return False
    named = ("path", "function", "command")
    if not all(key in value and (value[key] is None or isinstance(value[key], str)) for key in named):
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


def _sweep_problems(fields: Dict[str, Any]) -> List[str]:
    try:
        sweep = points.sweep_from_json(fields["sweep"])
        counted = points.count(sweep)
    except (KeyError, TypeError, ValueError, AttributeError):
        return ["sweep"]
    names = list(sweep.names) + [name for block in sweep.blocks for axis in block.axes for name in axis.names]
    if sweep.kind not in _SWEEPS or not all(_line(name) and name for name in names):
        return ["sweep"]
    if counted != fields["tasks"]:
        return ["tasks (%s, the sweep has %s)" % (fields["tasks"], counted)]
    if counted > LARGEST_TASK:
        return ["tasks (%s, at most %d are accepted)" % (counted, LARGEST_TASK)]
    return []


def _environment(value: Any) -> bool:
    if not isinstance(value, dict) or value.get("kind") not in KINDS:
        return False
    words = [value.get(name) for name in ("id", "lock", "python", "image")]
    return all(_line(word) for word in words) and _texts(value.get("modules"))


def is_data(value: Any) -> bool:
    """Whether this is a list of data: links inside the package to absolute paths."""
    return isinstance(value, list) and all(
        isinstance(each, dict)
        and _inside(each.get("local"))
        and _line(each["local"])
        and bool(each["local"])
        and _line(each.get("path"))
        and each["path"].startswith(("/", "~/"))
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


def _is_retry(value: Any) -> bool:
    # Loaded when needed: a launch waits for each module.
    return value is None or bool(importlib.import_module("cjnode.retries").is_policy(value))


def _is_then_of(value: Any) -> bool:
    """Whether this names the package after which this one runs, and the file of its tasks to be read."""
    if value is None:
        return True
    if not isinstance(value, dict) or not _is_package(value.get("package")):
        return False
    return value.get("table") is None or (_inside(value["table"]) and _line(value["table"]))


def _is_package(value: Any) -> bool:
    return isinstance(value, str) and is_package_id(value)


_LATER: Dict[str, Callable[[Any], bool]] = {
    "environment": _environment,
    "data": is_data,
    "after": _is_after,
    "retry": _is_retry,
    "until_done": lambda value: isinstance(value, bool),
    "then_of": _is_then_of,
    "extends": lambda value: value is None or _is_package(value),
    "shuffle": lambda value: isinstance(value, bool),
    "preload": lambda value: value is None or _texts(value),
}

_CHECKS: Dict[str, Callable[[Any], bool]] = {
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
