"""Torque, and sites that keep its commands over Slurm (Debian's slurm-wlm-torque).

Options: qsub(1B), qstat(1B) and the administrator's guide of Torque 6.1. Over Slurm, qstat lacks -x and lists
elements under numbers of their own, and qhold holds nothing (22.05): Slurm itself is asked there.
"""

import os
import re
from typing import Dict, List, Optional

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
    slurm,
    torque_answers,
)
from cjnode.schedulers.commands import Done, run
from cjnode.schedulers.notation import clock
from cjnode.schedulers.priority import check

REASONS = {
    "Q": "it waits for free nodes",
    "W": "its time to start has not come",
    "H": "held: git cj release",
    "slot limit": "as many of its elements run as --jobs lets",
    "depend": "it waits for another job",
    "suspended": "it is suspended for now",
}

_UNKNOWN = re.compile(r"Unknown Job|Request invalid for state of job|Invalid job id", re.IGNORECASE)


def batch_script(spec: JobSpec) -> str:
    """The text of ``.cj/job.sh``."""
    asked = spec.resources
    # No variable tells that an element was started again, so it is not; a retry does it.
    lines = ["#PBS -S /bin/sh", "#PBS -r n"]
    nodes, slots = asked.get("nodes") or 1, (asked.get("tasks_per_node") or 1) * (asked.get("cpus") or 1)
    if any(asked.get(key) for key in ("nodes", "tasks_per_node", "cpus", "gpus")):
        gpus = ":gpus=%d" % asked["gpus"] if asked.get("gpus") else ""
        lines.append("#PBS -l nodes=%d:ppn=%d%s" % (nodes, slots, gpus))
    if asked.get("memory_mb"):
        # The whole job's; memory_mb is a node's.
        lines.append("#PBS -l mem=%dmb" % (asked["memory_mb"] * nodes))
    if asked.get("walltime_s"):
        lines.append("#PBS -l walltime=%s" % clock(asked["walltime_s"]))
    lines += flag_lines("#PBS ", asked.get("alloc") or [])
    before = (
        'NODES=$(if [ -r "${PBS_NODEFILE:-}" ]; then sort -u "$PBS_NODEFILE" | paste -s -d , -; fi)',
        'JOB=$(echo "${PBS_JOBID:-$SLURM_JOB_ID}" | sed "s/\\[[0-9]*\\]/[]/")',
    )
    variables = index_lines(
        "${PBS_ARRAYID:-${PBS_ARRAY_INDEX:-${SLURM_ARRAY_TASK_ID:-1}}}",
        "${SLURM_RESTART_COUNT:-0}",
        "${SLURM_ARRAY_JOB_ID:-$JOB}",
        "${NODES:-$SLURM_JOB_NODELIST}",
    )
    return job_script(spec, lines, before + variables + ("unset CJ_SUBMITTING",))


def submit_command(root: str, job: Job) -> List[str]:
    """The argv of qsub for one part, run in the root. Pure."""
    # What tasks do not print goes to the log by the script itself; a path here would be a file an element.
    argv = ["qsub", "-N", job.name, "-j", "oe", "-o", "/dev/null"]
    if job.priority:
        argv += ["-p", "%d" % job.priority]
    if job.after:
        argv += ["-W", "depend=" + _depend(job.after)]
    if job.elements > 1:
        at_once = job.resources.get("jobs")
        argv += ["-t", "1-%d" % job.elements + ("%%%d" % at_once if at_once else "")]
    # The qsub over Slurm hands its words to a shell as they are: the root's own name must not be among them.
    return argv + [os.path.relpath(job.script, root)]


def _depend(jobs: List[str]) -> str:
    """Arrays have a word of their own; those of Slurm underneath have not, and no brackets either."""
    arrays = [job for job in jobs if "[" in job]
    others = [job for job in jobs if "[" not in job]
    words = ["afteranyarray:" + ":".join(arrays)] if arrays else []
    return ",".join(words + (["afterany:" + ":".join(others)] if others else []))


def submit(root: str, job: Job) -> str:
    """Hand the job's script to qsub and return its ID."""
    if job.priority and _is_over_slurm(run(root, ["qstat", "-x"])):
        check("slurm", job.priority)
        job = job._replace(priority=-job.priority)  # that qsub hands -p on as --nice
    done = commands.hand_over(root, submit_command(root, job))
    return torque_answers.submitted(done.code, done.out, done.err)


def find(root: str, name: str) -> List[str]:
    """The IDs of the person's jobs of that name, oldest first."""
    rows = _listed(root, [])
    if rows is None:
        return slurm.find(root, name)
    found = {row.job for row in rows if row.name == name and row.owner == commands.user()}
    return sorted(found, key=lambda job: int(re.split(r"\D", job)[0]))


def poll(root: str, jobs: List[str]) -> Dict[str, Status]:
    """What qstat lists of the jobs."""
    rows = _listed(root, jobs) if jobs else []
    return slurm.poll(root, jobs) if rows is None else torque_answers.statuses(rows, jobs)


def _listed(root: str, jobs: List[str]) -> Optional[List[torque_answers.Row]]:
    """The jobs that qstat lists, all when none is named; None when Slurm is underneath.

    Raises NodeError when a named job is neither listed nor denied.
    """
    done = run(root, ["qstat", "-t", "-x"] + jobs if jobs else ["qstat", "-x"])
    if _is_over_slurm(done):
        return None
    rows = torque_answers.xml_rows(done.out)
    known = {torque_answers.number(row.job) for row in rows}
    for line in done.err.splitlines():
        if _UNKNOWN.search(line):
            known.update(torque_answers.number(word) for word in line.split())
    unexplained = [job for job in jobs if torque_answers.number(job) not in known]
    if unexplained or (done.code and not jobs):
        of_whom = "of job %s" % unexplained[0] if unexplained else "at all"
        torque_answers.silent("qstat", done.err or "it said nothing %s" % of_whom)
    return rows


def _is_over_slurm(done: Done) -> bool:
    return done.code != 0 and "Unknown option" in done.err


def accounts(root: str, jobs: List[str]) -> Dict[str, Dict[int, Account]]:
    """How elements ended that qstat still shows: keep_completed says for how long."""
    rows = _listed(root, jobs) if jobs else []
    return slurm.accounts(root, jobs) if rows is None else torque_answers.accounts(rows, jobs)


def explain(reason: str) -> str:
    """A reason in plain words."""
    return REASONS.get(reason) or slurm.explain(reason)


def cancel(root: str, job: str) -> None:
    """End all elements of a job."""
    _act(root, "qdel", job)


def hold(root: str, job: str) -> None:
    """Keep the elements that have not started from starting."""
    if _is_slurms(root, job):
        slurm.hold(root, job)
    else:
        _act(root, "qhold", job)


def release(root: str, job: str) -> None:
    """Let held elements start."""
    if _is_slurms(root, job):
        slurm.release(root, job)
    else:
        _act(root, "qrls", job)


def _is_slurms(root: str, job: str) -> bool:
    # Torque's own IDs have the server's name.
    return job.isdigit() and _is_over_slurm(run(root, ["qstat", "-x"]))


def _act(root: str, program: str, job: str) -> None:
    done = run(root, [program, job])
    # Over Slurm qdel says nothing of a job that is gone, with exit 1.
    if done.code and not _UNKNOWN.search(done.err) and (done.err.strip() or not job.isdigit()):
        torque_answers.silent(program, done.err)


def limits(root: str) -> Limits:
    """What the server allows, and what the person has there."""
    done = run(root, ["qstat", "-B", "-f"])
    if "Server:" not in done.out:
        if _is_over_slurm(run(root, ["qstat", "-x"])):
            return slurm.limits(root)
        torque_answers.silent("qstat -B -f", done.err)
    found = torque_answers.limits(done.out)
    if found.queued is None:
        return found
    rows = torque_answers.xml_rows(run(root, ["qstat", "-t", "-x"]).out)
    mine = [row for row in rows if row.owner == commands.user() and row.letter != "C"]
    return found._replace(present=sum(1 for row in mine if row.index is not None or not row.array))
