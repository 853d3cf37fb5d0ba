"""IBM Spectrum LSF.

Options: bsub, bjobs, bstop and bparams in the command reference of LSF 10.1 (ibm.com/docs/en/spectrum-lsf).
``LSB_JOBINDEX`` counts from 1, and is 0 in a job that is no array.
"""

import math
import re
from typing import Any, Dict, List, Tuple

from cjnode.errors import NodeError
from cjnode.package.points import format_tasks
from cjnode.schedulers import (
    Account,
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
    lsf_answers,
)
from cjnode.schedulers.commands import Done, run

ARRAY_LIMIT = 1000  # MAX_JOB_ARRAY_SIZE where nobody set it

_TAKEN = re.compile(r"Job <([0-9]+)> is submitted to ")
_FULL = re.compile(
    r"[Pp]ending (?:job|slot)s? threshold|reached its job limit|not have enough (?:per-user )?job slots"
)
_UNCLEAR = re.compile(
    r"LSF is down|Cannot connect to LSF|not responding|[Cc]ommunication|time ?out|retry", re.I
)
# bsub says this, and tries again for ever, in which time the person would wait.
_RETRYING = b"Retrying in"
_HINTS = (
    (r"[Aa]rray", "set max_jobs for this cluster to what its arrays take, and launch it again"),
    (r"[Qq]ueue", "bqueues lists the queues: name one with alloc -q NAME"),
    (r"[Ll]imit", "ask for less, or for another queue by alloc -q NAME: bqueues -l shows limits"),
    (r"[Pp]roject", "name one that may run jobs there with alloc -P NAME"),
    (r"[Oo]ption|[Ss]yntax|requirement", "correct alloc: man bsub on the cluster"),
)
_UNKNOWN = re.compile(
    r"is not found|No matching job found|No (?:unfinished|finished|pending|running)? ?job found"
)
_OVER = re.compile(r"already finished|has (?:already )?(?:been )?(?:finished|terminated)")


def batch_script(spec: JobSpec) -> str:
    """The text of ``.cj/job.sh``."""
    lines = ["#BSUB " + words for words in _resources(spec.resources)]
    lines += flag_lines("#BSUB ", spec.resources.get("alloc") or [])
    variables = index_lines(
        "(${LSB_JOBINDEX:-0} > 0 ? ${LSB_JOBINDEX:-0} : 1)",
        # brequeue, and queues that requeue by exit codes, start it again without a word.
        '$([ -n "$LSB_RESTART" ] && echo + || echo "?")',
        "$LSB_JOBID",
        "$(echo $LSB_HOSTS | tr ' ' '\\n' | sort -u | paste -s -d , -)",
    )
    return job_script(spec, lines, variables + ("unset CJ_SUBMITTING",))


def _resources(asked: Dict[str, Any]) -> List[str]:
    nodes, per_node = asked.get("nodes") or 1, (asked.get("tasks_per_node") or 1) * (asked.get("cpus") or 1)
    needs = []
    words = []
    if nodes * per_node > 1:
        # A slot is one processor: https://www.ibm.com/docs/en/spectrum-lsf/10.1.0?topic=bsub-n
        words.append("-n %d" % (nodes * per_node))
        needs.append("span[ptile=%d]" % per_node if nodes > 1 else "span[hosts=1]")
    if asked.get("memory_mb"):
        # Units given, since a bare number is KB for -M, MB for rusage, or what LSF_UNIT_FOR_LIMITS says;
        # /host, since sites may reserve for each task (RESOURCE_RESERVE_PER_TASK).
        needs.append("rusage[mem=%dMB/host]" % asked["memory_mb"])
        words.append("-M %dMB" % (asked["memory_mb"] * nodes))
    if needs:
        words.append('-R "%s"' % " ".join(needs))
    if asked.get("gpus"):
        words.append('-gpu "num=%d"' % asked["gpus"])
    if asked.get("walltime_s"):
        words.append("-W %d" % math.ceil(asked["walltime_s"] / 60.0))
    return words


def submit(root: str, job: Job) -> str:
    """Hand the job's script to bsub and return its ID, a number."""
    words = submit_command(job) + (_user_priority(root, job.priority) if job.priority else [])
    with open(job.script, "rb") as script:
        done = commands.hand_over(root, words, script, until=_RETRYING)
    taken = _TAKEN.search(done.out) or _TAKEN.search(done.err)
    if taken:
        return taken.group(1)
    said = commands.said(done)
    if _FULL.search(said):
        raise FullError(said)
    if done.code == 0 or (_UNCLEAR.search(said) and "Job not submitted" not in said):
        raise UnclearError("bsub gave no job ID: %s" % (said or "it said nothing"), "git cj state in a while")
    raise NodeError(
        said or "bsub failed with exit code %d and said nothing" % done.code, hint_for(said, _HINTS)
    )


def submit_command(job: Job) -> List[str]:
    """The words that submit a job; its script goes to standard input. Pure."""
    name = job.name
    if job.elements > 1:
        name += "[1-%d]" % job.elements
        limit = job.resources.get("jobs")
        if limit and limit < job.elements:
            name += "%%%d" % limit
    # Without -o each element's report comes by mail. -rn: no second run of it by the queue's own choice.
    words = ["bsub", "-J", name, "-o", "/dev/null", "-rn"]
    if job.after:
        words += ["-w", " && ".join("ended(%s)" % each for each in job.after)]
    return words


def _user_priority(root: str, priority: int) -> List[str]:
    """The option for a job's priority: LSF counts from 1, and who asks for none has the middle of the range.

    https://www.ibm.com/docs/en/spectrum-lsf/10.1.0?topic=mode-specify-job-priority-bsub-sp
    """
    found = re.search(r"MAX_USER_PRIORITY *= *([0-9]+)", commands.hand_over(root, ["bparams", "-l"]).out)
    most = int(found.group(1)) if found else 0
    if not most:
        raise NodeError(
            "priority %d: this LSF lets nobody order their jobs (MAX_USER_PRIORITY is not set)" % priority,
            "launch without --priority",
        )
    middle = most // 2
    if not 1 <= middle + priority <= most:
        raise NodeError(
            "priority %d: this LSF takes %d to %d" % (priority, 1 - middle, most - middle),
            "--priority %d" % (1 - middle if priority < 0 else most - middle),
        )
    return ["-sp", "%d" % (middle + priority)]


def find(root: str, name: str) -> List[str]:
    """The IDs of the person's jobs of exactly that name, oldest first, those that bjobs forgot included."""
    form = "jobid job_name delimiter='%s'" % lsf_answers.DELIMITER
    done = run(root, ["bjobs", "-a", "-noheader", "-o", form, "-J", name])
    if done.code != 0 and not _UNKNOWN.search(done.err + done.out):
        raise NodeError("bjobs: %s" % (commands.said(done) or "exit code %d" % done.code), "git cj doctor")
    listed = lsf_answers.lines(done.out, ("jobid", "job_name"))
    ids = {record["jobid"] for record in listed if record["job_name"].split("[")[0] == name}
    if not ids:
        ids = set(_remembered(root, name))
    return sorted(ids, key=int)


def _remembered(root: str, name: str) -> List[str]:
    """The same of bhist, which reads the log of events: bjobs forgets a job an hour after its end."""
    done = run(root, ["bhist", "-a", "-w", "-J", name])
    if done.code != 0 and not _UNKNOWN.search(done.err + done.out):
        raise NodeError("bhist: %s" % (commands.said(done) or "exit code %d" % done.code), "git cj doctor")
    rows = re.findall(r"^([0-9]+)(?:\[[0-9]+\])?\s+\S+\s+(\S+)", done.out, re.M)
    return sorted({job for job, found in rows if found.split("[")[0] == name})


def poll(root: str, jobs: List[str]) -> Dict[str, Status]:
    """The jobs that bjobs lists."""
    return {job: lsf_answers.status(found) for job, found in _asked(root, jobs)[0].items()}


def _asked(root: str, jobs: List[str]) -> Tuple[Dict[str, List[Dict[str, str]]], List[str]]:
    """What bjobs tells of these jobs' elements, by job, and the jobs it does not know.

    Raises NodeError when it told nothing of some.
    """
    if not jobs:
        return {}, []
    done, found, answered = _records(root, jobs)
    by_job: Dict[str, List[Dict[str, str]]] = {}
    for record in found:
        by_job.setdefault(record["jobid"], []).append(record)
    denied = set(re.findall(r"Job <([0-9]+)(?:\[[^>]*)?> is not found", done.err + done.out))
    unknown = [job for job in jobs if job not in by_job]
    unexplained = [job for job in unknown if job not in denied and not answered]
    if unexplained:
        said = " ".join(done.err.split()) or "it said nothing of job %s" % unexplained[0]
        raise NodeError("bjobs: " + said, "git cj state in a while")
    return {job: by_job[job] for job in jobs if job in by_job}, unknown


def _records(root: str, jobs: List[str]) -> Tuple[Done, List[Dict[str, str]], bool]:
    """What bjobs said, the records in it, and whether it is an answer as a whole: then no job is cut off."""
    done = run(root, ["bjobs", "-a", "-json", "-o", " ".join(lsf_answers.FIELDS)] + jobs)
    if "{" in done.out:
        return done, lsf_answers.records(done.out), True
    # Versions before 10.1 know no JSON, and fewer fields.
    if not re.search(r"option|field|usage:|-json", done.err, re.I):
        return done, [], False
    fields = lsf_answers.OLD_FIELDS
    form = "%s delimiter='%s'" % (" ".join(fields), lsf_answers.DELIMITER)
    done = run(root, ["bjobs", "-a", "-noheader", "-o", form] + jobs)
    return done, lsf_answers.lines(done.out, fields), False


def accounts(root: str, jobs: List[str]) -> Dict[str, Dict[int, Account]]:
    """What bjobs still knows of jobs that ended, or bhist, which reads the log of events."""
    listed, unknown = _asked(root, jobs)
    found: Dict[str, Dict[int, Account]] = {}
    for job, records in listed.items():
        ends = {lsf_answers.index(record): lsf_answers.account(record) for record in records}
        found[job] = {index: end for index, end in ends.items() if end}
    if unknown:
        found.update(lsf_answers.long_accounts(run(root, ["bhist", "-l"] + unknown).out))
    return found


def explain(reason: str) -> str:
    """A pending reason of LSF's in plain words."""
    return lsf_answers.explain(reason)


def cancel(root: str, job: str) -> None:
    """End a job."""
    _tell(root, ["bkill", job])


def hold(root: str, job: str) -> None:
    """Keep what has not started of a job from starting: bstop of the whole would stop what runs, too."""
    found = _asked(root, [job])[0].get(job, [])
    pending = [record for record in found if record["stat"] == "PEND"]
    if not pending:
        return
    array = any(record.get("jobindex", "0") != "0" or "[" in record["job_name"] for record in found)
    indices = format_tasks(sorted(lsf_answers.index(record) for record in pending))
    _tell(root, ["bstop", "%s[%s]" % (job, indices) if array else job])


def release(root: str, job: str) -> None:
    """Let a held job start."""
    _tell(root, ["bresume", job])


def _tell(root: str, argv: List[str]) -> None:
    done = run(root, argv)
    said = commands.said(done)
    if done.code != 0 and not (_UNKNOWN.search(said) or _OVER.search(said)):
        raise NodeError("%s: %s" % (argv[0], said or "exit code %d" % done.code), "git cj state")


def limits(root: str) -> Limits:
    """MAX_JOB_ARRAY_SIZE of the site, and how many of the person's jobs may be pending."""
    done = run(root, ["bparams", "-l"])
    if done.code != 0:
        raise NodeError("bparams: %s" % commands.said(done), "git cj doctor")
    array = re.search(r"MAX_JOB_ARRAY_SIZE *= *([0-9]+)", done.out)
    queued, present = _person(run(root, ["busers", "-w", commands.user()]).out)
    return Limits(int(array.group(1)) if array else ARRAY_LIMIT, queued, present)


def _person(text: str) -> Tuple[Any, int]:
    """Limit and number of pending jobs, from busers -w: MPJOBS and PJOBS, of which older ones have NJOBS."""
    rows = [line.split() for line in text.strip().split("\n")]
    if len(rows) < 2 or len(rows[0]) != len(rows[1]):
        return None, 0
    row = dict(zip(rows[0], rows[1]))
    limit, pending = row.get("MPJOBS", "-"), row.get("PJOBS", row.get("NJOBS", "0"))
    return (int(limit) if limit.isdigit() else None), (int(pending) if pending.isdigit() else 0)
