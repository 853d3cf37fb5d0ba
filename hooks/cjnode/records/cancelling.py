"""Which tasks of a submission were cancelled, looked up often and cheaply."""

import json
import os
import time
from typing import Set

from cjnode.package.points import parse_tasks

# A folder's time would tell of changes only as finely as its file system's clock ticks.
LOOK_EVERY_S = 0.1
# All workers of a submission together look so often, at most.
LOOKS_A_SECOND = 200.0


class Cancelled:
    """The tasks that the files of a cancel folder name, but for one file."""

    def __init__(self, folder: str, workers: int = 1, but: str = "") -> None:
        self._folder = folder
        self._every_s = max(LOOK_EVERY_S, workers / LOOKS_A_SECOND)
        self._read: Set[str] = {but}
        self._tasks: Set[int] = set()
        self._next = 0.0

    def has(self, task: int) -> bool:
        """Whether the task was cancelled, as of a tenth of a second ago, or longer where workers are many."""
        if time.monotonic() >= self._next:
            self._look()
        return task in self._tasks

    def has_now(self, task: int) -> bool:
        """As ``has``, as of now: for what is decided once."""
        self._look()
        return task in self._tasks

    def now(self) -> Set[int]:
        """All of them, as of now."""
        self._look()
        return self._tasks

    def _look(self) -> None:
        self._next = time.monotonic() + self._every_s
        try:
            names = os.listdir(self._folder)
        except OSError:
            return
        for name in names:
            if name in self._read or not name.endswith(".json"):
                continue
            try:
                with open(os.path.join(self._folder, name), encoding="utf-8") as file:
                    self._tasks.update(parse_tasks(json.load(file)["tasks"]))
                self._read.add(name)
            except (OSError, ValueError, KeyError, TypeError, AttributeError):
                pass  # perhaps half written: it is read again
