"""What LSF's programs print, read. Pure."""

import json
import re
from typing import Any, Dict, List, Optional

from cjnode.errors import NodeError
from cjnode.package.points import format_tasks
from cjnode.schedulers import Account, Element, Status

# Fields of bjobs -o, in the "bjobs" page of IBM's LSF 10.1 command reference. Text is split at their order.
FIELDS = ("jobid", "jobindex", "stat", "exit_code", "max_mem", "exit_reason", "pend_reason", "job_name")
OLD_FIELDS = ("jobid", "stat", "job_name")  # 9.1.1 has these, and the index in the name
DELIMITER = "^"

# UNKWN is a node that does not answer: the job may well run on. ZOMBI is one that was killed meanwhile.
_STATES = {
    "PEND": "PENDING",
    "WAIT": "PENDING",
    "PSUSP": "HELD",
    "RUN": "RUNNING",
    "PROV": "RUNNING",
    "USUSP": "RUNNING",
    "SSUSP": "RUNNING",
    "UNKWN": "RUNNING",
    "ZOMBI": "ENDED",
    "DONE": "ENDED",
    "EXIT": "ENDED",
}

# "Job termination reason logging" of IBM's administrator guide.
_ENDS = {
    "TERM_MEMLIMIT": "OUT_OF_MEMORY",
    "TERM_SWAP": "OUT_OF_MEMORY",
    "TERM_RUNLIMIT": "TIMEOUT",
    "TERM_CPULIMIT": "TIMEOUT",
    "TERM_DEADLINE": "TIMEOUT",
    "TERM_WINDOW": "TIMEOUT",
    "TERM_OWNER": "CANCELLED",
    "TERM_ADMIN": "CANCELLED",
    "TERM_FORCE_OWNER": "CANCELLED",
    "TERM_FORCE_ADMIN": "CANCELLED",
    "TERM_PREEMPT": "NODE_FAIL",
    "TERM_ZOMBIE": "NODE_FAIL",
    "TERM_REQUEUE_OWNER": "NODE_FAIL",
    "TERM_REQUEUE_ADMIN": "NODE_FAIL",
}

# Pending reasons of bjobs -p in plain words.
_WORDS = (
    ("New job is waiting for scheduling", "the scheduler has not looked at it yet"),
    ("Job dependency condition not satisfied", "it waits for another job"),
    ("The job array has reached its job slot limit", "its own limit of elements at a time is reached"),
    ("User has reached the", "as many of your jobs run as one person may have"),
    ("The user has reached", "as many of your jobs run as one person may have"),
    ("The queue has reached its job slot limit", "the queue is full"),
    ("Queue's ", "a limit of the queue is reached"),
    ("Job's requirements for reserving resource", "not enough of what it asks for is free now"),
    ("Job requirements for reserving resource", "not enough of what it asks for is free now"),
    ("Not enough ", "not enough free slots or hosts now"),
    ("Job's resource requirements not satisfied", "no host has what it asks for"),
    ("Job was suspended by", "it is held"),
    ("The queue is inactivated by", "the queue is closed"),
)


def records(text: str) -> List[Dict[str, str]]:
    """The jobs of ``bjobs -json``. Raises NodeError when it is no JSON of that kind."""
    try:
        answer = json.loads(text[text.index("{") :], strict=False)
        found = answer["RECORDS"]
        if int(answer["JOBS"]) != len(found):
            raise ValueError("cut off")
        return [
            {str(key).lower(): str(value) for key, value in record.items()}
            for record in found
            if "ERROR" not in record
        ]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise NodeError("bjobs gave no readable answer: %s" % " ".join(text.split())[:200], "git cj doctor")


def lines(text: str, fields: Any) -> List[Dict[str, str]]:
    """The jobs of ``bjobs -noheader -o`` with the delimiter; other lines are noise."""
    found = []
    for line in text.split("\n"):
        words = line.split(DELIMITER, len(fields) - 1)
        if len(words) == len(fields) and words[0].strip().isdigit():
            found.append({field: word.strip() for field, word in zip(fields, words)})
    return found


def index(record: Dict[str, str]) -> int:
    """The index of an element, 1 for a job that is no array."""
    word = record.get("jobindex", "")
    if not word.isdigit():
        inside = re.search(r"\[([0-9]+)\]$", record.get("job_name", ""))
        word = inside.group(1) if inside else "0"
    return int(word) or 1


def status(found: List[Dict[str, str]]) -> Status:
    """What a job is, from the records of its elements."""
    elements: Dict[int, Element] = {}
    waiting: List[int] = []
    reasons: List[str] = []
    for record in found:
        state = _STATES.get(record.get("stat", ""), "PENDING")
        reason = _bare(record.get("pend_reason", ""))
        if state == "PENDING" and reason.startswith("Job dependency condition"):
            state = "WAITING"
        if state in ("PENDING", "WAITING", "HELD"):
            waiting.append(index(record))
            reasons += [reason] if reason else []
        elif record.get("stat") in ("UNKWN", "USUSP", "SSUSP"):
            reason = {"UNKWN": "its host does not answer"}.get(record["stat"], "suspended")
        ended = account(record)
        if ended:
            elements[index(record)] = Element(ended.state, ended.reason)
        elif state != "ENDED":
            elements[index(record)] = Element(state, reason)
    states = {element.state for element in elements.values()}
    order = ("RUNNING", "PENDING", "WAITING", "HELD")
    state = next((state for state in order if state in states), "ENDED")
    return Status(
        state, reasons[0] if reasons and state != "RUNNING" else "", format_tasks(sorted(waiting)), elements
    )


def _bare(text: str) -> str:
    reason = " ".join(text.split()).strip("; ")
    return "" if reason == "-" else reason


def account(record: Dict[str, str]) -> Optional[Account]:
    """How one element ended; None while it has not."""
    if record.get("stat") not in ("DONE", "EXIT"):
        return None
    word, reason = record.get("exit_code", ""), _bare(record.get("exit_reason", ""))
    if record["stat"] == "DONE":
        return Account("COMPLETED", 0, "", megabytes(record.get("max_mem", "")))
    code = int(word) if word.isdigit() else None
    state = _ENDS.get(reason.split(":")[0], "FAILED")
    return Account(state, code, reason, megabytes(record.get("max_mem", "")))


def megabytes(text: str) -> Optional[float]:
    """``3.9 Gbytes`` or ``312 KB`` in megabytes."""
    found = re.match(r"([0-9.]+) *([KMGT])", text.strip())
    if not found:
        return None
    scale = {"K": 1 / 1024.0, "M": 1.0, "G": 1024.0, "T": 1048576.0}
    return round(float(found.group(1)) * scale[found.group(2)], 1)


def unwrapped(text: str) -> str:
    """The long formats of bhist and bacct: a line that begins with 21 blanks goes on with the one before."""
    return text.replace("\n" + " " * 21, "")


def long_accounts(text: str) -> Dict[str, Dict[int, Account]]:
    """How jobs ended, from ``bhist -l`` or ``bacct -l``: by job and index."""
    found: Dict[str, Dict[int, Account]] = {}
    for part in re.split(r"\n(?=Job <[0-9]+)", "\n" + unwrapped(text)):
        head = re.match(r"Job <([0-9]+)(?:\[([0-9]+)\])?>", part)
        ended = _end(part)
        if head and ended:
            found.setdefault(head.group(1), {})[int(head.group(2) or 1)] = ended
    return found


def _end(part: str) -> Optional[Account]:
    memory = re.search(r"MAX MEM: *([0-9.]+ *[KMGT])", part)
    used = megabytes(memory.group(1)) if memory else None
    why = re.search(r"(TERM_[A-Z_]+): *([^.;\n]*)", part)
    if why:
        reason = "%s: %s" % (why.group(1), why.group(2).strip())
        code = re.search(r"exit code ([0-9]+)", part)
        state = _ENDS.get(why.group(1), "FAILED")
        return Account(state, int(code.group(1)) if code else None, reason, used)
    if re.search(r"Done successfully|Completed <done>", part):
        return Account("COMPLETED", 0, "", used)
    code = re.search(r"Exited (?:with|by) (exit code|signal) ([0-9]+)", part)
    if code:
        number = int(code.group(2)) + (128 if code.group(1) == "signal" else 0)
        return Account("FAILED", number, "", used)
    return Account("FAILED", None, "", used) if re.search(r"Completed <exit>|\bExited\b", part) else None


def explain(reason: str) -> str:
    """A pending reason of LSF's in plain words."""
    for beginning, words in _WORDS:
        if reason.startswith(beginning):
            return words
    return reason
