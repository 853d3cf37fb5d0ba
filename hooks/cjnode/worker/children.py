"""Starting, waiting for and ending the processes of one task."""

import errno
import os
import resource
import select
import signal
import sys
import time
import traceback
from typing import Callable, Dict, List, NamedTuple, Optional, Sequence, Set, Tuple

from cjnode.worker import prison

# How often a waiting worker looks whether its task was cancelled or is over its time.
LOOK_EVERY_S = 0.3

# Helpers such as multiprocessing's resource tracker end by themselves a moment after their program.
LEFT_BEHIND_GRACE_S = 0.1

# Those after the first two are how schedulers warn of a limit.
ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU)

# How a task's first process ended, and what of it was ended with it.
Ended = NamedTuple(
    "Ended",
    [
        ("exit_code", int),  # 128 + signal after a signal
        ("signal", int),
        ("max_rss_mb", float),
        ("cpu_s", float),
        ("why", str),  # empty when it ended by itself, else time, memory, cancel or stop
        ("left_behind", int),  # processes that the task left and that were ended
    ],
)


class Signals:
    """SIGCHLD and the signals that end a worker, as something a select can wait for."""

    def __init__(self) -> None:
        self.stopping = False
        self.number = int(signal.SIGTERM)  # by which signal the worker was asked to end
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)
        signal.set_wakeup_fd(self._write)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        for number in ENDING:
            signal.signal(number, self._stop)

    def _stop(self, number: int, frame: object) -> None:
        if not self.stopping:
            self.number = number
        self.stopping = True

    def wait(self, timeout_s: float) -> None:
        """Return when a signal came, at the latest after ``timeout_s``."""
        select.select([self._read], [], [], max(0.0, timeout_s))
        try:
            while os.read(self._read, 512):
                pass
        except BlockingIOError:
            pass

    def private(self) -> Tuple[int, ...]:
        """The descriptors that a task must not have."""
        return self._read, self._write


def grace_s() -> float:
    """How long a task that was asked to end may take."""
    return float(os.environ.get("CJ_GRACE_S", "5"))


def start(run: Callable[[], int], streams: Sequence[int], private: Sequence[int]) -> int:
    """Fork a task into its own session: its process ID. ``run`` runs there, its value is the exit code."""
    sys.stdout.flush()
    sys.stderr.flush()
    parent = os.getpid()
    # A signal between the fork and the child's own handlers would be lost.
    held = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    child = os.fork()
    if child:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)
        return child
    code = 70
    try:
        os.setsid()
        _forget_the_worker(streams, private)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)
        prison.enter(parent)
        code = run()
    except BaseException:
        traceback.print_exc()
    finally:
        try:
            flush()
        except OSError:
            pass
        os._exit(code)


def _forget_the_worker(streams: Sequence[int], private: Sequence[int]) -> None:
    signal.set_wakeup_fd(-1)
    for ending in (*ENDING, signal.SIGCHLD):
        signal.signal(ending, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, stream in enumerate(streams, 1):
        os.dup2(stream, number)
    for descriptor in private:
        os.close(descriptor)


def flush() -> None:
    """Write what was printed; a program may have closed its streams, or put something else in their place."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (ValueError, AttributeError):
            pass


def replace_by(arguments: Sequence[str], environment: Dict[str, str]) -> int:
    """Become another program; returns the shell's exit code for a program that cannot be started."""
    # Python ignores these, and a program would inherit that: `yes | head` would complain.
    for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvpe(arguments[0], list(arguments), environment)
    except OSError as problem:
        text = "%s: %s\n" % (arguments[0], os.strerror(problem.errno or 0))
        os.write(2, text.encode("utf-8", "surrogateescape"))
        return 127 if problem.errno in (errno.ENOENT, errno.ENOTDIR) else 126


def wait(child: int, signals: Signals, look: Callable[[], str]) -> Ended:
    """Wait for a task, ending it when the worker is stopped or ``look()`` says why it must end.

    ``look`` is called every now and then. What the task left behind is ended too.
    """
    why = ""
    kill_at = 0.0
    while True:
        ended = _reap(child)
        if ended:
            break
        now = time.monotonic()
        if not why:
            why = "stop" if signals.stopping else look()
            if why:
                # What takes memory would go on taking it.
                _signal_group(child, signal.SIGKILL if why == "memory" else signal.SIGTERM)
                kill_at = now + grace_s()
        elif now >= kill_at:
            _signal_group(child, signal.SIGKILL)
            kill_at = now + 1
        signals.wait(min(LOOK_EVERY_S, kill_at - now) if why else LOOK_EVERY_S)
    status, usage = ended
    left = end_left_behind(child, signals)
    number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    code = 128 + number if number else os.WEXITSTATUS(status)
    return Ended(code, number, rss_mb(usage.ru_maxrss), usage.ru_utime + usage.ru_stime, why, left)


def rss_mb(max_rss: int) -> float:
    """The kernel's largest resident set in MB of 2**20 bytes, as memory is asked for.

    Linux counts KiB, macOS bytes.
    """
    return round(max_rss / (1 << 20 if sys.platform == "darwin" else 1 << 10), 1)


def _reap(child: int) -> Optional[Tuple[int, resource.struct_rusage]]:
    while True:
        # Orphans of the task are ours too and may end long before it.
        got, status, usage = os.wait4(-1, os.WNOHANG)
        if got == child:
            return status, usage
        if not got:
            return None


def _signal_group(child: int, number: int) -> None:
    for send in (os.killpg, os.kill):
        try:
            send(child, number)
        except OSError:
            pass  # between its fork and its setsid a task has no group yet


def end_left_behind(child: int, signals: Signals, patience_s: float = 10.0) -> int:
    """End what a task left running; how many processes that were."""
    if not prison.ADOPTS_ORPHANS:
        return _end_group(child)
    ended: Set[int] = set()
    began = time.monotonic()
    while True:
        try:
            if os.waitpid(-1, os.WNOHANG)[0]:
                continue
        except ChildProcessError:
            return len(ended)
        waited = time.monotonic() - began
        if waited > patience_s:
            return len(ended)  # another user's process (setuid): it cannot be ended
        if waited < LEFT_BEHIND_GRACE_S:
            signals.wait(LEFT_BEHIND_GRACE_S - waited)
            continue
        for orphan in children():
            ended.add(orphan)
            _kill(orphan)
        signals.wait(0.05)


def _end_group(child: int) -> int:
    try:
        os.killpg(child, signal.SIGKILL)
    except OSError:
        return 0
    return 1


def _kill(process: int) -> None:
    try:
        os.kill(process, signal.SIGKILL)
    except OSError:
        pass


def children() -> List[int]:
    """The process IDs of this process's children, dead ones too."""
    me = os.getpid()
    try:
        with open("/proc/self/task/%d/children" % me, "rb") as file:
            return [int(word) for word in file.read().split()]
    except OSError:
        return [process for process in _processes() if _parent(process) == me]


def _processes() -> List[int]:
    try:
        return [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return []


def _parent(process: int) -> int:
    try:
        with open("/proc/%d/stat" % process, "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return 0
