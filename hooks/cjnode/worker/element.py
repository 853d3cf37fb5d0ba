"""An element of a job: which start of it this is, and how long it may live."""

import math
import os
import signal
import time
from typing import Dict, Mapping, NamedTuple, Optional, Tuple

from cjnode.files import read_json
from cjnode.package.points import parse_tasks
from cjnode.records import blocks, claims, partition

# A task is begun when it would be done in this much less than the time left, by the longest task so far.
MARGIN = 1.25
# Slurm's SIGTERM comes at the limit; what was asked for with --signal, and SGE's soft limits, before it.
# Its clock ticks in minutes.
BEFORE_LIMIT_S = {signal.SIGTERM: 30.0, signal.SIGUSR1: 180.0, signal.SIGUSR2: 180.0, signal.SIGXCPU: 180.0}

# Grid Engine kills at the limit without a word before: so much earlier an element ends by itself.
UNWARNED_S = 10.0

# How long an element may live, since when it does, by the monotonic clock, and whether a signal comes before
# its end.
Lifetime = NamedTuple("Lifetime", [("walltime_s", Optional[float]), ("began", float), ("is_warned", bool)])


def lifetime(walltime_s: Optional[float], is_warned: bool = True) -> Lifetime:
    """The life of this process, which the batch script became: its set-up counts."""
    return Lifetime(walltime_s, time.monotonic() - _age_s(), is_warned)


def is_over(life: Lifetime) -> bool:
    """Whether the element must end by itself: nobody tells it before it is killed."""
    return not life.is_warned and _left_s(life) <= 0


def _left_s(life: Lifetime) -> float:
    """How long tasks may run yet."""
    if life.walltime_s is None:
        return math.inf
    margin_s = 0.0 if life.is_warned else min(UNWARNED_S, life.walltime_s / 4)
    return life.walltime_s - margin_s - (time.monotonic() - life.began)


def _age_s() -> float:
    """For how long this process has been there; it keeps its number when it becomes another program."""
    try:
        with open("/proc/self/stat") as file:
            started = float(file.read().rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
        with open("/proc/uptime") as file:
            return max(0.0, float(file.read().split()[0]) - started)
    except (OSError, ValueError, IndexError):
        return 0.0


def has_room(life: Lifetime, longest_s: float) -> bool:
    """Whether a task can be done before the element's end, none being longer than ``longest_s``."""
    return _left_s(life) > longest_s * MARGIN


def is_at_walltime(life: Lifetime, number: int) -> bool:
    """Whether a signal came for want of time."""
    passed = time.monotonic() - life.began
    before = BEFORE_LIMIT_S.get(signal.Signals(number), 30.0)
    return life.walltime_s is not None and passed >= life.walltime_s - before


def why_stopped(life: Lifetime, number: int, is_first: bool) -> Tuple[str, str]:
    """State and note of a task whose worker was asked to end by a signal.

    The first task of a worker had all of the walltime, and is a TIMEOUT. Another may well end elsewhere: it
    is a NODE_FAIL, which runs once more. Why else a worker was asked it cannot know. A preempted element
    starts again, and runs that too; of one that was cancelled the scheduler tells.
    """
    if is_at_walltime(life, number) and life.walltime_s is not None:
        note = "its element came to its walltime of %g s" % life.walltime_s
        return "TIMEOUT" if is_first else "NODE_FAIL", note
    return "NODE_FAIL", "the scheduler asked its element to end (%s)" % signal.Signals(number).name


def incarnation(submission_path: str, element: int, job: str, variables: Mapping[str, str]) -> int:
    """Which start of the element this is, from 1.

    ``local`` counts itself. Other schedulers tell how often they started it again in CJ_RESTARTS, or by
    ``+`` only that they did: then it is the one after the last that left a claim. One that may, and tells
    nothing, sets ``?``: then the element's first block says whether it was here before.
    """
    restarts = variables.get("CJ_RESTARTS") or ""
    if not restarts:
        return int(variables.get("CJ_INCARNATION") or 1)
    if restarts == "0" or (restarts == "?" and not _was_here(submission_path, element, job)):
        return 1
    last = newest(submission_path, element, job)
    return max(last + 1, int(restarts) + 1 if restarts.isdigit() else 0)


def _was_here(submission_path: str, element: int, job: str) -> bool:
    """Whether the block that the element begins with is its own. One look: there may be 10,000 elements."""
    intent = read_json(os.path.join(submission_path, "intent.json")) or {}
    shared = partition.of_intent(intent, len(parse_tasks(str(intent["tasks"]))))
    elements, slots = int(intent["elements"]), int(intent.get("slots") or 1)
    if element > elements:
        return newest(submission_path, element, job) > 0  # it was added later, and has no block of its own
    block = partition.own_block(shared, (element - 1) * slots + 1, elements * slots)
    claim = claims.read_claim(blocks.block_path(submission_path, block, 1, "claim"))
    return claim is not None and (claim[0].job, claim[0].element) == (job, element)


def newest(submission_path: str, element: int, job: str) -> int:
    """The newest start of a job's element that left a claim; 0: none did."""
    found: Dict[int, int] = {0: 0}
    number = int(os.path.basename(submission_path))
    for each in blocks.list_blocks(submission_path, number):
        if each.claim:
            path = blocks.block_path(submission_path, each.id.block, each.id.generation, "claim")
            claim = claims.read_claim(path)
            if claim is not None and claim[0].job == job:
                found[claim[0].element] = max(claim[0].incarnation, found.get(claim[0].element, 0))
    return found.get(element, 0)
