"""HTCondor.

Options and submit commands: condor_submit, condor_q, condor_history and htcondor-jdl of its manual
(htcondor.readthedocs.io). Scripts have no directives, and there are no arrays: a job is a cluster, an element
one of its processes, which count from 0. No event log is asked for: the queue and the history tell as much.
"""

import json
import re
from typing import Any, Dict, List, Optional

from cjnode.errors import NodeError
from cjnode.package.points import format_tasks
from cjnode.schedulers import (
    Account,
    Element,
    FullError,
    Job,
    JobSpec,
    Limits,
    Status,
    UnclearError,
    commands,
    flag_lines,
    hint_for,
    index_lines,
    job_script,
)
from cjnode.schedulers.commands import Done, run

# The history is one file that is read from its end: this much of it is looked at.
SCANNED = 100000

_QUEUE = "ClusterId,ProcId,JobStatus,HoldReason,JobMaterializeNextProcId,TotalSubmitProcs"
_HISTORY = (
    "ClusterId,ProcId,JobStatus,ExitCode,ExitBySignal,ExitSignal,RemoveReason,HoldReasonCode,LastHoldReasonCode,"
    "ResidentSetSize"
)
# JobStatus, codes-other-values/job-status-codes of the manual. 3 is being removed.
_STATES = {1: "PENDING", 2: "RUNNING", 3: "RUNNING", 5: "HELD", 6: "RUNNING", 7: "RUNNING"}
# HoldReasonCode, codes-other-values/hold-reason-codes: more time or memory used than was asked for.
_OUT_OF = {34: "OUT_OF_MEMORY", 46: "TIMEOUT", 47: "TIMEOUT"}

_IDLE = "Idle"  # the queue has no reason for it

# condor_schedd.V6/qmgmt.cpp
_FULL = re.compile(r"MAX_JOBS_(?:PER_OWNER|SUBMITTED)")
_UNCLEAR = re.compile(r"Failed to connect to|Failed to commit|[Tt]imed? ?out|Can't find address|DISCONNECT")


def batch_script(spec: JobSpec) -> str:
    """The text of ``.cj/job.sh``: what is asked for stands in the submit description instead."""
    nodes = spec.resources.get("nodes") or 1
    if nodes > 1:
        raise NodeError("nodes: HTCondor runs a job on one machine, not on %d" % nodes, "--nodes 1")
    flag_lines("", spec.resources.get("alloc") or [])
    variables = index_lines(
        "${CJ_HTCONDOR##*.} + 1",
        # The job's own description as it was at its start; it knows how often it started.
        '$(sed -n "s/^NumJobStarts = //p" "$_CONDOR_JOB_AD" 2>/dev/null | grep . || echo 0)',
        "${CJ_HTCONDOR%%.*}",
        "$(uname -n)",
    )
    return job_script(spec, [], variables)


def description(job: Job) -> str:
    """The submit description of one part, for condor_submit's standard input. Pure."""
    asked = job.resources
    lines = [
        "universe = vanilla",
        "batch_name = %s" % job.name,
        '+CJName = "%s"' % job.name,
        '+CJPackage = "%s"' % job.package,
        # The script lies where all nodes see it, and need not be executable.
        "executable = /bin/sh",
        "transfer_executable = false",
        'arguments = "%s"' % _argument(job.script),
        'environment = "CJ_HTCONDOR=$(Cluster).$(Process)"',
        "getenv = false",
        "should_transfer_files = NO",
        "notification = never",
    ]
    # A job is one machine's: of nodes and processes on each there is one.
    lines.append("request_cpus = %d" % ((asked.get("cpus") or 1) * (asked.get("tasks_per_node") or 1)))
    if asked.get("memory_mb"):
        lines.append("request_memory = %dMB" % asked["memory_mb"])
    if asked.get("gpus"):
        lines.append("request_gpus = %d" % asked["gpus"])
    # What is held for having used too much would wait for ever: it is removed, and the history says why.
    expired = "JobStatus == 5 && (HoldReasonCode == 34 || HoldReasonCode == 46 || HoldReasonCode == 47)"
    if asked.get("walltime_s"):
        # An older version takes allowed_execute_duration for a macro; sites' own policies read MaxRuntime.
        lines.append("allowed_execute_duration = %d" % asked["walltime_s"])
        lines.append("+MaxRuntime = %d" % asked["walltime_s"])
        expired += " || JobStatus == 2 && time() - JobCurrentStartDate > %d" % (asked["walltime_s"] + 60)
    lines.append("periodic_remove = " + expired)
    lines += flag_lines("", asked.get("alloc") or [])
    if job.priority:
        lines.append("priority = %d" % job.priority)
    limit = asked.get("jobs")
    if limit and limit < job.elements:
        lines.append("max_materialize = %d" % limit)
    return "\n".join(lines + ["queue %d" % job.elements]) + "\n"


def _argument(text: str) -> str:
    # In the "new" syntax of arguments a word with blanks or quotes is put in single quotes, quotes doubled.
    return "'%s'" % text.replace("'", "''").replace('"', '""')


def submit(root: str, job: Job) -> str:
    """Describe the job to condor_submit and return its ID, the cluster's number."""
    done = commands.hand_over(root, ["condor_submit", "-terse"], description(job).encode("utf-8"))
    taken = re.search(r"^([0-9]+)\.[0-9]+ - ([0-9]+)\.[0-9]+\s*$", done.out, re.M)
    if done.code == 0 and taken:
        return taken.group(1)
    said = commands.said(done)
    if _FULL.search(said):
        raise FullError(said)
    if done.code == 0 or _UNCLEAR.search(said):
        raise UnclearError("condor_submit gave no job ID: %s" % (said or "it said nothing"), "git cj state")
    raise NodeError(
        said or "condor_submit failed with exit code %d and said nothing" % done.code, hint_for(said, ())
    )


def find(root: str, name: str) -> List[str]:
    """The IDs of all jobs of exactly that name, in the queue or the history, oldest first."""
    named = 'CJName == "%s"' % name
    found = _ads(
        run(root, ["condor_q", "-json", "-attributes", "ClusterId", "-constraint", named]), "condor_q"
    )
    if not found:
        words = ["-json", "-attributes", "ClusterId", "-scanlimit", "%d" % SCANNED, "-constraint", named]
        found = _ads(run(root, ["condor_history"] + words), "condor_history")
    return sorted({"%d" % ad["ClusterId"] for ad in found}, key=int)


def _ads(done: Done, program: str) -> List[Dict[str, Any]]:
    """The descriptions that a program printed; nothing at all is none. Raises NodeError for anything else."""
    if done.code != 0:
        raise NodeError(
            "%s: %s" % (program, commands.said(done) or "exit code %d" % done.code), "git cj doctor"
        )
    if not done.out.strip():
        return []
    try:
        found = json.loads(done.out, strict=False)
        return [ad for ad in found if isinstance(ad["ClusterId"], int)]
    except (ValueError, KeyError, TypeError):
        said = " ".join(done.out.split())[:200]
        raise NodeError("%s gave no readable answer: %s" % (program, said), "git cj doctor")


def poll(root: str, jobs: List[str]) -> Dict[str, Status]:
    """The jobs that condor_q lists; what ended leaves the queue for the history."""
    if not jobs:
        return {}
    found = _ads(run(root, ["condor_q", "-json", "-attributes", _QUEUE] + jobs), "condor_q")
    by_job: Dict[str, List[Dict[str, Any]]] = {}
    for ad in found:
        by_job.setdefault("%d" % ad["ClusterId"], []).append(ad)
    return {job: status(by_job[job]) for job in jobs if job in by_job}


def status(ads: List[Dict[str, Any]]) -> Status:
    """What a job is, from the descriptions of its processes. Pure."""
    elements: Dict[int, Element] = {}
    for ad in ads:
        state = _STATES.get(ad.get("JobStatus", 0))
        if state and isinstance(ad.get("ProcId"), int):
            elements[ad["ProcId"] + 1] = Element(
                state, str(ad.get("HoldReason", "")) if state == "HELD" else ""
            )
    waiting = [index for index, element in elements.items() if element.state in ("PENDING", "HELD")]
    # With max_materialize the last ones are not made yet.
    later, total = ads[0].get("JobMaterializeNextProcId"), ads[0].get("TotalSubmitProcs")
    if isinstance(later, int) and isinstance(total, int):
        waiting += range(later + 1, total + 1)
    states = {element.state for element in elements.values()}
    state = next((state for state in ("RUNNING", "PENDING", "HELD") if state in states), "ENDED")
    if state == "ENDED" and waiting:
        state = "PENDING"
    reasons = [element.reason for element in elements.values() if element.reason]
    reason = reasons[0] if reasons and state == "HELD" else _IDLE if "PENDING" in states else ""
    return Status(state, reason, format_tasks(sorted(set(waiting))), elements)


def accounts(root: str, jobs: List[str]) -> Dict[str, Dict[int, Account]]:
    """What the history has of jobs' elements that ended."""
    if not jobs:
        return {}
    words = ["condor_history", "-json", "-attributes", _HISTORY, "-scanlimit", "%d" % SCANNED]
    found: Dict[str, Dict[int, Account]] = {}
    for ad in _ads(run(root, words + jobs), "condor_history"):
        if isinstance(ad.get("ProcId"), int):
            found.setdefault("%d" % ad["ClusterId"], {})[ad["ProcId"] + 1] = account(ad)
    return found


def account(ad: Dict[str, Any]) -> Account:
    """How one element ended. Pure."""
    kilobytes = ad.get("ResidentSetSize")
    used = round(kilobytes / 1024.0, 1) if isinstance(kilobytes, (int, float)) else None
    why = str(ad.get("RemoveReason", ""))
    if ad.get("JobStatus") == 3:
        codes = (ad.get("HoldReasonCode"), ad.get("LastHoldReasonCode"))
        known = [_OUT_OF[code] for code in codes if code in _OUT_OF]
        policy = "TIMEOUT" if "PeriodicRemove" in why else "CANCELLED"
        return Account(known[0] if known else policy, None, why, used)
    code: Optional[int] = ad.get("ExitCode")
    if ad.get("ExitBySignal"):
        code = 128 + int(ad.get("ExitSignal", 0))
    return Account("COMPLETED" if code == 0 else "FAILED", code, "", used)


def explain(reason: str) -> str:
    """Why a job waits, or is held, without what HTCondor says before its point."""
    if reason == _IDLE:
        return "it waits for a machine that fits: condor_q -better-analyze JOB there says which do"
    bare = re.sub(r"^Error from [^:]+: ", "", reason)
    return re.sub(r"^via condor_hold \(by user .*\)$", "held by hand: git cj release", bare)


def cancel(root: str, job: str) -> None:
    """End a job."""
    _tell(root, ["condor_rm", job])


def hold(root: str, job: str) -> None:
    """Keep what has not started of a job from starting; condor_hold of the whole would stop what runs."""
    _tell(root, ["condor_hold", "-constraint", "ClusterId == %d && JobStatus == 1" % int(job)])


def release(root: str, job: str) -> None:
    """Let a held job start."""
    _tell(root, ["condor_release", job])


def _tell(root: str, argv: List[str]) -> None:
    done = run(root, argv)
    said = commands.said(done)
    if done.code != 0 and not re.search(
        r"not found|Couldn't find/|already (?:marked|held)|not held", said, re.I
    ):
        raise NodeError("%s: %s" % (argv[0], said or "exit code %d" % done.code), "git cj state")


def limits(root: str) -> Limits:
    """MAX_JOBS_PER_SUBMISSION and MAX_JOBS_PER_OWNER, where the site has set them."""
    array, queued = _number(root, "MAX_JOBS_PER_SUBMISSION"), _number(root, "MAX_JOBS_PER_OWNER")
    present = _ads(run(root, ["condor_q", "-json", "-attributes", "ClusterId"]), "condor_q")
    return Limits(array, queued, len(present))


def _number(root: str, name: str) -> Optional[int]:
    done = run(root, ["condor_config_val", name])
    word = done.out.strip()
    # Where there is no limit it is the largest number there is.
    return int(word) if done.code == 0 and word.isdigit() and int(word) < 2**31 - 1 else None
