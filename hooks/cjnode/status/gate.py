"""Submissions that wait for other packages: what ``--after`` asks for, decided by those packages' records.

The exit codes of a scheduler's elements tell of workers, not of tasks: a worker that left tasks to others
ends well, and one whose task failed and was run again elsewhere does not. So a scheduler's dependency, where
it has one, only brings the job at the right time: when the other jobs have ended, however they ended. Whether
it may run is then said by ``gate.json``, made once: by whoever submits when nothing is waited for any more,
else by the first element, from the records. An element that finds it closed leaves the submission to the
backlog, and what comes of that is a submission of its own.
"""

import os
from typing import Any, Dict, List, NamedTuple, Optional

from cjnode import schedulers
from cjnode.files import create_json, create_once, now, read_json
from cjnode.jobs import marks
from cjnode.records import blocks, layout
from cjnode.status import family, standing
from cjnode.status.progress import Progress, look, sums, waits

# Schedulers that start a job when others have ended. HTCondor has that for its own workflows only (DAGMan).
HOLDING = ("slurm", "sge", "pbs", "torque", "lsf")

GO, QUEUE, WAIT, NEVER, ANEW = "go", "queue", "wait", "never", "anew"

# Whether a submission may be submitted: GO, or QUEUE behind ``jobs`` of the scheduler; else why not.
# ANEW: its elements found the gate closed, so what is to run now is a further submission.
Verdict = NamedTuple("Verdict", [("word", str), ("why", str), ("jobs", List[str])])


def _verdict(root: str, intent: Dict[str, Any]) -> Verdict:
    """What the packages say that a submission waits for: the worst of them counts."""
    found = [_of_one(root, each["package"], each["when"]) for each in wanted(root, intent)]
    for word in (NEVER, WAIT):
        whys = [each.why for each in found if each.word == word]
        if whys:
            return Verdict(word, "; ".join(whys), [])
    jobs = [job for each in found for job in each.jobs]
    return Verdict(QUEUE if jobs else GO, "", jobs)


def wanted(root: str, intent: Dict[str, Any]) -> List[Dict[str, Any]]:
    """The packages that a submission waits for; what was added to an experiment since counts as it."""
    if not intent.get("then_of"):
        named: List[Dict[str, Any]] = intent["after"]
        return named
    return [{"package": package, "when": "any"} for package in family.members(root, intent["then_of"])]


def awaited(root: str, folder: str, intent: Dict[str, Any]) -> List[str]:
    """The packages that a submission still waits for, as far as was decided."""
    return [] if _gate(folder) else [each["package"] for each in wanted(root, intent)]


def _of_one(root: str, package: str, when: str) -> Verdict:
    name = package[:12]
    if not os.path.exists(layout.manifest_path(root, package)):
        if when == "any":
            return Verdict(GO, "", [])
        return Verdict(NEVER, "%s was removed before it was known that all its tasks completed" % name, [])
    line = standing.line_of(root, package)
    left = line["tasks"] - line["counts"].get("COMPLETED", 0)
    if not left or (line["final"] and when == "any"):
        return Verdict(GO, "", [])
    if line["final"]:
        words = "1 of its tasks" if left == 1 else "%d of its tasks" % left
        return Verdict(NEVER, "%s did not complete %s" % (name, words), [])
    words = "it waits for %s to %s" % (name, "end" if when == "any" else "complete")
    jobs = _jobs(root, package)
    return Verdict(QUEUE if jobs else WAIT, words, jobs)


def _jobs(root: str, package: str) -> List[str]:
    """The jobs after whose end the package has ended, too; none when others may follow them."""
    scheduler = layout.scheduler(root)
    progress = look(root, package, False)
    if scheduler not in HOLDING or _more_will_come(root, progress):
        return []
    known = [part.job for each in progress.submissions for part in each.parts if part.job is not None]
    # One that the scheduler has forgotten may not be named to it.
    there = schedulers.poll(scheduler, root, known) if known else {}
    return [job for job in known if job in there and there[job].state != "ENDED"]


def _more_will_come(root: str, progress: Progress) -> bool:
    """Whether jobs of a package are still to be submitted."""
    return any(
        any(part.job is None for part in each.parts)
        or os.path.exists(layout.mark_path(root, progress.package, each.number))
        for each in progress.submissions
    )


def before(root: str, folder: str, intent: Dict[str, Any]) -> Verdict:
    """What the backlog does of a submission that waits; what can never run is cancelled, with the reason."""
    is_open = _gate(folder)
    if is_open:
        return Verdict(GO, "", [])
    found = _verdict(root, intent)
    if found.word == NEVER:
        _give_up(folder, intent, found.why)
    elif found.word == GO and is_open is None and _decide(folder, True):
        return found
    elif found.word == GO or (found.word == QUEUE and is_open is not None):
        return Verdict(ANEW, "", [])
    return found


def _gate(folder: str) -> Optional[bool]:
    """Whether a submission's elements may run; None when that was not decided."""
    found = read_json(_gate_path(folder))
    return None if found is None else bool(found["open"])


def _decide(folder: str, is_open: bool) -> bool:
    """Decide it, once; what was decided."""
    create_json(_gate_path(folder), {"open": is_open, "at": now()})
    return bool(_gate(folder))


def _gate_path(folder: str) -> str:
    return os.path.join(folder, "gate.json")


def may_run(root: str, folder: str, intent: Dict[str, Any]) -> bool:
    """For an element: whether it may run. The first one decides; else the backlog takes the submission up.

    From the records alone, since a compute node may not be able to ask the scheduler.
    """
    found = _gate(folder)
    if found is None:
        found = _decide(folder, all(_has_ended(root, each) for each in wanted(root, intent)))
    if not found:
        take_up(root, folder, intent)
    return found


def close(folder: str) -> bool:
    """Keep elements that have not begun from beginning; False when they may have."""
    return not _decide(folder, False)


def take_up(root: str, folder: str, intent: Dict[str, Any]) -> None:
    """Leave a submission whose gate is closed to the backlog."""
    names = ", ".join(each["package"][:12] for each in wanted(root, intent))
    marks.mark(root, intent["package"], intent["submission"], "it waits for %s" % names, True)
    create_once(blocks.exhausted_path(folder), b"")  # further elements need not start Python for this


def _has_ended(root: str, each: Dict[str, Any]) -> bool:
    package, when = each["package"], each["when"]
    if not os.path.exists(layout.manifest_path(root, package)):
        return bool(when == "any")
    progress = look(root, package, False)
    if _more_will_come(root, progress):
        return False
    counts, _, number = sums(progress, ())
    if when == "ok":
        return bool(counts.get("COMPLETED", 0) == progress.tasks)
    if any(waits(progress, each) or progress.retried[each.number] for each in progress.submissions):
        return False
    # What is missing was cancelled; whose submission was killed before it was written down is in neither.
    return number + sum(len(tasks) for tasks in progress.missing.values()) >= progress.tasks


def _give_up(folder: str, intent: Dict[str, Any], why: str) -> None:
    """Cancel what can never run, and say why."""
    os.makedirs(blocks.cancel_folder(folder), 0o700, exist_ok=True)
    create_json(
        os.path.join(blocks.cancel_folder(folder), "after.json"), {"tasks": intent["tasks"], "why": why}
    )
