"""The parent of a test cluster's servers: when whoever started it is gone, so are they, however it went.

Run as a program of its own: requests are JSON lines on standard input, answers on standard output.
It adopts what its servers leave behind (slurmstepd, a pool of processes), and at the end of its input,
or at SIGTERM, ends every process below it. A server dies with its keeper, should that be killed.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
PATIENCE_S = 5.0
LAST_PATIENCE_S = 0.5  # at the end nothing needs to be saved


class Keeper:
    """Starts and stops servers through a process that outlives no one."""

    def __init__(self, folder: Path, stays: bool = False) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        argv = [sys.executable, "-S", __file__]
        if stays:  # for use by hand: ended by SIGTERM alone
            argv.append("stays")
        with open(folder / "keeper.log", "ab") as log:
            self._process = subprocess.Popen(
                argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, start_new_session=True
            )
        (folder / "keeper.pid").write_text(f"{self._process.pid}\n")

    def start(self, argv: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> int:
        """Start a server in the foreground and return its process ID."""
        env = {**os.environ, **(environment or {})}
        return int(self._ask({"start": list(argv), "log": str(log), "environment": env})["pid"])

    def stop(self, pid: int, number: int = signal.SIGTERM) -> None:
        """Signal a server and wait for its end; kill it when it does not end."""
        self._ask({"stop": pid, "signal": int(number)})

    def alive(self, pid: int) -> bool:
        """Whether a server still runs."""
        return bool(self._ask({"alive": pid})["alive"])

    def remove_at_end(self, path: Path) -> None:
        """Have a file or folder removed at the end."""
        self._ask({"remove": str(path)})

    def close(self) -> None:
        """End every server, and the keeper."""
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(60)

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline() or b'{"error": "it is gone"}')
        if "error" in answer:
            raise RuntimeError(f"the keeper: {answer['error']}")
        return answer


class _Servers:
    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self._children: dict[int, subprocess.Popen[bytes]] = {}
        self._removed: list[str] = []

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        if "start" in request:
            with open(request["log"], "ab") as log:
                child = subprocess.Popen(
                    request["start"],
                    env=request["environment"],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd=os.path.dirname(request["log"]),
                    start_new_session=True,
                    preexec_fn=lambda: self._libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0),
                )
            self._children[child.pid] = child
            return {"pid": child.pid}
        if "stop" in request:
            self._stop([self._children[request["stop"]]], request["signal"], PATIENCE_S)
        if "remove" in request:
            self._removed.append(request["remove"])
        if "alive" in request:
            return {"alive": self._children[request["alive"]].poll() is None}
        return {}

    def end(self) -> None:
        self._stop(list(self._children.values()), signal.SIGTERM, LAST_PATIENCE_S)
        deadline = time.monotonic() + PATIENCE_S
        while (rest := descendants(os.getpid())) and time.monotonic() < deadline:
            for pid in rest:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.reap()
            time.sleep(0.01)
        for path in self._removed:
            shutil.rmtree(path, ignore_errors=True)
            with contextlib.suppress(OSError):
                os.unlink(path)

    def reap(self) -> None:
        """Let go of the dead that were adopted; a server's own end is seen by ``poll``."""
        for child in self._children.values():
            child.poll()
        with contextlib.suppress(ChildProcessError):
            while (found := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) is not None:
                known = self._children.get(found.si_pid)
                if known is None:
                    os.waitpid(found.si_pid, 0)
                else:
                    known.poll()

    def _stop(self, children: list[subprocess.Popen[bytes]], number: int, patience_s: float) -> None:
        for child in children:
            if child.poll() is None:
                child.send_signal(number)
        deadline = time.monotonic() + patience_s
        for child in children:
            try:
                child.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def descendants(pid: int) -> list[int]:
    """The processes below one, the nearest first."""
    parents: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                stat = Path("/proc", entry, "stat").read_text()
                parents.setdefault(int(stat.rpartition(")")[2].split()[1]), []).append(int(entry))
    found: list[int] = []
    level = [pid]
    while level := [child for parent in level for child in parents.get(parent, [])]:
        found += level
    return found


def main(stays: bool) -> None:
    """Answer until the input ends or SIGTERM comes."""
    servers = _Servers()
    wake_out, wake_in = os.pipe()
    os.set_blocking(wake_in, False)
    os.set_blocking(wake_out, False)
    ended = []
    signal.set_wakeup_fd(wake_in, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGTERM, lambda *_: ended.append(True))
    sources = [0, wake_out]
    rest = b""
    while not ended and sources:
        ready, _, _ = select.select(sources, [], [])
        if wake_out in ready:
            os.read(wake_out, 4096)
            servers.reap()
        if 0 in ready:
            piece = os.read(0, 1 << 20)
            if not piece and not stays:
                break
            if not piece:
                sources.remove(0)
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                try:
                    answer = servers.answer(json.loads(line))
                except (OSError, LookupError) as problem:
                    answer = {"error": str(problem)}
                os.write(1, json.dumps(answer).encode() + b"\n")
    servers.end()


if __name__ == "__main__":
    main("stays" in sys.argv)
