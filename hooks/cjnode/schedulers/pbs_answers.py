"""What PBS's ``qstat -f`` prints, read. Pure."""

import re
from typing import Dict, List, NamedTuple, Optional, Tuple

from cjnode.package.points import format_tasks
from cjnode.schedulers import Account, Element, Status
from cjnode.schedulers.notation import indices

ID = re.compile(r"^([0-9]+)(?:\[([0-9]*)\])?(?:\.\S+)?$")

# One job of qstat -f: its ID as printed, its attributes by name.
Record = NamedTuple("Record", [("job", str), ("fields", Dict[str, str])])

# Of qstat(1B). A suspended job goes on later: it counts as running.
_STATES = {
    "Q": "PENDING",
    "T": "PENDING",
    "W": "PENDING",
    "M": "PENDING",
    "H": "HELD",
    "R": "RUNNING",
    "E": "RUNNING",
    "B": "RUNNING",
    "S": "RUNNING",
    "U": "RUNNING",
    "F": "ENDED",
    "X": "ENDED",
}

_REASONS = {"W": "start time", "M": "moved to another server", "S": "suspended", "U": "suspended"}

# Negative exit statuses are the execution daemon's own: JOB_EXEC_… in src/include/job.h.
_KILLED = {
    -24: "FAILED",
    -25: "FAILED",
    -26: "OUT_OF_MEMORY",
    -27: "OUT_OF_MEMORY",
    -28: "TIMEOUT",
    -29: "TIMEOUT",
}

# The scheduler's comments after "Not Running: ", from src/scheduler/job_info.cpp.
_WORDS = (
    (
        r"Insufficient amount of (?:resource|queue resource|server resource):? *(\S*).*",
        r"not enough %s is free now",
    ),
    (
        r"Not enough free nodes available|Nodes not available|No available resources on nodes",
        "no node is free now",
    ),
    (
        r"Not enough total nodes available|Not enough of the right type of nodes.*",
        "no node of this cluster has what it asks for",
    ),
    (
        r"User has reached (?:server|queue \S+) running job limit.*",
        "as many of your jobs run as one person may have",
    ),
    (r"(?:Server|Queue \S+) (?:per-user|job) limit.*", "a limit of the site on running jobs is reached"),
    (r"Group has reached .*", "your group's jobs fill its share"),
    (r"Queue not started.*", "the queue is stopped"),
    (r"Job would cross dedicated time boundary|Dedicated time conflict", "it would run into a maintenance"),
    (
        r"Job would interfere with a (?:top job|confirmed reservation)",
        "it would delay jobs that come before it",
    ),
    (
        r"Number of concurrent running subjobs limit reached.*",
        "its own limit of elements at a time is reached",
    ),
)


def parse(text: str) -> List[Record]:
    """The jobs of ``qstat -f``: attributes are indented, lines that go on begin with a tab."""
    records: List[Record] = []
    last = ""
    for line in text.split("\n"):
        if line.startswith("Job Id: "):
            records.append(Record(line[8:].strip(), {}))
            last = ""
        elif not records:
            continue
        elif line.startswith("\t") and last:
            records[-1].fields[last] += line[1:]
        elif line.startswith("    ") and " = " in line:
            last, value = line[4:].split(" = ", 1)
            records[-1].fields[last] = value
    return records


def status(record: Record) -> Status:
    """What a job of qstat is, in the glossary's words. Pure."""
    fields = record.fields
    letter = fields.get("job_state", "")
    state = _STATES.get(letter, "PENDING")
    if letter == "H" and "depend" in fields and fields.get("Hold_Types") == "s":
        state = "WAITING"
    if letter == "B" and not _busy(fields):
        state = "PENDING"
    if "[" in record.job:
        waiting = sorted(set(indices(fields.get("array_indices_remaining", "")))) if state != "ENDED" else []
        elements = _begun(fields, waiting) if state != "ENDED" else {}
    else:
        waiting = [1] if state in ("PENDING", "HELD", "WAITING") else []
        ended = account_of(record)
        elements = {1: Element(ended.state, ended.reason) if ended else Element(state, "")}
    reason = fields.get("comment", "").strip() if state in ("PENDING", "HELD", "WAITING") else ""
    return Status(state, reason or _REASONS.get(letter, ""), format_tasks(waiting), elements)


def _begun(fields: Dict[str, str], waiting: List[int]) -> Dict[int, Element]:
    """The elements of an array that run, where those that ended are none: else it cannot be told."""
    if is_mixed(fields):
        return {}
    submitted = set(indices(fields.get("array_indices_submitted", "")))
    return {index: Element("RUNNING", "") for index in sorted(submitted.difference(waiting))}


def is_mixed(fields: Dict[str, str]) -> bool:
    """Whether some elements of an array have ended and others run: its attributes do not tell which."""
    counts = _counts(fields)
    return _busy(fields) and counts.get("Expired", 1) > 0


def running(text: str, number: str) -> Dict[int, Element]:
    """An array's elements that run, from ``qstat -t``: a line each, whose ID may be cut after the index."""
    rows = re.findall(r"^%s\[([0-9]+)\]\S*\s.*\s([A-Z])\s+\S+\s*$" % number, text, re.M)
    return {int(index): Element("RUNNING", "") for index, letter in rows if _STATES.get(letter) == "RUNNING"}


def _counts(fields: Dict[str, str]) -> Dict[str, int]:
    words = re.findall(r"(\w+):([0-9]+)", fields.get("array_state_count", ""))
    return {word: int(count) for word, count in words}


def _busy(fields: Dict[str, str]) -> bool:
    counts = _counts(fields)
    return not counts or counts.get("Running", 0) + counts.get("Exiting", 0) > 0


def number(job: str) -> Tuple[str, Optional[str]]:
    """An ID's number and index, whatever the server's name: an array's index is "", a plain job has none."""
    found = ID.match(job)
    return (found.group(1), found.group(2)) if found else ("", job)


def account_of(record: Record) -> Optional[Account]:
    """How one element ended; None while it has not. Pure."""
    fields = record.fields
    if fields.get("job_state") not in ("F", "X") or not re.match(r"-?[0-9]+$", fields.get("Exit_status", "")):
        return None
    status, comment = int(fields["Exit_status"]), fields.get("comment", "")
    code: Optional[int] = status
    if "terminated" in comment:
        state = "CANCELLED"
    elif status in _KILLED or status < 0:
        state, code = _KILLED.get(status, "NODE_FAIL" if status <= -4 else "FAILED"), None
    else:
        state = "COMPLETED" if status == 0 else "FAILED"
    if code is not None and code > 256:  # 256 + signal
        code = 128 + code - 256
    return Account(state, code, comment, _megabytes(fields.get("resources_used.mem", "")))


def _megabytes(text: str) -> Optional[float]:
    found = re.match(r"([0-9]+)(b|kb|mb|gb|tb)?$", text)
    if not found:
        return None
    scale = {"b": 1 / 1048576.0, "kb": 1 / 1024.0, "mb": 1.0, "gb": 1024.0, "tb": 1048576.0}
    return round(int(found.group(1)) * scale[found.group(2) or "b"], 1)


def explain(reason: str) -> str:
    """A comment of PBS's scheduler in plain words."""
    if reason.startswith("Can Never Run: "):
        return "it can never run here: " + reason[len("Can Never Run: ") :]
    bare = reason[len("Not Running: ") :] if reason.startswith("Not Running: ") else reason
    for pattern, words in _WORDS:
        found = re.match(pattern + r"$", bare)
        if found:
            return words % found.group(1) if "%s" in words else words
    return bare
