"""What becomes of a submission's open tasks: by its claims, and by what the scheduler says of its jobs."""

import os
from typing import TYPE_CHECKING, Dict, List, NamedTuple, Set

from cjnode.jobs import ends
from cjnode.jobs.answers import Answer, between_s
from cjnode.jobs.ends import Memory
from cjnode.jobs.parts import Part
from cjnode.jobs.submissions import Submission, log_tails
from cjnode.records.blocks import stopped_path
from cjnode.records.partition import first_elements
from cjnode.schedulers import Account, Status
from cjnode.status.opentasks import Where, lost, open_tasks
from cjnode.status.progress import (
    Holder,
    Open,
    Progress,
    began,
    board_of,
    holders,
    jobs_of,
    positions,
    read_records,
    unsettled,
    waits,
)
from cjnode.status.sight import Sight, ask, elements_of, indices, look_at, why_waiting

if TYPE_CHECKING:
    from cjnode.status.due import Due

Settled = NamedTuple(
    "Settled",
    [
        ("opened", Dict[int, Open]),
        ("is_early", bool),  # records may yet come to sight
        ("reasons", Dict[str, int]),  # why elements wait, in plain words
        ("due", "List[Due]"),  # what further submissions are to run again
        ("left", int),  # tasks that wait for workers that somebody must add
    ],
)


def settle_all(root: str, looked: List[Progress], fresh: bool) -> List[Settled]:
    """What the open tasks of each package are now, by one query."""
    scheduler, answer = ask(root, looked, fresh)
    found = []
    for progress in looked:
        together = Settled({}, False, {}, [], 0)
        for submission in progress.submissions:
            if unsettled(progress, submission):
                one = settle(root, scheduler, progress, submission, answer)
                together.opened.update(one.opened)
                together = together._replace(
                    is_early=together.is_early or one.is_early,
                    due=together.due + one.due,
                    left=together.left + one.left,
                )
                for words, elements in one.reasons.items():
                    together.reasons[words] = together.reasons.get(words, 0) + elements
        found.append(together)
    return found


def settle(root: str, scheduler: str, progress: Progress, submission: Submission, answer: Answer) -> Settled:
    """What the submission's open tasks are now."""
    sight = look_at(root, scheduler, progress, submission, answer)
    if sight.gone:
        # What the job wrote between our reading and the scheduler's answer counts.
        read_records(progress, submission)
    left_off = sight.gone and os.path.exists(stopped_path(submission.path))
    stillborn = sight.gone and not left_off and not began(submission)
    stopped = sight.lost and left_off
    if waits(progress, submission) and (sight.lost or stillborn) and not stopped:
        progress.problems.append(_gone_words(jobs_of(submission), sight.lost, scheduler))
        progress.problems.extend(log_tails(submission))
    if answer.trouble and jobs_of(submission) and not sight.lost:
        progress.problems.append(answer.trouble)
    board = board_of(submission)
    placed = positions(progress, submission, board.cuts)
    blocks = set(placed.values())
    free = {each.block for each in board.free if each.generation > 1}
    where = Where(placed, first_elements(submission.partition, blocks, submission.elements), free)
    held = holders(submission, board, blocks)
    memory = _learn(root, scheduler, submission, sight, answer, held, where, stillborn)
    ended = _ended(memory, answer, scheduler)
    opened = open_tasks(progress, submission, sight, held, where, ended)
    is_early = stillborn and not sight.lost
    if is_early:
        # Records may come to sight late on a shared file system: it is told, but not for good yet.
        early = {task: ended.get(where.elements[block]) for task, block in placed.items()}
        opened.update((task, lost(opened[task], end)) for task, end in early.items() if end is not None)
    due = []
    if progress.manifest.get("retry"):
        from cjnode.status.due import View, take_up  # few packages want it

        mine = {block: holder for block, holder in held.items() if block not in free}
        due = take_up(View(progress, submission, sight, mine, placed, ended), opened)
    left = sum(1 for known in opened.values() if known.state == "PENDING") - len(due) if stopped else 0
    if left:
        words = "no worker is left for %d tasks: git cj workers %s +N"
        progress.problems.append(words % (left, progress.package[:8]))
    return Settled(opened, is_early, why_waiting(scheduler, sight), due, left)


def _gone_words(jobs: List[str], is_lost: bool, scheduler: str) -> str:
    words = "job %s is gone" % ", ".join(jobs)
    if is_lost:
        return words + ": git cj retry runs again what it left"
    wait = "git cj state in %d s says for good what is lost" % ends.grace_s(scheduler)
    return "%s, and no task was begun; %s" % (words, wait)


def _learn(
    root: str,
    scheduler: str,
    submission: Submission,
    sight: Sight,
    answer: Answer,
    held: Dict[int, Holder],
    where: Where,
    stillborn: bool,
) -> Memory:
    """What is known of the elements that have open tasks, written down for the time it cannot be asked."""
    before = ends.remember(submission)
    if scheduler == "local" or not where.blocks:
        return before
    of_interest = {holder.element for holder in held.values()}
    of_interest |= {element for block, element in where.elements.items() if block not in held}
    ended, unseen, accounted = dict(before.ended), dict(before.unseen), list(before.accounted)
    for part in sight.parts:
        status = sight.alive.get(part.number) or (answer.words or {}).get(part.job or "")
        if status is not None:
            _see(part, status, answer, of_interest, held, ended, unseen)
    late = [each for each in unseen if _late(unseen[each], answer, scheduler) and each not in ended]
    asked = [part for part in sight.parts if any(each in elements_of(part) for each in late)]
    if sight.lost:
        asked += [part for part in sight.parts if part.job is not None and part.job not in accounted]
        accounted += [part.job for part in asked if part.job is not None and part.job not in accounted]
    elif stillborn:
        asked += [part for part in sight.parts if of_interest.intersection(elements_of(part)) - set(ended)]
    if asked:
        told = ends.account(root, scheduler, asked)
        ended.update({element: end for element, end in told.items() if element in of_interest})
        for element in late:
            ended.setdefault(element, Account("LOST", None, "", None))
    memory = Memory(ended, unseen, accounted)
    try:
        ends.write_down(submission, before, memory)
    except OSError:
        pass  # a full disk: it is asked again
    return memory


def _see(
    part: Part,
    status: Status,
    answer: Answer,
    of_interest: Set[int],
    held: Dict[int, Holder],
    ended: Dict[int, Account],
    unseen: Dict[int, str],
) -> None:
    """Take in what the scheduler lists of a part's elements."""
    found = ends.listed_ends(part, status)
    waiting = indices(status.waiting)
    at_work = {holder.element for holder in held.values() if holder.now.task and holder.job == part.job}
    for element in of_interest.intersection(elements_of(part)):
        index = element - part.first + 1
        if element in found:
            ended[element] = found[element]
        elif index in status.elements or index in waiting:
            ended.pop(element, None)  # started again
        is_seen = index in status.elements or index in waiting
        if element in at_work and (not is_seen or (element in found and found[element].state == "COMPLETED")):
            if status.elements or status.waiting:
                unseen[element] = min(unseen.get(element, answer.at), answer.at)  # a clock may be set back
        else:
            unseen.pop(element, None)


def _late(since: str, answer: Answer, scheduler: str) -> bool:
    try:
        return between_s(since, answer.at) >= ends.grace_s(scheduler)
    except ValueError:
        return False


def _ended(memory: Memory, answer: Answer, scheduler: str) -> Dict[int, Account]:
    """How elements ended; one that completed without a record is lost after the grace period."""
    found = dict(memory.ended)
    for element, end in memory.ended.items():
        if end.state == "COMPLETED":
            if element in memory.unseen and _late(memory.unseen[element], answer, scheduler):
                found[element] = Account("LOST", None, "its element ended without a record", None)
            else:
                del found[element]
    return found
