"""What workers and persons ask of the workers of a submission: names in one folder, so one look tells all.

``idle-<element>-<start>-<process>`` lies there while a worker has nothing to do, ``stop-<token>.json`` names
elements that are to end after their present task. ``offer-<block>-<generation>-<end>`` is there from when it
was given until it is claimed: the folder of the blocks, which tells the same, has thousands of names.
"""

import os
import re
import time
from typing import List, NamedTuple, Set

from cjnode.errors import NodeError
from cjnode.files import read_json
from cjnode.package.points import parse_tasks

# All workers of a submission together look so often in a second, at most.
LOOKS_A_SECOND = 200.0
LEAST_PAUSE_S = 0.5

_OFFER = re.compile(r"offer-([0-9]{1,9})-([0-9]{1,4})-([0-9]{1,9})\Z")
_NEW = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC


def pause_s(workers: int) -> float:
    """How long one of so many workers waits between two looks at a folder that all look at."""
    return max(LEAST_PAUSE_S, workers / LOOKS_A_SECOND)


def folder(submission_path: str) -> str:
    """Where it lies."""
    return os.path.join(submission_path, "asks")


# What those that are idle may claim. ``end`` is the place where a cut block ends; 0: it is to be looked up.
Offer = NamedTuple("Offer", [("block", int), ("generation", int), ("end", int)])


def offer(submission_path: str, offered: Offer) -> None:
    """Tell those that are idle of something to claim."""
    try:
        os.close(os.open(_offer_path(submission_path, offered), _NEW, 0o600))
    except OSError:
        pass  # nobody ever was idle, or the disk is full: the block's own file tells


def accept(submission_path: str, offered: Offer) -> None:
    """It was claimed."""
    try:
        os.unlink(_offer_path(submission_path, offered))
    except OSError:
        pass


def _offer_path(submission_path: str, offered: Offer) -> str:
    return os.path.join(folder(submission_path), "offer-%d-%d-%d" % offered)


class Asks:
    """What is asked of one worker, as of its last look."""

    def __init__(self, submission_path: str, element: int, mark: str, workers: int) -> None:
        self._folder = folder(submission_path)
        self._element = element
        self._mark = os.path.join(self._folder, "idle-" + mark)
        self._pause_s = pause_s(workers)
        self._next = 0.0
        self._read: Set[str] = set()
        self.looks = 0
        self.idle = 0  # workers that have nothing to do
        self.is_stopped = False  # this element is to end after its present task
        self.is_paused = False  # every element of the package is, as long as that lasts
        self._paused = os.path.join(os.path.dirname(os.path.dirname(submission_path)), "paused.json")
        self.offers: List[Offer] = []

    def look(self) -> None:
        """Look, unless the last look was a moment ago and found no pause: that may be over."""
        now = time.monotonic()
        if now < self._next and not self.is_paused:
            return
        self._next = now + self._pause_s
        self.looks += 1
        self.is_paused = os.path.exists(self._paused)
        try:
            names = os.listdir(self._folder)
        except OSError:
            return  # most often there is no such folder
        self.idle = sum(1 for name in names if name.startswith("idle-"))
        matches = [_OFFER.match(name) for name in names if name.startswith("offer-")]
        self.offers = [Offer(*map(int, found.groups())) for found in matches if found]
        for name in names:
            if name.startswith("stop-") and name.endswith(".json") and name not in self._read:
                self._take(name)

    def _take(self, name: str) -> None:
        try:
            order = read_json(os.path.join(self._folder, name))
            elements = parse_tasks(str(order["elements"])) if order else []
        except (NodeError, OSError, ValueError, KeyError):
            return  # perhaps half written: it is read again
        self._read.add(name)
        self.is_stopped = self.is_stopped or self._element in elements

    def say_idle(self) -> None:
        """Ask those at work for a part of what they have."""
        try:
            os.makedirs(self._folder, 0o700, exist_ok=True)
            os.close(os.open(self._mark, _NEW, 0o600))
        except OSError:
            pass  # a full disk: what others give of themselves is found all the same

    def say_busy(self) -> None:
        """Take that back."""
        try:
            os.unlink(self._mark)
        except OSError:
            pass
