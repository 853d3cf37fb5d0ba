"""Marks: what says that a submission is not wholly with the scheduler, and why.

``ROOT/backlog/<package>-<n>.json`` is there from before its first act until all its parts have receipts.
"""

import os
import re
from typing import Any, Dict, List, Optional, Tuple

from cjnode.errors import NodeError
from cjnode.files import create_json, forget, json_bytes, now, read_json, replace
from cjnode.records import layout

_MARK = re.compile(r"([0-9a-f]{40}(?:[0-9a-f]{24})?)-([1-9][0-9]{0,9})\.json\Z")


def listed(root: str) -> List[Tuple[str, int]]:
    """The submissions that are marked, each with its package; those that wait longest come first."""
    try:
        names = os.listdir(layout.backlog_path(root))
    except OSError:
        return []
    matches = [match for match in map(_MARK.match, names) if match]
    found = [(match.group(1), int(match.group(2))) for match in matches]
    return sorted(found, key=lambda each: _since(root, *each))


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
    except (NodeError, OSError):
        return ""
    return str(fields.get("why") or "") if fields else None


def why_after(root: str, package: str, submission: int) -> str:
    """For what packages a marked submission waits; empty when it waits for none."""
    fields = _read(root, package, submission)
    return str(fields.get("why") or "") if fields.get("after") else ""


def _since(root: str, package: str, submission: int) -> str:
    return str(_read(root, package, submission).get("since"))


def _read(root: str, package: str, submission: int) -> Dict[str, Any]:
    """A mark's fields; none where it is not there, or cannot be read just now."""
    try:
        return read_json(layout.mark_path(root, package, submission)) or {}
    except (NodeError, OSError):
        return {}


def say(root: str, package: str, submission: int, why: str, after: bool = False) -> None:
    """Note why a submission waits, unless its mark was taken away."""
    path = layout.mark_path(root, package, submission)
    fields = read_json(path)
    if fields is not None and (fields.get("why"), fields.get("after", False)) != (why, after):
        fields.update(why=why, after=after)
        replace(path, json_bytes(fields))
