"""One attempt of one task in a process of its own, from its claim to its record."""

import os
import signal
import sys
import time
from typing import Callable, Dict, List, NamedTuple, Optional, Tuple

from cjnode.program import reproduce
from cjnode.program.relay import Keeper
from cjnode.program.reproduce import Package, Task
from cjnode.program.running import run_to_exit
from cjnode.records import claims
from cjnode.records.blocks import Output, Record
from cjnode.records.cancelling import Cancelled
from cjnode.records.journal import Journal
from cjnode.worker import children, memory, prison
from cjnode.worker.children import Ended, Signals
from cjnode.worker.element import Lifetime, is_over, why_stopped
from cjnode.worker.observed import Observed
from cjnode.worker.outputs import clean
from cjnode.worker.workplace import Collected, Workplace

# A worker has its own signal this much later than its task, at most.
_SIGNALLED_TOO_S = 0.3

# What all attempts of one element have in common.
Setting = NamedTuple(
    "Setting",
    [
        ("package", Package),
        ("workplace", Workplace),
        ("signals", Signals),
        ("cancelled", Cancelled),
        ("host", str),
        ("job", str),
        ("element", int),
        ("name", str),  # of the submission
        ("observed", Observed),
        ("limit_s", Optional[float]),  # of one task; None where the scheduler keeps it
        ("memory_mb", Optional[int]),  # in the same way
        ("life", Optional[Lifetime]),  # of the element; None where it has no end
        ("remarks", Tuple[str, ...]),  # what every record says
    ],
)

# How an attempt ended, before its outputs are known.
Outcome = NamedTuple(
    "Outcome",
    [
        ("state", str),
        ("exit_code", int),
        ("signal", int),
        ("max_rss_mb", Optional[float]),
        ("cpu_s", Optional[float]),
        ("notes", List[str]),
    ],
)

# When an attempt ran, by the wall clock, and for how long.
Span = NamedTuple("Span", [("started", str), ("ended", str), ("seconds", float)])

NOTHING = Collected((), "", [], False)


_SECOND = [0, "1970-01-01T00:00:00"]


def stamp(seconds: float) -> str:
    """A time as every file has it."""
    whole = int(seconds)
    if whole != _SECOND[0]:  # fast tasks have many times within a second
        _SECOND[:] = [whole, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole))]
    return "%s.%06dZ" % (_SECOND[1], int((seconds - whole) * 1e6))


class Clock:
    """Measures one attempt: a wall clock may be set back meanwhile, the seconds are the monotonic one's."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.wall = time.time()
        self.started = stamp(self.wall)

    def span(self) -> Span:
        """From the beginning to now."""
        seconds = time.monotonic() - self.began
        return Span(self.started, stamp(self.wall + seconds), round(seconds, 6))


def record(
    setting: Setting, task: Task, attempt: int, outcome: Outcome, span: Span, collected: Collected
) -> Record:
    """The attempt's record."""
    return Record(
        task=task.task,
        attempt=attempt,
        state=outcome.state,
        exit_code=outcome.exit_code,
        signal=outcome.signal,
        started=span.started,
        ended=span.ended,
        seconds=span.seconds,
        host=setting.host,
        job=setting.job,
        element=setting.element,
        max_rss_mb=outcome.max_rss_mb,
        cpu_s=outcome.cpu_s,
        seed=task.seed,
        error=collected.error,
        note=clean("; ".join(outcome.notes + list(setting.remarks) + collected.notes)),
        environment=setting.observed.id,
        outputs=collected.outputs,
    )


# How many attempts have ended in this worker: its first one has all of the walltime.
_ENDED = [0]


def have_ended(attempts: int) -> None:
    """So many attempts have ended."""
    _ENDED[0] += attempts


def skip(setting: Setting, journal: Keeper, task: Task, attempt: int) -> None:
    """Record a task that was cancelled before it ran."""
    outcome = Outcome("CANCELLED", 0, 0, None, None, ["cancelled before it ran"])
    journal.commit(record(setting, task, attempt, outcome, Clock().span(), NOTHING))


def run(setting: Setting, journal: Journal, number: int, attempt: int, meanwhile: Callable[[], None]) -> str:
    """Run one attempt of a task and record it. Returns the state it ended in.

    ``meanwhile`` is done now and then while it runs.
    """
    task = reproduce.task(setting.package, number)
    clock = Clock()
    journal.now_at(number, attempt, clock.started)
    environment = variables(setting, task, attempt)
    streams = setting.workplace.streams.fds()
    child = children.start(
        lambda: _in_child(setting, task, environment),
        streams,
        (*streams, setting.workplace.streams.locals.fd, *setting.signals.private(), *journal.private()),
    )

    def look() -> str:
        meanwhile()
        return why_end(setting, number, clock.began, child)

    ended = children.wait(child, setting.signals, look)
    span = clock.span()
    outcome = outcome_of(setting, number, ended)
    settle(setting, journal, task, attempt, outcome, span, [])
    return outcome.state


def settle(
    setting: Setting,
    journal: Keeper,
    task: Task,
    attempt: int,
    outcome: Outcome,
    span: Span,
    rows: List[Output],
) -> None:
    """Keep what an attempt left, record it, and make the place ready for the next."""
    have_ended(1)
    found = setting.workplace.collect(journal, outcome.state == "FAILED")
    told = setting.observed.outputs(journal)
    collected = found._replace(outputs=tuple(rows) + found.outputs + tuple(told))
    journal.commit(record(setting, task, attempt, outcome, span, collected))
    if not setting.observed.was_told:
        journal.flush()
        setting.observed.told()
    if found.touched:
        setting.workplace.tidy()


def why_end(setting: Setting, number: int, began: float, child: int) -> str:
    """Why a running task must end: cancel, time, memory, stop, or empty."""
    if setting.cancelled.has(number):
        return "cancel"
    if setting.life is not None and is_over(setting.life):
        setting.signals.stopping = True
        return "stop"
    if setting.limit_s is not None and time.monotonic() - began >= setting.limit_s:
        return "time"
    if setting.memory_mb is not None and memory.exceeds(child, setting.memory_mb):
        return "memory"
    return ""


def outcome_of(setting: Setting, number: int, ended: Ended) -> Outcome:
    """The state and the notes that follow from how a task's process ended."""
    notes = []
    why = ended.why or _why_killed(setting, number, ended.signal)
    state = "FAILED" if ended.exit_code else "COMPLETED"
    if why == "time":
        state = "TIMEOUT"
        notes.append("ended after its time limit of %g s" % (setting.limit_s or 0))
    elif why == "memory":
        state = "OUT_OF_MEMORY"
        notes.append("ended for having more than its memory of %d MB" % (setting.memory_mb or 0))
    elif why == "stop" and setting.life is not None and not setting.cancelled.has_now(number):
        state, note = why_stopped(setting.life, setting.signals.number, not _ENDED[0])
        notes.append(note)
    elif why:
        state = "CANCELLED"
        notes.append("cancelled while it ran" if why == "cancel" else "its worker was asked to end")
    elif ended.signal:
        notes.append("ended by %s" % _signal_name(ended.signal))
        if ended.signal == signal.SIGKILL and prison.ran_out_of_memory():
            state = "OUT_OF_MEMORY"
    if ended.left_behind:
        plural = "" if ended.left_behind == 1 else "es"
        words = "was" if ended.left_behind == 1 else "were"
        notes.append("%d process%s left behind %s ended" % (ended.left_behind, plural, words))
    return Outcome(state, ended.exit_code, ended.signal, ended.max_rss_mb, round(ended.cpu_s, 6), notes)


def _why_killed(setting: Setting, number: int, killed_by: int) -> str:
    """Why a task was killed that its worker did not end: schedulers signal both, in any order."""
    if killed_by != signal.SIGTERM or setting.life is None:
        return ""
    deadline = time.monotonic() + _SIGNALLED_TOO_S
    while time.monotonic() < deadline and not setting.signals.stopping:
        setting.signals.wait(_SIGNALLED_TOO_S / 10)
    if setting.cancelled.has_now(number):
        return "cancel"
    return "stop" if setting.signals.stopping else ""


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "signal %d" % number


def variables(setting: Setting, task: Task, attempt: int) -> Dict[str, str]:
    """The variables of a task, those that the scheduler's side knows included."""
    workplace = setting.workplace
    found = reproduce.task_environment(setting.package, task, attempt, workplace.root)
    found["CJ_JOB_ID"] = setting.job
    found["CJ_NAME"] = setting.name
    found["CJ_SUBMIT_DIR"] = setting.package.tree
    found["CJ_NODELIST"] = (
        os.environ.get("SLURM_JOB_NODELIST") or os.environ.get("CJ_NODELIST") or setting.host
    )
    found["PWD"] = workplace.workdir
    return found


def _in_child(setting: Setting, task: Task, environment: Dict[str, str]) -> int:
    package, workplace = setting.package, setting.workplace
    os.chdir(workplace.workdir)
    program = package.manifest["program"]
    if program["kind"] == "script" and program["language"] == "python":
        os.environ.update(environment)
        return run_to_exit(package, task, workplace.root, lambda rows: None, workplace.keep_locals)
    try:
        words = reproduce.command(package, task, workplace.root)
    except ValueError as problem:
        sys.stderr.write("%s\n" % problem)
        return 2
    return children.replace_by(words, dict(os.environ, **environment))


def bury(
    setting: Setting,
    journal: Journal,
    was: claims.Current,
    state: str = "NODE_FAIL",
    note: str = "the worker died",
) -> None:
    """Record the attempt that a dead worker was at."""
    task = reproduce.task(setting.package, was.task)
    outcome = Outcome(state, 0, 0, None, None, [note])
    started = was.started or stamp(time.time())
    span = Span(started, stamp(time.time()), 0.0)
    journal.commit(record(setting._replace(remarks=()), task, was.attempt, outcome, span, NOTHING))
