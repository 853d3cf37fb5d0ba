"""Whether a process is still the one that was seen before: its number alone may have been given again."""

import os
import signal
import subprocess
import time
from typing import Any, Dict, List, NamedTuple

Identity = NamedTuple(
    "Identity",
    [
        ("pid", int),
        ("start", str),  # when it started, in the system's own words
        ("boot", str),  # of which boot; empty where the system does not say
        ("machine", str),
    ],
)


def _read(path: str) -> str:
    try:
        with open(path) as file:
            return file.read().strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _start(pid: int) -> str:
    """When a process started; empty when there is none. A zombie is none."""
    if os.path.exists("/proc/self/stat"):
        # The program's name, in parentheses, may hold anything.
        fields = _read("/proc/%d/stat" % pid).rpartition(")")[2].split()
        return fields[19] if len(fields) > 19 and fields[0] not in "ZX" else ""
    found = subprocess.Popen(
        ["ps", "-o", "stat=,lstart=", "-p", "%d" % pid],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    state, _, started = found.communicate()[0].decode("ascii", "replace").strip().partition(" ")
    return "" if state.startswith("Z") else started.strip()


def _machine() -> str:
    return _read("/etc/machine-id") or os.uname().nodename


def identity(pid: int) -> Identity:
    """Who a living process is."""
    return Identity(pid, _start(pid), _read("/proc/sys/kernel/random/boot_id"), _machine())


def from_fields(fields: Dict[str, Any]) -> Identity:
    """Read an identity from a JSON file's fields."""
    return Identity(int(fields["pid"]), str(fields["start"]), str(fields["boot"]), str(fields["machine"]))


def alive(who: Identity) -> bool:
    """Whether that very process lives. One on another machine cannot be seen and counts as alive."""
    if who.machine != _machine():
        return True
    if who.boot != _read("/proc/sys/kernel/random/boot_id"):
        return False
    return _start(who.pid) == who.start


def marked(session: int, mark: str) -> List[int]:
    """This machine's processes of a session that have ``NAME=value`` in the environment they began with."""
    found = []
    for name in os.listdir("/proc") if os.path.isdir("/proc") else ():
        if not name.isdigit():
            continue
        try:
            with open("/proc/%s/environ" % name, "rb") as file:
                if mark.encode("ascii") in file.read().split(b"\0") and os.getsid(int(name)) == session:
                    found.append(int(name))
        except OSError:
            pass  # another user's, or gone
    return found


def here(who: Identity) -> bool:
    """Whether that very process lives on this machine, so that it can be sent a signal."""
    return who.machine == _machine() and alive(who)


def end(who: Identity, grace_s: float) -> None:
    """End a process that is not our child, and its group when it does not go by itself."""
    deadline = time.monotonic() + grace_s
    if here(who):
        os.kill(who.pid, signal.SIGTERM)
    while here(who):
        if time.monotonic() > deadline:
            kill_group(who.pid)
        time.sleep(0.05)


def kill_group(pid: int) -> None:
    """Kill all that is left of a process group."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass
