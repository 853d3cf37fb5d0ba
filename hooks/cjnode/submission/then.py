"""A package that runs when another one's tasks have ended, and again whenever these got further results.

It names the other as ``then_of``; ``packages/<that>/then.json`` leads from there to it. It waits as one with
``--after`` does, for all packages of the experiment: what extends the other one counts as its tasks.
"""

import hashlib
import os
from typing import Callable

from cjnode.errors import NodeError
from cjnode.files import create_once
from cjnode.jobs import marks
from cjnode.jobs.submissions import intents
from cjnode.records import blocks, layout
from cjnode.status import family, gate
from cjnode.submission import backlog, submit
from cjnode.submission.anew import submit_anew
from cjnode.submission.submit import Request


def again(root: str, package: str) -> None:
    """Have what runs after a package run once more: the package is about to get further results.

    Called before these are submitted, and for as long as they are: what is done already is not done again.
    """
    first = family.first(root, package)
    child = family.follower(root, first)
    if child is None:
        return
    folder = layout.checked_package(root, child)
    done = os.path.join(folder, "settled-" + _digest(root, first))
    known = intents(root, child)
    if os.path.exists(done) or not known:
        return
    number, intent = max(known.items())
    path = blocks.submission_folder(folder, number)
    if intent.get("after") and gate.close(path):
        # It has not begun: it is submitted anew when everything has ended.
        gate.take_up(root, path, intent)
    else:
        words = [{"package": first, "when": "any"}]
        token = "then-" + _digest(root, first)
        request = Request(child, number + 1, token, "", intent["attempt"] + 1, None, None, words, {})
        _submit(root, request)
    create_once(done, b"")


def bring(root: str, package: str, tend: Callable[[str, str], None]) -> None:
    """After a package was submitted, submit what runs after it behind its jobs, where that can be done.

    ``tend`` is called for each package that this one waits for.
    """
    first = family.first(root, package)
    child = family.follower(root, first)
    marked = [number for each, number in marks.listed(root) if each == child]
    for member in family.members(root, first) if marked else ():
        tend(root, member)
    for number in marked:
        assert child is not None
        try:
            _bring(root, child, number)
        except OSError:
            pass  # a full disk, say: the package itself is submitted


def _bring(root: str, child: str, number: int) -> None:
    try:
        if backlog.bring(root, child, number, False).anew:
            submit_anew(root, child, number, _submit)
    except (NodeError, OSError, ValueError, KeyError) as problem:
        marks.say(root, child, number, getattr(problem, "error", str(problem)))


def _submit(root: str, request: Request) -> None:
    """Nothing runs after what runs after an experiment."""
    submit.act(root, submit.begin(root, request))


def _digest(root: str, package: str) -> str:
    """Which submissions an experiment consists of now."""
    words = []
    for member in family.members(root, package):
        numbers = blocks.list_submissions(layout.checked_package(root, member))
        words.append("%s:%s" % (member, ",".join("%d" % number for number in numbers)))
    return hashlib.sha256(" ".join(words).encode("ascii")).hexdigest()[:16]
