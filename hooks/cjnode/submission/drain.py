"""Submit what waits, as every call does that comes by: marked submissions, and what these wait for."""

import os
import time
from typing import Collection, List, Tuple

from cjnode.errors import NodeError
from cjnode.files import locked, read_json, replace
from cjnode.jobs import marks
from cjnode.records import layout
from cjnode.status import gate
from cjnode.submission import experiment, reruns

EVERY_S = 30.0


def drain(root: str, about: Collection[str] = (), patient: bool = False) -> None:
    """Submit what waits, as much as fits: at most every 30 s, unless a call is about a package that waits.

    Who is not patient leaves it to another who is at it. What goes wrong is noted with what waits, and never
    the caller's trouble.
    """
    found = marks.listed(root)
    last = os.path.join(layout.backlog_path(root), ".last")
    try:
        if not found or not (_is_about(found, about) or _is_due(last) or _is_local(root)):
            return
        with locked(os.path.join(layout.backlog_path(root), ".lock"), patient) as mine:
            if mine:
                replace(last, b"")
                for package, submission in found:
                    if _brought(root, package, submission):
                        break
    except (NodeError, OSError):
        pass  # a full disk, say: what waits goes on waiting


def _is_about(found: List[Tuple[str, int]], about: Collection[str]) -> bool:
    return any(package in about for package, _ in found)


def _is_local(root: str) -> bool:
    """What waits there waits for packages there, and nobody is asked too often about these."""
    return layout.scheduler(root) == "local"


def _is_due(path: str) -> bool:
    try:
        return not 0 <= time.time() - os.stat(path).st_mtime < EVERY_S
    except OSError:
        return True


def _brought(root: str, package: str, submission: int) -> bool:
    """Submit what can be of one; whether the site takes no more."""
    folder = layout.submission_path(root, package, submission)
    try:
        intent = read_json(os.path.join(folder, "intent.json"))
        for each in gate.awaited(root, folder, intent) if intent and intent.get("after") else ():
            reruns.tend(root, each)  # nobody else may come by who would
        return experiment.bring(root, package, submission, False)
    except (NodeError, OSError, ValueError, KeyError) as problem:
        marks.say(root, package, submission, getattr(problem, "error", str(problem)))
    return False
