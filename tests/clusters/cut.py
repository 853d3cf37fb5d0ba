"""A line that is cut, as a ProxyCommand of ssh: cut.py HOST PORT FILE.

FILE says ``up N`` or ``down N``: after N bytes towards the server, or from it, the connection ends without a
word; ``hole N`` keeps it open and lets nothing through after N bytes from the server. It holds for one
connection. Without the file all passes. What passed is added to FILE.count, a line a connection: ``UP DOWN``;
FILE.made.PID was made by each connection, and FILE.open.PID is there while it is open.
"""

import contextlib
import os
import selectors
import signal
import socket
import sys
import time

_LEAVING = (signal.SIGTERM, signal.SIGHUP)  # ssh hangs up on its proxy when it ends


def relay(server: socket.socket, plan: tuple[str, int], count: str) -> None:
    """Copy both ways until one side ends, or the plan says so."""
    passed = {"up": 0, "down": 0}
    selector = selectors.DefaultSelector()
    selector.register(0, selectors.EVENT_READ, "up")
    selector.register(server, selectors.EVENT_READ, "down")
    try:
        while True:
            for key, _ in selector.select():
                way = key.data
                piece = os.read(0, 65536) if way == "up" else server.recv(65536)
                limit = plan[1] - passed[way] if plan[0] in (way, "hole" if way == "down" else way) else None
                sent = piece if limit is None else piece[:limit]
                passed[way] += len(sent)
                if way == "up":
                    server.sendall(sent)
                else:
                    write(1, sent)
                if not piece:
                    return
                if len(sent) < len(piece):
                    if plan[0] == "hole":
                        time.sleep(3600)
                    return
    finally:
        with open(count, "a") as file:
            file.write(f"{passed['up']} {passed['down']}\n")


def write(descriptor: int, piece: bytes) -> None:
    """All of it."""
    while piece:
        piece = piece[os.write(descriptor, piece) :]


def main(host: str, port: str, file: str) -> None:
    """Connect, look at the plan, and relay."""
    plan, mine = ("none", 0), f"{file}.{os.getpid()}"
    with contextlib.suppress(OSError):
        os.rename(file, mine)
        with open(mine) as text:
            kind, size = text.read().split()
        plan = (kind, int(size))
    for number in _LEAVING:
        signal.signal(number, leave)
    try:
        for kind in ("made", "open"):
            open(f"{file}.{kind}.{os.getpid()}", "w").close()
        with contextlib.suppress(OSError), socket.create_connection((host, int(port))) as server:
            relay(server, plan, f"{file}.count")
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{file}.open.{os.getpid()}")


def leave(*_: object) -> None:
    """End once: a second signal must not keep the first from writing what passed."""
    for number in _LEAVING:
        signal.signal(number, signal.SIG_IGN)
    sys.exit()


if __name__ == "__main__":
    main(*sys.argv[1:])
