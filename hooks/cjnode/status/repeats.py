"""Which of a submission's tasks are to run again by themselves after how they ended."""

from typing import Any, Dict

from cjnode.jobs.submissions import Submission
from cjnode.package import retries
from cjnode.package.retries import Policy
from cjnode.records.attempts import Attempt, histories


def followed(manifest: Dict[str, Any], submission: Submission, ended: Dict[int, Attempt]) -> Dict[int, int]:
    """Those of a submission's tasks that another attempt follows, and its number."""
    policy = retries.policy_of(manifest, submission.most)
    if policy is None:
        return {}
    found = {task for task, each in ended.items() if _may_follow(policy, submission.first, each)}
    if not found:
        return {}
    asked = asked_for(manifest, submission)
    # What was recorded since would say that nothing follows, and the older record be taken for the last.
    known = {
        task: [each for each in history if each.number <= ended[task].number]
        for task, history in histories(submission.path, submission.attempt, None, found).items()
    }
    wanted = {task: retries.wanted(policy, submission.first, asked, known[task]) for task in known}
    return {task: following.attempt for task, following in wanted.items() if following is not None}


def _may_follow(policy: Policy, first: int, attempt: Attempt) -> bool:
    if attempt.number - first >= policy.count:
        return False
    # Of a large package the exit codes are not at hand.
    unknown = attempt.exit_code is None and bool(policy.codes)
    return unknown or attempt.state in policy.states or attempt.exit_code in policy.codes


def asked_for(manifest: Dict[str, Any], submission: Submission) -> Dict[str, Any]:
    """What the submission's jobs were asked for with."""
    asked: Dict[str, Any] = submission.resources or manifest["resources"]
    return asked
