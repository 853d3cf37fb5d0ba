"""What earlier holders of a block left of it: an attempt that was cut off, tasks to be taken up."""

from typing import Dict, Iterator, List, Optional, Set, Tuple

from cjnode.jobs.submissions import MOST_DEATHS, Submission
from cjnode.records import blocks, claims
from cjnode.records.blocks import BlockId, Record
from cjnode.records.claims import Current
from cjnode.worker.holding import Turn


def what_is_open(
    submission: Submission, block: int, last: int, turns: List[Turn]
) -> Tuple[Optional[Current], List[Turn]]:
    """What the generations up to ``last`` left of a block: the attempt cut off, and the turns to take."""
    records: Dict[int, Record] = {}
    for generation in range(1, last + 1):
        for record in _records(submission, BlockId(submission.number, block, generation)):
            known = records.get(record.task)
            if known is None or record.attempt >= known.attempt:
                records[record.task] = record
    holder = claims.read_claim(_claim_path(submission, block, last))
    died = holder[1] if holder and holder[1].task else None
    unwritten = _may_have_run(submission, block, last, turns)
    if died is not None and died.task in records and records[died.task].attempt >= died.attempt:
        died = None
    open_turns = []
    for turn in turns:
        cut_off = died if died is not None and died.task == turn.task else None
        if turn.task in unwritten and turn.task not in records:
            cut_off = cut_off or Current(turn.task, turn.attempt, "")
        number = _next_attempt(submission, turn, records.get(turn.task), cut_off)
        if number:
            open_turns.append(Turn(turn.task, number))
    if claims.is_damaged(_claim_path(submission, block, last)):
        # Any of them may have been begun: what runs now is a further attempt.
        open_turns = [Turn(turn.task, turn.attempt + 1) for turn in open_turns]
    if died is not None:  # what was cut off goes first: it is what a person waits for
        task = died.task
        open_turns.sort(key=lambda turn: turn.task != task)
    return died, open_turns


def _may_have_run(submission: Submission, block: int, last: int, turns: List[Turn]) -> Set[int]:
    """Tasks that earlier holders of a block may have run without their records being written."""
    order = [turn.task for turn in turns]
    found: Set[int] = set()
    for generation in range(1, last + 1):
        path = _claim_path(submission, block, generation)
        holder, to = claims.read_claim(path), claims.begun_up_to(path)
        if holder and to in order and holder[1].task in order:
            found.update(order[order.index(holder[1].task) : order.index(to) + 1])
    return found


def _next_attempt(
    submission: Submission, turn: Turn, record: Optional[Record], died: Optional[Current]
) -> int:
    """The attempt that a task needs next, or 0."""
    if died is not None:
        last = died.attempt
    elif record is None:
        return turn.attempt
    elif record.state == "NODE_FAIL":
        last = record.attempt
    else:
        return 0
    return last + 1 if last + 1 - submission.attempt < MOST_DEATHS else 0


def _claim_path(submission: Submission, block: int, generation: int) -> str:
    return blocks.block_path(submission.path, block, generation, "claim")


def _records(submission: Submission, block: BlockId) -> Iterator[Record]:
    path = blocks.block_path(submission.path, block.block, block.generation, "records")
    try:
        with open(path, "rb") as file:
            content = file.read()
    except FileNotFoundError:
        return
    for line in blocks.whole_lines(content):
        try:
            yield blocks.record_from_line(line)
        except ValueError:
            pass  # a damaged line is no record: its task is open
