"""How much memory a task has, by what the kernel tells of its processes."""

import os
import re
from typing import Iterator, List

_PAGE = os.sysconf("SC_PAGE_SIZE")
_SHARE = re.compile(rb"^Pss:\s+([0-9]+) kB", re.MULTILINE)


def exceeds(process: int, memory_mb: int) -> bool:
    """Whether a process and what it started have more than so many megabytes (of 2**20 bytes).

    What several share, such as the modules of the worker that they were forked from, is counted once: the
    kernel's sum of that takes long, and is asked for only when the simple one is above the limit.
    """
    limit = memory_mb << 20
    family = list(_family(process))
    if sum(map(_resident, family)) <= limit:
        return False
    return sum(map(_share, family)) > limit


def _family(process: int) -> Iterator[int]:
    waiting: List[int] = [process]
    while waiting:
        one = waiting.pop()
        yield one
        try:
            threads = os.listdir("/proc/%d/task" % one)
        except OSError:
            continue
        for thread in threads:
            waiting += map(int, _read("/proc/%d/task/%s/children" % (one, thread)).split())


def _resident(process: int) -> int:
    words = _read("/proc/%d/statm" % process).split()
    return int(words[1]) * _PAGE if len(words) > 1 else 0


def _share(process: int) -> int:
    found = _SHARE.search(_read("/proc/%d/smaps_rollup" % process))
    return int(found.group(1)) << 10 if found else _resident(process)


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:  # it ended meanwhile
        return b""
