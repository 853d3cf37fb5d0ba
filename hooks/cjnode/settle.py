"""What becomes of a submission's open tasks: by its claims, and by what the scheduler says of its jobs."""

import os
from typing import Dict, List, NamedTuple, Optional, Set, Tuple

from cjnode import backlog, ends, parts
from cjnode.acting import being_submitted
from cjnode.asked import Answer, between_s
from cjnode.ends import End, Memory
from cjnode.parts import Part
from cjnode.points import parse_tasks
from cjnode.progress import Holder, Open, Progress, began, holders, jobs_of, positions, read_records, waits
from cjnode.schedulers import Status, explain
from cjnode.submissions import Submission, log_tails

WAITING = ("PENDING", "HELD", "WAITING")
# A task whose worker was asked to end has the record NODE_FAIL; why it was asked the scheduler alone knows.
OUTRANKS = ("CANCELLED", "TIMEOUT", "OUT_OF_MEMORY")

# What is known of a submission's jobs.
Sight = NamedTuple(
    "Sight",
    [
        ("parts", List[Part]),
        ("alive", Dict[int, Optional[Status]]),  # parts not known to be gone; None: not listed, not answered
        ("waiting", str),  # why parts wait for their submission; empty: none does
        ("gone", bool),  # every job is out of sight
        ("lost", bool),  # and was so for the grace period
        ("held", bool),  # what is not submitted is held
    ],
)

Settled = NamedTuple(
    "Settled",
    [
        ("opened", Dict[int, Open]),
        ("busy", bool),  # cancelled tasks still run
        ("reasons", Dict[str, int]),  # why elements wait, in plain words
    ],
)


def settle(root: str, scheduler: str, progress: Progress, submission: Submission, answer: Answer) -> Settled:
    """What the submission's open tasks are now."""
    sight = _look(root, scheduler, progress, submission, answer)
    if sight.gone:
        # What the job wrote between our reading and the scheduler's answer counts.
        read_records(progress, submission)
        if waits(progress, submission) and (sight.lost or not began(submission)):
            progress.problems.append("job %s is gone" % ", ".join(jobs_of(submission)))
            progress.problems.extend(log_tails(submission))
    if answer.trouble and jobs_of(submission) and not sight.lost:
        progress.problems.append(answer.trouble)
    where = positions(progress, submission)
    held = holders(submission, set(where.values()))
    memory = _learn(root, scheduler, submission, sight, answer, held, where)
    opened, busy = _open(progress, submission, sight, held, where, _ended(memory, answer, scheduler))
    return Settled(opened, busy, _reasons(scheduler, sight))


def _look(root: str, scheduler: str, progress: Progress, submission: Submission, answer: Answer) -> Sight:
    listed = submission.parts
    if not parts.jobs(listed):  # the receipt was cut off, and elements are at work
        claimed = jobs_of(submission)
        if claimed:
            listed = [Part(1, 1, submission.elements, claimed[0])]
    alive: Dict[int, Optional[Status]] = {}
    fading = False
    for part in listed:
        if part.job is None or ends.seen_gone(submission, part.number)[1]:
            continue
        status = (answer.words or {}).get(part.job)
        if status is not None and status.state != "ENDED":
            alive[part.number] = status
            ends.forget_gone(submission, part.number)
        elif answer.words is None or part.job not in answer.jobs:
            alive[part.number] = None
        else:
            fading = _fades(progress, submission, part, answer, scheduler) or fading
    waiting = _waiting(root, progress, submission, listed)
    jobs = parts.jobs(listed)
    gone = bool(jobs) and not alive and not waiting
    held = os.path.exists(os.path.join(submission.path, "held"))
    return Sight(listed, alive, waiting, gone, gone and not fading, held)


def _fades(progress: Progress, submission: Submission, part: Part, answer: Answer, scheduler: str) -> bool:
    """Note that a part is not to be seen; whether that may still be an error."""
    try:
        return not ends.note_gone(submission, part.number, answer.at, ends.grace_s(scheduler))
    except OSError as problem:
        progress.problems.append("gone.json cannot be written: %s" % problem.strerror)
        return True


def _waiting(root: str, progress: Progress, submission: Submission, listed: List[Part]) -> str:
    """Why parts are not with the scheduler, when they are to come there."""
    rest = [part for part in listed if part.job is None]
    if not rest:
        return ""
    why = backlog.why_waiting(root, progress.package, submission.number)
    if being_submitted(submission.path, rest[0].number):
        why = "it is being submitted"
    return "" if why is None else why or "it is not submitted yet"


def _learn(
    root: str,
    scheduler: str,
    submission: Submission,
    sight: Sight,
    answer: Answer,
    held: Dict[int, Holder],
    where: Dict[int, int],
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
    asked = [part for part in sight.parts if any(each in _elements(part) for each in late)]
    if sight.lost:
        asked += [part for part in sight.parts if part.job is not None and part.job not in accounted]
        accounted += [part.job for part in asked if part.job is not None and part.job not in accounted]
    if asked:
        told = ends.account(root, scheduler, asked)
        ended.update({element: end for element, end in told.items() if element in of_interest})
        for element in late:
            ended.setdefault(element, End("LOST", None, ""))
    memory = Memory(ended, unseen, accounted)
    ends.write_down(submission, before, memory)
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
    waiting = _indices(status.waiting)
    at_work = {holder.element for holder in held.values() if holder.now.task and holder.job == part.job}
    for element in of_interest.intersection(_elements(part)):
        index = element - part.first + 1
        if element in found:
            ended[element] = found[element]
        elif index in status.elements or index in waiting:
            ended.pop(element, None)  # started again
        is_seen = index in status.elements or index in waiting
        if element in at_work and (not is_seen or (element in found and found[element].state == "COMPLETED")):
            if status.elements or status.waiting:
                unseen.setdefault(element, answer.at)
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


def _elements(part: Part) -> range:
    return range(part.first, part.first + part.elements)


def _indices(waiting: str) -> Set[int]:
    try:
        return set(parse_tasks(waiting)) if waiting else set()
    except ValueError:
        return set()


def natural(submission: Submission, block: int) -> int:
    """The element that begins with a block, or comes to it first."""
    count = -(-len(submission.tasks) // submission.block)
    return (block * submission.elements - 1) // count + 1


def _open(
    progress: Progress,
    submission: Submission,
    sight: Sight,
    held: Dict[int, Holder],
    where: Dict[int, int],
    ended: Dict[int, End],
) -> Tuple[Dict[int, Open], bool]:
    number = submission.number
    cancelled, retried = progress.cancelled[number], progress.retried[number]
    opened: Dict[int, Open] = {}
    busy = False
    for task, block in where.items():
        holder = held.get(block)
        element = holder.element if holder else natural(submission, block)
        end = ended.get(element)
        attempt = retried.get(task, submission.attempt)
        if task in retried and (end is not None or not sight.alive):
            if holder and end is not None and end.state in OUTRANKS:
                opened[task] = _ending(_at_rest(sight, element, attempt - 1, holder), end)
            continue  # else its record stands: nobody will run it again
        known = _at_rest(sight, element, attempt, holder)
        now = holder.now if holder else None
        if holder and now and now.task == task and now.attempt >= attempt:
            known = Open("RUNNING", now.attempt, holder.job, now.started or None, holder.host, None, None)
            if end is not None:
                known = _ending(known, end)
            elif sight.lost:
                known = known._replace(state="LOST")
            elif sight.alive:
                busy = True
        elif sight.lost:
            known = known._replace(state="LOST")
            if end is not None:
                known = _ending(known, end)._replace(
                    state="CANCELLED" if end.state == "CANCELLED" else "LOST"
                )
        opened[task] = known._replace(state="CANCELLED") if task in cancelled else known
    return opened, busy


def _ending(known: Open, end: End) -> Open:
    note = "the scheduler says %s" % end.state
    if end.reason not in ("", "None"):
        note += ": " + end.reason
    if end.state == "LOST":
        note = end.reason
    return known._replace(state=end.state, exit_code=end.exit_code, note=note or None)


def _at_rest(sight: Sight, element: int, attempt: int, holder: Optional[Holder]) -> Open:
    """A task that nobody runs now, as the element waits that would run it."""
    part = next((each for each in sight.parts if element in _elements(each)), None)
    state, job = "PENDING", part.job if part else None
    if part is not None and part.job is None and sight.held:
        state = "HELD"
    status = sight.alive.get(part.number) if part else None
    if part is not None and status is not None:
        alone = status.elements.get(element - part.first + 1)
        word = alone.state if alone else status.state
        state = word if word in WAITING else "PENDING"
    return Open(state, attempt, holder.job if holder else job, None, None, None, None)


def _reasons(scheduler: str, sight: Sight) -> Dict[str, int]:
    """How many elements wait for what."""
    found: Dict[str, int] = {}

    def add(words: str, elements: int) -> None:
        if words and elements:
            found[words] = found.get(words, 0) + elements

    for part in sight.parts:
        if part.job is None and sight.waiting:
            add("not submitted yet: " + sight.waiting, part.elements)
        status = sight.alive.get(part.number)
        if status is None:
            continue
        alone = {
            index: each for index, each in status.elements.items() if each.state in WAITING and each.reason
        }
        for each in alone.values():
            add(explain(scheduler, each.reason), 1)
        rest = _indices(status.waiting) - set(alone)
        if status.reason:
            count = len(rest)
            if not status.waiting and status.state in WAITING and not alone:
                count = part.elements - len(status.elements)
            add(explain(scheduler, status.reason), count)
    return found
