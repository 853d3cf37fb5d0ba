"""What a worker leaves for whoever comes after it: a further part of the job, submitted once."""

import os
import sys

from cjnode.errors import NodeError
from cjnode.files import forget, read_json
from cjnode.jobs import marks
from cjnode.jobs.parts import add_part, read_parts
from cjnode.jobs.submissions import Submission
from cjnode.records import blocks
from cjnode.status.progress import board_of
from cjnode.status.sight import elements_of
from cjnode.submission import experiment
from cjnode.submission.drain import drain


def submit(root: str, package: str, submission: Submission, element: int) -> None:
    """Submit a successor of the part that an element belongs to, unless it has one or nothing is free.

    The first of the part's workers does; the others look after what waits, as every call does: that one may
    have been killed meanwhile, and what the scheduler refuses now waits.
    """
    free = board_of(submission)
    left = sum(len(free.places(each.block)) for each in free.free)
    try:
        intent = read_json(os.path.join(submission.path, "intent.json"))
        if intent is None or not left:
            return
        mine = [part for part in read_parts(submission.path, intent) if element in elements_of(part)]
        wanted = min(left, mine[0].elements if mine else 1)
        part = mine[0].number if mine else 1
        forget(blocks.exhausted_path(submission.path))
        added = add_part(submission.path, intent, wanted, "after-%d" % part)
        marks.mark(root, package, submission.number)
        if added.is_new:
            experiment.bring(root, package, submission.number, True)
        else:
            drain(root)
    except (NodeError, OSError) as problem:
        sys.stderr.write("cj: no successor was submitted yet: %s\n" % problem)
