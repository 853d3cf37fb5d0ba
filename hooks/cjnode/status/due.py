"""Tasks that failed and are to run again by themselves: which these are, and what they are given."""

import os
from typing import Any, Dict, List, NamedTuple, Optional, Set

from cjnode.files import read_json
from cjnode.jobs.submissions import Submission
from cjnode.package import retries
from cjnode.package.points import parse_tasks
from cjnode.package.retries import Ended, Policy
from cjnode.records.attempts import histories
from cjnode.schedulers import Account
from cjnode.status.progress import Holder, Open, Progress
from cjnode.status.repeats import asked_for
from cjnode.status.sight import Sight
from cjnode.vocabulary import CAUSES

# A task that nobody in its submission will run again, and that a further one is to.
Due = NamedTuple(
    "Due",
    [
        ("task", int),
        ("attempt", int),
        ("resources", Dict[str, Any]),
        ("submission", Submission),
        ("ended", Ended),  # the attempt before
        ("note", str),  # why it ended, where no record says so; else empty
    ],
)


# What is looked at to tell what is due of a submission.
View = NamedTuple(
    "View",
    [
        ("progress", Progress),
        ("submission", Submission),
        ("sight", Sight),
        ("held", Dict[int, Holder]),
        ("where", Dict[int, int]),  # the tasks that may change, with their blocks
        ("over", Dict[int, Account]),  # elements that have ended
    ],
)


def take_up(view: View, opened: Dict[int, Open]) -> List[Due]:
    """What is due of a submission; that, and what soon will be, is told as PENDING in ``opened``."""
    submission = view.submission
    policy = retries.policy_of(view.progress.manifest, submission.most)
    if policy is None:
        return []
    retried = view.progress.retried[submission.number]
    cancelled = view.progress.cancelled[submission.number]
    refused = _refused(view.progress, submission.number)
    known = histories(submission.path, submission.attempt, None, view.where) if retried else {}
    asked, due = asked_for(view.progress.manifest, submission), []
    for task in sorted(view.where):
        said = opened.get(task)
        if task in cancelled:
            opened.setdefault(task, Open("CANCELLED", retried.get(task), None, None, None, None, None, None))
            continue
        history = _with_what_is_said(view, known.get(task, []), said)
        following = retries.wanted(policy, submission.first, asked, history)
        if following is None:
            continue
        if task in refused:
            if task in retried:
                opened.pop(task, None)  # its record stands
            continue
        last = history[-1]
        if _is_over(view, policy, task, last):
            note = (
                _note(said, last) if last.number not in [each.number for each in known.get(task, [])] else ""
            )
            due.append(Due(task, following.attempt, following.resources, submission, last, note))
        elif said is not None and said.state not in CAUSES:
            continue  # its worker will run it
        words = "after %s" % last.state
        opened[task] = Open("PENDING", following.attempt, None, None, None, None, words, None)
    return due


def _note(said: Optional[Open], last: Ended) -> str:
    words = (said.note if said is not None and said.state == last.state else None) or "it left no record"
    return "job %s: %s" % (said.job, words) if said is not None and said.job else words


def _with_what_is_said(view: View, history: List[Ended], said: Optional[Open]) -> List[Ended]:
    """A task's attempts, the one included that ended without a record."""
    if said is not None and said.state in CAUSES:
        number = said.attempt or view.submission.attempt
        return history + [Ended(number, said.state, said.exit_code, 0.0)]
    return history


def _is_over(view: View, policy: Policy, task: int, last: Ended) -> bool:
    """Whether nobody in the submission will run a task again.

    An element whose node failed may be started again by its scheduler; one out of time or memory is not.
    """
    if view.sight.lost or not retries.is_here(policy, view.progress.manifest["scheduler"], last.state):
        return True
    block = view.where[task]
    holder = view.held.get(block)
    return holder is not None and holder.element in view.over and last.state not in ("NODE_FAIL", "LOST")


def _refused(progress: Progress, source: int) -> Set[int]:
    """The tasks of a submission that the scheduler refused to run again."""
    found: Set[int] = set()
    for each in progress.submissions:
        if each.source == source and not each.tasks:
            intent: Optional[Dict[str, Any]] = read_json(os.path.join(each.path, "intent.json"))
            found.update(parse_tasks(str(intent["tasks"])) if intent else [])
    return found
