"""What claims say of tasks that were cut off, and claims that were damaged."""

import json
import os
from typing import Optional, Tuple

from cjnode.records.blocks import record_from_line


def begun_up_to(path: str) -> int:
    """The last task of a block that a claim's holder may have begun besides the one it is at; 0 for none."""
    try:
        with open(path, "rb") as file:
            now = json.loads(file.read(4096).partition(b"\n")[2].decode("utf-8"))
        return int(now.get("to") or 0) if now["task"] else 0
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return 0


def mend(fd: int, content: bytes) -> None:
    """Write an open claim of ours anew, as it was at first, when something cut it off."""
    if os.fstat(fd).st_size != len(content):
        os.pwrite(fd, content, 0)
        os.ftruncate(fd, len(content))


def is_damaged(path: str) -> bool:
    """Whether a claim does not say what its holder was at."""
    try:
        with open(path, "rb") as file:
            first, _, second = file.read(4096).partition(b"\n")
        return not (json.loads(first.decode("utf-8")) and "task" in json.loads(second.decode("utf-8")))
    except FileNotFoundError:
        return False
    except (OSError, ValueError, TypeError):
        return True


def recorded_by(path: str) -> Optional[Tuple[str, int]]:
    """The job and element that wrote a records file; None where it has no record."""
    try:
        with open(path, "rb") as file:
            record = record_from_line(file.readline())
        return record.job, record.element
    except (OSError, ValueError):
        return None
