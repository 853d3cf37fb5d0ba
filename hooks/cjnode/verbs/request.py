"""The verb ``submit``: what the laptop asks for, checked, then done."""

from typing import Any, BinaryIO, Dict

from cjnode.errors import NodeError
from cjnode.files import canonical
from cjnode.host import owners
from cjnode.records import layout
from cjnode.submission import entry
from cjnode.submission.submit import Request, manifest_of


def submit(root: str, request: Dict[str, Any], out: BinaryIO) -> None:
    """The verb: ``{"package":…,"submission":n,"token":…,"tasks":…,"attempt":a,"jobs":N,"elements":E}``."""
    parsed = _parsed(root, request)
    asked = {name: request[name] for name in ("memory_mb", "walltime_s") if request.get(name) is not None}
    if asked:
        _check_counts(asked)
        own = manifest_of(root, parsed.package)["resources"]
        parsed = parsed._replace(more={"resources": dict(own, **asked)})
    # A push that ran a hook of somebody else's said nothing, and is asked about here.
    owners.refuse_foreign_hooks(root)
    out.write(canonical(entry.submit(root, parsed)) + b"\n")


def _parsed(root: str, request: Dict[str, Any]) -> Request:
    layout.checked_package(root, request.get("package"))
    parsed = Request(
        request["package"],
        request.get("submission", 1),
        request.get("token") or request["package"],
        request.get("tasks") or "",
        request.get("attempt") or 1,
        request.get("jobs"),
        request.get("elements"),
        [],
        {},
    )
    counts = {name: getattr(parsed, name) for name in ("submission", "attempt", "jobs", "elements")}
    _check_counts({name: value for name, value in counts.items() if value is not None})
    for name, text in (("token", parsed.token), ("tasks", parsed.tasks)):
        if not isinstance(text, str):
            raise NodeError("submit: %s is no text: %r" % (name, text))
    return parsed


def _check_counts(counts: Dict[str, Any]) -> None:
    for name, value in counts.items():
        if type(value) is not int or not 0 < value < 1 << 31:
            raise NodeError("submit: %s is not a count: %r" % (name, value))
