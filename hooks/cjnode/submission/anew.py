"""A submission whose elements found the gate closed is followed by one that may go."""

from typing import Any, Callable, Dict

from cjnode.jobs import marks
from cjnode.jobs.submissions import intents
from cjnode.package.points import parse_tasks
from cjnode.submission.submit import Request


def submit_anew(root: str, package: str, number: int, submit: Callable[[str, Request], object]) -> None:
    """Submit again what found its gate closed, as a submission of its own; once, however often called."""
    known = intents(root, package)
    later = _later(root, package, number, known)
    if later:
        intent, token = known[number], "after-%d" % number
        submit(
            root,
            Request(
                package,
                later,
                token,
                intent["tasks"],
                intent["attempt"],
                intent["jobs"],
                intent["elements"],
                intent["after"],
                {},
            ),
        )
    marks.unmark(root, package, number)


def _later(root: str, package: str, number: int, known: Dict[int, Dict[str, Any]]) -> int:
    """The number of the submission that takes another's place; 0: a person made one already."""
    for later in sorted(known):
        if later <= number:
            continue
        if known[later]["token"] == "after-%d" % number:
            return later
        if set(parse_tasks(known[later]["tasks"])) >= set(parse_tasks(known[number]["tasks"])):
            return 0
    return 1 + max(known)
