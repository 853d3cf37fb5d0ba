"""The verb ``work``: one element of a job claims blocks of tasks and runs them."""

import os
import re
import socket
import sys
from typing import Dict, Iterator, List, NamedTuple, Optional, Tuple

from cjnode import attempt, blocks, datalinks, inprocess, layout, observed, preload, prison, reproduce
from cjnode.attempt import Setting
from cjnode.attempts import Attempt, read_attempts
from cjnode.blocks import Claim, Current
from cjnode.cancelling import Cancelled
from cjnode.children import Signals
from cjnode.element import has_room, lifetime
from cjnode.errors import NodeError
from cjnode.files import create_once, read_json
from cjnode.inprocess import Turn
from cjnode.journal import Journal, Place, UnwritableError, persist
from cjnode.leftovers import what_is_open
from cjnode.points import LARGEST_TASK
from cjnode.seeds import hash_seed
from cjnode.submissions import Submission, read_submission
from cjnode.workplace import Workplace

STOPPED = 143
UNWRITABLE = 74

# Who works: the same for all blocks.
Worker = NamedTuple(
    "Worker", [("submission", Submission), ("setting", Setting), ("incarnation", int), ("elements", int)]
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
    local = package.manifest["scheduler"] == "local"
    folder = os.path.join(package_path, "scratch", "%d-%d-%d" % (submission, element, incarnation))
    if not local:  # the same element of a job that was submitted twice
        folder += "-" + re.sub("[^0-9A-Za-z]", "", job)
    remarks = datalinks.differences(found.path)
    workplace = persist(lambda: Workplace(package, folder, remarks), lambda: signals.stopping)
    limit = package.manifest["resources"]["walltime_s"]
    setting = Setting(
        package,
        workplace,
        signals,
        Cancelled(blocks.cancel_folder(found.path)),
        socket.gethostname(),
        job,
        element,
        layout.job_name(package_id, submission),
        observed.of_this_process(package_path),
        limit if local else None,
        None if local else lifetime(limit),
    )
    elements = _elements(found)
    try:
        _prepare(setting, len(found.tasks) // elements)
        return _run(Worker(found, setting, incarnation, elements))
    except UnwritableError as problem:
        sys.stderr.write("cj: error: element %d gives up: %s\n" % (element, problem))
        return STOPPED if signals.stopping else UNWRITABLE
    finally:
        workplace.remove()


def _fix_hashes(package: reproduce.Package, arguments: Tuple[object, ...]) -> None:
    """Start this process again with the package's hash seed: forked tasks can have no other."""
    wanted = "%d" % hash_seed(package.manifest["seed"])
    if package.manifest["program"]["kind"] == "command" or os.environ.get("PYTHONHASHSEED") == wanted:
        return
    home = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    code = "import sys; sys.path.insert(0, %r); from cjnode.work import work; sys.exit(work(*%r))"
    sys.stdout.flush()
    sys.stderr.flush()
    environment = dict(os.environ, PYTHONHASHSEED=wanted)
    os.execve(sys.executable, [sys.executable, "-c", code % (home, arguments)], environment)


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


def _elements(submission: Submission) -> int:
    intent = read_json(os.path.join(submission.path, "intent.json"))
    return int(intent["elements"]) if intent else 1


def _run(worker: Worker) -> int:
    states: List[str] = []
    life, longest_s = worker.setting.life, 0.0
    for generation, block in _todo(worker):
        if worker.setting.signals.stopping:
            break
        if life is not None and states and not has_room(life, longest_s, worker.submission.block):
            break  # a task would be cut off by this element's age, and another element may have time for it
        ended = _claim_and_run(worker, block, generation)
        if ended and life is not None and life.walltime_s is not None:
            longest_s = max(longest_s, _longest_s(worker, block, generation))
        states += ended
    else:
        if life is not None and _takes_any(worker):
            # The elements that have not started need not start Python to find nothing.
            create_once(blocks.exhausted_path(worker.submission.path), b"")
    if worker.setting.signals.stopping:
        return STOPPED
    return 0 if all(state == "COMPLETED" for state in states) else 1


def _longest_s(worker: Worker, block: int, generation: int) -> float:
    found: Dict[int, Attempt] = {}
    path = blocks.block_path(worker.submission.path, block, generation, "records")
    read_attempts(path, LARGEST_TASK, False, found)
    return max([each.seconds for each in found.values()] or [0.0])


def _todo(worker: Worker) -> Iterator[Tuple[int, int]]:
    """Generation and block to claim: first what earlier incarnations left, then from the own start on."""
    submission, element = worker.submission, worker.setting.element
    if worker.incarnation > 1:
        for block, generation in sorted(_inherited(worker).items()):
            yield generation + 1, block
    count = _blocks(submission)
    start = (element - 1) * count // worker.elements
    for step in range(count if _takes_any(worker) else 1):
        yield 1, (start + step) % count + 1


def _blocks(submission: Submission) -> int:
    return -(-len(submission.tasks) // submission.block)


def _takes_any(worker: Worker) -> bool:
    """Whether an element goes on with the blocks of others.

    On a real scheduler an element with a block of its own does not: its walltime is for that one, and it
    would go on with a job that is held.
    """
    local = worker.setting.package.manifest["scheduler"] == "local"
    return local or _blocks(worker.submission) > worker.elements


def _inherited(worker: Worker) -> Dict[int, int]:
    """The blocks whose newest claim is of an earlier incarnation of this element: block to generation."""
    newest: Dict[int, int] = {}
    for found in blocks.list_blocks(worker.submission.path, worker.submission.number):
        if found.claim:
            newest[found.id.block] = found.id.generation
    mine = {}
    for block, generation in newest.items():
        holder = _claim_of(worker, block, generation)
        if holder is None:
            continue
        claim = holder[0]
        if claim.job != worker.setting.job:
            continue  # its twin of a job that was submitted twice may live
        if claim.element == worker.setting.element and claim.incarnation < worker.incarnation:
            mine[block] = generation
    return mine


def _claim_of(worker: Worker, block: int, generation: int) -> Optional[Tuple[Claim, Current]]:
    return blocks.read_claim(_claim_path(worker, block, generation))


def _claim_path(worker: Worker, block: int, generation: int) -> str:
    return blocks.block_path(worker.submission.path, block, generation, "claim")


def _claim_and_run(worker: Worker, block: int, generation: int) -> List[str]:
    """Run what is open of a block; nothing when another has it or nothing is open."""
    path = blocks.block_path(worker.submission.path, block, generation, "claim")
    if os.path.exists(path):
        return []
    signals = worker.setting.signals
    died: Optional[Current] = None
    turns = [
        Turn(task, worker.submission.attempt)
        for task in blocks.block_tasks(worker.submission.tasks, worker.submission.block, block)
    ]
    if generation > 1:
        died, turns = what_is_open(worker.submission, block, generation - 1, turns)
        if not turns and died is None:
            return []
    claim = Claim(
        worker.setting.job, worker.setting.element, worker.incarnation, worker.setting.host, os.getpid()
    )
    fd = persist(lambda: blocks.create_claim(path, claim), lambda: signals.stopping)
    if fd is None:
        return []
    place = Place(worker.submission.path, block, generation)
    journal = Journal(place, fd, lambda: signals.stopping)
    return _run_block(worker.setting, journal, died, turns)


def _run_block(setting: Setting, journal: Journal, died: Optional[Current], turns: List[Turn]) -> List[str]:
    try:
        if died is not None:
            attempt.bury(setting, journal, died)
        if setting.package.manifest["program"]["kind"] == "function":
            states = inprocess.run_block(setting, journal, turns)
        else:
            states = _run_one_by_one(setting, journal, turns)
    except UnwritableError:
        journal.forget_uncommitted()
        journal.abandon()
        raise
    journal.close()
    return states


def _run_one_by_one(setting: Setting, journal: Journal, turns: List[Turn]) -> List[str]:
    states = []
    for turn in turns:
        if setting.signals.stopping:
            break
        if setting.cancelled.has(turn.task):
            attempt.skip(setting, journal, reproduce.task(setting.package, turn.task), turn.attempt)
            states.append("CANCELLED")
        else:
            states.append(attempt.run(setting, journal, turn.task, turn.attempt))
    return states
