"""How schedulers write times and ranges of indices."""

import re
from typing import List


def clock(seconds: int) -> str:
    """Seconds as ``H:MM:SS``."""
    return "%d:%02d:%02d" % (seconds // 3600, seconds // 60 % 60, seconds % 60)


def indices(ranges: str) -> List[int]:
    """The numbers of ``5-7,12,20-24:2``, one by one."""
    found: List[int] = []
    for first, last, step in re.findall(r"([0-9]+)(?:-([0-9]+)(?::([0-9]+))?)?", ranges):
        found += range(int(first), int(last or first) + 1, int(step or 1))
    return found
