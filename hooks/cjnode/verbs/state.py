"""Verb ``state``: what became of every task of packages; what is to run again by itself is submitted."""

from typing import Any, BinaryIO, Dict

from cjnode.files import canonical
from cjnode.records import layout
from cjnode.status.progress import Open, look
from cjnode.status.standing import Standing, line, standings, was_deleted

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
    lines, fresh = bool(request.get("tasks")), bool(request.get("fresh"))
    packages = request.get("packages", [])
    for package in packages:
        layout.checked_package(root, package)
    if layout.has_backlog(root):
        from cjnode.submission.drain import drain

        # Who watches asks often: a site that is full is not tried more often for that.
        drain(root, packages if fresh else ())
    looked = [look(root, package, lines) for package in packages]
    for found in standings(root, looked, fresh):
        if found.progress.manifest.get("retry"):
            from cjnode.submission.reruns import run_again

            run_again(root, found)
        told = line(found)
        if request.get("spread"):
            _add_spread(root, found, told)
        _write(found, told, out)


def _add_spread(root: str, found: Standing, told: Dict[str, Any]) -> None:
    """For who watches: how long the latest tasks took, and who is at work."""
    from cjnode.status import roster, spread

    told["spread"] = spread.spread(found.progress.submissions)
    if not told["final"]:
        told["workers"] = roster.alive(root, found.progress.submissions)


def _write(found: Standing, told: Dict[str, Any], out: BinaryIO) -> None:
    out.write(canonical(told) + b"\n")
    if found.progress.lines:
        for number in range(1, found.progress.tasks + 1):
            out.write(_task_line(found, number))


def _task_line(found: Standing, task: int) -> bytes:
    known = found.opened.get(task)
    if known is None:
        ended = found.progress.ended.get(task)
        if ended is not None:
            return _with_earlier(found, task, ended.number, ended.line)
        known = NOT_SUBMITTED._replace(state="LOST") if was_deleted(found.progress) else NOT_SUBMITTED
    fields: Dict[str, Any] = dict.fromkeys(TASK_KEYS)
    fields.update(known._asdict(), task=task)
    return _with_earlier(found, task, known.attempt or 1, canonical(fields) + b"\n")


def _with_earlier(found: Standing, task: int, attempt: int, line: bytes) -> bytes:
    """A task's line, with those of its attempts before that one."""
    earlier = dict(found.progress.earlier.get(task, {}))
    newest = found.progress.ended.get(task)
    if newest is not None:
        earlier[newest.number] = newest.line
    lines = [earlier[number][:-1] for number in sorted(earlier) if number < attempt]
    return line[:-2] + b',"earlier":[' + b",".join(lines) + b"]}\n" if lines else line
