"""Submissions not wholly with the scheduler, because the site takes no more now or a call was cut off.

``ROOT/backlog/<package>-<n>.json`` marks one from before its first act until all its parts have receipts.
Every later call submits as much as fits.
"""

import importlib
import os
import re
import time
from typing import Any, Collection, Dict, List, NamedTuple, Optional, Tuple

from cjnode import asked, layout, manifest, schedulers
from cjnode.acting import BusyError, submit_part
from cjnode.errors import NodeError
from cjnode.files import create_json, forget, json_bytes, locked, now, read_json, replace
from cjnode.parts import Part, jobs, read_parts, throttle
from cjnode.points import parse_tasks
from cjnode.schedulers import FullError, Job
from cjnode.submissions import cancelled_tasks

EVERY_S = 30.0

_MARK = re.compile(r"([0-9a-f]{40}(?:[0-9a-f]{24})?)-([1-9][0-9]{0,9})\.json\Z")

# What came of submitting: all its parts, why some are not with the scheduler, and whether for want of room.
Outcome = NamedTuple("Outcome", [("parts", List[Part]), ("why", str), ("full", bool)])
# Why parts wait (empty: none does), and whether for want of room.
_Why = Tuple[str, bool]


def mark(root: str, package: str, submission: int, why: str = "", after: bool = False) -> None:
    """Say that a submission is to be brought to the scheduler by whoever comes next.

    ``after`` says that it waits for other packages.
    """
    os.makedirs(layout.backlog_path(root), 0o700, exist_ok=True)
    fields = {"since": now(), "why": why, "after": after}
    create_json(layout.mark_path(root, package, submission), fields)


def unmark(root: str, package: str, submission: int) -> None:
    """Leave a submission as it is."""
    forget(layout.mark_path(root, package, submission))


def why_waiting(root: str, package: str, submission: int) -> Optional[str]:
    """Why a marked submission is not wholly with the scheduler; None when it is not marked."""
    try:
        fields = read_json(layout.mark_path(root, package, submission))
    except NodeError:
        return ""
    return str(fields.get("why") or "") if fields else None


def why_after(root: str, package: str, submission: int) -> str:
    """For what packages a marked submission waits; empty when it waits for none."""
    try:
        fields = read_json(layout.mark_path(root, package, submission))
    except NodeError:
        return ""
    return str(fields.get("why") or "") if fields and fields.get("after") else ""


def drain(root: str, about: Collection[str] = (), patient: bool = False) -> None:
    """Submit what waits, as much as fits: at most every 30 s, unless a call is about a package that waits.

    Who is not patient leaves it to another who is at it. What goes wrong is noted with what waits, and never
    the caller's trouble.
    """
    folder = layout.backlog_path(root)
    try:
        names = os.listdir(folder)
    except OSError:
        return
    found = [match for match in map(_MARK.match, names) if match]
    last = os.path.join(folder, ".last")
    if not found:
        return
    # What waits on `local` waits for packages there, and nobody is asked too often about these.
    if not ({match.group(1) for match in found} & set(about) or _is_due(last) or _is_local(root)):
        return
    try:
        with locked(os.path.join(folder, ".lock"), patient) as mine:
            if mine:
                replace(last, b"")
                _drain(root, [(match.group(1), int(match.group(2))) for match in found])
    except OSError:
        pass  # a full disk: what waits goes on waiting


def _is_local(root: str) -> bool:
    return layout.scheduler(root) == "local"


def _is_due(path: str) -> bool:
    try:
        return not 0 <= time.time() - os.stat(path).st_mtime < EVERY_S
    except OSError:
        return True


def _drain(root: str, waiting: List[Any]) -> None:
    for package, submission in sorted(waiting, key=lambda each: _since(root, *each)):
        try:
            if bring(root, package, submission, False).full:
                break
        except (NodeError, OSError, ValueError, KeyError) as problem:
            _say(root, package, submission, getattr(problem, "error", str(problem)))


def _since(root: str, package: str, submission: int) -> str:
    try:
        return str((read_json(layout.mark_path(root, package, submission)) or {}).get("since"))
    except NodeError:
        return ""


def _say(root: str, package: str, submission: int, why: str, after: bool = False) -> None:
    """Note why a submission waits, unless its mark was taken away."""
    path = layout.mark_path(root, package, submission)
    fields = read_json(path)
    if fields is not None and (fields.get("why"), fields.get("after", False)) != (why, after):
        fields.update(why=why, after=after)
        replace(path, json_bytes(fields))


def bring(root: str, package: str, submission: int, patient: bool) -> Outcome:
    """Submit the parts of a submission that are not with the scheduler yet, as many as it takes.

    Raises NodeError with the scheduler's words when it refuses, BusyError when it is not clear what it has.
    """
    folder = layout.submission_path(root, package, submission)
    intent = read_json(os.path.join(folder, "intent.json"))
    if intent is None:
        unmark(root, package, submission)
        raise NodeError("submission %d of %s has no intent" % (submission, package[:12]), "git cj submit")
    if not set(parse_tasks(intent["tasks"])) - cancelled_tasks(folder):
        unmark(root, package, submission)
        parts = read_parts(folder, intent)
        if jobs(parts):
            return Outcome(parts, "", False)
        raise NodeError(
            "submission %d of %s was cancelled" % (submission, package[:12]), "git cj retry " + package[:8]
        )
    behind: List[str] = []
    if intent.get("after"):
        mark(root, package, submission)
        held = importlib.import_module("cjnode.waiting").before(root, folder, intent)
        if held.word == "wait":
            _say(root, package, submission, held.why, True)
            return Outcome(read_parts(folder, intent), held.why, False)
        if held.word == "never":
            unmark(root, package, submission)
            return Outcome(read_parts(folder, intent), held.why, False)
        behind = held.jobs
    with open(layout.manifest_path(root, package), "rb") as file:
        fields = manifest.parse(file.read())
    mark(root, package, submission)
    why, full = _bring_all(_Bringing(root, folder, intent, fields, patient, behind))
    if why:
        _say(root, package, submission, why)
        replace(os.path.join(layout.backlog_path(root), ".last"), b"")  # it was tried just now
    else:
        unmark(root, package, submission)
    return Outcome(read_parts(folder, intent), why, full)


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
        limits = asked.limits(what.root, what.fields["scheduler"], True)
    except NodeError:
        return None  # the submission itself will say what is wrong
    allowed = [most for most in (limits.queued, what.fields.get("max_jobs")) if most is not None]
    return _Room(min(allowed), limits.present) if allowed else None


def _bring_one(what: _Bringing, parts: List[Part], part: Part) -> None:
    if what.fields["scheduler"] == "local":
        importlib.import_module("cjnode.submit").start_local(what.root, what.folder, what.intent, what.fields)
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
        unmark(what.root, what.intent["package"], what.intent["submission"])
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
