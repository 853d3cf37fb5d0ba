"""Verb ``recover``: free what workers hold that are dead, while others go on."""

from typing import Any, BinaryIO, Dict, List, Optional, Tuple

from cjnode.errors import NodeError
from cjnode.files import canonical, create_once
from cjnode.jobs.submissions import Submission
from cjnode.records import blocks, layout
from cjnode.records.board import Free
from cjnode.status import roster
from cjnode.status.progress import board_of, look, unsettled, waits
from cjnode.status.roster import Held, States
from cjnode.worker.holding import TOUCH_S

# A worker that lives changes its claim every TOUCH_S seconds. On `local` its process is looked at instead.
SILENT_S = 3 * TOUCH_S


def recover(root: str, request: Dict[str, Any], out: BinaryIO) -> None:
    """The verb: ``{"package":…}``."""
    package = request.get("package")
    layout.present_package(root, package)
    scheduler = layout.scheduler(root)
    progress = look(root, str(package), False)
    freed, doubtful, alive = 0, 0, 0
    for submission in progress.submissions:
        if not (waits(progress, submission) or unsettled(progress, submission)):
            continue
        answer = roster.ask(root, scheduler, submission)
        if answer.trouble:
            raise NodeError(answer.trouble, "git cj recover %s when it answers" % str(package)[:8])
        states = roster.states(root, scheduler, submission, answer)
        alive += sum(1 for state in states.values() if state in ("RUNNING", "PENDING"))
        dead, silent = _dead(submission, states, 0.0 if scheduler == "local" else SILENT_S)
        doubtful += silent
        freed += _free(submission, dead)
    reply = {"package": package, "blocks": freed, "doubtful": doubtful, "workers": alive}
    out.write(canonical(reply) + b"\n")


def _dead(submission: Submission, states: States, silent_s: float) -> Tuple[List[Free], int]:
    """The claims of dead workers, and how many might be such but were changed a moment ago."""
    found: List[Free] = []
    doubtful = 0
    for held in roster.newest_claims(submission, board_of(submission)):
        if roster.is_closed(held):
            continue
        element = held.holder.element if held.holder else _by_records(submission, held)
        gone = states.get(element) == "ENDED" if element else set(states.values()) == {"ENDED"}
        if gone and held.age_s >= silent_s:
            found.append(held.free)
        elif gone:
            doubtful += 1
    return found, doubtful


def _by_records(submission: Submission, held: Held) -> Optional[int]:
    """Whose a claim was that cannot be read, by what its holder recorded."""
    path = blocks.block_path(submission.path, held.free.block, held.free.generation, "records")
    known = blocks.recorded_by(path)
    return known[1] if known else None


def _free(submission: Submission, dead: List[Free]) -> int:
    """Let the next generation of each block be claimed by whoever comes."""
    board = board_of(submission)
    for free in dead:
        board.let_go(free.block, free.generation)
    if dead:
        create_once(blocks.stopped_path(submission.path), b"")
    return len(dead)
