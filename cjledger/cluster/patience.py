"""A word for who waits: a login node whose scheduler hangs may take minutes to answer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LATE_S = 10.0


@contextmanager
def told(say: Callable[[str], None], name: str, after_s: float = LATE_S) -> Iterator[None]:
    """Say once that a cluster has not answered yet, if it takes longer than that."""
    words = f"waiting for {name}, which has not answered for {after_s:g} s"
    timer = threading.Timer(after_s, say, (words,))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
