"""Grid Engine: qsub, qstat, qdel, qhold, qrls; qacct where its file can be read.

Options: submit(1), qstat(1), sge_conf(5) and sge_types(1) of Son of Grid Engine 8.1.9.
"""

import os
import re
import time
from typing import Any, Dict, List

from cjnode.errors import NodeError
from cjnode.schedulers import (
    Account,
    Job,
    JobSpec,
    Limits,
    Status,
    commands,
    flag_lines,
    index_lines,
    job_script,
    noted,
    sge_answers,
)
from cjnode.schedulers.commands import SilentError, run

PARALLEL = "smp"  # the parallel environment of one node, by the name that sites give it
ACCOUNTING_S = 60.0  # qacct reads the cluster's whole history for each job

_NAME = re.compile(r"[A-Za-z_]\w*\Z")
# Grid Engine sets these itself, or they are its own.
_NOT_PASSED = re.compile(r"HOME|USER|LOGNAME|SHELL|CJ_|SGE_|SLURM_|SBATCH_|PBS_|LSF_|_?CONDOR_")

REASONS = {
    "qw": "it waits for free slots, or as --jobs lets: qalter -w v JOB there says if it ever starts",
    "hqw": "held, or it waits for another job: git cj release",
    "suspended": "it is suspended for now",
    "Rq": "it was put back into the queue",
    "Rqw": "it was put back into the queue",
    "hRqw": "put back into the queue, and held: git cj release",
}


def batch_script(spec: JobSpec) -> str:
    """The text of ``.cj/job.sh``. Raises NodeError for resources that Grid Engine has no words for."""
    asked, alloc = spec.resources, list(spec.resources.get("alloc") or [])
    _refuse(asked, alloc)
    slots = (asked.get("tasks_per_node") or 1) * (asked.get("cpus") or 1)
    # The worker takes up an element that is started again, so a node's death costs one attempt.
    lines = ["#$ -S /bin/sh", "#$ -r y"]
    if slots > 1 and not _names(alloc, "-pe"):
        lines.append("#$ -pe %s %d" % (PARALLEL, slots))
    slots = _slots(alloc) or slots * (asked.get("nodes") or 1)
    if asked.get("memory_mb"):
        # It is asked for each slot; memory_mb is a node's.
        each = -(-asked["memory_mb"] * (asked.get("nodes") or 1) // slots)
        lines.append("#$ -l h_vmem=%dM" % each)
    if asked.get("walltime_s"):
        lines.append("#$ -l h_rt=%d" % asked["walltime_s"])
    lines += flag_lines("#$ ", alloc)
    before = (
        'case "${SGE_TASK_ID:-undefined}" in undefined) INDEX=1 ;; *) INDEX=$SGE_TASK_ID ;; esac',
        'case "${RESTARTED:-0}" in 0) RESTARTS=0 ;; *) RESTARTS=+ ;; esac',
        'NODES=$(if [ -r "${PE_HOSTFILE:-}" ]; then cut -d " " -f 1 "$PE_HOSTFILE" | paste -s -d , -; fi)',
    )
    return job_script(
        spec, lines, before + index_lines("INDEX", "$RESTARTS", "$JOB_ID", "${NODES:-$HOSTNAME}")
    )


def _refuse(asked: Dict[str, Any], alloc: List[str]) -> None:
    if (asked.get("nodes") or 1) > 1 and not _names(alloc, "-pe"):
        raise NodeError(
            "nodes: Grid Engine gives several by a parallel environment of the site's own",
            'alloc = ["-pe NAME SLOTS"]; qconf -spl lists them',
        )
    if asked.get("gpus") and not any("gpu" in flag or "cuda" in flag for flag in alloc):
        raise NodeError(
            "gpus: Grid Engine has no resource of one name for them",
            'alloc = ["-l gpu=%d"], by the name that qconf -sc shows' % asked["gpus"],
        )


def _slots(alloc: List[str]) -> int:
    """How many slots, at least, a parallel environment in ``alloc`` gives; 0 where it names none."""
    found = [re.match(r"-pe\s+\S+\s+(\d*)", flag.strip()) for flag in alloc]
    return max([int(each.group(1) or 1) for each in found if each] or [0])


def _names(alloc: List[str], option: str) -> bool:
    return any(flag.split()[:1] == [option] for flag in alloc)


def submit_command(root: str, job: Job, environment: Dict[str, str]) -> List[str]:
    """The argv of qsub for one part. Pure."""
    # In a path for -o these letters have a meaning; what tasks print is redirected by the script itself.
    log = "/dev/null" if re.search("[$:,]", job.log) else job.log
    argv = ["qsub", "-terse", "-b", "n", "-N", job.name, "-wd", root, "-j", "y", "-o", log]
    argv += ["-ac", "cj_package=" + job.package]
    if job.priority:
        argv += ["-p", "%d" % job.priority]
    if job.after:
        argv += ["-hold_jid", ",".join(job.after)]
    # Never -V: the hook's environment is not the job's. A name without a value passes this process's.
    names = sorted(name for name in environment if _NAME.match(name) and not _NOT_PASSED.match(name))
    if names:
        argv += ["-v", ",".join(names)]
    if job.elements > 1:
        argv += ["-t", "1-%d" % job.elements]
        if job.resources.get("jobs"):
            argv += ["-tc", "%d" % job.resources["jobs"]]
    return argv + [job.script]


def submit(root: str, job: Job) -> str:
    """Hand the job's script to qsub and return its ID."""
    environment = commands.job_environment(root)
    done = commands.hand_over(root, submit_command(root, job, environment), environ=environment)
    return sge_answers.submitted(done.code, done.out, done.err)


def find(root: str, name: str) -> List[str]:
    """The IDs of the person's jobs of that name: in the queue, among the last ended, or in the accounts."""
    for states in ("a", "z"):
        found = {row.job for row in _queue(root, states) if row.name == name}
        if found:
            return sorted(found, key=int)
    try:
        done = run(root, ["qacct", "-o", commands.user(), "-j", name], timeout_s=ACCOUNTING_S / 2)
    except SilentError:
        return []
    return sorted(set(re.findall(r"^jobnumber\s+(\d+)", done.out, re.MULTILINE)), key=int)


def _queue(root: str, states: str) -> List[sge_answers.Row]:
    done = run(root, ["qstat", "-xml", "-s", states, "-u", commands.user()])
    if done.code:
        sge_answers.silent("qstat", done.err + done.out)
    return sge_answers.queue(done.out)


def poll(root: str, jobs: List[str]) -> Dict[str, Status]:
    """What qstat lists of the jobs; one more question for those in the error state, which has the reason."""
    if not jobs:
        return {}
    rows = _queue(root, "a")
    wrong = sge_answers.in_error(rows, jobs)
    said = run(root, ["qstat", "-j", ",".join(wrong)]).out if wrong else ""
    return sge_answers.statuses(rows, jobs, sge_answers.errors(said))


def accounts(root: str, jobs: List[str]) -> Dict[str, Dict[int, Account]]:
    """How the elements of jobs ended, for as many jobs as a minute is enough for."""
    path = os.path.join(root, "scheduler", "accounting.json")
    found: Dict[str, Dict[int, Account]] = {}
    end = time.monotonic() + ACCOUNTING_S
    for job in jobs if noted.fresh(path) is None else []:
        try:
            done = run(root, ["qacct", "-j", job], timeout_s=max(0.0, end - time.monotonic()))
        except SilentError:
            noted.note(path, {"accounting": False})
            break
        if done.code and "No such file" in done.err:
            noted.note(path, {"accounting": False})
            break
        mine = sge_answers.accounts(done.out, job)
        if mine:
            found[job] = mine
    return found


def explain(reason: str) -> str:
    """A state of qstat's in plain words; for jobs in the error state what went wrong."""
    if reason.startswith(sge_answers.ERROR + ": "):
        return "it could not be started and never will be: %s. git cj cancel, mend that, git cj retry" % (
            reason[len(sge_answers.ERROR) + 2 :].rstrip(".") or "see qstat -j"
        )
    return REASONS.get(reason, reason)


def cancel(root: str, job: str) -> None:
    """End all elements of a job."""
    _act(root, "qdel", job)


def hold(root: str, job: str) -> None:
    """Keep the elements that have not started from starting."""
    _act(root, "qhold", job)


def release(root: str, job: str) -> None:
    """Let held elements start."""
    _act(root, "qrls", job)


def _act(root: str, program: str, job: str) -> None:
    done = run(root, [program, job])
    said = done.out + done.err
    if done.code and not sge_answers.gone(said):
        sge_answers.silent(program, said)


def limits(root: str) -> Limits:
    """What the site allows, asked once a day, and what is there, asked now."""
    present = sum(len(row.tasks) for row in _queue(root, "a"))
    path = os.path.join(root, "scheduler", "limits.json")
    known = noted.fresh(path)
    if known is None:
        done = run(root, ["qconf", "-sconf", "global"])
        known = {"array": sge_answers.limits("" if done.code else done.out).array}
        noted.note(path, known)
    return Limits(known["array"], None, present)
