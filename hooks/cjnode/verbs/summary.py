"""What a person has on a cluster: jobs by package and state, with the scheduler's reasons in plain words."""

import os
from typing import Any, BinaryIO, Dict, Iterator, List, NamedTuple, Optional, Tuple

from cjnode import schedulers
from cjnode.errors import NodeError
from cjnode.files import canonical, read_json
from cjnode.jobs.parts import read_parts
from cjnode.package.points import parse_tasks
from cjnode.records import layout
from cjnode.schedulers import Status
from cjnode.vocabulary import is_package_id

# A job of ours, as its receipt says.
Known = NamedTuple("Known", [("package", str), ("job", str), ("elements", int)])


def summary(root: str, request: Dict[str, Any], out: BinaryIO) -> None:
    """The verb: a line ``{"package":…,"jobs":[…],"counts":{…},"reasons":{words: n}}`` for each package.

    Last ``{"scheduler":…,"present":n,"other":n,"limits":{…},"backlog":n}``; ``other`` counts the
    person's elements there that are no package's of this root, null where the scheduler does not tell.
    """
    scheduler = layout.scheduler(root)
    known = list(_known(root))
    listed = schedulers.poll(scheduler, root, [one.job for one in known]) if known else {}
    ours = 0
    for package in sorted({one.package for one in known if one.job in listed}):
        jobs = [one for one in known if one.package == package and one.job in listed]
        counts: Dict[str, int] = {}
        reasons: Dict[str, int] = {}
        for one in jobs:
            add(counts, reasons, listed[one.job], one.elements, scheduler)
        if counts:
            fields = {"package": package, "jobs": [one.job for one in jobs], "counts": counts}
            out.write(canonical(dict(fields, reasons=reasons)) + b"\n")
        ours += sum(counts.values())
    out.write(canonical(_last(root, scheduler, ours)) + b"\n")


def _last(root: str, scheduler: str, ours: int) -> Dict[str, Any]:
    try:
        limits: Optional[schedulers.Limits] = schedulers.limits(scheduler, root)
    except NodeError:
        limits = None
    present = None if limits is None or scheduler == "local" else limits.present
    return {
        "scheduler": scheduler,
        "present": present,
        "other": None if present is None else max(0, present - ours),
        "limits": {"array": limits.array, "queued": limits.queued} if limits else {},
        "backlog": backlog(root),
    }


def backlog(root: str) -> int:
    """How many submissions wait to be sent to the scheduler."""
    try:
        return len([name for name in os.listdir(layout.backlog_path(root)) if name.endswith(".json")])
    except FileNotFoundError:
        return 0


def add(
    counts: Dict[str, int], reasons: Dict[str, int], status: Status, elements: int, scheduler: str
) -> None:
    """Count a job's elements by state, and those that wait by reason."""
    for element in status.elements.values():
        _count(counts, reasons, element.state, element.reason, 1, scheduler)
    waiting = _waiting(status, elements)
    if waiting:
        state = status.state if status.state in ("HELD", "WAITING") else "PENDING"
        _count(counts, reasons, state, status.reason, waiting, scheduler)
    if not status.elements and not waiting and status.state != "ENDED":
        _count(counts, reasons, status.state, status.reason, elements, scheduler)


def _waiting(status: Status, elements: int) -> int:
    if not status.waiting:
        return 0
    try:
        return len([index for index in parse_tasks(status.waiting) if index not in status.elements])
    except ValueError:
        return max(0, elements - len(status.elements))


def _count(
    counts: Dict[str, int], reasons: Dict[str, int], state: str, reason: str, number: int, scheduler: str
) -> None:
    counts[state] = counts.get(state, 0) + number
    # Slurm lists what ended for minutes more, with a reason too; such an element waits for nothing.
    words = (
        schedulers.explain(scheduler, reason) if reason and state in ("PENDING", "HELD", "WAITING") else ""
    )
    if words:
        reasons[words] = reasons.get(words, 0) + number


def _known(root: str) -> Iterator[Known]:
    """The jobs of all packages' submissions that nobody saw gone."""
    for package in _folders(os.path.join(root, "packages")):
        if not is_package_id(package):
            continue
        numbers = _folders(os.path.join(root, "packages", package, "submissions"))
        for number in sorted(int(name) for name in numbers if name.isdigit()):
            for job, elements in _jobs(layout.submission_path(root, package, number)):
                yield Known(package, job, elements)


def _jobs(folder: str) -> List[Tuple[str, int]]:
    try:
        intent = read_json(os.path.join(folder, "intent.json"))
        gone = read_json(os.path.join(folder, "gone.json")) or {}
        if intent is None or gone.get("second"):
            return []
        return [(part.job, part.elements) for part in read_parts(folder, intent) if part.job]
    except NodeError:
        return []  # one damaged file leaves the others to see


def _folders(path: str) -> List[str]:
    try:
        return sorted(os.listdir(path))
    except FileNotFoundError:
        return []
