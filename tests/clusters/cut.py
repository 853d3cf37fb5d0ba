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

_LEAVING = (signal.SIGTERM, signal.SIGHUP)  # ssh hangs up on its proxy when it ends


def relay(server: socket.socket, plan: tuple[str, int], leaving: int) -> dict[str, int]:
    """Copy both ways until one side ends, the plan says so, or ``leaving`` can be read: what passed."""
    passed = {"up": 0, "down": 0}
    selector = selectors.DefaultSelector()
    selector.register(0, selectors.EVENT_READ, "up")
    selector.register(server, selectors.EVENT_READ, "down")
    selector.register(leaving, selectors.EVENT_READ, "leave")
    with contextlib.suppress(OSError):
        while True:
            for key, _ in selector.select():
                way = key.data
                if way == "leave":
                    return passed
                piece = os.read(0, 65536) if way == "up" else server.recv(65536)
                limit = plan[1] - passed[way] if plan[0] in (way, "hole" if way == "down" else way) else None
                sent = piece if limit is None else piece[:limit]
                passed[way] += len(sent)
                if way == "up":
                    server.sendall(sent)
                else:
                    write(1, sent)
                if not piece:
                    return passed
                if len(sent) < len(piece):
                    if plan[0] == "hole":
                        os.read(leaving, 1)
                    return passed
    return passed


def write(descriptor: int, piece: bytes) -> None:
    """All of it."""
    while piece:
        piece = piece[os.write(descriptor, piece) :]


def told_to_leave() -> int:
    """What can be read once a signal said to leave. No signal cuts off what we write down."""
    reader, writer = os.pipe()
    for number in _LEAVING:
        signal.signal(number, lambda *_: os.write(writer, b"."))
    return reader


def main(host: str, port: str, file: str) -> None:
    """Connect, look at the plan, and relay."""
    plan, mine, leaving = ("none", 0), f"{file}.{os.getpid()}", told_to_leave()
    with contextlib.suppress(OSError):
        os.rename(file, mine)
        with open(mine) as text:
            kind, size = text.read().split()
        plan = (kind, int(size))
    for kind in ("made", "open"):
        open(f"{file}.{kind}.{os.getpid()}", "w").close()
    passed = {"up": 0, "down": 0}
    with contextlib.suppress(OSError), socket.create_connection((host, int(port))) as server:
        passed = relay(server, plan, leaving)
    with open(f"{file}.count", "a") as count:
        count.write(f"{passed['up']} {passed['down']}\n")
    os.unlink(f"{file}.open.{os.getpid()}")


if __name__ == "__main__":
    main(*sys.argv[1:])
