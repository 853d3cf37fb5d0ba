"""How packages stand: what became of every task, by their records and one scheduler query."""

import os
from typing import Any, Dict, List, NamedTuple, Optional

from cjnode.jobs.submissions import Submission, why_given_up
from cjnode.records import layout
from cjnode.status.progress import Open, Progress, jobs_of, look, sums, unsettled
from cjnode.vocabulary import FINAL_STATES, STATES

# How one package stands.
Standing = NamedTuple(
    "Standing",
    [
        ("progress", Progress),
        ("opened", Dict[int, Open]),  # the tasks without a record
        ("reasons", Dict[str, int]),  # why how many wait
        ("is_settled", bool),  # no job can change anything any more
        ("is_early", bool),  # records may yet come to sight
        ("is_paused", bool),
        ("due", List[Any]),  # what is to be submitted again
        ("left", int),  # tasks that wait for workers that somebody must add
    ],
)


def standings(root: str, looked: List[Progress], fresh: bool) -> List[Standing]:
    """How each package stands."""
    settled = {}
    unfinished = [
        progress for progress in looked if any(unsettled(progress, s) for s in progress.submissions)
    ]
    if unfinished:
        from cjnode.status.settle import settle_all  # of packages that are at their end nobody is asked

        settled = dict(zip(map(id, unfinished), settle_all(root, unfinished, fresh)))
    return [_standing(root, progress, settled.get(id(progress))) for progress in looked]


def _standing(root: str, progress: Progress, settled: Optional[Any]) -> Standing:
    opened: Dict[int, Open] = {}
    for submission in progress.submissions:
        if not unsettled(progress, submission):  # its job was not asked after
            opened.update(_cancelled(progress, submission))
    is_paused = os.path.exists(layout.paused_path(root, progress.package))
    if settled is None:
        return Standing(progress, opened, {}, True, False, is_paused, [], 0)
    opened.update(settled.opened)
    found = Standing(
        progress, opened, settled.reasons, False, settled.is_early, is_paused, settled.due, settled.left
    )
    return _paused(found) if is_paused else found


def _paused(found: Standing) -> Standing:
    """Say of what waits that it is paused; the reasons for waiting, that one alone."""
    progress, opened = found.progress, found.opened
    waiting = [task for task, known in opened.items() if known.state in ("PENDING", "WAITING", "HELD")]
    for task in waiting:
        opened[task] = opened[task]._replace(state="HELD")
    # Workers are added by the end of the pause.
    progress.problems[:] = [each for each in progress.problems if not each.startswith("no worker is left")]
    words = "paused: git cj resume %s" % progress.package[:8]
    reasons = {words: len(waiting)} if waiting else found.reasons
    return found._replace(reasons=reasons, due=[], left=0)


def _cancelled(progress: Progress, submission: Submission) -> Dict[int, Open]:
    missing, jobs = progress.missing[submission.number], jobs_of(submission)
    why = why_given_up(submission.path) if missing else ""
    if why:
        progress.problems.append("it never ran: " + why)
    known = Open(
        "CANCELLED", submission.attempt, jobs[0] if jobs else None, None, None, None, why or None, None
    )
    return dict.fromkeys(missing, known)


def line_of(root: str, package: str) -> Dict[str, Any]:
    """A package's line, for what is decided here."""
    return line(standings(root, [look(root, package, False)], False)[0])


def line(found: Standing) -> Dict[str, Any]:
    """What is told of a package: how many tasks are in which state, and what there is to say."""
    progress = found.progress
    counts = dict.fromkeys(STATES, 0)
    ended, seconds, number = sums(progress, found.opened)
    counts.update(ended)
    for known in found.opened.values():
        counts[known.state] += 1
    rest = progress.tasks - sum(counts.values())  # in no submission
    problems = list(progress.problems)
    if rest and was_deleted(progress):
        counts["LOST"] += rest
        problems.append("a submission was deleted on the cluster: what became of its tasks is lost there")
    else:
        counts["PENDING"] += rest
    for each in sorted(progress.damage):
        problems += progress.damage[each]
    told = {
        "package": progress.package,
        "tasks": progress.tasks,
        "counts": {name: many for name, many in counts.items() if many},
        "final": not found.is_early and 0 < progress.tasks == sum(counts[name] for name in FINAL_STATES),
        "jobs": [job for submission in progress.submissions for job in jobs_of(submission)],
        "seconds": [round(seconds, 6), number],
        "reasons": found.reasons,
        "problems": problems,
        "submissions": max([each.number for each in progress.submissions if each.attempt] or [0]),
    }
    if found.left:
        told["left"] = found.left
    return told


def was_deleted(progress: Progress) -> bool:
    """Whether a site removed submissions: those that there are do not count from 1."""
    return any(each.number != number for number, each in enumerate(progress.submissions, 1))
