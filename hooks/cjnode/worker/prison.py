"""What the kernel holds a task to: it dies with its worker, and read-only code is read-only to root too."""

import os
import signal
import sys
from typing import Any

try:
    import ctypes
except ImportError:  # some builds of Python lack it
    ctypes = None  # type: ignore[assignment]

_SET_DEATH_SIGNAL = 1
_DROP_FROM_BOUNDING_SET = 24
_SET_CHILD_SUBREAPER = 36
_CAP_DAC_OVERRIDE = 1
_CAPABILITY_VERSION_3 = 0x20080522


def _load_libc() -> Any:
    if ctypes is None or not sys.platform.startswith("linux"):
        return None
    try:
        return ctypes.CDLL(None, use_errno=True)
    except OSError:
        return None


_LIBC = _load_libc()

# Whether orphans of tasks become children of the worker.
ADOPTS_ORPHANS = False


def adopt_orphans() -> None:
    """Make this process the parent of its descendants' orphans, where the kernel can."""
    global ADOPTS_ORPHANS
    ADOPTS_ORPHANS = _LIBC is not None and _LIBC.prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0


def die_with(parent: int) -> None:
    """Have this process killed when its parent dies; it ends here if that is gone already."""
    if _LIBC is None:
        return
    _LIBC.prctl(_SET_DEATH_SIGNAL, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:
        os._exit(70)


def enter(worker: int) -> None:
    """Bind this process, a task's, to its worker; a task whose worker is gone already ends here."""
    if _LIBC is None:
        return
    die_with(worker)
    if os.geteuid() == 0:
        give_up_writing_everywhere()


def give_up_writing_everywhere() -> bool:
    """Give up root's right to write what file modes forbid; whether programs started later lack it too.

    All else that root may do, reading included, stays.
    """
    bounded = bool(_LIBC.prctl(_DROP_FROM_BOUNDING_SET, _CAP_DAC_OVERRIDE, 0, 0, 0) == 0)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    sets = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable; twice, for 64 bits
    if _LIBC.capget(header, sets) != 0:
        return False
    for index in range(3):
        sets[index] &= ~(1 << _CAP_DAC_OVERRIDE) & 0xFFFFFFFF
    return _LIBC.capset(header, sets) == 0 and bounded


def _memory_kills() -> int:
    """How many processes of this control group the kernel ended for want of memory, 0 if it is not said."""
    try:
        with open("/proc/self/cgroup") as file:
            groups = [line.strip().split(":", 2) for line in file]
        for _, controllers, path in groups:
            if not controllers:
                name = "/sys/fs/cgroup%s/memory.events" % path
            elif "memory" in controllers.split(","):
                name = "/sys/fs/cgroup/memory%s/memory.oom_control" % path
            else:
                continue
            with open(name) as file:
                for line in file:
                    if line.startswith("oom_kill "):
                        return int(line.split()[1])
    except (OSError, ValueError):
        pass
    return 0


_MEMORY_KILLS = [_memory_kills()]


def ran_out_of_memory() -> bool:
    """Whether the kernel ended a process here for want of memory since this was asked last."""
    before, _MEMORY_KILLS[0] = _MEMORY_KILLS[0], _memory_kills()
    return _MEMORY_KILLS[0] > before
