"""PBS Professional and OpenPBS.

Options: qsub(1B), qstat(1B) and qselect(1B) of OpenPBS 23.06, in its repository under doc/man1. Jobs are read
from the text of ``qstat -f``: JSON has only the first of several jobs in some versions (openpbs issue 2672)
and is no JSON at all in others (2541, 1033), while the text has kept its form since PBS 7.
"""

import re
from typing import Dict, List, Optional

from cjnode.errors import NodeError
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
    pbs_answers,
)
from cjnode.schedulers.commands import Done, run
from cjnode.schedulers.notation import clock

ARRAY_LIMIT = 10000  # what max_array_size is where nobody set it: pbs_server_attributes(7B)

# What qsub says when the person's own jobs leave no room now: src/lib/Liblog/pbs_messages.c.
_FULL = re.compile(r"Maximum number of jobs|would exceed .* limit")
# The server may have taken the job before the connection broke.
_UNCLEAR = re.compile(r"cannot connect to server|[Tt]imed? ?out|End of File|[Cc]ommunication|Connection re")
_UNKNOWN = re.compile(r"Unknown Job Id|has finished|Job has been deleted")
_HINTS = (
    (r"[Aa]rray", "set max_jobs for this cluster to what its arrays take, and launch it again"),
    (
        r"resource limits|exceed",
        "ask for less, or for another queue by alloc -q NAME: qstat -Qf shows limits",
    ),
    (r"queue", "qstat -Q lists the queues: name one with alloc -q NAME"),
    (r"[Aa]ccount|[Pp]roject", "name one that may run jobs there with alloc -A NAME or -P NAME"),
    (r"directive|illegal|option|[Uu]nknown resource", "correct alloc: man qsub on the cluster"),
)
_NO_HISTORY = "not configured to maintain job history"


def batch_script(spec: JobSpec) -> str:
    """The text of ``.cj/job.sh``."""
    asked = spec.resources
    # Without -S the script is read by the person's login shell, which may be a csh.
    lines = ["#PBS -S /bin/sh"]
    chunk = _chunk(asked)
    if chunk:
        lines.append("#PBS -l select=%d:%s" % (asked.get("nodes") or 1, chunk))
        if (asked.get("nodes") or 1) > 1:
            lines.append("#PBS -l place=scatter")
    if asked.get("walltime_s"):
        lines.append("#PBS -l walltime=%s" % clock(asked["walltime_s"]))
    lines += flag_lines("#PBS ", asked.get("alloc") or [])
    nodes = '$([ -r "$PBS_NODEFILE" ] && sort -u "$PBS_NODEFILE" | paste -s -d , -)'
    # Elements of arrays are started again after a node's death, always, and no variable tells.
    variables = index_lines("${PBS_ARRAY_INDEX:-1}", "?", "${PBS_ARRAY_ID:-$PBS_JOBID}", nodes)
    return job_script(spec, lines, variables)


def _chunk(asked: Dict[str, object]) -> str:
    """What one node gives, in the form of -l select."""
    values = {key: asked.get(key) for key in ("nodes", "tasks_per_node", "cpus", "gpus", "memory_mb")}
    if not any(values.values()):
        return ""
    tasks, cpus = int(str(values["tasks_per_node"] or 1)), int(str(values["cpus"] or 1))
    words = ["ncpus=%d" % (tasks * cpus)]
    if values["tasks_per_node"]:
        words.append("mpiprocs=%d" % tasks)
    words.append("ompthreads=%d" % cpus)
    if values["memory_mb"]:
        words.append("mem=%smb" % values["memory_mb"])
    if values["gpus"]:
        words.append("ngpus=%s" % values["gpus"])
    return ":".join(words)


def submit(root: str, job: Job) -> str:
    """Hand the job's script to qsub and return its ID, ``1234.server`` or ``1234[].server``."""
    done = commands.hand_over(root, submit_command(job))
    said = commands.said(done)
    if done.code == 0:
        ids = [line.strip() for line in done.out.split("\n") if pbs_answers.ID.match(line.strip())]
        if ids:
            return ids[-1]
        raise UnclearError("qsub gave no job ID: %s" % (said or "it said nothing"))
    if _FULL.search(said):
        raise FullError(said)
    if _UNCLEAR.search(said):
        raise UnclearError(said, "git cj state in a while")
    if "%" in " ".join(submit_command(job)) and "illegal -J value" in said:
        raise NodeError(said, "this PBS knows no limit on a running array: leave out --jobs")
    raise NodeError(
        said or "qsub failed with exit code %d and said nothing" % done.code, hint_for(said, _HINTS)
    )


def submit_command(job: Job) -> List[str]:
    """The words that submit a job. Pure."""
    # -f: else qsub leaves a process behind that serves later ones, and looks like one still at work.
    words = ["qsub", "-f", "-N", job.name]
    # What is printed goes to the log by the script itself: a path here would be a file an element, and one
    # file for all would be written over by each. /dev/null is copied nowhere (src/resmom/stage_func.c).
    words += ["-j", "oe", "-o", "/dev/null"]
    if job.priority:
        words += ["-p", "%d" % job.priority]
    if job.after:
        words += ["-W", "depend=afterany:" + ":".join(job.after)]
    if job.elements > 1:  # a range of one is refused; arrays can be started again, always
        limit = job.resources.get("jobs")
        words += ["-J", "1-%d%s" % (job.elements, "%%%d" % limit if limit and limit < job.elements else "")]
    else:
        words += ["-r", "n"]
    return words + [job.script]


def find(root: str, name: str) -> List[str]:
    """The IDs of the person's jobs of exactly that name, oldest first."""
    found = _with_history(root, ["qselect"], ["-u", commands.user(), "-N", name])
    if found.code != 0:
        raise NodeError(commands.said(found) or "qselect failed", "git cj doctor")
    ids = [line.strip() for line in found.out.split("\n") if pbs_answers.ID.match(line.strip())]
    return sorted(ids, key=lambda job: int(pbs_answers.number(job)[0]))


def poll(root: str, jobs: List[str]) -> Dict[str, Status]:
    """The jobs that qstat lists.

    Of arrays of which some elements have ended and others run a second query asks which run, in the short
    form: the long one is kilobytes for each element.
    """
    listed = _asked(root, [], jobs)
    found = {job: pbs_answers.status(record) for job, record in listed.items()}
    mixed = [job for job in found if "[" in job and pbs_answers.is_mixed(listed[job].fields)]
    if mixed:
        done = run(root, ["qstat", "-t"] + mixed)
        for job in mixed:
            running = pbs_answers.running(done.out, pbs_answers.number(job)[0])
            # Without them those that wait are not told either: what is in neither list has ended.
            found[job] = found[job]._replace(elements=running, waiting=found[job].waiting if running else "")
    return found


def _asked(root: str, options: List[str], jobs: List[str]) -> Dict[str, pbs_answers.Record]:
    """What qstat -f tells of these jobs, by their IDs as given. Raises NodeError when it told nothing."""
    if not jobs:
        return {}
    done = _with_history(root, ["qstat"], ["-f"] + options + jobs)
    records = {pbs_answers.number(record.job): record for record in pbs_answers.parse(done.out)}
    denied = {
        pbs_answers.number(word)
        for line in done.err.split("\n")
        if _UNKNOWN.search(line)
        for word in line.split()
    }
    unexplained = [
        job
        for job in jobs
        if pbs_answers.number(job) not in records and pbs_answers.number(job) not in denied
    ]
    if unexplained:
        nothing = "qstat said nothing of job %s (exit code %d)" % (unexplained[0], done.code)
        raise NodeError(" ".join(done.err.split()) or nothing, "git cj state in a while")
    return {job: records[pbs_answers.number(job)] for job in jobs if pbs_answers.number(job) in records}


def _with_history(root: str, program: List[str], words: List[str]) -> Done:
    """Run with -x, and without where the server keeps no history (exit code 0 then, and no output)."""
    done = run(root, program + ["-x"] + words)
    return run(root, program + words) if _NO_HISTORY in done.err else done


def accounts(root: str, jobs: List[str]) -> Dict[str, Dict[int, Account]]:
    """What the server's history has of jobs that ended, element by element."""
    if not jobs:
        return {}
    done = _with_history(root, ["qstat"], ["-f", "-t"] + jobs)
    found: Dict[str, Dict[int, Account]] = {}
    by_number = {pbs_answers.number(job)[0]: job for job in jobs}
    for record in pbs_answers.parse(done.out):
        number, index = pbs_answers.number(record.job)
        account = pbs_answers.account_of(record)
        if number in by_number and index != "" and account:
            found.setdefault(by_number[number], {})[int(index or 1)] = account
    return found


def explain(reason: str) -> str:
    """A comment of PBS's scheduler in plain words."""
    return pbs_answers.explain(reason)


def cancel(root: str, job: str) -> None:
    """End a job."""
    _tell(root, "qdel", job)


def hold(root: str, job: str) -> None:
    """Keep what has not started of a job from starting."""
    _tell(root, "qhold", job)


def release(root: str, job: str) -> None:
    """Let a held job start."""
    _tell(root, "qrls", job)


def _tell(root: str, program: str, job: str) -> None:
    done = run(root, [program, job])
    said = commands.said(done)
    if done.code != 0 and not (_UNKNOWN.search(said) or "Request invalid for state" in said):
        raise NodeError(said or "%s failed with exit code %d" % (program, done.code), "git cj state")


def limits(root: str) -> Limits:
    """The server's max_array_size and, where it has one for everybody, max_queued."""
    done = run(root, ["qstat", "-B", "-f"])
    if done.code != 0:
        raise NodeError(commands.said(done) or "qstat -B failed", "git cj doctor")
    fields = pbs_answers.parse(done.out.replace("Server: ", "Job Id: ", 1))
    server = fields[0].fields if fields else {}
    array = server.get("max_array_size", "")
    queued = _per_person(server.get("max_queued", ""))
    return Limits(int(array) if array.isdigit() else ARRAY_LIMIT, queued, _present(root))


def _per_person(text: str) -> Optional[int]:
    """The limit of ``[u:PBS_GENERIC=500],[u:mia=900]`` that holds for this person."""
    found = dict(re.findall(r"\[u:([^=\]]+)=([0-9]+)\]", text))
    own = found.get(commands.user(), found.get("PBS_GENERIC"))
    return int(own) if own else None


def _present(root: str) -> int:
    """How many elements the person has there: each counts against max_queued."""
    done = run(root, ["qselect", "-u", commands.user()])
    jobs = [line.strip() for line in done.out.split("\n") if pbs_answers.ID.match(line.strip())]
    count = 0
    for record in pbs_answers.parse(run(root, ["qstat", "-f"] + jobs).out) if jobs else []:
        words = record.fields.get("array_state_count", "Queued:1").split()
        count += sum(int(word.split(":")[1]) for word in words if not word.startswith("Expired:"))
    return count
