"""Verb ``state``: what became of every task of packages, by their records and one scheduler query."""

import datetime
import os
from typing import Any, BinaryIO, Dict, Iterator, List, NamedTuple, Optional, Tuple

from cjnode import files
from cjnode.blocks import canonical
from cjnode.errors import NodeError
from cjnode.progress import (
    Open,
    Progress,
    began,
    jobs_of,
    look,
    open_tasks,
    read_records,
    running,
    unsettled,
    waits,
)
from cjnode.schedulers import Status, poll
from cjnode.submissions import Submission, log_tails

# How long a job must be out of the scheduler's sight before its tasks are called lost.
GRACE_S = {"local": 2.0}
OTHER_GRACE_S = 60.0

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
NOT_SUBMITTED = Open("PENDING", None, None, None, None)

_TIME = "%Y-%m-%dT%H:%M:%S.%fZ"

# What the scheduler said of jobs; ``words`` is None when it gave no answer.
Answer = NamedTuple(
    "Answer", [("words", Optional[Dict[str, Status]]), ("trouble", str), ("at", str), ("grace_s", float)]
)


def state(root: str, request: Dict[str, Any], out: BinaryIO) -> None:
    """Write a line a package, and with ``tasks`` a line a task after it."""
    lines = bool(request.get("tasks"))
    looked = [look(root, package, lines) for package in request.get("packages", [])]
    jobs = {job for progress in looked for job in _jobs_to_ask(progress)}
    answer = _ask(root, sorted(jobs))
    for progress in looked:
        opened: Dict[int, Open] = {}
        busy = False
        for submission in progress.submissions:
            if progress.missing[submission.number] or progress.retried[submission.number]:
                found, at_work = _settle(progress, submission, answer)
                opened.update(found)
                busy = busy or at_work
        _write(progress, opened, busy, out)


def _jobs_to_ask(progress: Progress) -> Iterator[str]:
    for submission in progress.submissions:
        if unsettled(progress, submission) and not _seen_gone(submission)[1]:
            for job in jobs_of(submission):
                yield job


def _ask(root: str, jobs: List[str]) -> Answer:
    at = files.now()
    if not jobs:
        return Answer({}, "", at, 0.0)
    scheduler = ""
    try:
        scheduler = str((files.read_json(os.path.join(root, "cluster.json")) or {}).get("scheduler"))
        words: Optional[Dict[str, Status]] = poll(scheduler, root, jobs)
        trouble = ""
    except (NodeError, OSError, ValueError) as problem:
        # No answer is not a death: nothing is called gone on the strength of it.
        words, trouble = None, "the scheduler did not answer: %s" % problem
    return Answer(words, trouble, at, GRACE_S.get(scheduler, OTHER_GRACE_S))


def _settle(progress: Progress, submission: Submission, answer: Answer) -> Tuple[Dict[int, Open], bool]:
    """The tasks of one submission that are not at their end, and whether cancelled ones still run."""
    if not unsettled(progress, submission):  # its job was not asked after
        return open_tasks(progress, submission, "PENDING", False, False), False
    jobs = jobs_of(submission)
    words = answer.words or {}
    alive = [words[job].state for job in jobs if job in words and words[job].state != "ENDED"]
    lost = _seen_gone(submission)[1]
    gone = lost or bool(jobs and not alive and answer.words is not None)
    if gone and not lost:
        lost = _note_gone(progress, submission, answer)
        # What the job wrote between our reading and the scheduler's answer counts.
        read_records(progress, submission)
    elif alive:
        _forget_gone(submission)
    if gone and waits(progress, submission) and (lost or not began(submission)):
        progress.problems.append("job %s is gone" % ", ".join(jobs))
        progress.problems.extend(log_tails(submission))
    if answer.trouble and jobs and not lost:
        progress.problems.append(answer.trouble)
    waiting = alive[0] if alive and alive[0] in ("HELD", "WAITING") else "PENDING"
    # Without an answer the job is taken to be alive.
    at_work = bool(jobs) and not gone
    opened = open_tasks(progress, submission, waiting, lost, at_work)
    return opened, at_work and bool(running(progress, submission))


def _gone_path(submission: Submission) -> str:
    return os.path.join(submission.path, "gone.json")


def _seen_gone(submission: Submission) -> Tuple[str, bool]:
    """When the job was first seen to be gone (empty: never), and whether that was confirmed."""
    try:
        seen = files.read_json(_gone_path(submission)) or {}
        first = str(seen.get("first") or "")
        datetime.datetime.strptime(first, _TIME)
        return first, bool(seen.get("second"))
    except (NodeError, OSError, ValueError):
        return "", False


def _note_gone(progress: Progress, submission: Submission, answer: Answer) -> bool:
    """Write down that the job is not to be seen; True when that makes its tasks lost."""
    first, _ = _seen_gone(submission)
    second = None
    if first:
        passed = datetime.datetime.strptime(answer.at, _TIME) - datetime.datetime.strptime(first, _TIME)
        if passed.total_seconds() < answer.grace_s:
            return False
        second = answer.at
    fields = {"first": first or answer.at, "second": second}
    try:
        files.replace(_gone_path(submission), files.json_bytes(fields))
    except OSError as problem:
        progress.problems.append("gone.json cannot be written: %s" % problem.strerror)
    return second is not None


def _forget_gone(submission: Submission) -> None:
    try:
        os.unlink(_gone_path(submission))
    except OSError:
        pass


def _write(progress: Progress, opened: Dict[int, Open], busy: bool, out: BinaryIO) -> None:
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
