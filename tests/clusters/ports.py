"""Free ports on loopback."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from contextlib import ExitStack


def free(count: int) -> list[int]:
    """Ports that nobody listened on a moment ago, all different."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]


def wait_until(true: Callable[[], bool], what: str, timeout_s: float = 120.0) -> None:
    """Look until something is so. Raises RuntimeError with what it was when it takes too long."""
    deadline = time.monotonic() + timeout_s
    while not true():
        if time.monotonic() > deadline:
            raise RuntimeError(f"{what}: not in {timeout_s:g} s")
        time.sleep(0.02)
