"""The verb ``work``: one element of a job claims blocks of tasks and runs them."""

import os
import re
import socket
import sys
from typing import Any, Callable, Dict, FrozenSet, List, NamedTuple, Tuple

from cjnode import processes
from cjnode.errors import NodeError
from cjnode.files import create_once, read_json
from cjnode.jobs.submissions import Submission, read_submission
from cjnode.package.seeds import hash_seed
from cjnode.program import preload, reproduce
from cjnode.program.reproduce import Package
from cjnode.records import blocks, layout, partition
from cjnode.records.cancelling import Cancelled
from cjnode.records.claims import Claim
from cjnode.records.journal import Journal, UnwritableError, persist
from cjnode.supplies import datalinks
from cjnode.worker import attempt, inprocess, observed, prison, slots, turns
from cjnode.worker.attempt import Setting
from cjnode.worker.children import Signals
from cjnode.worker.claiming import Claimant, Claims, Held
from cjnode.worker.element import is_at_walltime, lifetime
from cjnode.worker.holding import Holding
from cjnode.worker.scratch import discard
from cjnode.worker.workplace import Workplace

# How a task of a worker may have ended for good.
FINAL = ("COMPLETED", "FAILED", "TIMEOUT", "OUT_OF_MEMORY")
STOPPED = 143
UNWRITABLE = 74

# Who works: the same for all blocks.
Worker = NamedTuple(
    "Worker", [("root", str), ("submission", Submission), ("setting", Setting), ("claimant", Claimant)]
)


def work(root: str, package_id: str, submission: int, element: int, incarnation: int, job: str) -> int:
    """Run an element of a submission to its end.

    Returns 0 when all its tasks completed, 1 when some did not, 143 after SIGTERM, 74 when the disk is full.
    """
    package = reproduce.load(os.path.join(layout.code_path(root, package_id), ".cj"), package_id)
    _fix_hashes(package, (root, package_id, submission, element, incarnation, job))
    _stand_alone()
    signals = Signals()
    package_path = layout.checked_package(root, package_id)
    found = read_submission(package_path, submission)
    if not found.tasks:
        raise NodeError(found.problem)
    if package.manifest.get("after") and not _may_run(root, found):
        return 0
    folder = os.path.join(package_path, "scratch", "%d-%d-%d" % (submission, element, incarnation))
    if package.manifest["scheduler"] != "local":  # the same element of a job that was submitted twice
        folder += "-" + re.sub("[^0-9A-Za-z]", "", job)
    remarks = datalinks.differences(found.path)

    def place(slot: int) -> Workplace:
        own = _slot_folder(folder, slot)
        return persist(lambda: Workplace(package, own, remarks), lambda: signals.stopping)

    workplace = place(0)
    setting = _setting(package, found, workplace, signals, job, element)
    if package.manifest.get("then_of"):
        _write_table(root, package.manifest["then_of"], found, signals)
    try:
        _prepare(setting, len(found.tasks) // found.elements)
        if found.slots == 1:
            return _run(Worker(root, found, setting, _claimant(setting, found, incarnation, 0, frozenset())))
        return slots.run(found.slots, _slot_of(root, found, setting, incarnation, place), signals)
    except UnwritableError as problem:
        sys.stderr.write("cj: error: element %d gives up: %s\n" % (element, problem))
        return STOPPED if signals.stopping else UNWRITABLE
    finally:
        workplace.remove()
        for slot in range(1, found.slots):  # what a slot left that was killed
            discard(_slot_folder(folder, slot), _slot_folder(folder, slot) + ".trash")


def _setting(
    package: Package, submission: Submission, workplace: Workplace, signals: Signals, job: str, element: int
) -> Setting:
    local = package.manifest["scheduler"] == "local"
    asked = submission.resources or package.manifest["resources"]
    limit = asked["walltime_s"]
    setting = Setting(
        package,
        workplace,
        signals,
        Cancelled(blocks.cancel_folder(submission.path), submission.elements * submission.slots),
        socket.gethostname(),
        job,
        element,
        layout.job_name(package.package_id, submission.number),
        observed.of_this_process(os.path.dirname(os.path.dirname(submission.path))),
        limit if local else None,
        asked.get("memory_mb") if local else None,
        None if local else lifetime(limit, package.manifest["scheduler"] != "sge"),
        (),
    )
    return turns.with_resources(setting, asked) if submission.resources else setting


def _slot_folder(folder: str, slot: int) -> str:
    return folder + ("-s%d" % slot if slot else "")


def _slot_of(
    root: str, found: Submission, setting: Setting, incarnation: int, place: Callable[[int], Workplace]
) -> slots.Body:
    """What runs one slot of an element, in a process of its own that has imported already."""

    def body(slot: int, dead: FrozenSet[int]) -> int:
        prison.adopt_orphans()
        own = setting._replace(signals=Signals(), workplace=place(slot))
        try:
            return _run(Worker(root, found, own, _claimant(own, found, incarnation, slot, dead)))
        except UnwritableError as problem:
            sys.stderr.write("cj: error: element %d gives up: %s\n" % (setting.element, problem))
            return STOPPED if own.signals.stopping else UNWRITABLE
        finally:
            own.workplace.remove()

    return body


def _may_run(root: str, found: Submission) -> bool:
    """Whether the packages that the submission waits for have ended as it was asked."""
    intent = read_json(os.path.join(found.path, "intent.json")) or {}
    if not intent.get("after"):
        return True
    from cjnode.status.gate import may_run

    return may_run(root, found.path, intent)


def _write_table(root: str, then_of: Dict[str, Any], found: Submission, signals: Signals) -> None:
    """Give the tasks the table of the package after which they run, as ``CJ_TABLE``."""
    path = os.path.join(found.path, "table.jsonl")
    from cjnode.worker.table import write

    persist(lambda: write(root, then_of, path), lambda: signals.stopping)
    os.environ["CJ_TABLE"] = path


def _fix_hashes(package: reproduce.Package, arguments: Tuple[object, ...]) -> None:
    """Start this process again with the package's hash seed: forked tasks can have no other."""
    wanted = "%d" % hash_seed(package.manifest["seed"])
    if package.manifest["program"]["kind"] == "command" or os.environ.get("PYTHONHASHSEED") == wanted:
        return
    call = processes.call("cjnode.worker.work", "work", arguments)
    sys.stdout.flush()
    sys.stderr.flush()
    environment = dict(os.environ, PYTHONHASHSEED=wanted)
    os.execve(call[0], call, environment)


def _stand_alone() -> None:
    """No input, orphans of tasks as own children, and every task's variables free of the element's."""
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    prison.adopt_orphans()
    os.chdir("/")
    for name in ("CJ_ELEMENT", "CJ_INCARNATION", "CJ_RESTARTS", "CJ_SUBMITTING"):
        os.environ.pop(name, None)


def _prepare(setting: Setting, tasks: int) -> None:
    """Import what the tasks will, under the variables that all of them have."""
    common = attempt.variables(setting, reproduce.task(setting.package, 1), 1)
    for name in reproduce.THREADS:
        os.environ[name] = common[name]
    preload.prepare(setting.package, tasks)


def _claimant(
    setting: Setting, submission: Submission, incarnation: int, slot: int, dead: FrozenSet[int]
) -> Claimant:
    """Who claims the blocks.

    On a real scheduler an element with a block of its own does not go on with others': its walltime is for
    that one, and it would go on with a job that is held.
    """
    claim = Claim(setting.job, setting.element, incarnation, setting.host, os.getpid())
    local = setting.package.manifest["scheduler"] == "local"
    ranks = submission.elements * submission.slots
    rank = (setting.element - 1) * submission.slots + slot
    takes_any = local or partition.count(submission.partition) > ranks or rank >= ranks
    return Claimant(claim, rank, ranks, takes_any, dead)


def _run(worker: Worker) -> int:
    states: List[str] = []
    setting, submission = worker.setting, worker.submission
    claims = Claims(
        submission,
        worker.claimant,
        setting.life,
        lambda: setting.signals.stopping,
        lambda block: turns.is_due(setting, submission, block),
    )
    claims.ending.asks.look()
    while not setting.signals.stopping and not claims.ending.is_due():
        held = claims.next()
        if held is None:
            break
        ended = _run_block(worker, claims, held)
        states += ended
        claims.ending.asks.look()  # a pause may be over
    if claims.ending.is_due() or (setting.signals.stopping and _is_timed_out(setting)):
        _hand_on(worker, claims, states)
    if setting.signals.stopping:
        return STOPPED
    return 0 if all(state == "COMPLETED" for state in states) else 1


def _is_timed_out(setting: Setting) -> bool:
    return setting.life is not None and is_at_walltime(setting.life, setting.signals.number)


def _hand_on(worker: Worker, claims: Claims, states: List[str]) -> None:
    """Say that what is open waits for others, when this worker ends before all is done.

    A successor is submitted where that was asked for and the time came; not by who got nothing done.
    """
    claims.board.look(surely=True)
    asks = claims.ending.asks
    if not claims.board.free or not (worker.claimant.takes_any or asks.is_paused):
        return
    try:
        create_once(blocks.stopped_path(worker.submission.path), b"")
    except OSError as problem:
        sys.stderr.write("cj: error: %s\n" % problem)
    setting = worker.setting
    wanted = setting.package.manifest.get("until_done") and not (asks.is_stopped or asks.is_paused)
    if wanted and setting.life is not None and any(state in FINAL for state in states):
        from cjnode.submission.successor import submit

        submit(worker.root, setting.package.package_id, worker.submission, setting.element)


def _is_broken_off(setting: Setting, held: Held, states: List[str]) -> bool:
    """Whether something of a block is left for others to run."""
    rest = held.holding.turns[len(states) :]
    if held.holding.is_left or states[-1:] == ["NODE_FAIL"]:
        return True
    return any(not setting.cancelled.has_now(turn.task) for turn in rest)


def _run_block(worker: Worker, claims: Claims, held: Held) -> List[str]:
    journal = held.journal

    def run(setting: Setting, holding: Holding, careful: bool) -> List[str]:
        if setting.package.manifest["program"]["kind"] == "function":
            return inprocess.run_block(setting, journal, holding, careful)
        return _run_one_by_one(setting, journal, holding)

    try:
        if held.died is not None:
            attempt.bury(worker.setting, journal, held.died)
        states = turns.run_block(worker.setting, worker.submission, claims, held, run)
    except UnwritableError:
        journal.forget_uncommitted()
        journal.abandon()
        raise
    journal.sync()
    if _is_broken_off(worker.setting, held, states):
        claims.board.let_go(held.chosen.block, held.chosen.generation)
    journal.close()
    return states


def _run_one_by_one(setting: Setting, journal: Journal, holding: Holding) -> List[str]:
    states: List[str] = []

    def meanwhile() -> None:
        holding.look(journal.touch)

    while len(states) < len(holding.turns) and not setting.signals.stopping:
        turn = holding.turns[len(states)]
        holding.begins(len(states) + 1)
        if setting.cancelled.has(turn.task):
            attempt.skip(setting, journal, reproduce.task(setting.package, turn.task), turn.attempt)
            states.append("CANCELLED")
        else:
            states.append(attempt.run(setting, journal, turn.task, turn.attempt, meanwhile))
        holding.ended(len(states))
        meanwhile()
    return states
