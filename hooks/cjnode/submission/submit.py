"""Make tasks of a package jobs: the intent first, the act, the receipt. Once, however often asked."""

import os
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from cjnode import schedulers
from cjnode.errors import NodeError
from cjnode.files import create_json, now, read_json, wait_for
from cjnode.jobs import localparts
from cjnode.jobs.parts import Part, divide, jobs, read_parts
from cjnode.package import manifest
from cjnode.package.environment import BUILT, is_ready
from cjnode.package.points import format_tasks, parse_tasks
from cjnode.records import layout
from cjnode.repository import gitbare
from cjnode.repository.adopt import adopt, pushed
from cjnode.repository.expand import ensure_whole
from cjnode.submission.sharing import share

Request = NamedTuple(
    "Request",
    [
        ("package", str),
        ("submission", int),
        ("token", str),  # who asks: the same one may ask again
        ("tasks", str),  # empty: all
        ("attempt", int),
        ("jobs", Optional[int]),
        ("elements", Optional[int]),
        ("after", List[Dict[str, Any]]),  # the packages that it waits for, besides those of the manifest
        ("more", Dict[str, Any]),  # what the intent says besides
    ],
)


# A submission whose intent is written, and what the package needs is there.
Begun = NamedTuple(
    "Begun",
    [
        ("request", Request),
        ("fields", Dict[str, Any]),  # the manifest's
        ("folder", str),
        ("intent", Dict[str, Any]),
        ("data", List[Dict[str, Any]]),  # what was found of the data that it links to
    ],
)


def begin(root: str, request: Request) -> Begun:
    """Check what the package needs, and write the intent. Refuses a number that is another's."""
    fields = manifest_of(root, request.package)
    _check_scheduler(root, request.package, fields)
    folder = _folder(root, request)
    data = _require(root, request.package, folder, fields)
    return Begun(request, fields, folder, _intent(root, folder, request, fields), data)


def intend(root: str, request: Request) -> None:
    """Write a submission's intent and do no more. Refuses a number that is another's."""
    _intent(root, _folder(root, request), request, manifest_of(root, request.package))


def act(root: str, begun: Begun) -> Tuple[Dict[str, Any], bool]:
    """Submit what an intent says, as far as it is not. The reply, and whether ``submit_anew`` is wanted.

    Raises NodeError when the scheduler says no.
    """
    request, folder, intent = begun.request, begun.folder, begun.intent
    is_local = begun.fields["scheduler"] == "local"
    reply: Dict[str, Any] = {"package": request.package, "submission": request.submission}
    anew = False
    if is_local and not intent.get("after") and not os.path.exists(os.path.join(folder, "held")):
        reply["job"] = localparts.start(root, folder, intent, begun.fields)
    else:
        parts, why = read_parts(folder, intent), ""
        if any(part.job is None for part in parts):
            if not is_local:
                ensure_whole(root, request.package)
            from cjnode.submission.backlog import bring  # a launch on `local` waits for each module

            parts, why, _, anew = bring(root, request.package, request.submission, True)
        reply.update(_told(parts, why))
    if begun.data:
        reply["data"] = begun.data
    return reply, anew


def _folder(root: str, request: Request) -> str:
    folder = layout.submission_path(root, request.package, request.submission)
    os.makedirs(os.path.join(folder, "blocks"), 0o700, exist_ok=True)
    os.makedirs(os.path.join(folder, "cancel"), 0o700, exist_ok=True)
    return folder


def _require(root: str, package: str, folder: str, fields: Dict[str, Any]) -> List[Dict[str, Any]]:
    """Refuse what could not run for want of its environment or data; what is there of the data."""
    wanted = fields.get("environment") or {"kind": "none"}
    if wanted["kind"] in BUILT and not is_ready(root, wanted["id"]):
        raise NodeError(
            "environment %s (%s) is not on this cluster" % (wanted["id"], wanted["kind"]),
            "git cj submit %s, which builds it first" % package[:8],
        )
    if not fields.get("data"):
        return []
    from cjnode.supplies.datalinks import require

    return require(root, folder, fields["data"])


def _told(parts: List[Part], why: str) -> Dict[str, Any]:
    """The job of the first part (empty: it waits), of all parts where there are several, and what waits."""
    known = jobs(parts)
    found: Dict[str, Any] = {"job": known[0] if known else ""}
    if len(parts) > 1:
        found["jobs"] = known
    if why:
        found.update(waiting=sum(part.elements for part in parts if part.job is None), why=why)
    return found


def _check_scheduler(root: str, package: str, fields: Dict[str, Any]) -> None:
    there = layout.scheduler(root)
    if there != fields["scheduler"]:
        raise NodeError(
            "package %s was made for the scheduler %s, and this cluster has %s"
            % (package[:12], fields["scheduler"], there),
            'set scheduler = "%s" for this cluster in .cjledger.toml, then launch again' % there,
        )


def manifest_of(root: str, package: str) -> Dict[str, Any]:
    """The manifest of a package that is here, or was pushed here. Raises NodeError."""
    path = layout.manifest_path(root, package)
    if not os.path.exists(path):
        if not pushed(root, package):
            from cjnode import space
            from cjnode.repository import gitlocks

            gitlocks.free(gitbare.repo_path(root))  # for the next push
            raise space.tried(root) or layout.absent(package)
        adopt(root, package)
    with open(path, "rb") as file:
        return manifest.parse(file.read())


def _intent(root: str, folder: str, request: Request, fields: Dict[str, Any]) -> Dict[str, Any]:
    """The submission's intent, written unless it is there. Refuses one that is another's."""
    path = os.path.join(folder, "intent.json")
    intent = read_json(path)
    if intent is None:
        if not create_json(path, _new_intent(root, request, fields)):
            wait_for(path)  # another node's may not be in sight yet
        intent = read_json(path)
    if intent is None or intent["token"] != request.token:
        raise NodeError(
            "submission %d of %s was asked for by another command"
            % (request.submission, request.package[:12]),
            "git cj state " + request.package[:8],
        )
    return intent


def _new_intent(root: str, request: Request, fields: Dict[str, Any]) -> Dict[str, Any]:
    tasks, count = _tasks(request, fields["tasks"])
    wanted = request.jobs or fields["resources"].get("jobs")
    elements, blocks = share(fields, count, request.elements, wanted)
    is_local = fields["scheduler"] == "local"
    parts = [[1, elements]] if is_local else divide(elements, _limits(root, fields))
    intent = {
        "package": request.package,
        "submission": request.submission,
        "name": layout.job_name(request.package, request.submission),
        "token": request.token,
        "tasks": tasks,
        "attempt": request.attempt,
        "elements": elements,
        "parts": parts,
        "jobs": wanted,
        "created": now(),
    }
    priority = _priority(root, request, fields)
    if priority:
        intent["priority"] = priority
    after = request.after or _after(root, request, fields)
    if after:
        intent["after"] = after
        if fields.get("then_of"):
            intent["then_of"] = fields["then_of"]["package"]
    intent.update(blocks)
    if fields.get("retry") and not is_local:
        most = _most(root, fields)
        intent.update({"most": most} if most else {})
    intent.update(request.more)
    return intent


def _after(root: str, request: Request, fields: Dict[str, Any]) -> List[Dict[str, Any]]:
    """The packages here that a first submission waits for; whoever asks for another waits no more."""
    if request.submission > 1:
        return []
    here = [each for each in fields.get("after") or [] if each["cluster"] == fields["cluster"]]
    for each in here:
        if not os.path.exists(layout.manifest_path(root, each["package"])):
            raise NodeError(
                "package %s, which it is to wait for, is not on this cluster" % each["package"][:12],
                "git cj submit " + each["package"][:8],
            )
    return [{"package": each["package"], "when": each["when"]} for each in here]


def _priority(root: str, request: Request, fields: Dict[str, Any]) -> int:
    """The package's own, or what ``prepare`` was told before the package came."""
    wish = read_json(layout.wish_path(root, request.package)) or {}
    priority = int(wish.get("priority") or fields["resources"].get("priority") or 0)
    if priority:
        from cjnode.schedulers.priority import check

        check(fields["scheduler"], priority)
    return priority


def _tasks(request: Request, all_tasks: int) -> Tuple[str, int]:
    """The tasks asked for, as text, and how many they are."""
    if not request.tasks:
        return ("1-%d" % all_tasks if all_tasks > 1 else "1"), all_tasks
    try:
        numbers = parse_tasks(request.tasks)
    except ValueError as problem:
        raise NodeError(str(problem))
    if numbers[-1] > all_tasks:
        raise NodeError(
            "package %s has %d tasks: there is no task %d" % (request.package[:12], all_tasks, numbers[-1])
        )
    return format_tasks(numbers), len(numbers)


def _limits(root: str, fields: Dict[str, Any]) -> schedulers.Limits:
    """What bounds the parts; a scheduler that does not tell its limits will say so itself."""
    from cjnode.jobs import answers

    try:
        found = answers.limits(root, fields["scheduler"], False)
    except NodeError:
        found = schedulers.Limits(None, None, 0)
    own = fields.get("max_jobs")
    if own is None:
        return found
    return found._replace(queued=own if found.queued is None else min(own, found.queued))


def _most(root: str, manifest: Dict[str, Any]) -> Dict[str, int]:
    """The most memory and walltime that the scheduler gives a package's jobs, as far as it tells."""
    retry = manifest["retry"]
    if not (retry.get("memory") or retry.get("walltime")):
        return {}
    try:
        return schedulers.most(manifest["scheduler"], root, manifest["resources"].get("alloc") or [])
    except NodeError:
        return {}  # it will say so itself
