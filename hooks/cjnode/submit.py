"""Submit tasks of a package: the intent first, then the act, then the receipt. Once, however often asked."""

import os
from typing import Any, BinaryIO, Dict, NamedTuple, Optional

from cjnode import layout, manifest, schedulers
from cjnode.adopt import adopt, pushed
from cjnode.blocks import canonical
from cjnode.errors import NodeError
from cjnode.expand import ensure_expanded
from cjnode.files import create_json, json_bytes, now, read_json, replace
from cjnode.points import format_tasks, parse_tasks

BLOCKS_PER_ELEMENT = 8  # so that a slow element leaves little for the others to wait for
LARGEST_BLOCK = 1000

Request = NamedTuple(
    "Request",
    [
        ("package", str),
        ("submission", int),
        ("token", str),  # who asks: the same one may ask again
        ("tasks", str),  # empty: all
        ("attempt", int),
        ("jobs", Optional[int]),
    ],
)


def submit(root: str, request: Dict[str, Any], out: BinaryIO) -> None:
    """The verb: ``{"package":…,"submission":n,"token":…,"tasks":…,"attempt":a,"jobs":N}``."""
    out.write(canonical(submit_package(root, _parsed(root, request))) + b"\n")


def _parsed(root: str, request: Dict[str, Any]) -> Request:
    layout.checked_package(root, request.get("package"))
    parsed = Request(
        request["package"],
        request.get("submission", 1),
        request.get("token") or request["package"],
        request.get("tasks") or "",
        request.get("attempt") or 1,
        request.get("jobs"),
    )
    for name, value in (
        ("submission", parsed.submission),
        ("attempt", parsed.attempt),
        ("jobs", parsed.jobs),
    ):
        if value is not None and (type(value) is not int or not 0 < value < 1 << 31):
            raise NodeError("submit: %s is not a count: %r" % (name, value))
    for name, text in (("token", parsed.token), ("tasks", parsed.tasks)):
        if not isinstance(text, str):
            raise NodeError("submit: %s is no text: %r" % (name, text))
    return parsed


def submit_package(root: str, request: Request) -> Dict[str, Any]:
    """Submit and return the reply. Raises NodeError when the package or the scheduler says no."""
    fields = _manifest(root, request.package)
    folder = layout.submission_path(root, request.package, request.submission)
    os.makedirs(os.path.join(folder, "blocks"), 0o700, exist_ok=True)
    os.makedirs(os.path.join(folder, "cancel"), 0o700, exist_ok=True)
    intent = _intent(folder, request, fields)
    receipt = read_json(os.path.join(folder, "receipt.json"))
    if receipt is None:
        job = _start(root, folder, intent, fields)
        create_json(os.path.join(folder, "receipt.json"), {"job": job, "submitted": now()})
        _forget(os.path.join(folder, "refused.json"))
        receipt = {"job": job}
    return {"package": request.package, "submission": request.submission, "job": receipt["job"]}


def _forget(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def _manifest(root: str, package: str) -> Dict[str, Any]:
    path = layout.manifest_path(root, package)
    if not os.path.exists(path):
        if not pushed(root, package):
            raise NodeError(
                "package %s is not on this cluster" % package[:12], "git cj submit " + package[:8]
            )
        adopt(root, package)
    with open(path, "rb") as file:
        return manifest.parse(file.read())


def _intent(folder: str, request: Request, fields: Dict[str, Any]) -> Dict[str, Any]:
    """The submission's intent, written unless it is there. Refuses one that is another's."""
    path = os.path.join(folder, "intent.json")
    create_json(path, _new_intent(request, fields))
    intent = read_json(path)
    if intent is None or intent["token"] != request.token:
        raise NodeError(
            "submission %d of %s was asked for by another command"
            % (request.submission, request.package[:12]),
            "git cj state " + request.package[:8],
        )
    return intent


def _new_intent(request: Request, fields: Dict[str, Any]) -> Dict[str, Any]:
    tasks, count = "1-%d" % fields["tasks"] if fields["tasks"] > 1 else "1", fields["tasks"]
    if request.tasks:
        try:
            numbers = parse_tasks(request.tasks)
        except ValueError as problem:
            raise NodeError(str(problem))
        if numbers[-1] > fields["tasks"]:
            raise NodeError(
                "package %s has %d tasks: there is no task %d"
                % (request.package[:12], fields["tasks"], numbers[-1])
            )
        tasks, count = format_tasks(numbers), len(numbers)
    wanted = request.jobs or fields["resources"].get("jobs") or _processors()
    block = max(1, min(LARGEST_BLOCK, count // (min(wanted, count) * BLOCKS_PER_ELEMENT)))
    return {
        "package": request.package,
        "submission": request.submission,
        "name": layout.job_name(request.package, request.submission),
        "token": request.token,
        "tasks": tasks,
        "attempt": request.attempt,
        "elements": min(wanted, -(-count // block)),
        "block": block,
        "created": now(),
    }


def _processors() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS
        return os.cpu_count() or 1


def _start(root: str, folder: str, intent: Dict[str, Any], fields: Dict[str, Any]) -> str:
    """The job of an intent: the one that is there already, or a new one."""
    scheduler, refused = fields["scheduler"], os.path.join(folder, "refused.json")
    found = schedulers.find(scheduler, root, intent["name"])
    if found:
        return found[0]
    if scheduler != "local":  # there the job itself does it, while the launch is already over
        ensure_expanded(root, intent["package"])
    try:
        return schedulers.submit(
            scheduler,
            root,
            schedulers.Job(
                intent["name"],
                intent["package"],
                intent["submission"],
                1,
                intent["elements"],
                "",
                "",
                fields["resources"],
            ),
        )
    except NodeError as problem:
        replace(refused, json_bytes({"error": problem.error, "hint": problem.hint, "at": now()}))
        raise
