"""Verb ``state``: what became of every task of packages, by their records and one scheduler query."""

from typing import Any, BinaryIO, Dict, Iterator, List, Tuple

from cjnode import asked, backlog, ends, layout
from cjnode.blocks import canonical
from cjnode.errors import NodeError
from cjnode.files import now
from cjnode.progress import Open, Progress, jobs_of, look, unsettled
from cjnode.settle import settle
from cjnode.submissions import Submission

FINAL_STATES = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "OUT_OF_MEMORY", "NODE_FAIL", "LOST")
STATES = FINAL_STATES + ("PENDING", "RUNNING", "HELD", "WAITING")

TASK_KEYS = (
    "task",
    "attempt",
    "state",
    "job",
    "exit_code",
    "started",
    "ended",
    "host",
    "max_rss_mb",
    "error",
    "note",
)
NOT_SUBMITTED = Open("PENDING", None, None, None, None, None, None)


def state(root: str, request: Dict[str, Any], out: BinaryIO) -> None:
    """Write a line a package, and with ``tasks`` a line a task after it."""
    lines = bool(request.get("tasks"))
    packages = request.get("packages", [])
    for package in packages:
        layout.checked_package(root, package)
    backlog.drain(root, packages)
    looked = [look(root, package, lines) for package in packages]
    jobs = sorted({job for progress in looked for job in _jobs_to_ask(progress)})
    scheduler, answer = _ask(root, jobs, bool(request.get("fresh")))
    for progress in looked:
        opened: Dict[int, Open] = {}
        busy = False
        reasons: Dict[str, int] = {}
        for submission in progress.submissions:
            if not progress.missing[submission.number] and not progress.retried[submission.number]:
                continue
            if not unsettled(progress, submission):  # its job was not asked after
                opened.update(_cancelled(progress, submission))
                continue
            found = settle(root, scheduler, progress, submission, answer)
            opened.update(found.opened)
            busy = busy or found.busy
            for words, elements in found.reasons.items():
                reasons[words] = reasons.get(words, 0) + elements
        _write(progress, opened, busy, reasons, out)


def _cancelled(progress: Progress, submission: Submission) -> Dict[int, Open]:
    jobs = jobs_of(submission)
    known = Open("CANCELLED", submission.attempt, jobs[0] if jobs else None, None, None, None, None)
    return dict.fromkeys(progress.missing[submission.number], known)


def _jobs_to_ask(progress: Progress) -> Iterator[str]:
    for submission in progress.submissions:
        if not unsettled(progress, submission):
            continue
        gone = {part.job for part in submission.parts if ends.seen_gone(submission, part.number)[1]}
        for job in jobs_of(submission):
            if job not in gone:
                yield job


def _ask(root: str, jobs: List[str], fresh: bool) -> Tuple[str, asked.Answer]:
    try:
        scheduler = layout.scheduler(root)
        return scheduler, asked.ask(root, scheduler, jobs, fresh)
    except (NodeError, OSError, KeyError) as problem:
        trouble = "the scheduler did not answer: %s" % problem
        return "", asked.Answer(None, jobs, trouble, now())


def _write(
    progress: Progress, opened: Dict[int, Open], busy: bool, reasons: Dict[str, int], out: BinaryIO
) -> None:
    counts = dict.fromkeys(STATES, 0)
    seconds = 0.0
    for task, attempt in progress.ended.items():
        seconds += attempt.seconds
        if task not in opened:
            counts[attempt.state] = counts.get(attempt.state, 0) + 1
    for known in opened.values():
        counts[known.state] += 1
    counts["PENDING"] += progress.tasks - sum(counts.values())  # in no submission
    problems = list(progress.problems)
    for number in sorted(progress.damage):
        problems += progress.damage[number]
    line = {
        "package": progress.package,
        "tasks": progress.tasks,
        "counts": {name: number for name, number in counts.items() if number},
        "final": not busy and 0 < progress.tasks == sum(counts[name] for name in FINAL_STATES),
        "jobs": [job for submission in progress.submissions for job in jobs_of(submission)],
        "seconds": [round(seconds, 6), len(progress.ended)],
        "reasons": reasons,
        "problems": problems,
    }
    out.write(canonical(line) + b"\n")
    if progress.lines:
        for number in range(1, progress.tasks + 1):
            out.write(_task_line(progress, opened, number))


def _task_line(progress: Progress, opened: Dict[int, Open], task: int) -> bytes:
    known = opened.get(task)
    if known is None:
        ended = progress.ended.get(task)
        if ended is not None:
            return ended.line
        known = NOT_SUBMITTED
    fields: Dict[str, Any] = dict.fromkeys(TASK_KEYS)
    fields.update(known._asdict(), task=task)
    return canonical(fields) + b"\n"
