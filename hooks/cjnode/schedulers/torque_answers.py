"""What Torque's programs print, read. Pure; from recordings of 4 to 6."""

import re
from typing import Dict, List, NamedTuple, NoReturn, Optional, Tuple
from xml.etree import ElementTree

from cjnode.errors import NodeError
from cjnode.package.points import format_tasks
from cjnode.schedulers import (
    Account,
    Element,
    FullError,
    Limits,
    Status,
    UnclearError,
    hint_for,
    slurm_answers,
)

ID = re.compile(r"(\d+)(?:\[(\d*)\])?(?:\.(\S+))?\Z")

_FULL = re.compile(
    r"Maximum number of jobs already in queue|exceeds the (?:queue|server) limit|Resource temp"
)
_UNCLEAR = re.compile(r"[Cc]annot connect|[Cc]onnection|[Tt]imed? ?out|End of File|pbs_iff|[Cc]ommunication")
_HINTS = (
    (r"queue|partition", "qstat -Q lists the queues: name one with alloc -q NAME"),
    (r"walltime|Resource_List|exceeds", "ask for less, or name another queue with alloc -q NAME"),
    (r"array", "set max_jobs for this cluster to what its arrays take"),
    (r"[Aa]ccount", "alloc -A ACCOUNT"),
    (r"illegal|option", "correct alloc: man qsub on the cluster"),
)

# Ended by the execution daemon itself: the manual's list of exit codes.
_KILLED = {-10: "OUT_OF_MEMORY", -11: "TIMEOUT", -12: "TIMEOUT", -3: "NODE_FAIL", -4: "NODE_FAIL"}
_DELETED = 271  # 256 + SIGTERM: ended by qdel

Row = NamedTuple(
    "Row",
    [
        ("job", str),  # as qsub printed it
        ("index", Optional[int]),  # None: no array, or an array as a whole
        ("array", bool),
        ("name", str),
        ("owner", str),
        ("letter", str),
        ("fields", Dict[str, str]),
    ],
)


def submitted(code: int, out: str, err: str) -> str:
    """The ID that qsub printed, ``12.server`` or ``12[].server``; raises what submit() promises."""
    found = [line.strip() for line in out.splitlines() if ID.match(line.strip())]
    if code == 0 and found:
        return found[-1]
    said = words(err + "\n" + out)
    if _FULL.search(said) or slurm_answers.FULL.search(said):
        raise FullError("the site takes no more jobs now: %s" % said, "git cj state in a while")
    if code <= 0 or _UNCLEAR.search(said) or slurm_answers.UNCLEAR.search(said):
        raise UnclearError("qsub: %s" % (said or "no job ID, exit %d" % code), "git cj state")
    raise NodeError("qsub refused: %s" % (said or "exit %d" % code), hint_for(said, _HINTS))


def words(text: str) -> str:
    """What a program said, in one line."""
    said: List[str] = []
    for line in text.splitlines():
        line = re.sub(r"^(?:qsub|qstat|qdel|qhold|qrls): (?:submit error )?", "", line.strip(" '"))
        line = re.sub(r"^sbatch: error: ", "", line).strip()
        if line and line not in said and not line.startswith(("There was an error", "The command was", "/")):
            said.append(line)
    return "; ".join(said)


def silent(program: str, text: str) -> NoReturn:
    """Raise what a program that gave no answer deserves."""
    raise NodeError("%s: %s" % (program, words(text)[:300] or "no answer"), "git cj state in a while")


def xml_rows(text: str) -> List[Row]:
    """The jobs of ``qstat -x``; Torque prints nothing at all when it has none."""
    if not text.strip():
        return []
    try:
        tree = ElementTree.fromstring(text.strip())
    except ElementTree.ParseError as problem:
        raise NodeError("qstat -x: %s" % (words(text)[:200] or problem), "git cj state in a while")
    rows = []
    for job in tree.iter("Job"):
        fields = {child.tag: child.text or "" for child in job}
        for child in job.iterfind("resources_used/*"):
            fields["resources_used." + child.tag] = child.text or ""
        rows += _row(fields.get("Job_Id", ""), fields)
    return rows


def _row(job: str, fields: Dict[str, str]) -> List[Row]:
    found = ID.match(job)
    name = fields.get("Job_Name", "")
    if not found or not name.startswith("cj-"):
        return []
    number, index, server = found.groups()
    whole = number + ("[]" if index is not None else "") + ("." + server if server else "")
    if index:
        # An element is named after its array and its index.
        name = re.sub(r"-%s\Z" % index, "", name)
    owner = fields.get("Job_Owner", "").partition("@")[0]
    letter = fields.get("job_state", "")
    return [Row(whole, int(index) if index else None, index is not None, name, owner, letter, fields)]


def number(job: str) -> str:
    """What stays of an ID whichever way the server's name is printed."""
    return job.partition(".")[0]


def statuses(rows: List[Row], jobs: List[str]) -> Dict[str, Status]:
    """A status for each of the jobs that has a row."""
    wanted = {number(job): job for job in jobs}
    mine: Dict[str, List[Row]] = {}
    for row in rows:
        if number(row.job) in wanted:
            mine.setdefault(wanted[number(row.job)], []).append(row)
    return {job: _status(listed) for job, listed in mine.items()}


def _status(rows: List[Row]) -> Status:
    elements: Dict[int, Element] = {}
    waiting: List[int] = []
    reasons: Dict[str, str] = {}
    states = set()
    # The line of an array as a whole counts only where its elements have none.
    for row in [row for row in rows if row.index is not None] or rows:
        state, reason = glossary(row)
        known = state in ("PENDING", "HELD", "WAITING", "RUNNING")
        states.add(state if known else "ENDED")
        if known and reason:
            reasons.setdefault(state, reason)
        if row.array and row.index is None:
            continue
        index = row.index or 1
        if known and state != "RUNNING" and "start_time" not in row.fields:
            waiting.append(index)
        if state:
            elements[index] = Element(state, reason)
    whole = next((state for state in ("RUNNING", "PENDING", "WAITING", "HELD") if state in states), "ENDED")
    reason = next((reasons[state] for state in ("PENDING", "WAITING", "HELD") if state in reasons), "")
    return Status(whole, reason, format_tasks(sorted(waiting)), elements)


def glossary(row: Row) -> Tuple[str, str]:
    """A job's state and reason; of one that completed without a known exit code, nothing."""
    if row.letter == "C":
        return ended(row.fields.get("exit_status", ""))
    if row.letter == "H":
        # A slot limit holds what it does not let run: HOLD_l.
        if row.fields.get("Hold_Types") == "l":
            return "PENDING", "slot limit"
        return ("WAITING", "depend") if row.fields.get("depend") else ("HELD", "H")
    if row.letter in ("Q", "W"):
        return "PENDING", row.letter
    return "RUNNING", "suspended" if row.letter == "S" else ""


def ended(exit_status: str) -> Tuple[str, str]:
    """The state and reason that an exit status means."""
    if not re.match(r"-?\d+\Z", exit_status):
        return "", ""
    code = int(exit_status)
    if code == 0:
        return "COMPLETED", ""
    if code == _DELETED:
        return "CANCELLED", ""
    return _KILLED.get(code, "FAILED"), "exit status %d" % code if code < 0 else ""


def accounts(rows: List[Row], jobs: List[str]) -> Dict[str, Dict[int, Account]]:
    """What is still remembered of elements that completed."""
    wanted = {number(job): job for job in jobs}
    found: Dict[str, Dict[int, Account]] = {}
    for row in rows:
        state, reason = ended(row.fields.get("exit_status", ""))
        if row.letter != "C" or not state or number(row.job) not in wanted:
            continue
        code = int(row.fields["exit_status"])
        memory = re.match(r"(\d+)kb\Z", row.fields.get("resources_used.mem", ""))
        used = round(int(memory.group(1)) / 1024.0, 1) if memory else None
        # A shell's way of telling a signal is 128 more; Torque's is 256.
        shown = None if code < 0 else code - 128 if code > 256 else code
        found.setdefault(wanted[number(row.job)], {})[row.index or 1] = Account(state, shown, reason, used)
    return found


def limits(text: str) -> Limits:
    """What ``qstat -B -f`` shows of the server, ``present`` left 0."""
    fields = dict(re.findall(r"^\s+(\S+) = (\d+)\s*$", text, re.MULTILINE))
    most = fields.get("max_user_queuable")
    array = fields.get("max_job_array_size")
    return Limits(int(array) if array else None, int(most) if most else None, 0)
