"""Whether a process is still the one that was seen before: its number alone may have been given again."""

import os
import signal
import subprocess
import sys
import time
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

Identity = NamedTuple(
    "Identity",
    [
        ("pid", int),
        ("start", str),  # when it started, in the system's own words
        ("boot", str),  # of which boot; empty where the system does not say
        ("machine", str),
    ],
)


def environment() -> Dict[str, str]:
    """The environment without what git and ssh told this process, messages in English."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("GIT_", "SSH_"))}
    kept["PATH"] = _without_git_core(kept.get("PATH", os.defpath), os.environ.get("GIT_EXEC_PATH"))
    return kept


def _without_git_core(path: str, exec_path: Optional[str]) -> str:
    """PATH as it was before git put its own programs in front of it for the hook."""
    parts = path.split(os.pathsep)
    while parts and parts[0] and parts[0] == exec_path:
        del parts[0]
    return os.pathsep.join(parts)


def call(module: str, function: str, arguments: Tuple[object, ...], *options: str) -> List[str]:
    """The argv of a Python with these options that calls a function of ours and ends with what it returns."""
    home = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    code = "import sys; sys.path.insert(0, %r); from %s import %s; sys.exit(%s(*%r))"
    return [sys.executable] + list(options) + ["-c", code % (home, module, function, function, arguments)]


def settle_s() -> float:
    """How long after an unclear end a job may still appear.

    Slurm's controller answers within MessageTimeout, 10 s, or not at all; it may have the request then.
    """
    return float(os.environ.get("CJ_SETTLE_S", "15"))


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
