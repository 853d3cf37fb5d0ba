"""What a job's files on ``local`` say: who runs it, which elements were started, whether it has ended."""

import os
import re
from typing import List, Optional, Set, Tuple

from cjnode import processes
from cjnode.errors import NodeError
from cjnode.files import read_json
from cjnode.processes import Identity

_JOB = re.compile(r"cj-[0-9a-f]{12}-[1-9][0-9]{0,9}(?:-[1-9][0-9]{0,9})?\Z")
ELEMENT = re.compile(r"element-([0-9]+)-([0-9]+)\.json\Z")
OWNER = re.compile(r"owner-([0-9]+)\.json\Z")


def is_job(name: str) -> bool:
    """Whether a name is one of a local job."""
    return _JOB.match(name) is not None


def job_folder(root: str, job: str) -> str:
    """Where a job's own files lie."""
    if not is_job(job):
        raise NodeError("not a job: %r" % job)
    return os.path.join(root, "scheduler", job)


def is_done(folder: str) -> bool:
    """Whether the job ran to its end."""
    return os.path.exists(os.path.join(folder, "done.json"))


def names(folder: str) -> List[str]:
    """What lies in a folder; nothing where there is none."""
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []


def numbers(pattern: "re.Pattern[str]", folder: str) -> List[int]:
    """The numbers in the names that a pattern finds, its first group."""
    return [int(match.group(1)) for match in map(pattern.match, names(folder)) if match]


def identity(path: str) -> Optional[Identity]:
    """The process that a file names."""
    fields = read_json(path)
    return processes.from_fields(fields) if fields else None


def owner(folder: str) -> Optional[Identity]:
    """The last pool that took the job."""
    found = numbers(OWNER, folder)
    return identity(os.path.join(folder, "owner-%d.json" % max(found))) if found else None


def elements(folder: str) -> List[Identity]:
    """Every start of every element."""
    found = [identity(os.path.join(folder, name)) for name in names(folder) if ELEMENT.match(name)]
    return [who for who in found if who is not None]


def living(folder: str) -> Set[Tuple[int, bool]]:
    """Every element that was started, and whether a start of it lives."""
    found = set()
    for name in names(folder):
        match = ELEMENT.match(name)
        who = identity(os.path.join(folder, name)) if match else None
        if match and who is not None:
            found.add((int(match.group(1)), processes.alive(who)))
    return found
