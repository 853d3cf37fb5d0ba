"""What Slurm's programs print, read. Pure; recorded from 22.05, forms stable since 17.11."""

import re
from typing import Dict, List, NamedTuple, NoReturn, Optional, Tuple

from cjnode.errors import NodeError
from cjnode.schedulers import Account, Element, FullError, Limits, Status, UnclearError, hint_for
from cjnode.schedulers.notation import indices

# The fields asked of squeue. The name comes last, since it may hold anything, the separator too.
QUEUE_FIELDS = "%i|%T|%r|%j"
ACCOUNT_FIELDS = "JobID,State,ExitCode,MaxRSS,Reason,JobName"

# What the words of squeue and sacct are here. A word that is not listed is one of a living job.
ENDED = {
    "COMPLETED": "COMPLETED",
    "FAILED": "FAILED",
    "CANCELLED": "CANCELLED",
    "REVOKED": "CANCELLED",
    "TIMEOUT": "TIMEOUT",
    "DEADLINE": "TIMEOUT",
    "OUT_OF_MEMORY": "OUT_OF_MEMORY",
    "NODE_FAIL": "NODE_FAIL",
    "BOOT_FAIL": "NODE_FAIL",
    "LAUNCH_FAILED": "NODE_FAIL",
    "RECONFIG_FAIL": "NODE_FAIL",
    # Only jobs that are not put back into the queue stay PREEMPTED: the site took the node away.
    "PREEMPTED": "NODE_FAIL",
}
# Why something ended. Other reasons of an ended job are those for which it once waited.
_CAUSES = (
    *("NonZeroExitCode", "TimeLimit", "OutOfMemory", "NodeDown", "JobLaunchFailure", "RaisedSignal"),
    *("Preempted", "Deadline", "BootFail", "DependencyNeverSatisfied"),
)
_WAITING = ("PENDING", "REQUEUED", "REQUEUE_FED")
_HELD = ("REQUEUE_HOLD", "SPECIAL_EXIT", "RESV_DEL_HOLD")
_HELD_REASONS = ("JobHeldUser", "JobHeldAdmin", "JobHoldMaxRequeue", "launch_failed_requeued_held")

_PARTITION = re.compile(r"(?:-p\s*|--partition[=\s]\s*)(\S+)")
_ID = re.compile(r"(\d+)(?:_(?:(\d+)|\[([^]%]*)(?:%\d+)?\]?))?\Z")
_PARSABLE = re.compile(r"^(\d+)(?:;[^\s;]+)?$", re.MULTILINE)

# The person has as much there as they may; it goes on by itself when jobs have ended.
FULL = re.compile(
    r"temporarily unable to accept job|Resource temporarily unavailable"
    r"|\b(?:QOS|Assoc)\w*Submit\w*Limit|Reach(?:ed)? max(?:imum)? job"
)
# The controller may have made the job before the connection broke (socket timeouts of a hung one did).
UNCLEAR = re.compile(
    r"timed out|Unable to contact|[Cc]onnection|Zero Bytes|standby mode|[Rr]eceive failure|Transport endpoint"
    r"|Protocol authentication|Unexpected message|Slurm backup controller|Communication"
)
_HINTS = (
    (
        r"partition|[Aa]ccess/permission denied",
        "sinfo -s lists the partitions: name one with alloc --partition=NAME",
    ),
    (r"account|[Aa]ssoc", "sacctmgr show assoc user=$USER lists the accounts: alloc --account=NAME"),
    (r"\bqos\b", "sacctmgr show assoc user=$USER format=account,qos lists them: alloc --qos=NAME"),
    (r"time|WallDuration", "ask for less with --time, or name a partition with a longer limit"),
    (
        r"[Mm]emory|node configuration|CPU count|[Pp]rocessors|[Nn]ode count|gres|feature",
        "ask for less: sinfo -Nl shows the nodes",
    ),
    (r"array", "set max_jobs for this cluster to what its arrays take"),
    (r"unrecognized option|invalid option|Invalid --", "correct alloc: man sbatch on the cluster"),
)

Row = NamedTuple(
    "Row",
    [
        ("job", str),
        ("index", Optional[int]),  # of an element listed alone; None: no array, or what waits of one
        ("waiting", str),  # indices of an array that have not started
        ("state", str),
        ("reason", str),
        ("name", str),
    ],
)


def submitted(code: int, out: str, err: str) -> str:
    """The ID that ``sbatch --parsable`` printed; raises what submit() promises."""
    found = _PARSABLE.findall(out)
    if code == 0 and found:
        return str(found[-1])
    if FULL.search(err):
        raise FullError("Slurm takes no more jobs now: %s" % words(err), "git cj state in a while")
    if code <= 0 or UNCLEAR.search(err):
        raise UnclearError("sbatch: %s" % (words(err) or "no job ID, exit %d" % code), "git cj state")
    raise NodeError("sbatch refused: %s" % (words(err) or "exit %d" % code), hint_for(err, _HINTS))


def words(err: str) -> str:
    """What a program said, without its name, each sentence once."""
    said: List[str] = []
    for line in err.splitlines():
        line = re.sub(r"^(?:sbatch|squeue|scancel|scontrol|sacct|sacctmgr): (?:error: )?", "", line).strip()
        if line and line not in said:
            said.append(line)
    return "; ".join(said)


def queue(out: str) -> List[Row]:
    """The lines of ``squeue -o QUEUE_FIELDS``; what is none of ours is left out."""
    rows = []
    for line in out.splitlines():
        fields = line.split("|", 3)
        found = _ID.match(fields[0]) if len(fields) == 4 and fields[3].startswith("cj-") else None
        if found:
            index = None if found.group(2) is None else int(found.group(2))
            reason = _reason(fields[1], fields[2])
            rows.append(Row(found.group(1), index, found.group(3) or "", fields[1], reason, fields[3]))
    return rows


def _reason(state: str, word: str) -> str:
    if state in _WAITING + _HELD or word in _CAUSES:
        return word
    return ""


def statuses(rows: List[Row], jobs: List[str]) -> Dict[str, Status]:
    """A status for each of the jobs that has a row."""
    mine: Dict[str, List[Row]] = {job: [] for job in jobs}
    for row in rows:
        if row.job in mine:
            mine[row.job].append(row)
    return {job: _status(listed) for job, listed in mine.items() if listed}


def _status(rows: List[Row]) -> Status:
    elements: Dict[int, Element] = {}
    states, waits, waiting = set(), {}, []
    kept: Dict[int, Element] = {}
    for row in rows:
        state = glossary(row.state, row.reason)
        states.add(state)
        # What has never started tells more than an element that was put back.
        if state in ("PENDING", "HELD", "WAITING") and (row.waiting or state not in waits):
            waits[state] = row.reason
        if row.waiting and row.state in ENDED:
            elements.update((index, Element(state, row.reason)) for index in indices(row.waiting))
            continue
        if row.waiting:
            waiting.append(row.waiting)
            if state != "PENDING":
                kept.update((index, Element(state, row.reason)) for index in indices(row.waiting))
            continue
        index = 1 if row.index is None else row.index
        # The last that waits is listed as a started one is; one that was put back has this reason.
        if row.state == "PENDING" and row.reason != "BeginTime":
            waiting.append("%d" % index)
        known = elements.get(index)
        # An element put back into the queue can leave its earlier run's line behind.
        if known is None or known.state in ENDED:
            elements[index] = Element(state, row.reason)
    whole = next((state for state in ("RUNNING", "PENDING", "WAITING", "HELD") if state in states), "ENDED")
    reason = next((waits[state] for state in ("PENDING", "WAITING", "HELD") if state in waits), "")
    shown = ",".join(waiting)
    if whole in ("RUNNING", "PENDING"):
        elements.update(kept)  # the others of the job are not held
    return Status(whole, reason, "" if "..." in shown else shown, elements)


def glossary(state: str, reason: str) -> str:
    """A state of squeue's as one of ours."""
    if state in _WAITING:
        if reason in _HELD_REASONS:
            return "HELD"
        return "WAITING" if reason.startswith("Dependency") else "PENDING"
    if state in _HELD:
        return "HELD"
    return ENDED.get(state, "RUNNING")


def count(rows: List[Row]) -> int:
    """How many elements have not ended."""
    return sum(len(indices(row.waiting)) or 1 for row in rows if row.state not in ENDED)


def accounts(out: str, jobs: List[str]) -> Dict[str, Dict[int, Account]]:
    """The lines of ``sacct -n -P -o ACCOUNT_FIELDS``; a job that had the ID before is known by its name."""
    found: Dict[str, Dict[int, Account]] = {}
    memory: Dict[Tuple[str, int], float] = {}
    for line in out.splitlines():
        fields = line.split("|", 5)
        if len(fields) != 6:
            continue
        whole, _, step = fields[0].partition(".")
        named = _ID.match(whole)
        if not named or named.group(1) not in jobs or named.group(3) is not None:
            continue
        key = (named.group(1), int(named.group(2) or 1))
        used = megabytes(fields[3])
        if used is not None:
            memory[key] = max(used, memory.get(key, 0.0))
        state = ENDED.get(fields[1].split(" ")[0])
        if not step and state and fields[5].startswith("cj-"):
            account = Account(state, exit_code(fields[2]), _reason(fields[1], fields[4]), None)
            found.setdefault(key[0], {})[key[1]] = account
    for (job, index), used in memory.items():
        if index in found.get(job, {}):
            found[job][index] = found[job][index]._replace(max_rss_mb=used)
    return found


def exit_code(text: str) -> Optional[int]:
    """``3:0`` is 3, ``0:9`` is 137 as a shell has it."""
    code, _, sign = text.partition(":")
    if not code.isdigit() or not sign.isdigit():
        return None
    return 128 + int(sign) if int(sign) else int(code)


def megabytes(text: str) -> Optional[float]:
    """``10488K`` in MiB, to a tenth; None for nothing."""
    found = re.match(r"([0-9.]+)([KMGTP]?)\Z", text)
    if not found:
        return None
    scale = {"": 1.0 / (1 << 20), "K": 1.0 / 1024, "M": 1.0, "G": 1024.0, "T": 1048576.0, "P": 1073741824.0}
    return round(float(found.group(1)) * scale[found.group(2)], 1)


def limits(config: str, partitions: str, associations: str, qualities: str) -> Limits:
    """What ``scontrol show config``, its partitions and sacctmgr's tables allow, ``present`` left 0.

    Which of several accounts or qualities of service a job will run under is not known here: the smallest
    limit holds of those that the person gets without asking.
    """
    setting = dict(re.findall(r"^(\w+)\s*=\s*(\S+)", config, re.MULTILINE))
    # MaxArraySize caps the highest index: with 1001 that is 1000.
    array = int(setting["MaxArraySize"]) - 1 if setting.get("MaxArraySize", "").isdigit() else None
    most = [int(setting["MaxJobCount"])] if setting.get("MaxJobCount", "").isdigit() else []
    used = {"normal"} if qualities else set()
    for line in associations.splitlines():
        default, _, numbers = line.partition("|")
        used |= {default} - {""}
        most += [int(number) for number in numbers.split("|") if number.isdigit()]
    for line in partitions.splitlines():
        found = re.search(r"\bDefault=YES\b.*\bQoS=(\S+)", line)
        used |= {found.group(1)} if found else set()
    for line in qualities.splitlines():
        name, _, numbers = line.partition("|")
        if name in used:
            most += [int(number) for number in numbers.split("|") if number.isdigit()]
    return Limits(array if array is None or array > 0 else 1, min(most) if most else None, 0)


def most(partitions: str, flags: List[str]) -> Dict[str, int]:
    """The largest ``memory_mb`` and ``walltime_s`` of the partitions that flags name, or of the default one.

    Of several the job runs in whichever takes it. What is unlimited, or a node's own, is left out.
    """
    named = [match.group(1) for match in (_PARTITION.match(flag.strip()) for flag in flags) if match]
    wanted = named[-1].strip("\"'").split(",") if named else []
    lines = [dict(re.findall(r"(\w+)=(\S+)", line)) for line in partitions.splitlines()]
    if not wanted:
        lines = [line for line in lines if line.get("Default") == "YES"]
    else:
        lines = [line for line in lines if line.get("PartitionName") in wanted]
    memory = [line.get("MaxMemPerNode", "") for line in lines]
    times = [_seconds(line.get("MaxTime", "")) for line in lines]
    found = {}
    if memory and all(each.isdigit() for each in memory):
        found["memory_mb"] = max(map(int, memory))
    if times and all(times):
        found["walltime_s"] = max(times)
    return found


def _seconds(clock: str) -> int:
    """Of ``7-00:00:00``, ``12:00:00``; 0 for what is no length of time."""
    match = re.match(r"(?:(\d+)-)?(\d+):(\d+):(\d+)\Z", clock)
    if match is None:
        return 0
    days, hours, minutes, seconds = (int(each or 0) for each in match.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


def silent(program: str, err: str) -> NoReturn:
    """Raise what a program that gave no answer deserves."""
    raise NodeError("%s: %s" % (program, words(err) or "no answer"), "git cj state in a while")
