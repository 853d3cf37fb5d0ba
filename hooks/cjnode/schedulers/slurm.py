"""Slurm: sbatch, squeue, scancel and scontrol; sacct and sacctmgr where the site keeps accounts.

Options: the manual pages of Slurm 22.05 (doc/man/man1). One squeue for all jobs, by the person's own user
ID: with a list of IDs one that was purged can make the whole query fail.
"""

import os
from typing import Dict, List

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
    slurm_answers,
    slurm_reasons,
)
from cjnode.schedulers.commands import MissingError, SilentError, run

# sbatch says this, then sleeps for 120 s in which the person would wait.
_SLEEPING = b"temporarily unable to accept job"
_GONE = "Invalid job id"


def batch_script(spec: JobSpec) -> str:
    """The text of ``.cj/job.sh``."""
    asked = spec.resources
    # The worker takes up an element that is started again, so a node's death costs one attempt.
    lines = ["#SBATCH --requeue"]
    for key, option in (
        ("nodes", "--nodes=%d"),
        ("tasks_per_node", "--ntasks-per-node=%d"),
        ("cpus", "--cpus-per-task=%d"),
        # Of every node: --gpus, a total, needs select/cons_tres.
        ("gpus", "--gres=gpu:%d"),
        ("memory_mb", "--mem=%dM"),
    ):
        if asked.get(key):
            lines.append("#SBATCH " + option % asked[key])
    if asked.get("walltime_s"):
        lines.append("#SBATCH --time=" + clock(asked["walltime_s"]))
    lines += flag_lines("#SBATCH ", asked.get("alloc") or [])
    variables = index_lines(
        "${SLURM_ARRAY_TASK_ID:-1}",
        "${SLURM_RESTART_COUNT:-0}",
        "${SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}",
        "$SLURM_JOB_NODELIST",
    )
    # Else an srun of a task's own would pass on nothing of the task's environment.
    return job_script(spec, lines, variables + ("unset SLURM_EXPORT_ENV CJ_SUBMITTING",))


def clock(seconds: int) -> str:
    """Seconds as ``D-HH:MM:SS``."""
    hours, rest = divmod(seconds, 3600)
    return "%d-%02d:%02d:%02d" % (hours // 24, hours % 24, rest // 60, rest % 60)


def submit_command(root: str, job: Job) -> List[str]:
    """The argv of sbatch for one part. Pure."""
    argv = ["sbatch", "--parsable", "--job-name=" + job.name, "--comment=cj:" + job.package]
    # Slurm replaces %a and the like in the log's name.
    argv += ["--chdir=" + root, "--output=" + job.log.replace("%", "%%"), "--open-mode=append"]
    argv += ["--export=ALL"]
    if job.priority < 0:
        argv.append("--nice=%d" % -job.priority)
    if job.after:
        argv.append("--dependency=afterany:" + ":".join(job.after))
    if job.elements > 1:
        at_once = job.resources.get("jobs")
        argv.append("--array=1-%d" % job.elements + ("%%%d" % at_once if at_once else ""))
    return argv + [job.script]


def submit(root: str, job: Job) -> str:
    """Hand the job's script to sbatch and return its ID.

    The whole environment is exported, and it is made for that: any other value of --export lets Slurm run
    a login shell of the person's for each element.
    """
    argv = submit_command(root, job)
    done = commands.hand_over(root, argv, until=_SLEEPING)
    return slurm_answers.submitted(done.code, done.out, done.err)


def find(root: str, name: str) -> List[str]:
    """The IDs of the person's jobs of that name, oldest first: in the queue, else in accounting."""
    done = run(root, _queue("%F|%V|%j") + ["--name=" + name])
    _check("squeue", done)
    found: Dict[str, str] = {}
    for line in done.out.splitlines():
        job, _, rest = line.partition("|")
        submitted, _, called = rest.partition("|")
        if called == name and job.isdigit():
            found[job] = min(submitted, found.get(job, submitted))
    if not found:
        found = _accounted(root, name)
    return sorted(found, key=lambda job: (found[job], int(job)))


def _accounted(root: str, name: str) -> Dict[str, str]:
    """Jobs of that name that the controller has forgotten, with the time of their submission."""
    words = ["--name=" + name, "--user=" + commands.user(), "--starttime=now-60days", "--endtime=now"]
    found: Dict[str, str] = {}
    for line in _sacct(root, ["-X"] + words, "JobID,Submit,JobName").splitlines():
        job, _, rest = line.partition("|")
        submitted, _, called = rest.partition("|")
        if called == name:
            found[job.split("_")[0]] = submitted
    return found


def poll(root: str, jobs: List[str]) -> Dict[str, Status]:
    """What squeue lists of the jobs, ended ones too for the minutes that it remembers them."""
    if not jobs:
        return {}
    done = run(root, _queue(slurm_answers.QUEUE_FIELDS))
    _check("squeue", done)
    return slurm_answers.statuses(slurm_answers.queue(done.out), jobs)


def _queue(fields: str) -> List[str]:
    # -a: also in partitions that are hidden from lists.
    return ["squeue", "-h", "-a", "-t", "all", "-u", "%d" % os.getuid(), "-o", fields]


def _check(program: str, done: commands.Done) -> None:
    # An error with exit 0 has been seen of clients whose controller failed over.
    if done.code or "error:" in done.err:
        slurm_answers.silent(program, done.err)


def accounts(root: str, jobs: List[str]) -> Dict[str, Dict[int, Account]]:
    """How the elements of jobs ended, where the site keeps accounts."""
    if not jobs:
        return {}
    # Without a start sacct looks at today alone.
    words = ["--jobs=" + ",".join(jobs), "--starttime=2000-01-01", "--endtime=now"]
    return slurm_answers.accounts(_sacct(root, words, slurm_answers.ACCOUNT_FIELDS), jobs)


def _sacct(root: str, words: List[str], fields: str) -> str:
    """What sacct prints; nothing where there are no accounts, which is remembered for a day."""
    path = os.path.join(root, "scheduler", "accounting.json")
    if noted.fresh(path):
        return ""
    try:
        done = run(root, ["sacct", "-n", "-P", "-o", fields] + words)
    except MissingError:
        done = commands.Done(127, "", "storage is disabled")
    except SilentError:
        return ""
    if done.code and ("storage is disabled" in done.err or "not enabled" in done.err):
        noted.note(path, {"accounting": False})
    return "" if done.code else done.out


def explain(reason: str) -> str:
    """A reason of squeue's in plain words."""
    return slurm_reasons.explain(reason)


def cancel(root: str, job: str) -> None:
    """End all elements of a job."""
    done = run(root, ["scancel", job])
    if done.code and _GONE not in done.err:
        slurm_answers.silent("scancel", done.err)


def hold(root: str, job: str) -> None:
    """Keep the elements that have not started from starting."""
    # As a user's: an operator's own hold would be shown as the administrators'.
    _control(root, "uhold", job)


def release(root: str, job: str) -> None:
    """Let held elements start."""
    _control(root, "release", job)


def _control(root: str, verb: str, job: str) -> None:
    done = run(root, ["scontrol", verb, job])
    said = done.out + done.err
    # An array of which some elements ended is told of element by element, with exit 1 though it worked.
    if done.code and _GONE not in said and "already finished" not in said and "No error" not in said:
        slurm_answers.silent("scontrol " + verb, said)


def limits(root: str) -> Limits:
    """What the site allows, asked once a day, and what is there, asked now."""
    done = run(root, _queue(slurm_answers.QUEUE_FIELDS.replace("%j", "cj-")))
    _check("squeue", done)
    present = slurm_answers.count(slurm_answers.queue(done.out))
    path = os.path.join(root, "scheduler", "limits.json")
    known = noted.fresh(path)
    if known is None:
        found = _static_limits(root)
        known = {"array": found.array, "queued": found.queued}
        noted.note(path, known)
    return Limits(known["array"], known["queued"], present)


def most(root: str, flags: List[str]) -> Dict[str, int]:
    """The largest memory and walltime of the partitions that a job may go to."""
    done = run(root, ["scontrol", "-o", "-a", "show", "partition"])
    _check("scontrol show partition", done)
    return slurm_answers.most(done.out, flags)


def _static_limits(root: str) -> Limits:
    config = run(root, ["scontrol", "show", "config"])
    _check("scontrol show config", config)
    partitions = run(root, ["scontrol", "-o", "-a", "show", "partition"]).out
    associations = _sacctmgr(
        root, "assoc", ["user=" + commands.user()], "DefaultQOS,MaxSubmitJobs,GrpSubmitJobs"
    )
    qualities = _sacctmgr(root, "qos", [], "Name,MaxSubmitJobsPerUser,MaxSubmitJobsPerAccount,GrpSubmitJobs")
    return slurm_answers.limits(config.out, partitions, associations, qualities)


def _sacctmgr(root: str, what: str, which: List[str], fields: str) -> str:
    try:
        done = run(root, ["sacctmgr", "-n", "-P", "show", what] + which + ["format=" + fields])
    except SilentError:
        return ""
    return "" if done.code else done.out
