"""A submission's workers: what its claims, its files' times and the scheduler tell of each."""

import binascii
import os
from typing import Dict, List, NamedTuple, Optional, Set, Tuple

from cjnode import processes, schedulers
from cjnode.jobs import answers
from cjnode.jobs.answers import Answer
from cjnode.jobs.parts import Part, jobs
from cjnode.jobs.submissions import Submission
from cjnode.records import blocks, claims, layout
from cjnode.records.board import Board, Free
from cjnode.records.claims import Claim, Current
from cjnode.status.progress import board_of
from cjnode.status.sight import elements_of, indices

# How an element is, in the scheduler's view: RUNNING, PENDING or ENDED; empty where it does not say.
States = Dict[int, str]

# A claim as it stands: its holder and what that is at (None: it cannot be read), and the seconds since it
# was changed, by the clock of the file system alone.
Held = NamedTuple(
    "Held",
    [("free", Free), ("holder", Optional[Claim]), ("now", Current), ("age_s", float)],
)

Worker = NamedTuple(
    "Worker",
    [
        ("element", int),
        ("job", Optional[str]),
        ("state", str),
        ("host", Optional[str]),
        ("block", Optional[int]),
        ("task", Optional[int]),
        ("done", int),  # tasks, those it was at when it died not counted
        ("silent_s", Optional[float]),  # since it last showed that it lives
    ],
)


def ask(root: str, scheduler: str, submission: Submission) -> Answer:
    """What the scheduler says of a submission's jobs now."""
    return answers.ask(root, scheduler, jobs(submission.parts), True)


def alive(root: str, submissions: List[Submission]) -> int:
    """How many elements run, by what the scheduler said last."""
    scheduler, found = layout.scheduler(root), 0
    for submission in submissions:
        known = jobs(submission.parts)
        if known:
            answer = answers.ask(root, scheduler, known, False)
            told = states(root, scheduler, submission, answer)
            found += sum(1 for state in told.values() if state == "RUNNING")
    return found


def states(root: str, scheduler: str, submission: Submission, answer: Answer) -> States:
    """How each element is, as far as the scheduler says."""
    found: States = {}
    for part in submission.parts:
        if part.job is None:
            found.update(dict.fromkeys(elements_of(part), "PENDING"))
        elif scheduler == "local":
            found.update(_of_pool(root, part))
        else:
            found.update(_of_job(part, answer))
    return found


def _of_job(part: Part, answer: Answer) -> States:
    if answer.words is None or part.job not in answer.jobs:
        return dict.fromkeys(elements_of(part), "")
    status = answer.words.get(part.job or "")
    if status is None or status.state == "ENDED":
        return dict.fromkeys(elements_of(part), "ENDED")
    waiting = indices(status.waiting)
    tells = bool(status.elements or waiting)
    found = {}
    for index, element in enumerate(elements_of(part), 1):
        alone = status.elements.get(index)
        if alone is not None:
            word = alone.state
        elif index in waiting:
            word = "PENDING"
        else:
            word = "ENDED" if tells else status.state
        found[element] = word if word in ("RUNNING", "ENDED") else _plain(word)
    return found


def _plain(word: str) -> str:
    return "PENDING" if word in ("PENDING", "HELD", "WAITING") else "ENDED"


def _of_pool(root: str, part: Part) -> States:
    localjobs = schedulers.module("local").localjobs
    folder = localjobs.job_folder(root, part.job)
    owner = localjobs.owner(folder)
    begins = not localjobs.is_done(folder) and owner is not None and processes.alive(owner)
    lives: Set[Tuple[int, bool]] = localjobs.living(folder)
    started = {element for element, _ in lives}
    found = {}
    for element in elements_of(part):
        if (element, True) in lives:
            found[element] = "RUNNING"
        else:
            found[element] = "PENDING" if begins and element not in started else "ENDED"
    return found


def newest_claims(submission: Submission, board: Board) -> List[Held]:
    """The newest claims of all blocks."""
    if not board.held:
        return []
    now = _file_system_time(blocks.blocks_folder(submission.path))
    found = []
    for free in board.held:
        path = blocks.block_path(submission.path, free.block, free.generation, "claim")
        claim: Optional[Tuple[Claim, Current]] = claims.read_claim(path)
        try:
            age_s = now - os.stat(path).st_mtime
        except OSError:
            continue
        found.append(Held(free, claim[0] if claim else None, claim[1] if claim else Current(0, 0, ""), age_s))
    return found


def _file_system_time(folder: str) -> float:
    """The time by the clock that gives files theirs: other machines' clocks may be an hour off."""
    probe = os.path.join(folder, ".%s.tmp" % binascii.hexlify(os.urandom(6)).decode("ascii"))
    fd = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        return os.fstat(fd).st_mtime
    finally:
        os.close(fd)
        os.unlink(probe)


def is_closed(held: Held) -> bool:
    """Whether the holder is done with its block."""
    return held.now.task == 0 and bool(held.now.started)


def workers(root: str, scheduler: str, submission: Submission) -> List[Worker]:
    """Every element that began, or that the scheduler says to run or to wait, by number."""
    known = states(root, scheduler, submission, ask(root, scheduler, submission))
    board = board_of(submission)
    found: Dict[int, Worker] = {}
    for held in newest_claims(submission, board):
        if held.holder is not None:
            element = held.holder.element
            before = found.get(element)
            found[element] = _with(before, held, submission, board, known.get(element, ""))
    job_of = {element: part.job for part in submission.parts for element in elements_of(part)}
    for element, state in known.items():
        if element not in found and state in ("RUNNING", "PENDING"):
            found[element] = Worker(element, job_of[element], state, None, None, None, 0, None)
    return [found[element] for element in sorted(found)]


def _with(before: Optional[Worker], held: Held, submission: Submission, board: Board, state: str) -> Worker:
    """An element with one more of its claims taken into account."""
    assert held.holder is not None
    places = board.places(held.free.block)
    begun = len(places)
    if not is_closed(held):
        tasks = submission.tasks[places.start : places.stop]
        begun = tasks.index(held.now.task) if held.now.task in tasks else 0
    silent_s = max(0.0, round(held.age_s, 1))
    done = begun + (before.done if before else 0)
    if before is not None and (is_closed(held) or before.task is not None):
        return before._replace(done=done, silent_s=min(silent_s, before.silent_s or silent_s))
    block, task = (None, None) if is_closed(held) else (held.free.block, held.now.task or None)
    holder = held.holder
    return Worker(holder.element, holder.job, state, holder.host, block, task, done, silent_s)
