"""Locks that a git which was killed left in the repository: git itself would refuse for ever."""

import os
import time
from typing import Iterator

from cjnode.files import age_s
from cjnode.processes import settle_s

_PAUSE_S = 0.1


def free(repo: str) -> None:
    """Wait for the locks that are there now, and remove those whose git must be dead.

    Git holds a lock for milliseconds. Whether it lives on another login node cannot be seen: its lock's age
    decides.
    """
    deadline = time.monotonic() + settle_s() + 1.0
    for path in list(_locks(repo)):
        age = age_s(path, repo)
        while age is not None and age < settle_s() and time.monotonic() < deadline:
            time.sleep(_PAUSE_S)
            age = age_s(path, repo)
        if age is not None and age >= settle_s():
            try:
                os.unlink(path)
            except FileNotFoundError:
                pass  # another process freed it


def _locks(repo: str) -> Iterator[str]:
    for name in ("packed-refs.lock", "config.lock", "HEAD.lock"):
        if os.path.exists(os.path.join(repo, name)):
            yield os.path.join(repo, name)
    for folder, _, names in os.walk(os.path.join(repo, "refs")):
        for name in names:
            if name.endswith(".lock"):
                yield os.path.join(folder, name)
