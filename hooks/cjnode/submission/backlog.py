"""Submissions not wholly with the scheduler, because the site takes no more now or a call was cut off.

Every call submits as much as fits of what is marked.
"""

import os
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from cjnode import schedulers
from cjnode.errors import NodeError
from cjnode.files import forget, json_bytes, now, read_json, replace
from cjnode.jobs import answers, localparts, marks
from cjnode.jobs.acting import BusyError, submit_part
from cjnode.jobs.parts import Part, jobs, read_parts, throttle
from cjnode.jobs.submissions import cancelled_tasks
from cjnode.package import manifest
from cjnode.package.points import parse_tasks
from cjnode.records import layout
from cjnode.schedulers import FullError, Job

# What came of submitting.
Outcome = NamedTuple(
    "Outcome",
    [
        ("parts", List[Part]),
        ("why", str),  # why some are not with the scheduler
        ("full", bool),  # whether for want of room
        ("anew", bool),  # it is still marked, and to be submitted anew: ``anew.submit_anew``
    ],
)
# Why parts wait (empty: none does), and whether for want of room.
_Why = Tuple[str, bool]


def bring(root: str, package: str, submission: int, patient: bool) -> Outcome:
    """Submit the parts of a submission that are not with the scheduler yet, as many as it takes.

    Raises NodeError with the scheduler's words when it refuses, BusyError when it is not clear what it has.
    """
    folder = layout.submission_path(root, package, submission)
    intent = read_json(os.path.join(folder, "intent.json"))
    if intent is None:
        marks.unmark(root, package, submission)
        raise NodeError("submission %d of %s has no intent" % (submission, package[:12]), "git cj submit")
    if not set(parse_tasks(intent["tasks"])) - cancelled_tasks(folder):
        marks.unmark(root, package, submission)
        parts = read_parts(folder, intent)
        if jobs(parts):
            return Outcome(parts, "", False, False)
        raise NodeError(
            "submission %d of %s was cancelled" % (submission, package[:12]), "git cj retry " + package[:8]
        )
    behind: List[str] = []
    if intent.get("after"):
        marks.mark(root, package, submission)
        from cjnode.status import gate

        held = gate.before(root, folder, intent)
        if held.word == gate.WAIT:
            marks.say(root, package, submission, held.why, True)
        elif held.word == gate.NEVER:
            marks.unmark(root, package, submission)
        if held.word not in (gate.GO, gate.QUEUE):
            return Outcome(read_parts(folder, intent), held.why, False, held.word == gate.ANEW)
        behind = held.jobs
    with open(layout.manifest_path(root, package), "rb") as file:
        fields = manifest.parse(file.read())
    marks.mark(root, package, submission)
    why, full = _bring_all(_Bringing(root, folder, intent, fields, patient, behind))
    if why:
        marks.say(root, package, submission, why)
        replace(os.path.join(layout.backlog_path(root), ".last"), b"")  # it was tried just now
    else:
        marks.unmark(root, package, submission)
    return Outcome(read_parts(folder, intent), why, full, False)


_Bringing = NamedTuple(
    "_Bringing",
    [
        ("root", str),
        ("folder", str),
        ("intent", Dict[str, Any]),
        ("fields", Dict[str, Any]),  # the manifest's
        ("patient", bool),
        ("behind", List[str]),  # jobs of other packages that it is to start after
    ],
)


def _bring_all(what: _Bringing) -> _Why:
    """Submit part after part, as many as it takes."""
    if os.path.exists(os.path.join(what.folder, "held")):
        return "it is held", False
    parts = read_parts(what.folder, what.intent)
    most = what.fields.get("max_jobs")
    # The first of a launch is simply tried: asking for the limits takes longer, and the scheduler says no.
    room = _room(what) if most or jobs(parts) or not what.patient else None
    for part in parts:
        if part.job is not None:
            continue
        if room is None and part.number > 1:
            room = _room(what)
        if room is not None and part.elements > room.free and room.present:
            words = "the site takes %d elements of yours at once, and has %d"
            return words % (room.most, room.present), True
        try:
            _bring_one(what, parts, part)
        except FullError as problem:
            return problem.error, True
        except BusyError as problem:
            if what.patient:
                raise
            return problem.error, False
        if room is not None:
            room = room.taken(part.elements)
    return "", False


class _Room:
    """How many elements the site takes now."""

    def __init__(self, most: int, present: int) -> None:
        self.most = most
        self.present = present

    @property
    def free(self) -> int:
        """How many more."""
        return self.most - self.present

    def taken(self, elements: int) -> "_Room":
        """The room after so many more."""
        return _Room(self.most, self.present + elements)


def _room(what: _Bringing) -> Optional[_Room]:
    try:
        limits = answers.limits(what.root, what.fields["scheduler"], True)
    except NodeError:
        return None  # the submission itself will say what is wrong
    allowed = [most for most in (limits.queued, what.fields.get("max_jobs")) if most is not None]
    return _Room(min(allowed), limits.present) if allowed else None


def _bring_one(what: _Bringing, parts: List[Part], part: Part) -> None:
    if what.fields["scheduler"] == "local":
        localparts.start(what.root, what.folder, what.intent, what.fields)
        return
    refused = layout.part_path(what.folder, "refused", part.number)
    forget(refused)  # what it said then is not what it says now
    try:
        job = _job(what, parts, part)
        submit_part(what.root, what.fields["scheduler"], what.folder, part.number, job, what.patient)
    except (FullError, BusyError):
        raise
    except NodeError as problem:
        if what.behind and not _are_there(what):
            raise BusyError("what it waits for has just ended: %s" % problem.error, "git cj state")
        # It is not asked again by itself: the same words would come back for ever.
        replace(refused, json_bytes({"error": problem.error, "hint": problem.hint, "at": now()}))
        marks.unmark(what.root, what.intent["package"], what.intent["submission"])
        raise


def _are_there(what: _Bringing) -> bool:
    """Whether the scheduler still has the jobs that it was told to wait for."""
    there = schedulers.poll(what.fields["scheduler"], what.root, what.behind)
    return all(job in there and there[job].state != "ENDED" for job in what.behind)


def _job_sh(what: _Bringing) -> str:
    """The batch script whose directives ask for what this submission is to have."""
    asked = what.intent.get("resources")
    if asked:
        return schedulers.batch_script(what.fields["scheduler"], schedulers.JobSpec("", [], asked))
    with open(os.path.join(layout.code_path(what.root, what.intent["package"]), ".cj", "job.sh")) as file:
        return file.read()


def _job(what: _Bringing, parts: List[Part], part: Part) -> Job:
    """What the scheduler is asked for; its script is written when it is not there."""
    package, submission = what.intent["package"], what.intent["submission"]
    script = layout.script_path(what.folder, part.number)
    log = layout.elements_log_path(what.folder)
    if not os.path.exists(script):
        job_sh = _job_sh(what)
        text = schedulers.part_script(job_sh, what.root, package, submission, part.first, log)
        replace(script, text.encode("utf-8"), 0o700)
    resources = dict(what.intent.get("resources") or what.fields["resources"])
    resources["jobs"] = throttle(what.intent.get("jobs"), parts, part.number)
    name = layout.job_name(package, submission, part.number)
    priority = int(what.intent.get("priority") or 0)
    return Job(
        name, package, submission, part.first, part.elements, script, log, resources, priority, what.behind
    )
