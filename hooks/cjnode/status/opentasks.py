"""The tasks of a submission that have not ended: whether each waits, runs, or is lost."""

import os
from itertools import groupby
from typing import Dict, NamedTuple, Optional, Set

from cjnode.jobs.submissions import Submission
from cjnode.records.blocks import stopped_path
from cjnode.schedulers import Account
from cjnode.status.progress import Holder, Open, Progress, recorded
from cjnode.status.sight import WAITING, Sight, elements_of

Where = NamedTuple(
    "Where",
    [
        ("blocks", Dict[int, int]),  # each open task's block, in the order of places
        ("elements", Dict[int, int]),  # who comes to a block first
        ("free", Set[int]),  # blocks that their last holder let go
    ],
)

# Who runs the tasks of a block that are open.
Turn = NamedTuple(
    "Turn",
    [
        ("is_free", bool),  # its last holder let it go
        ("holder", Optional[Holder]),
        ("element", int),
        ("end", Optional[Account]),  # of the element
        ("may_come", bool),  # after all jobs have ended: workers that somebody adds
    ],
)

# A task whose worker was asked to end has the record NODE_FAIL; why it was asked the scheduler alone knows.
OUTRANKS = ("CANCELLED", "TIMEOUT", "OUT_OF_MEMORY")


def open_tasks(
    progress: Progress,
    submission: Submission,
    sight: Sight,
    held: Dict[int, Holder],
    where: Where,
    ended: Dict[int, Account],
) -> Dict[int, Open]:
    """What each open task is now."""
    number = submission.number
    cancelled, retried = progress.cancelled[number], progress.retried[number]
    opened: Dict[int, Open] = {}
    may_come = sight.lost and os.path.exists(stopped_path(submission.path))
    # Where nobody comes, who held a block last says how it ended.
    free = where.free if sight.alive or may_come else set()
    for block, tasks in groupby(where.blocks, where.blocks.get):
        assert block is not None
        holder = None if block in free else held.get(block)
        element = holder.element if holder else where.elements[block]
        # Of a block that is free whoever comes runs the tasks.
        turn = Turn(block in free, holder, element, None if block in free else ended.get(element), may_come)
        resting = _not_begun(sight, turn, submission.attempt)
        for task in tasks:
            if task in retried or (holder and holder.now.task == task):
                known = _open_again(progress, submission, sight, turn, task)
            else:
                known = resting
            if known is None:
                continue  # its record stands: nobody here will run it again
            if task in cancelled and not (known.state == "RUNNING" and sight.alive):
                known = known._replace(state="CANCELLED")  # who runs may come to its end before it is ended
            opened[task] = known
    return opened


def _open_again(
    progress: Progress, submission: Submission, sight: Sight, turn: Turn, task: int
) -> Optional[Open]:
    """A task that its block's holder is at, or that has a record and may run again; None: it will not."""
    retried = progress.retried[submission.number]
    holder, end = turn.holder, turn.end
    attempt = retried.get(task, submission.attempt)
    is_at_it = holder is not None and holder.now.task == task and holder.now.attempt >= attempt
    # One that was at a further attempt lost that one: its number is not for another to have.
    if task in retried and not turn.is_free and not is_at_it and (end is not None or not sight.alive):
        if holder is not None and end is not None and _outranks(progress, submission, task, end):
            return _ending(_at_rest(sight, turn.element, attempt - 1, holder), end)
        return None
    if holder is not None and is_at_it:
        return _at_work(holder, end, sight)
    return _not_begun(sight, turn, attempt)


def _not_begun(sight: Sight, turn: Turn, attempt: int) -> Open:
    """A task that nobody has begun: it waits, or is lost with the jobs."""
    known = _at_rest(sight, turn.element, attempt, turn.holder)
    if not sight.lost:
        return known
    if turn.may_come and (turn.holder is None or turn.holder.now.task == 0):
        return known._replace(state="PENDING")
    known = known._replace(state="LOST")
    return known if turn.end is None else lost(known, turn.end)


def _at_work(holder: Holder, end: Optional[Account], sight: Sight) -> Open:
    now = holder.now
    known = Open("RUNNING", now.attempt, holder.job, now.started or None, holder.host, None, None, None)
    if end is not None:
        return _ending(known, end)
    return known._replace(state="LOST") if sight.lost else known


def _outranks(progress: Progress, submission: Submission, task: int, end: Account) -> bool:
    known = recorded(progress, submission, task)
    return end.state in OUTRANKS and known is not None and known.state == "NODE_FAIL"


def _ending(known: Open, end: Account) -> Open:
    note = "the scheduler says %s" % end.state
    if end.reason not in ("", "None"):
        note += ": " + end.reason
    if end.state == "LOST":
        note = end.reason
    return known._replace(
        state=end.state, exit_code=end.exit_code, note=note or None, max_rss_mb=end.max_rss_mb
    )


def _at_rest(sight: Sight, element: int, attempt: int, holder: Optional[Holder]) -> Open:
    """A task that nobody runs now, as the element waits that would run it."""
    part = next((each for each in sight.parts if element in elements_of(each)), None)
    state, job = "PENDING", part.job if part else None
    if part is not None and (part.job is None or sight.after):
        state = "HELD" if sight.held else "WAITING" if sight.after else state
    status = sight.alive.get(part.number) if part else None
    if part is not None and status is not None:
        alone = status.elements.get(element - part.first + 1)
        word = alone.state if alone else status.state
        state = word if word in WAITING else "PENDING"
    return Open(state, attempt, holder.job if holder else job, None, None, None, None, None)


def lost(known: Open, end: Account) -> Open:
    """A task that its element never came to."""
    state = "CANCELLED" if "CANCELLED" in (known.state, end.state) else "LOST"
    return _ending(known, end)._replace(state=state)
