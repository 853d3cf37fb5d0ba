"""A block's turns, and at its end those whose failure is followed by another attempt."""

import functools
import os
from typing import Any, Callable, Container, Dict, List, NamedTuple, Tuple

from cjnode.files import read_json
from cjnode.jobs.submissions import Submission, taken_by_later
from cjnode.package import retries
from cjnode.package.points import parse_tasks
from cjnode.package.retries import Ended, Policy
from cjnode.records import attempts, claims
from cjnode.records.attempts import histories
from cjnode.worker import attempt
from cjnode.worker.attempt import Setting
from cjnode.worker.claiming import Claims, Held
from cjnode.worker.holding import Holding, Turn

# Runs turns and returns the states they ended in; with True one at a time, each named in the claim.
Run = Callable[[Setting, Holding, bool], List[str]]

Histories = Dict[int, List[Ended]]

# Attempts whose element died with them: of which tasks, and how they are recorded.
Lost = NamedTuple("Lost", [("tasks", Container[int]), ("attempt", int), ("state", str), ("note", str)])


def run_block(setting: Setting, submission: Submission, claims: Claims, held: Held, run: Run) -> List[str]:
    """Run the turns of a block, then what the manifest's retries make of them, until that is nothing.

    What needs more than this element has is left to a further submission. Returns the states that count.
    """
    policy, holding = retries.policy_of(setting.package.manifest), held.holding
    if policy is None:
        return run(setting, holding, False)
    block = {held.chosen.block}
    turns = _take_grown(
        policy, setting, submission, histories(submission.path, submission.attempt, block), holding
    )
    ran = len(run(setting, holding, False))
    first = [turn.task for turn in holding.turns[:ran]]
    while True:
        known = histories(submission.path, submission.attempt, block)
        turns = turns or _due(policy, setting, submission, known)
        if not turns or setting.signals.stopping or claims.ending.is_due():
            holding.is_left = holding.is_left or bool(turns)
            if submission.source:
                _record_what_left_no_record(setting, submission, held, known)
            return [known[task][-1].state for task in first if task in known]
        for resources, group in _by_resources(policy, setting, submission, known, turns):
            # Nothing of it is given away: who takes a part of a block does not look for earlier attempts.
            whole = [Turn(0, 0)] * len(group)
            run(
                with_resources(setting, resources),
                Holding(claims.board, claims.ending, group, whole, 0, 1),
                True,
            )
        turns = []


def _record_what_left_no_record(
    setting: Setting, submission: Submission, held: Held, known: Histories
) -> None:
    """Record the attempts of the submission before whose element died with them.

    After those that followed: the newest record of a task is the one that counts.
    """
    written = attempts.histories(submission.path, 1, {held.chosen.block})
    for lost in _unrecorded(submission.path):
        for task in sorted(known):
            if task in lost.tasks and lost.attempt not in [ended.number for ended in written[task]]:
                cut_off = claims.Current(task, lost.attempt, "")
                attempt.bury(setting, held.journal, cut_off, lost.state, lost.note)


@functools.lru_cache(maxsize=2)
def _unrecorded(path: str) -> Tuple[Lost, ...]:
    """What a submission's intent says of such attempts; each block asks, and a million tasks are long."""
    intent = read_json(os.path.join(path, "intent.json")) or {}
    found = []
    for each in intent.get("unrecorded") or []:
        tasks = parse_tasks(each["tasks"])
        # A range knows at once what is in it.
        within = tasks if isinstance(tasks, range) else frozenset(tasks)
        found.append(Lost(within, each["attempt"], each["state"], each["note"]))
    return tuple(found)


def is_due(setting: Setting, submission: Submission, block: int) -> bool:
    """Whether earlier holders of a block left a retry to be made."""
    policy = retries.policy_of(setting.package.manifest)
    if policy is None:
        return False
    return bool(_due(policy, setting, submission, histories(submission.path, submission.attempt, {block})))


def _asked(setting: Setting, submission: Submission) -> Dict[str, Any]:
    asked: Dict[str, Any] = submission.resources or setting.package.manifest["resources"]
    return asked


def _take_grown(
    policy: Policy, setting: Setting, submission: Submission, known: Histories, holding: Holding
) -> List[Turn]:
    """Take out of a block that was another's the turns that have more than the others."""
    groups = _by_resources(policy, setting, submission, known, holding.turns)
    grown = [
        turn for resources, group in groups for turn in group if resources != _asked(setting, submission)
    ]
    if grown:
        holding.turns[:] = [turn for turn in holding.turns if turn not in grown]
    return grown


def _due(policy: Policy, setting: Setting, submission: Submission, known: Histories) -> List[Turn]:
    scheduler, asked = setting.package.manifest["scheduler"], _asked(setting, submission)
    turns = []
    for task, history in sorted(known.items()):
        if not retries.is_here(policy, scheduler, history[-1].state):
            continue
        following = retries.wanted(policy, submission.first, asked, history)
        if following is not None:
            turns.append(Turn(task, following.attempt))
    taken = taken_by_later(submission) if turns else set()
    return [turn for turn in turns if turn.task not in taken]


def _by_resources(
    policy: Policy, setting: Setting, submission: Submission, known: Histories, turns: List[Turn]
) -> List[Tuple[Dict[str, Any], List[Turn]]]:
    """The turns, together that have the same."""
    found: List[Tuple[Dict[str, Any], List[Turn]]] = []
    asked = _asked(setting, submission)
    for turn in turns:
        resources = asked
        for ended in known.get(turn.task, []):
            if retries.is_here(policy, setting.package.manifest["scheduler"], ended.state):
                resources = retries.after(policy, resources, ended.state) or resources
        for other, group in found:
            if other == resources:
                group.append(turn)
                break
        else:
            found.append((resources, [turn]))
    return found


def with_resources(setting: Setting, resources: Dict[str, Any]) -> Setting:
    """The setting of attempts that have these resources: what holds them to it, and what records say."""
    asked = setting.package.manifest["resources"]
    more = []
    if resources.get("memory_mb") != asked.get("memory_mb"):
        more.append("memory %d MB" % resources["memory_mb"])
    if resources.get("walltime_s") != asked.get("walltime_s"):
        more.append("walltime %d s" % resources["walltime_s"])
    setting = setting._replace(remarks=("asked for " + ", ".join(more),) if more else ())
    if setting.package.manifest["scheduler"] != "local":
        return setting  # the scheduler holds the element to it
    return setting._replace(limit_s=resources.get("walltime_s"), memory_mb=resources.get("memory_mb"))
