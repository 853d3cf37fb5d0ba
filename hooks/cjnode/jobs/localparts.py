"""The parts of a submission on ``local``: each a job of the embedded scheduler, started unless it was."""

from typing import Any, Dict

from cjnode import schedulers
from cjnode.errors import NodeError
from cjnode.files import create_json, forget, json_bytes, now, replace
from cjnode.jobs.parts import Part, read_parts
from cjnode.records import layout


def start(root: str, folder: str, intent: Dict[str, Any], fields: Dict[str, Any]) -> str:
    """The first local job of an intent; all are started that were not."""
    started = [_started(root, folder, intent, fields, part) for part in read_parts(folder, intent)]
    return started[0]


def _started(root: str, folder: str, intent: Dict[str, Any], fields: Dict[str, Any], part: Part) -> str:
    """The local job of a part of an intent, with its receipt."""
    if part.job is not None:
        return part.job
    job = _made(root, folder, intent, fields, part)
    create_json(layout.part_path(folder, "receipt", part.number), {"job": job, "submitted": now()})
    forget(layout.part_path(folder, "refused", part.number))
    return job


def _made(root: str, folder: str, intent: Dict[str, Any], fields: Dict[str, Any], part: Part) -> str:
    """The job that is there already, or a new one."""
    package, submission = intent["package"], intent["submission"]
    name = layout.job_name(package, submission, part.number)
    found = schedulers.find("local", root, name)
    if found:
        return found[0]
    priority = int(intent.get("priority") or 0)
    job = schedulers.Job(
        name, package, submission, part.first, part.elements, "", "", fields["resources"], priority, []
    )
    try:
        return schedulers.submit("local", root, job)
    except NodeError as problem:
        refused = layout.part_path(folder, "refused", part.number)
        replace(refused, json_bytes({"error": problem.error, "hint": problem.hint, "at": now()}))
        raise
