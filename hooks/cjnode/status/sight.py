"""What is to be seen of a submission's jobs: asked in one query for all, and told in plain words."""

import os
from typing import Dict, Iterator, List, NamedTuple, Optional, Set, Tuple

from cjnode import files
from cjnode.errors import NodeError
from cjnode.jobs import answers, ends, marks, parts
from cjnode.jobs.acting import being_submitted
from cjnode.jobs.answers import Answer
from cjnode.jobs.parts import Part
from cjnode.jobs.submissions import Submission
from cjnode.package.points import parse_tasks
from cjnode.records import layout
from cjnode.schedulers import Status, explain
from cjnode.status.progress import Progress, jobs_of, unsettled

WAITING = ("PENDING", "HELD", "WAITING")

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
        ("after", bool),  # what is not submitted, or was and may not run yet, waits for other packages
    ],
)


def ask(root: str, looked: List[Progress], fresh: bool) -> Tuple[str, Answer]:
    """The cluster's scheduler, and what it says of all jobs that may still change something."""
    jobs = sorted({job for progress in looked for job in _jobs_to_ask(progress)})
    try:
        scheduler = layout.scheduler(root)
        return scheduler, answers.ask(root, scheduler, jobs, fresh)
    except (NodeError, OSError, KeyError) as problem:
        return "", Answer(None, jobs, "the scheduler did not answer: %s" % problem, files.now())


def _jobs_to_ask(progress: Progress) -> Iterator[str]:
    for submission in progress.submissions:
        if not unsettled(progress, submission):
            continue
        gone = {part.job for part in submission.parts if ends.seen_gone(submission, part.number)[1]}
        for job in jobs_of(submission):
            if job not in gone:
                yield job


def look_at(root: str, scheduler: str, progress: Progress, submission: Submission, answer: Answer) -> Sight:
    """Which of the submission's jobs are there; one that is not is noted."""
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
    after = bool(waiting and marks.why_after(root, progress.package, submission.number))
    return Sight(listed, alive, waiting, gone, gone and not fading, held, after)


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
        return marks.why_after(root, progress.package, submission.number)
    why = marks.why_waiting(root, progress.package, submission.number)
    if being_submitted(submission.path, rest[0].number):
        why = "it is being submitted"
    return "" if why is None else why or "it is not submitted yet"


def elements_of(part: Part) -> range:
    """The elements of a part, by their numbers in the submission."""
    return range(part.first, part.first + part.elements)


def indices(waiting: str) -> Set[int]:
    """The indices in a scheduler's list of those that wait; none when it cannot be read."""
    try:
        return set(parse_tasks(waiting)) if waiting else set()
    except ValueError:
        return set()


def why_waiting(scheduler: str, sight: Sight) -> Dict[str, int]:
    """How many elements wait for what, in plain words."""
    found: Dict[str, int] = {}

    def add(words: str, elements: int) -> None:
        if words and elements:
            found[words] = found.get(words, 0) + elements

    for part in sight.parts:
        if sight.waiting and (part.job is None or sight.after):
            add("not submitted yet: " + sight.waiting, part.elements)
        status = sight.alive.get(part.number)
        if status is None:
            continue
        alone = {
            index: each for index, each in status.elements.items() if each.state in WAITING and each.reason
        }
        for each in alone.values():
            add(explain(scheduler, each.reason), 1)
        rest = indices(status.waiting) - set(alone)
        if status.reason:
            count = len(rest)
            if not status.waiting and status.state in WAITING and not alone:
                count = part.elements - len(status.elements)
            add(explain(scheduler, status.reason), count)
    return found
