"""How far a package is: its records, and what its claims and cancellations say of the rest."""

import os
from typing import Any, Dict, Iterable, Iterator, List, NamedTuple, Optional, Sequence, Set, Tuple, Union

from cjnode.errors import NodeError
from cjnode.jobs import parts
from cjnode.jobs.parts import jobs
from cjnode.jobs.submissions import MOST_DEATHS, Submission, read_cancelled, read_submission, why_given_up
from cjnode.records import attempts, blocks, claims, layout, partition, tally
from cjnode.records.attempts import Attempt
from cjnode.records.board import Board
from cjnode.records.tally import Tally
from cjnode.vocabulary import CAUSES

# A task without a record: its state, and what its claim says where there is one.
Open = NamedTuple(
    "Open",
    [
        ("state", str),
        ("attempt", Optional[int]),
        ("job", Optional[str]),
        ("started", Optional[str]),
        ("host", Optional[str]),
        ("exit_code", Optional[int]),
        ("note", Optional[str]),
        ("max_rss_mb", Optional[float]),  # of its element, where accounting knows it
    ],
)

# Who has a block, by its newest claim, and what it is at.
Holder = NamedTuple("Holder", [("element", int), ("job", str), ("host", str), ("now", claims.Current)])

# All that is known of one package; the collections are filled while its files are read.
Progress = NamedTuple(
    "Progress",
    [
        ("package", str),
        ("tasks", int),
        ("lines", bool),  # whether a line a task is wanted
        ("submissions", List[Submission]),
        ("ended", Dict[int, Attempt]),
        ("missing", Dict[int, Set[int]]),  # a submission's number to its tasks that it alone must answer for
        (
            "retried",
            Dict[int, Dict[int, int]],
        ),  # a submission's number to tasks and the attempt that may follow
        ("cancelled", Dict[int, Set[int]]),  # a submission's number to the tasks that were cancelled
        ("damage", Dict[int, List[str]]),
        ("problems", List[str]),
        (
            "tallies",
            Dict[int, Tally],
        ),  # of a large package, instead of ``ended``: a submission's number to it
        ("manifest", Dict[str, Any]),  # empty where it cannot be read
        ("earlier", Dict[int, Dict[int, bytes]]),  # with lines, those of attempts that do not count
    ],
)


def look(root: str, package: str, lines: bool) -> Progress:
    """Read a package's submissions and records. Raises NodeError for what is no package ID only."""
    path = layout.checked_package(root, package)
    manifest = _manifest(root, package)
    tasks = int(manifest.get("tasks") or 0)
    problems = []
    # Without a manifest there is nothing to compare records with.
    numbers = blocks.list_submissions(path) if tasks else []
    submissions = [read_submission(path, number) for number in numbers]
    if not os.path.isdir(path):
        from cjnode.repository.adopt import purged

        problems.append(purged(root, package) or "there is no package %s on this cluster" % package[:12])
    elif not tasks:
        problems.append("its package.json is missing or cannot be read: it was not received whole")
    elif not submissions:
        problems.append("it was received but not submitted")
    problems += [each.problem for each in submissions if each.problem and not _is_told(root, package, each)]
    progress = Progress(package, tasks, lines, submissions, {}, {}, {}, {}, {}, problems, {}, manifest, {})
    for submission in submissions:
        progress.cancelled[submission.number] = read_cancelled(submission)
        read_records(progress, submission)
    return progress


def _is_told(root: str, package: str, submission: Submission) -> bool:
    """Whether why a submission is not with the scheduler is told elsewhere: it waits, or was given up.

    One that was cancelled before it came there needs no telling.
    """
    waits = os.path.exists(layout.mark_path(root, package, submission.number))
    if waits or why_given_up(submission.path):
        return True
    return not jobs(submission.parts) and read_cancelled(submission).issuperset(submission.tasks or [0])


def _manifest(root: str, package: str) -> Dict[str, Any]:
    try:
        manifest = layout.read_manifest(root, package) or {}
        return manifest if type(manifest.get("tasks")) is int else {}
    except (NodeError, OSError):
        return {}


def read_records(progress: Progress, submission: Submission) -> None:
    """Read a submission's records into ``progress``; repeating it adds what was written since."""
    if progress.tasks > tally.LARGE_TASKS and not progress.lines:
        _read_tally(progress, submission)
        return
    own = _own(progress, submission)
    found: Dict[int, Attempt] = {}
    damage: List[str] = []
    for part in blocks.list_blocks(submission.path, submission.number):
        if part.records:
            path = blocks.block_path(submission.path, part.id.block, part.id.generation, "records")
            bad = attempts.read_attempts(path, progress.tasks, progress.lines, found, progress.earlier)
            damage += _damage_words(blocks.block_id_text(part.id), bad)
    progress.damage[submission.number] = damage
    progress.missing[submission.number] = {t for t in own if t <= progress.tasks and t not in found}
    # A worker that died is buried by the next one, which then runs the task again.
    progress.retried[submission.number] = {
        task: ended.number + 1
        for task, ended in found.items()
        if ended.state == "NODE_FAIL" and task in own and ended.number + 1 - submission.attempt < MOST_DEATHS
    }
    _add_retries(progress, submission, own, found.items())
    for task, attempt in found.items():
        known = progress.ended.get(task)
        if known is not None and progress.lines:
            attempts.set_aside(progress.earlier, task, known, attempt)
        if known is None or attempt.number >= known.number:
            progress.ended[task] = attempt


def _own(progress: Progress, submission: Submission) -> Set[int]:
    """The tasks that no later submission answers for."""
    own = set(submission.tasks)
    for later in progress.submissions:
        if later.number > submission.number:
            own.difference_update(later.tasks)
    return own


def _read_tally(progress: Progress, submission: Submission) -> None:
    parts = [part for part in blocks.list_blocks(submission.path, submission.number) if part.records]
    paths = [blocks.block_path(submission.path, p.id.block, p.id.generation, "records") for p in parts]
    kept = os.path.join(submission.path, "tally")
    known = progress.tallies.get(submission.number)
    if known is None:
        known = progress.tallies[submission.number] = tally.load(kept, progress.tasks, paths)
    damage: List[str] = []
    for part, path in zip(parts, paths):
        damage += _damage_words(blocks.block_id_text(part.id), known.read(path))
    known.save(kept)
    progress.damage[submission.number] = damage
    failed = list(known.in_state("NODE_FAIL"))
    # Of a million tasks the set alone takes 0.1 s.
    own = _own(progress, submission) if failed or len(known) < progress.tasks else set()
    progress.missing[submission.number] = {task for task in known.missing(own) if task <= progress.tasks}
    progress.retried[submission.number] = {
        task: number + 1
        for task, number in failed
        if task in own and number + 1 - submission.attempt < MOST_DEATHS
    }
    if progress.manifest.get("retry"):
        found = {task: known.get(task) for state in CAUSES for task, _ in known.in_state(state)}
        ended = [(task, attempt) for task, attempt in found.items() if attempt is not None]
        _add_retries(progress, submission, _own(progress, submission) if ended else set(), ended)


def _add_retries(
    progress: Progress, submission: Submission, own: Set[int], ended: Iterable[Tuple[int, Attempt]]
) -> None:
    """Add the tasks that the manifest wants to be run again after how they ended."""
    if progress.manifest.get("retry"):
        from cjnode.status.repeats import followed  # few packages want it

        mine = {task: each for task, each in ended if each.state in CAUSES and task in own}
        progress.retried[submission.number].update(followed(progress.manifest, submission, mine))


def recorded(progress: Progress, submission: Submission, task: int) -> Optional[Attempt]:
    """The newest record of a task."""
    tally = progress.tallies.get(submission.number)
    return progress.ended.get(task) if tally is None else tally.get(task)


def sums(progress: Progress, besides: Iterable[int]) -> Tuple[Dict[str, int], float, int]:
    """How many tasks ended in each state, less those in ``besides``; all their seconds, and their number."""
    counts: Dict[str, int] = {}
    if not progress.tallies:
        for attempt in progress.ended.values():
            counts[attempt.state] = counts.get(attempt.state, 0) + 1
        seconds = sum(attempt.seconds for attempt in progress.ended.values())
        ended: Union[Tally, Dict[int, Attempt]] = progress.ended
    else:
        ended = tally.union([progress.tallies[number] for number in sorted(progress.tallies)])
        counts, seconds = ended.counts(), ended.spent()
    for task in besides:
        known = ended.get(task)
        if known is not None:
            counts[known.state] -= 1
    return counts, seconds, len(ended)


def _damage_words(block: str, damage: attempts.Damage) -> Iterator[str]:
    if damage.error:
        yield "the records of block %s cannot be read: %s" % (block, damage.error)
    if damage.unreadable_lines:
        yield "block %s has %d lines that are no records" % (block, damage.unreadable_lines)
    if damage.torn:
        yield "block %s ends in half a record" % block


def jobs_of(submission: Submission) -> List[str]:
    """The submission's jobs: the receipts', or where those were cut off, those that its claims name."""
    known = parts.jobs(submission.parts)
    if known:
        return known
    listed = blocks.list_blocks(submission.path, submission.number)
    claims = [_claim(submission, part) for part in listed if part.claim]
    return sorted({claim[0].job for claim in claims if claim})


def _claim(submission: Submission, part: blocks.Found) -> Optional[Tuple[claims.Claim, claims.Current]]:
    path = blocks.block_path(submission.path, part.id.block, part.id.generation, "claim")
    return claims.read_claim(path)


def waits(progress: Progress, submission: Submission) -> bool:
    """Whether a task of the submission has neither a record nor been cancelled."""
    number = submission.number
    return not progress.missing[number] <= progress.cancelled[number]


def unsettled(progress: Progress, submission: Submission) -> bool:
    """Whether the job, if it lives, can still change what is known of the submission's tasks."""
    if waits(progress, submission) or progress.retried[submission.number]:
        return True
    return bool(progress.missing[submission.number] and running(progress, submission))


def began(submission: Submission) -> bool:
    """Whether any element of the submission ever claimed a block."""
    return bool(blocks.list_blocks(submission.path, submission.number))


def positions(progress: Progress, submission: Submission, cuts: Sequence[int]) -> Dict[int, int]:
    """The tasks that the submission may still change, each with its block, as the board's cuts tell."""
    missing, retried = progress.missing[submission.number], progress.retried[submission.number]
    if not missing and not retried:
        return {}
    found, tasks = {}, submission.tasks
    open_tasks = missing.union(retried) if retried else missing
    for block, start, stop in partition.spans(submission.partition, cuts):
        for task in tasks[start:stop]:
            if task in open_tasks:
                found[task] = block
    return found


def board_of(submission: Submission) -> Board:
    """Which blocks are held and which are free, as of now."""
    board = Board(submission.path, submission.partition)
    try:
        board.look(surely=True)
    except OSError:
        pass  # nothing was claimed yet
    return board


def holders(submission: Submission, board: Board, wanted: Set[int]) -> Dict[int, Holder]:
    """Who has each of these blocks, or had it last."""
    found = {}
    for block in sorted(wanted.intersection(board.claimed)):
        path = blocks.block_path(submission.path, block, board.claimed[block], "claim")
        claim = claims.read_claim(path)
        if claim is not None:
            holder, now = claim
            found[block] = Holder(holder.element, holder.job, holder.host, now)
    return found


def running(progress: Progress, submission: Submission) -> Dict[int, Open]:
    """The tasks without a record of the attempt that the newest claims of their blocks name."""
    missing, retried = progress.missing[submission.number], progress.retried[submission.number]
    found = {}
    board = board_of(submission)
    wanted = set(positions(progress, submission, board.cuts).values())
    for holder in holders(submission, board, wanted).values():
        now = holder.now
        if now.task in missing or now.attempt >= retried.get(now.task, now.attempt + 1):
            started = now.started or None
            found[now.task] = Open("RUNNING", now.attempt, holder.job, started, holder.host, None, None, None)
    return found
