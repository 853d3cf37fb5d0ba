"""Verb ``state``: what became of every task of packages, by their records and one scheduler query."""

import importlib
import os
from typing import Any, BinaryIO, Dict, Iterator, List, Tuple

from cjnode import layout
from cjnode.blocks import canonical
from cjnode.progress import Open, Progress, jobs_of, look, sums, unsettled
from cjnode.submissions import Submission, why_given_up

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
NOT_SUBMITTED = Open("PENDING", None, None, None, None, None, None, None)


def state(root: str, request: Dict[str, Any], out: BinaryIO) -> None:
    """Write a line a package, and with ``tasks`` a line a task after it."""
    lines = bool(request.get("tasks"))
    packages = request.get("packages", [])
    for package in packages:
        layout.checked_package(root, package)
    if os.path.isdir(layout.backlog_path(root)):
        # Who watches asks often: a site that is full is not tried more often for that.
        about = packages if request.get("fresh") else ()
        importlib.import_module("cjnode.backlog").drain(root, about)
    looked = [look(root, package, lines) for package in packages]
    for progress, (opened, line) in zip(looked, _settled(root, looked, bool(request.get("fresh")))):
        if request.get("spread"):
            line["spread"] = importlib.import_module("cjnode.spread").spread(progress.submissions)
            if not line["final"]:
                line["workers"] = importlib.import_module("cjnode.roster").alive(root, progress.submissions)
        _write(progress, opened, line, out)


def told(root: str, package: str) -> Dict[str, Any]:
    """A package's line, for what is decided here."""
    return next(_settled(root, [look(root, package, False)], False))[1]


def _settled(
    root: str, looked: List[Progress], fresh: bool
) -> Iterator[Tuple[Dict[int, Open], Dict[str, Any]]]:
    """For each package its tasks without a record, and its line; what is to run again is submitted."""
    settled = {}
    unfinished = [
        progress for progress in looked if any(unsettled(progress, s) for s in progress.submissions)
    ]
    if unfinished:
        # Loaded when needed: of packages that are at their end nobody is asked.
        found = importlib.import_module("cjnode.settle").settle_all(root, unfinished, fresh)
        settled = dict(zip(map(id, unfinished), found))
    for progress in looked:
        opened: Dict[int, Open] = {}
        for submission in progress.submissions:
            if not unsettled(progress, submission):  # its job was not asked after
                opened.update(_cancelled(progress, submission))
        now = settled.get(id(progress))
        if now is not None:
            opened.update(now.opened)
        reasons, is_paused = (
            now.reasons if now else {},
            os.path.exists(layout.paused_path(root, progress.package)),
        )
        if is_paused:
            reasons = importlib.import_module("cjnode.pausing").show(progress, opened, reasons)
        elif now is not None and progress.manifest.get("retry"):
            _run_again(root, progress, now)
        line = _line(progress, opened, bool(now and now.is_early), reasons)
        if now is not None and now.left and not is_paused:
            line["left"] = now.left
        yield opened, line


def _run_again(root: str, progress: Progress, now: Any) -> None:
    """Submit what failed and is to run again; nothing of that is the asker's trouble."""
    waiting = {each.task for each in now.due}
    others = sum(each.state not in FINAL_STATES for task, each in now.opened.items() if task not in waiting)
    further = importlib.import_module("cjnode.further")
    try:
        progress.problems.extend(further.finish(root, progress))
        if others > now.left and further.is_recent(progress):
            for each in now.due:
                words = "others of the package, to be submitted again after %s" % each.ended.state
                now.reasons[words] = now.reasons.get(words, 0) + 1
        else:
            progress.problems.extend(further.bring(root, progress, now.due))
    except OSError as problem:
        progress.problems.append("what failed cannot be submitted again: %s" % problem.strerror)


def _cancelled(progress: Progress, submission: Submission) -> Dict[int, Open]:
    missing, jobs = progress.missing[submission.number], jobs_of(submission)
    why = why_given_up(submission.path) if missing else ""
    if why:
        progress.problems.append("it never ran: " + why)
    known = Open(
        "CANCELLED", submission.attempt, jobs[0] if jobs else None, None, None, None, why or None, None
    )
    return dict.fromkeys(missing, known)


def _line(
    progress: Progress, opened: Dict[int, Open], is_early: bool, reasons: Dict[str, int]
) -> Dict[str, Any]:
    counts = dict.fromkeys(STATES, 0)
    ended, seconds, number = sums(progress, opened)
    counts.update(ended)
    for known in opened.values():
        counts[known.state] += 1
    rest = progress.tasks - sum(counts.values())  # in no submission
    problems = list(progress.problems)
    if rest and _was_deleted(progress):
        counts["LOST"] += rest
        problems.append("a submission was deleted on the cluster: what became of its tasks is lost there")
    else:
        counts["PENDING"] += rest
    for each in sorted(progress.damage):
        problems += progress.damage[each]
    return {
        "package": progress.package,
        "tasks": progress.tasks,
        "counts": {name: many for name, many in counts.items() if many},
        "final": not is_early and 0 < progress.tasks == sum(counts[name] for name in FINAL_STATES),
        "jobs": [job for submission in progress.submissions for job in jobs_of(submission)],
        "seconds": [round(seconds, 6), number],
        "reasons": reasons,
        "problems": problems,
        "submissions": max([each.number for each in progress.submissions if each.attempt] or [0]),
    }


def _write(progress: Progress, opened: Dict[int, Open], line: Dict[str, Any], out: BinaryIO) -> None:
    out.write(canonical(line) + b"\n")
    if progress.lines:
        for number in range(1, progress.tasks + 1):
            out.write(_task_line(progress, opened, number))


def _was_deleted(progress: Progress) -> bool:
    """Whether a site removed submissions: those that there are do not count from 1."""
    return any(each.number != number for number, each in enumerate(progress.submissions, 1))


def _task_line(progress: Progress, opened: Dict[int, Open], task: int) -> bytes:
    known = opened.get(task)
    if known is None:
        ended = progress.ended.get(task)
        if ended is not None:
            return _with_earlier(progress, task, ended.number, ended.line)
        known = NOT_SUBMITTED._replace(state="LOST") if _was_deleted(progress) else NOT_SUBMITTED
    fields: Dict[str, Any] = dict.fromkeys(TASK_KEYS)
    fields.update(known._asdict(), task=task)
    return _with_earlier(progress, task, known.attempt or 1, canonical(fields) + b"\n")


def _with_earlier(progress: Progress, task: int, attempt: int, line: bytes) -> bytes:
    """A task's line, with those of its attempts before that one."""
    earlier = dict(progress.earlier.get(task, {}))
    newest = progress.ended.get(task)
    if newest is not None:
        earlier[newest.number] = newest.line
    lines = [earlier[number][:-1] for number in sorted(earlier) if number < attempt]
    return line[:-2] + b',"earlier":[' + b",".join(lines) + b"]}\n" if lines else line
