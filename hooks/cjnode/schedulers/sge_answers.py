"""What Grid Engine's programs print, read. Pure; recorded from 8.1.9, whose forms are those of 6.2 too."""

import re
from typing import Dict, List, NamedTuple, NoReturn, Optional
from xml.etree import ElementTree

from cjnode.errors import NodeError
from cjnode.package.points import format_tasks
from cjnode.schedulers import Account, Element, FullError, Limits, Status, UnclearError, hint_for
from cjnode.schedulers.notation import indices

ERROR = "Eqw"  # the error state: such a job never starts by itself, and never ends

_SUBMITTED = re.compile(r"^(?:Your job(?:-array)? )?(\d+)(?:\.\d+-\d+:\d+)?(?: \(.*)?$", re.MULTILINE)
_FULL = re.compile(r"only \d+ jobs are allowed per|exceeds job slot limit")
_UNCLEAR = re.compile(
    r"no response|[Tt]ime ?out|commlib|unable to (?:contact|send|receive)|failed receiving|can't connect"
    r"|[Cc]onnection|Error reading answer list"
)
_GONE = re.compile(r"does not exist|do not exist|not found")
_HINTS = (
    (r"queue", "qconf -sql lists the queues: name one with alloc -q NAME"),
    (r"unknown resource|resource", "qconf -sc lists the resources: correct alloc"),
    (r"parallel environment|PE ", 'qconf -spl lists them: alloc "-pe NAME SLOTS"'),
    (r"project", "qconf -sprjl lists the projects: alloc -P NAME"),
    (r"tasks", "set max_jobs for this cluster to what its arrays take"),
    (r"option", "correct alloc: man qsub on the cluster"),
)

Row = NamedTuple("Row", [("job", str), ("tasks", List[int]), ("state", str), ("name", str), ("array", bool)])


def submitted(code: int, out: str, err: str) -> str:
    """The ID that ``qsub -terse`` printed, ``3.1-8:1`` being job 3; raises what submit() promises."""
    found = _SUBMITTED.findall(out)
    if code == 0 and found:
        return str(found[-1])
    said = words(err + "\n" + out)
    # Exit 25: max_u_jobs or max_jobs, by sge_conf(5).
    if _FULL.search(said) or code == 25:
        raise FullError("Grid Engine takes no more jobs now: %s" % said, "git cj state in a while")
    if code <= 0 or _UNCLEAR.search(said):
        raise UnclearError("qsub: %s" % (said or "no job ID, exit %d" % code), "git cj state")
    raise NodeError("qsub refused: %s" % (said or "exit %d" % code), hint_for(said, _HINTS))


def words(text: str) -> str:
    """What a program said, in one line, without its preamble."""
    said: List[str] = []
    for line in text.splitlines():
        line = re.sub(r"^(?:Unable to run job|error|qsub|qstat): ", "", line.strip()).rstrip(".")
        if line and line not in said and line != "Exiting":
            said.append(line)
    return "; ".join(said)


def gone(text: str) -> bool:
    """Whether a program said that the job is not there."""
    return _GONE.search(text) is not None


def silent(program: str, text: str) -> NoReturn:
    """Raise what a program that gave no answer deserves."""
    raise NodeError("%s: %s" % (program, words(text) or "no answer"), "git cj state in a while")


def queue(text: str) -> List[Row]:
    """The jobs of ``qstat -xml`` that are ours. Raises NodeError when it is no whole answer."""
    try:
        tree = ElementTree.fromstring(text.strip())
    except ElementTree.ParseError as problem:
        raise NodeError("qstat -xml: %s" % (words(text)[:200] or problem), "git cj state in a while")
    # With the master away some versions say so in XML, with exit 0; the word is spelled so.
    if tree.tag != "job_info" or tree.find(".//comunication_error") is not None:
        silent("qstat", "".join(tree.itertext()))
    rows = []
    for found in tree.iter("job_list"):
        name, tasks = found.findtext("JB_name") or "", found.findtext("tasks")
        if name.startswith("cj-"):
            number, state = found.findtext("JB_job_number") or "", found.findtext("state") or ""
            rows.append(Row(number, indices(tasks or "1"), state.strip(), name, tasks is not None))
    return rows


def statuses(rows: List[Row], jobs: List[str], errors: Dict[str, Dict[int, str]]) -> Dict[str, Status]:
    """A status for each of the jobs that has a row; ``errors`` are the reasons of those in error."""
    mine: Dict[str, List[Row]] = {job: [] for job in jobs}
    for row in rows:
        if row.job in mine:
            mine[row.job].append(row)
    return {job: _status(listed, errors.get(job, {})) for job, listed in mine.items() if listed}


def _status(rows: List[Row], errors: Dict[int, str]) -> Status:
    elements: Dict[int, Element] = {}
    waiting: List[int] = []
    reasons: Dict[str, str] = {}
    states = set()
    kept: Dict[int, Element] = {}
    for row in rows:
        state = glossary(row.state)
        states.add(state)
        if state == "RUNNING":
            reason = "suspended" if re.search("[sST]", row.state) else ""
            elements.update((task, Element(state, reason)) for task in row.tasks)
            continue
        if "R" not in row.state:
            waiting += row.tasks
        if state == "HELD":
            kept.update((task, Element(state, row.state)) for task in row.tasks)
        if "E" in row.state or "R" in row.state or not row.array:
            for task in row.tasks:
                said = errors.get(task) or next(iter(errors.values()), "")
                reason = "%s: %s" % (ERROR, said) if "E" in row.state else row.state
                elements[task] = Element(state, reason)
                reasons["E" if "E" in row.state else state] = reason
        reasons.setdefault(state, row.state)
    whole = next((state for state in ("RUNNING", "PENDING", "HELD") if state in states), "ENDED")
    reason = next((reasons[key] for key in ("E", "PENDING", "HELD") if key in reasons), "")
    if whole in ("RUNNING", "PENDING"):
        kept.update(elements)
        elements = kept  # the others of the job are not held
    return Status(whole, reason, format_tasks(sorted(waiting)), elements)


def glossary(state: str) -> str:
    """The letters of qstat's as one of our states; by qstat(1)."""
    if "z" in state:
        return "ENDED"
    if "E" in state:
        return "HELD"
    if re.search("[rtdsST]", state):
        return "RUNNING"
    return "HELD" if "h" in state else "PENDING"


def in_error(rows: List[Row], jobs: List[str]) -> List[str]:
    """Those of the jobs with elements in the error state."""
    return sorted({row.job for row in rows if "E" in row.state and row.job in jobs})


def errors(text: str) -> Dict[str, Dict[int, str]]:
    """The error reasons of ``qstat -j``, by job and task."""
    found: Dict[str, Dict[int, str]] = {}
    job = ""
    for line in text.splitlines():
        if line.startswith("job_number:"):
            job = line.split(":", 1)[1].strip()
        named = re.match(r"error reason\s+(\d+):\s+(?:\S+ \S+ \[[^\]]*\]: )?(?:error: )?(.*)", line)
        if named:
            found.setdefault(job, {})[int(named.group(1))] = named.group(2).strip()
    return found


def accounts(text: str, job: str) -> Dict[int, Account]:
    """The entries of ``qacct -j``; of a task started again, and of an ID used again, the last."""
    found: Dict[int, Account] = {}
    for block in re.split(r"^=+$", text, flags=re.MULTILINE):
        fields = dict(re.findall(r"^(\w+)[ \t]+(.*?)[ \t]*$", block, re.MULTILINE))
        if fields.get("jobnumber") != job or not fields.get("jobname", "").startswith("cj-"):
            continue
        task = fields.get("taskid", "undefined")
        account = _account(fields)
        if account:
            found[int(task) if task.isdigit() else 1] = account
    return found


def _account(fields: Dict[str, str]) -> Optional[Account]:
    failed, _, why = (part.strip() for part in fields.get("failed", "").partition(":"))
    code = re.match(r"\d+", fields.get("exit_status", ""))
    if not failed.isdigit() or int(failed) == 25:  # put back into the queue
        return None
    exit_code = int(code.group()) if code else None
    memory, asked = (
        size(fields.get("maxvmem", "")),
        re.search(r"h_vmem=([^,\s]+)", fields.get("category", "")),
    )
    limit = size(asked.group(1)) if asked else None
    if failed == "0":
        state = "COMPLETED" if exit_code == 0 else "FAILED"
    elif int(failed) in (37, 100) and memory and limit and memory >= limit * int(fields.get("slots") or 1):
        state, why = (
            "OUT_OF_MEMORY",
            "it used %s of h_vmem=%s" % (fields["maxvmem"], asked and asked.group(1)),
        )
    elif failed == "37":
        state = "TIMEOUT"
    elif fields.get("deleted_by", "NONE") not in ("NONE", ""):
        state, why = "CANCELLED", "deleted by %s" % fields["deleted_by"]
    else:
        state = "FAILED"
    # Kilobytes, which 8.1.9 prints as if they were bytes: 4452 kB as 4.348KB.
    used = size(fields.get("ru_maxrss", ""))
    return Account(state, exit_code, why, round(used / 1024, 1) if used else None)


def size(text: str) -> Optional[float]:
    """``1.5GB``, ``200M`` or a plain number, in bytes; lower letters are powers of 1000, by sge_types(1)."""
    found = re.match(r"([0-9.]+)([KMGTkmgt]?)B?\Z", text)
    if not found:
        return None
    unit = found.group(2)
    step = 1000.0 if unit.islower() else 1024.0
    return float(found.group(1)) * step ** ("KMGT".index(unit.upper()) + 1 if unit else 0)


def limits(text: str) -> Limits:
    """What ``qconf -sconf`` allows, ``present`` left 0. Its max_u_jobs counts arrays, not elements."""
    found = re.search(r"^max_aj_tasks\s+(\d+)", text, re.MULTILINE)
    return Limits(int(found.group(1)) or None if found else 75000, None, 0)
