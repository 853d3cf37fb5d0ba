"""Make one part of a submission a job, once, whoever else is at it or was killed at it.

Before the act its ``acting-<part>-<try>.json`` is created; after it, the receipt. Who finds the one without
the other waits for an actor that lives. After a dead one the scheduler is asked for a job of the part's name:
it may have taken the job without anybody left to write that down. Even two jobs would run no task twice: the
claims see to that.
"""

import os
import re
import signal
import time
from typing import Any, Dict, List, Optional

from cjnode import processes, schedulers
from cjnode.errors import NodeError
from cjnode.files import age_s, create_json, forget, now, read_json, wait_for
from cjnode.jobs.parts import receipt
from cjnode.processes import settle_s
from cjnode.records import blocks, claims, layout
from cjnode.schedulers import FullError, Job, UnclearError
from cjnode.schedulers.commands import MissingError, SilentError

MARK = "CJ_SUBMITTING"  # by this variable a scheduler's program is known again when its starter is dead
WAIT_S = 120.0  # for a living actor, by who asks again: longer than a scheduler's program may take
CLIENT_S = 180.0  # a scheduler's program that outlived its starter so long hangs, and is ended
ELSEWHERE_S = 600.0  # whether a process of another login node lives cannot be seen: after this it is dead
MOST_TRIES = 2  # of one call

_ACTING = re.compile(r"acting-([0-9]+)-([0-9]+)\.json\Z")


class BusyError(NodeError):
    """Another process is at it, or what a dead one did is not clear yet."""


def submit_part(root: str, scheduler: str, folder: str, part: int, job: Job, patient: bool) -> str:
    """The job of a part, submitted unless it is. Who is not patient gets BusyError instead of waiting."""
    deadline = time.monotonic() + (WAIT_S if patient else 0.0)
    tried, pause = 0, 0.05
    while True:
        last = last_try(folder, part)
        trouble = _what_holds(root, scheduler, folder, part, last, job.name) if last else ""
        known = receipt(folder, part)
        if known is not None:
            return known
        if not trouble and tried == MOST_TRIES:
            raise BusyError(
                "it was submitted %d times, and the scheduler has it not" % tried, "git cj doctor"
            )
        if not trouble and _take(folder, part, last + 1):
            tried += 1
            try:
                return _act(root, scheduler, folder, part, last + 1, job)
            except UnclearError as problem:
                trouble = problem.error
        if trouble and time.monotonic() >= deadline:
            raise BusyError(trouble, "git cj state in a while")
        time.sleep(pause)
        pause = min(1.0, 2 * pause, settle_s())


def last_try(folder: str, part: int) -> int:
    """The number of the last try to submit a part; 0: none was begun."""
    matches = [_ACTING.match(name) for name in os.listdir(folder)]
    return max([int(found.group(2)) for found in matches if found and int(found.group(1)) == part] or [0])


def being_submitted(folder: str, part: int) -> bool:
    """Whether a living process is submitting a part now."""
    last = last_try(folder, part)
    if not last or receipt(folder, part) is not None:
        return False
    fields = read_json(_path(folder, part, last))
    return fields is not None and _lives(folder, part, last, fields)


def _path(folder: str, part: int, number: int) -> str:
    return os.path.join(folder, "acting-%d-%d.json" % (part, number))


def _take(folder: str, part: int, number: int) -> bool:
    fields: Dict[str, Any] = dict(processes.identity(os.getpid())._asdict())
    fields.update(session=os.getsid(0), at=now())
    return create_json(_path(folder, part, number), fields)


def _lives(folder: str, part: int, number: int, fields: Dict[str, Any]) -> bool:
    who = processes.from_fields(fields)
    if processes.alive(who) and not processes.here(who):
        return (age_s(_path(folder, part, number)) or 0.0) < ELSEWHERE_S
    return processes.here(who)


def _what_holds(root: str, scheduler: str, folder: str, part: int, number: int, name: str) -> str:
    """Why a try without a receipt must not be followed by another yet; empty when it may, or has one now."""
    fields = read_json(_path(folder, part, number))
    if fields is None:
        return "it was refused just now"
    if _lives(folder, part, number, fields):
        if int(fields["pid"]) != os.getpid():
            return "process %s on %s is submitting it" % (fields["pid"], fields["machine"][:12])
    elif _client(folder, part, number, int(fields.get("session") or 0), name):
        return "the scheduler's program of a submission that was cut off still runs"
    try:
        found = _found(root, scheduler, folder, name)
    except NodeError as problem:
        return "it is not clear whether the scheduler has it: %s" % problem.error
    if found:
        keep(root, scheduler, folder, part, found)
        return ""
    unclear = _path(folder, part, number).replace("acting-", "unclear-")
    create_json(unclear, {"at": now()})
    if (age_s(unclear) or 0.0) < settle_s():
        return "the scheduler does not have it, but may yet"
    return ""


def _client(folder: str, part: int, number: int, session: int, name: str) -> bool:
    """Whether the program that a dead actor started still runs here; one that hangs is ended."""
    left = processes.marked(session, "%s=%s:%d" % (MARK, name, number))
    if left and (age_s(_path(folder, part, number)) or 0.0) > CLIENT_S:
        for process in left:
            os.kill(process, signal.SIGKILL)
    return bool(left)


def _found(root: str, scheduler: str, folder: str, name: str) -> List[str]:
    """The jobs of that name that the scheduler knows of, or that left claims."""
    found = schedulers.find(scheduler, root, name)
    return found or _claimants(folder, name)


def _claimants(folder: str, name: str) -> List[str]:
    """The job whose elements claimed blocks: it ran, though the scheduler has forgotten it."""
    number = int(os.path.basename(folder))
    if not name.endswith("-%d" % number) or name.count("-") != 2:
        return []  # of several parts a claim does not say which
    for found in blocks.list_blocks(folder, number):
        claim = claims.read_claim(blocks.block_path(folder, found.id.block, found.id.generation, "claim"))
        if found.claim and claim is not None and claim[0].job:
            return [claim[0].job]
    return []


def _act(root: str, scheduler: str, folder: str, part: int, number: int, job: Job) -> str:
    os.environ[MARK] = "%s:%d" % (job.name, number)
    try:
        made = schedulers.submit(scheduler, root, job)
    except FullError:
        forget(_path(folder, part, number))
        raise
    except MissingError:
        forget(_path(folder, part, number))
        raise
    except SilentError as problem:
        raise UnclearError(problem.error, problem.hint)
    except UnclearError:
        raise
    except NodeError:
        found = _living(root, scheduler, job.name)
        if not found:
            if found is not None:
                forget(_path(folder, part, number))
            raise
        return keep(root, scheduler, folder, part, found)
    finally:
        os.environ.pop(MARK, None)
    return keep(root, scheduler, folder, part, [made])


def _living(root: str, scheduler: str, name: str) -> Optional[List[str]]:
    """The jobs of that name that are there in spite of an error; None when the scheduler does not say.

    Accounting may remember an earlier job of the name, of a package that was cleaned and sent again.
    """
    try:
        found = schedulers.find(scheduler, root, name)
        there = schedulers.poll(scheduler, root, found) if found else {}
    except NodeError:
        return None
    return [each for each in found if each in there and there[each].state != "ENDED"]


def keep(root: str, scheduler: str, folder: str, part: int, found: List[str]) -> str:
    """Write the receipt of the first job found; the others are ended."""
    path = layout.part_path(folder, "receipt", part)
    if not create_json(path, {"job": found[0], "submitted": now()}):
        wait_for(path)  # another node's may not be in sight yet
    kept = receipt(folder, part)
    assert kept is not None
    for other in found:
        if other != kept:
            schedulers.cancel(scheduler, root, other)
    return kept
