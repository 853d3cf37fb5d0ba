"""What becomes of a submission's open tasks: by its claims, and by what the scheduler says of its jobs."""

import importlib
import os
from typing import Any, Dict, List, NamedTuple, Optional, Set, Tuple

from cjnode import ends
from cjnode.asked import Answer, between_s
from cjnode.blocks import stopped_path
from cjnode.ends import End, Memory
from cjnode.partition import first_element
from cjnode.parts import Part
from cjnode.progress import (
    Holder,
    Open,
    Progress,
    began,
    board_of,
    holders,
    jobs_of,
    positions,
    read_records,
    recorded,
    unsettled,
    waits,
)
from cjnode.schedulers import Status
from cjnode.sight import WAITING, Sight, ask, elements_of, indices, look_at, why_waiting
from cjnode.submissions import Submission, log_tails

# A task whose worker was asked to end has the record NODE_FAIL; why it was asked the scheduler alone knows.
OUTRANKS = ("CANCELLED", "TIMEOUT", "OUT_OF_MEMORY")

Settled = NamedTuple(
    "Settled",
    [
        ("opened", Dict[int, Open]),
        ("is_early", bool),  # records may yet come to sight
        ("reasons", Dict[str, int]),  # why elements wait, in plain words
        ("due", List[Any]),  # what further submissions are to run again
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
    where = positions(progress, submission)
    held = holders(submission, set(where.values()))
    memory = _learn(root, scheduler, submission, sight, answer, held, where, stillborn)
    ended = _ended(memory, answer, scheduler)
    opened = _open(progress, submission, sight, held, where, ended)
    is_early = stillborn and not sight.lost
    if is_early:
        # Records may come to sight late on a shared file system: it is told, but not for good yet.
        early = {task: ended.get(natural(submission, block)) for task, block in where.items()}
        opened.update((task, _lost(opened[task], end)) for task, end in early.items() if end is not None)
    due = []
    if progress.manifest.get("retry"):
        again = importlib.import_module("cjnode.due")
        free = _left(submission, sight, where)[0]
        mine = {block: holder for block, holder in held.items() if block not in free}
        due = again.take_up(again.View(progress, submission, sight, mine, where, ended), opened)
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


def _lost(known: Open, end: End) -> Open:
    """A task that its element never came to."""
    state = "CANCELLED" if "CANCELLED" in (known.state, end.state) else "LOST"
    return _ending(known, end)._replace(state=state)


def _learn(
    root: str,
    scheduler: str,
    submission: Submission,
    sight: Sight,
    answer: Answer,
    held: Dict[int, Holder],
    where: Dict[int, int],
    stillborn: bool,
) -> Memory:
    """What is known of the elements that have open tasks, written down for the time it cannot be asked."""
    before = ends.remember(submission)
    if scheduler == "local" or not where:
        return before
    of_interest = {holder.element for holder in held.values()}
    of_interest |= {natural(submission, block) for block in set(where.values()) - set(held)}
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
            ended.setdefault(element, End("LOST", None, ""))
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
    ended: Dict[int, End],
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


def _ended(memory: Memory, answer: Answer, scheduler: str) -> Dict[int, End]:
    """How elements ended; one that completed without a record is lost after the grace period."""
    found = dict(memory.ended)
    for element, end in memory.ended.items():
        if end.state == "COMPLETED":
            if element in memory.unseen and _late(memory.unseen[element], answer, scheduler):
                found[element] = End("LOST", None, "its element ended without a record")
            else:
                del found[element]
    return found


def natural(submission: Submission, block: int) -> int:
    """The element that begins with a block, or comes to it first."""
    return first_element(submission.partition, block, submission.elements)


def _open(
    progress: Progress,
    submission: Submission,
    sight: Sight,
    held: Dict[int, Holder],
    where: Dict[int, int],
    ended: Dict[int, End],
) -> Dict[int, Open]:
    number = submission.number
    cancelled, retried = progress.cancelled[number], progress.retried[number]
    goes_on = bool(progress.manifest.get("retry"))  # after an attempt that was cut off
    opened: Dict[int, Open] = {}
    free, waits_for_workers = _left(submission, sight, where)
    if not (sight.alive or waits_for_workers):
        free = set()  # nobody comes: who held a block last says how it ended
    for task, block in where.items():
        holder = None if block in free else held.get(block)
        element = holder.element if holder else natural(submission, block)
        end = ended.get(element)
        attempt = retried.get(task, submission.attempt)
        is_at_it = holder is not None and holder.now.task == task and holder.now.attempt >= attempt
        if block in free:
            end = None  # whoever comes runs it
        elif task in retried and not (is_at_it and goes_on) and (end is not None or not sight.alive):
            if block in held and end is not None and _outranks(progress, submission, task, end):
                opened[task] = _ending(_at_rest(sight, element, attempt - 1, held[block]), end)
            continue  # else its record stands: nobody here will run it again
        known = _at_rest(sight, element, attempt, holder)
        if holder and is_at_it:
            known = _at_work(holder, end, sight)
        elif sight.lost and waits_for_workers and (holder is None or holder.now.task == 0):
            known = known._replace(state="PENDING")
        elif sight.lost:
            known = known._replace(state="LOST")
            if end is not None:
                known = _lost(known, end)
        if task in cancelled and not (known.state == "RUNNING" and sight.alive):
            known = known._replace(state="CANCELLED")  # one that runs may reach its end before it is ended
        opened[task] = known
    return opened


def _at_work(holder: Holder, end: Optional[End], sight: Sight) -> Open:
    now = holder.now
    known = Open("RUNNING", now.attempt, holder.job, now.started or None, holder.host, None, None)
    if end is not None:
        return _ending(known, end)
    return known._replace(state="LOST") if sight.lost else known


def _left(submission: Submission, sight: Sight, where: Dict[int, int]) -> Tuple[Set[int], bool]:
    """Blocks that no worker holds, and whether what is open waits for workers when all have ended."""
    if not where:
        return set(), False
    waits_for_workers = sight.lost and os.path.exists(stopped_path(submission.path))
    return {each.block for each in board_of(submission).free if each.generation > 1}, waits_for_workers


def _outranks(progress: Progress, submission: Submission, task: int, end: End) -> bool:
    known = recorded(progress, submission, task)
    return end.state in OUTRANKS and known is not None and known.state == "NODE_FAIL"


def _ending(known: Open, end: End) -> Open:
    note = "the scheduler says %s" % end.state
    if end.reason not in ("", "None"):
        note += ": " + end.reason
    if end.state == "LOST":
        note = end.reason
    return known._replace(state=end.state, exit_code=end.exit_code, note=note or None)


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
    return Open(state, attempt, holder.job if holder else job, None, None, None, None)
