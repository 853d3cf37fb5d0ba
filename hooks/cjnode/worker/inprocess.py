"""A block of function tasks: called one after another in a child, which hands what it did to its worker."""

import os
import resource
import sys
import time
import traceback
from types import TracebackType
from typing import Callable, Iterator, List, Optional, Tuple

from cjnode.package import points
from cjnode.package.seeds import task_seed
from cjnode.program import preload, reproduce, running
from cjnode.program.isolation import Modules
from cjnode.program.relay import Relay
from cjnode.program.reproduce import Package, Task
from cjnode.records.blocks import Output
from cjnode.records.journal import Journal, UnwritableError, persist
from cjnode.worker import attempt as attempts
from cjnode.worker import children
from cjnode.worker.attempt import Outcome, Setting, Span
from cjnode.worker.holding import Holding, Turn
from cjnode.worker.plainrecord import Line
from cjnode.worker.watch import Watch

UNWRITABLE = 74
ALONE = 75  # each task is to have a child of its own

# A child may begin as many tasks as it does in about this time before the worker has written their records.
_AHEAD_S = 2 * children.LOOK_EVERY_S

# Tasks a second in this worker's block before. Each time a child has to wait for leave to go on costs two
# changes of process, and a machine that is busy takes a tenth of a second for that.
_PACE = [0.0]

# Whether the package's modules are loaded by each task for itself.
_IS_ALONE = [False]


def run_block(setting: Setting, journal: Journal, holding: Holding, careful: bool = False) -> List[str]:
    """Run function tasks and record them. Returns the states they ended in.

    A child that dies costs the task it was at; another child runs the rest. ``careful``: no task is begun
    before the claim names it alone.
    """
    states: List[str] = []
    while len(states) < len(holding.turns) and not setting.signals.stopping:
        states += _one_child(setting, journal, holding, len(states), careful)
        holding.ended(len(states))
    return states


class _Minder:
    """What a worker does every now and then while its child calls functions."""

    def __init__(
        self, setting: Setting, journal: Journal, holding: Holding, first: int, relay: Relay, careful: bool
    ) -> None:
        self.child = 0
        self._setting = setting
        self._journal = journal
        self._holding = holding
        self._first = first  # the child's first turn
        self._turns = holding.turns[first:]
        self._relay = relay
        self._careful = careful
        self._allow(0, self._ahead(_PACE[0]))

    def _allow(self, first: int, count: int) -> None:
        """Let the child begin turns from ``first`` on. The claim says so before."""
        last = min(first + count, len(self._turns))
        turn = self._turns[min(first, last - 1)]
        began = self._relay.at()
        started = began.started if began.index == first else time.time()
        self._journal.now_at(turn.task, turn.attempt, attempts.stamp(started), self._turns[last - 1].task)
        self._seen = first
        self._looked = time.monotonic()
        self._holding.begins(self._first + last)
        self._relay.allow(last)

    def _ahead(self, pace: float) -> int:
        # One that takes over from a worker that died goes task by task: what killed that one may be among
        # them, and must not take others along.
        # Of one that runs again it would not be known, when its worker died, whether it had begun.
        if self._careful or self._journal.place.generation > 1 or _IS_ALONE[0]:
            return 1
        return max(1, int(pace * _AHEAD_S))

    def _share(self) -> None:
        """Take away from the child what the worker gave to others."""
        self._holding.look(self._journal.touch)
        left = len(self._holding.turns) - self._first
        if left < len(self._turns):
            del self._turns[left:]
            self._relay.cut(left)

    def look(self) -> str:
        """Write what was handed over; why the child must end, or empty."""
        relay = self._relay
        count, is_full = relay.try_to_drain()
        if is_full:
            return "full"
        if count > self._seen:
            _PACE[0] = (count - self._seen) / max(time.monotonic() - self._looked, 1e-3)
            self._holding.ended(self._first + count)
            self._share()
            if count < len(self._turns):
                self._allow(count, self._ahead(_PACE[0]))
        else:
            self._share()
        at = relay.at()
        if at.index < 0:
            return ""
        return attempts.why_end(self._setting, self._turns[at.index].task, at.began, self.child)


def _one_child(setting: Setting, journal: Journal, holding: Holding, first: int, careful: bool) -> List[str]:
    turns = holding.turns[first:]
    relay = Relay(journal, len(turns))
    minder = _Minder(setting, journal, holding, first, relay, careful)
    child = minder.child = children.start(
        lambda: _in_child(setting, relay, turns),
        setting.workplace.streams.fds(),
        setting.signals.private(),
    )
    ended = children.wait(child, setting.signals, minder.look)
    if ended.why == "full" or (ended.exit_code == UNWRITABLE and relay.at().index < 0):
        raise UnwritableError("a record could not be written")
    if ended.exit_code == ALONE and relay.at().index < 0 and not _IS_ALONE[0]:
        _IS_ALONE[0] = True
        preload.load(setting.package, len(turns))
    relay.finish(lambda: setting.signals.stopping)
    return relay.states() + _after(setting, journal, turns, relay, ended)


def _after(
    setting: Setting, journal: Journal, turns: List[Turn], relay: Relay, ended: children.Ended
) -> List[str]:
    """Record the task that a child did not survive. Returns its state, or nothing."""
    index, began, started = relay.at()
    done = relay.handed().count
    attempts.have_ended(done)
    if index < 0 and not done and not ended.why:
        # It did not come to its first task: without this, it would be started for ever.
        index, began, started = 0, time.monotonic(), time.time()
    if index != done:
        setting.workplace.tidy()
        return []
    turn, seconds = turns[index], time.monotonic() - began
    span = Span(attempts.stamp(started), attempts.stamp(started + seconds), round(seconds, 6))
    outcome = attempts.outcome_of(setting, turn.task, ended)
    if outcome.state == "COMPLETED":
        words = "the function ended its process with exit code 0"
        outcome = outcome._replace(state="FAILED", notes=outcome.notes + [words])
    task = next(tasks(setting.package, [turn.task]))
    attempts.settle(setting, journal, task, turn.attempt, outcome, span, [])
    return [outcome.state]


def tasks(package: Package, numbers: List[int]) -> Iterator[Task]:
    """The tasks of many numbers, each points file read once."""
    root = package.manifest["seed"]
    for point in points.points(package.sweep, numbers, package.folder):
        yield Task(point.task, point.params, point.index, task_seed(root, point.task))


def _in_child(setting: Setting, relay: Relay, turns: List[Turn]) -> int:
    worker = os.getppid()
    os.environ.update(attempts.variables(setting, reproduce.task(setting.package, turns[0].task), 1))
    caller = _Caller(setting, relay)
    has, getppid = setting.cancelled.has, os.getppid
    try:
        for index, task in enumerate(tasks(setting.package, [turn.task for turn in turns])):
            turn = turns[index]
            if getppid() != worker:
                return 70  # a successor of the worker runs the rest
            if has(turn.task) and relay.wait_for(index):
                attempts.skip(setting, relay, task, turn.attempt)
            elif not caller.run(index, turn, task):
                return 70 if relay.has(index) else 0
            elif caller.is_alone():
                return ALONE
    except UnwritableError:
        relay.idle()
        return UNWRITABLE
    return 0


class _Caller:
    """Calls the function, task by task, and records each call."""

    def __init__(self, setting: Setting, relay: Relay) -> None:
        self._setting = setting
        self._relay = relay
        self._process, self._worker = os.getpid(), os.getppid()
        self._attempt = -1
        self._watch = Watch(setting.workplace.folders(), setting.workplace.streams.descriptors())
        self._line = Line(setting)
        self._again: Optional[Callable[[Task], bytes]] = None  # after the first task
        self._modules: Optional[Modules] = Modules(setting.package.tree)  # until they were looked at

    def run(self, index: int, turn: Turn, task: Task) -> bool:
        """Run one task and record it; False when the worker is gone."""
        self._watch.enter(self._setting.workplace.workdir)
        os.environ["CJ_TASK"] = "%d" % turn.task
        os.environ["CJ_SEED"] = "%d" % task.seed
        if turn.attempt != self._attempt:
            self._attempt = turn.attempt
            os.environ["CJ_ATTEMPT"] = "%d" % turn.attempt
        began, wall = time.monotonic(), time.time()
        if not self._relay.begin(index, began, wall):
            return False
        cpu = time.process_time()
        code, rows = self._call(task)
        if os.getpid() != self._process:
            os._exit(code)  # the function forked, and this is not the process that goes on
        cpu_s = round(time.process_time() - cpu, 6)
        max_rss = children.rss_mb(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
        seconds = time.monotonic() - began
        kept: List[Output] = [self._relay.keep_bytes("cj:rows", rows)] if rows else []
        if code or self._watch.is_touched() or not self._setting.observed.was_told:
            span = Span(attempts.stamp(wall), attempts.stamp(wall + seconds), round(seconds, 6))
            outcome = Outcome("FAILED" if code else "COMPLETED", code, 0, max_rss, cpu_s, [])
            attempts.settle(self._setting, self._relay, task, turn.attempt, outcome, span, kept)
            self._watch = self._watch.renew(self._setting.workplace.folders())
        else:
            line = self._line.of(task, turn.attempt, wall, seconds, max_rss, cpu_s, kept)
            self._relay.commit_line(line, 0)
        self._relay.idle()
        return True

    def is_alone(self) -> bool:
        """Whether no other task may be called here. Asked after each; the first one tells."""
        modules, self._modules = self._modules, None
        return modules is not None and modules.is_alone()

    def _call(self, task: Task) -> Tuple[int, bytes]:
        package = self._setting.package
        code, rows = 0, b""
        loading = self._modules.loading() if self._modules else None
        try:
            if self._again is not None:
                rows = self._again(task)
            else:
                rows = running.run_here(package, task, self._setting.workplace.root, loading)
                self._again = running.again(package)
        except SystemExit as ending:
            code = running.exit_code(ending)
        except BaseException as problem:
            code = 1
            _print_exception(package)
            self._setting.workplace.keep_locals(problem.__traceback__)
        # What it printed waits for room on a disk that is full, as its record does.
        persist(children.flush, lambda: os.getppid() != self._worker)
        return code, rows


def _print_exception(package: Package) -> None:
    """The traceback from the program's first line on."""
    kind, value, trace = sys.exc_info()
    inner: Optional[TracebackType] = trace
    while inner is not None and not _is_theirs(package, inner.tb_frame.f_code.co_filename):
        inner = inner.tb_next
    traceback.print_exception(kind, value, inner or None)


def _is_theirs(package: Package, name: str) -> bool:
    return name.startswith(package.tree + os.sep) and not name.startswith(package.folder + os.sep)
