"""How long the latest tasks took and how much memory they had, for who watches: the ends of a few files."""

import math
import os
import re
from typing import Any, Dict, List, Sequence

from cjnode.jobs.submissions import Submission
from cjnode.records import blocks

_FILES = 8
_TAIL = 64 << 10
BINS = 12

_SAID = re.compile(rb'"seconds":([0-9][0-9.eE+-]*),.*?"max_rss_mb":([0-9][0-9.eE+-]*|null),')


def spread(submissions: Sequence[Submission]) -> Dict[str, Any]:
    """For ``seconds`` and ``max_rss_mb`` the least, the most and the middle value, and counts between them.

    There are as many counts as ``BINS``, each for the same factor.
    """
    seconds: List[float] = []
    memory: List[float] = []
    for path in _newest(submissions):
        for spent, size in _SAID.findall(_tail(path)):
            seconds.append(float(spent))
            if size != b"null":
                memory.append(float(size))
    return {name: _binned(found) for name, found in (("seconds", seconds), ("max_rss_mb", memory)) if found}


def _newest(submissions: Sequence[Submission]) -> List[str]:
    """The records files that were written to last, of the newest submission that has any."""
    for submission in reversed(submissions):
        found = []
        for part in blocks.list_blocks(submission.path, submission.number):
            if part.records:
                path = blocks.block_path(submission.path, part.id.block, part.id.generation, "records")
                found.append(path)
        if found:
            # Blocks are claimed in order, or nearly so: times of a thousand files are not asked.
            return sorted(found[-8 * _FILES :], key=_changed)[-_FILES:]
    return []


def _changed(path: str) -> float:
    try:
        return os.stat(path).st_mtime
    except OSError:
        return 0.0


def _tail(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL))
            return file.read(_TAIL)
    except OSError:
        return b""


def _binned(values: List[float]) -> Dict[str, Any]:
    ordered = sorted(values)
    low, high = max(ordered[0], 1e-6), max(ordered[-1], 1e-6)
    width = math.log(high / low) / BINS
    counts = [0] * BINS
    for value in ordered:
        place = int(math.log(max(value, low) / low) / width) if width else 0
        counts[min(place, BINS - 1)] += 1
    return {"low": low, "middle": ordered[len(ordered) // 2], "high": high, "counts": counts}
