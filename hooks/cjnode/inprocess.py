"""A block of function tasks: called one after another in a child that writes their records itself."""

import mmap
import os
import resource
import struct
import sys
import time
import traceback
from types import TracebackType
from typing import Iterator, List, NamedTuple, Optional, Tuple

from cjnode import attempt as attempts
from cjnode import children, points, reproduce, running
from cjnode.attempt import Clock, Outcome, Setting
from cjnode.blocks import Output, Record
from cjnode.journal import Journal, UnwritableError
from cjnode.reproduce import Package, Task
from cjnode.seeds import task_seed

# A task that waits for its turn: its number and the attempt it would be.
Turn = NamedTuple("Turn", [("task", int), ("attempt", int)])

_WORDS = struct.Struct("qqdd")  # task, attempt, began (monotonic), started (wall)
UNWRITABLE = 74


class Present:
    """What the child is at, in memory that it shares with the worker: it survives the child."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, _WORDS.size)

    def set(self, turn: Turn, began: float, started: float) -> None:
        """Say which task is run now; task 0 is none."""
        _WORDS.pack_into(self._memory, 0, turn.task, turn.attempt, began, started)

    def get(self) -> Tuple[Turn, float, float]:
        """The task that is run now, and since when."""
        task, attempt, began, started = _WORDS.unpack_from(self._memory, 0)
        return Turn(task, attempt), began, started


def run_block(setting: Setting, journal: Journal, turns: List[Turn]) -> List[str]:
    """Run function tasks and record them. Returns the states they ended in.

    A child that dies costs the task it was at; another child runs the rest.
    """
    states: List[str] = []
    present = Present()
    while turns and not setting.signals.stopping:
        present.set(Turn(0, 0), 0.0, 0.0)
        ended = {
            Turn(record.task, record.attempt): record.state
            for record in _one_child(setting, journal, turns, present)
        }
        states += [ended[turn] for turn in turns if turn in ended]
        turns = [turn for turn in turns if turn not in ended]
    return states


def _one_child(setting: Setting, journal: Journal, turns: List[Turn], present: Present) -> List[Record]:
    watched = [Turn(0, 0)]

    def look() -> str:
        turn, began, started = present.get()
        if not turn.task:
            return ""
        if turn != watched[0]:
            watched[0] = turn
            journal.now_at(turn.task, turn.attempt, attempts.stamp(started))
        return attempts.why_end(setting, turn.task, began)

    journal.now_at(turns[0].task, turns[0].attempt, attempts.stamp(time.time()))
    child = children.start(
        lambda: _in_child(setting, journal, turns, present),
        setting.workplace.streams.fds(),
        setting.signals.private(),
    )
    ended = children.wait(child, setting.signals, look)
    if ended.exit_code == UNWRITABLE and not present.get()[0].task:
        raise UnwritableError("a record could not be written")
    return _after(setting, journal, turns, present, ended)


def _after(
    setting: Setting, journal: Journal, turns: List[Turn], present: Present, ended: children.Ended
) -> List[Record]:
    """The records of a child that has ended, with that of the task that it did not survive."""
    records = journal.take_up()
    done = {Turn(record.task, record.attempt) for record in records}.intersection(turns)
    turn, began, started = present.get()
    if not turn.task and not done and turns and not ended.why:
        # It did not come to its first task: without this, it would be started for ever.
        turn, began, started = turns[0], time.monotonic(), time.time()
    if turn.task and turn not in done:
        seconds = time.monotonic() - began
        span = attempts.Span(attempts.stamp(started), attempts.stamp(started + seconds), round(seconds, 6))
        outcome = attempts.outcome_of(setting, turn.task, ended)
        if outcome.state == "COMPLETED":
            words = "the function ended its process with exit code 0"
            outcome = outcome._replace(state="FAILED", notes=outcome.notes + [words])
        point = next(tasks(setting.package, [turn.task]))
        attempts.settle(setting, journal, point, turn.attempt, outcome, span, [])
    else:
        setting.workplace.tidy()
    return records + journal.take_up()


def tasks(package: Package, numbers: List[int]) -> Iterator[Task]:
    """The tasks of many numbers, each points file read once."""
    root = package.manifest["seed"]
    for point in points.points(package.sweep, numbers, package.folder):
        yield Task(point.task, point.params, point.index, task_seed(root, point.task))


def _in_child(setting: Setting, journal: Journal, turns: List[Turn], present: Present) -> int:
    worker = os.getppid()
    os.environ.update(attempts.variables(setting, reproduce.task(setting.package, turns[0].task), 1))
    caller = _Caller(setting, journal, present)
    try:
        for turn, task in zip(turns, tasks(setting.package, [turn.task for turn in turns])):
            if os.getppid() != worker:
                return 70  # a successor of the worker runs the rest
            if setting.cancelled.has(turn.task):
                attempts.skip(setting, journal, task, turn.attempt)
            else:
                caller.run(turn, task)
    except UnwritableError:
        present.set(Turn(0, 0), 0.0, 0.0)
        return UNWRITABLE
    return 0


class _Caller:
    """Calls the function, task by task, and records each call."""

    def __init__(self, setting: Setting, journal: Journal, present: Present) -> None:
        self._setting = setting
        self._journal = journal
        self._present = present
        self._process = os.getpid()
        self._ran = False  # whether what is the same for all tasks is done

    def run(self, turn: Turn, task: Task) -> None:
        """Run one task and record it."""
        os.chdir(self._setting.workplace.workdir)
        os.environ["CJ_TASK"] = "%d" % turn.task
        os.environ["CJ_ATTEMPT"] = "%d" % turn.attempt
        os.environ["CJ_SEED"] = "%d" % task.seed
        clock = Clock()
        self._present.set(turn, clock.began, clock.wall)
        cpu = time.process_time()
        code, rows = self._call(task)
        if os.getpid() != self._process:
            os._exit(code)  # the function forked, and this is not the process that goes on
        cpu_s = round(time.process_time() - cpu, 6)
        max_rss = children.rss_mb(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
        outcome = Outcome("FAILED" if code else "COMPLETED", code, 0, max_rss, cpu_s, [])
        span = clock.span()
        kept: List[Output] = [self._journal.keep_bytes("cj:rows", rows)] if rows else []
        attempts.settle(self._setting, self._journal, task, turn.attempt, outcome, span, kept)
        self._present.set(Turn(0, 0), 0.0, 0.0)

    def _call(self, task: Task) -> Tuple[int, bytes]:
        package = self._setting.package
        code, rows = 0, b""
        try:
            if self._ran:
                rows = running.run_again(package, task)
            else:
                rows = running.run_here(package, task, self._setting.workplace.root)
                self._ran = True
        except SystemExit as ending:
            code = _exit_code(ending)
        except BaseException as problem:
            code = 1
            _print_exception(package)
            self._setting.workplace.keep_locals(problem.__traceback__)
        sys.stdout.flush()
        sys.stderr.flush()
        return code, rows


def _exit_code(ending: SystemExit) -> int:
    if ending.code is None:
        return 0
    if isinstance(ending.code, int):
        return ending.code & 0xFF
    sys.stderr.write("%s\n" % (ending.code,))
    return 1


def _print_exception(package: Package) -> None:
    """The traceback from the program's first line on."""
    kind, value, trace = sys.exc_info()
    inner: Optional[TracebackType] = trace
    while inner is not None and not _is_theirs(package, inner.tb_frame.f_code.co_filename):
        inner = inner.tb_next
    traceback.print_exception(kind, value, inner or None)


def _is_theirs(package: Package, name: str) -> bool:
    return name.startswith(package.tree + os.sep) and not name.startswith(package.folder + os.sep)
