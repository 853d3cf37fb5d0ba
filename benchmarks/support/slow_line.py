"""A line with a delay, as a ProxyCommand of ssh: slow_line.py HOST PORT SECONDS.

Each byte comes so much later at the other end; how many are on their way does not matter.
"""

import collections
import os
import selectors
import socket
import sys
import time


def relay(server: socket.socket, delay_s: float) -> None:
    """Copy both ways until one side ends."""
    selector = selectors.DefaultSelector()
    selector.register(0, selectors.EVENT_READ, "up")
    selector.register(server, selectors.EVENT_READ, "down")
    waiting: collections.deque[tuple[float, str, bytes]] = collections.deque()
    while True:
        pause = max(0.0, waiting[0][0] - time.monotonic()) if waiting else None
        for key, _ in selector.select(pause):
            piece = os.read(0, 65536) if key.data == "up" else server.recv(65536)
            waiting.append((time.monotonic() + delay_s, key.data, piece))
            if not piece:
                selector.unregister(key.fileobj)
        while waiting and waiting[0][0] <= time.monotonic():
            _, way, piece = waiting.popleft()
            if not piece:
                return
            if way == "up":
                server.sendall(piece)
            else:
                while piece:
                    piece = piece[os.write(1, piece) :]


if __name__ == "__main__":
    host, port, seconds = sys.argv[1:]
    with socket.create_connection((host, int(port))) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        relay(connection, float(seconds))
