"""The schedulers: each a module with the same few functions, asked for by name.

A submission is one job or several, its parts: a site limits how large an array may be. Elements are
numbered through the whole submission, from 1; a job knows its own by their index, from 1 too.
"""

import importlib
import re
from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Tuple

from cjnode.errors import NodeError
from cjnode.shell import quoted
from cjnode.vocabulary import SCHEDULERS

MODULES = {name: "cjnode.schedulers." + name for name in SCHEDULERS}

SIGHT_S = 75  # network file systems look anew after a minute at the latest

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")

# What ``.cj/job.sh`` is made of; it knows neither package nor submission, which come as arguments.
JobSpec = NamedTuple(
    "JobSpec",
    [
        ("python", str),  # the program that runs the worker; empty where the set-up sets PYTHON
        ("setup", List[str]),  # shell lines run before it
        ("resources", Dict[str, Any]),  # the manifest's
    ],
)

# One part of a submission: what a scheduler is asked to start.
Job = NamedTuple(
    "Job",
    [
        ("name", str),  # layout.job_name: found again by it
        ("package", str),
        ("submission", int),
        ("first", int),  # the element that the job's index 1 is
        ("elements", int),
        ("script", str),  # the file to hand over: directives, then the call of .cj/job.sh
        ("log", str),  # where elements and scheduler append what tasks did not print
        ("resources", Dict[str, Any]),
        ("priority", int),  # higher goes first; 0 asks for nothing
        ("after", List[str]),  # jobs whose end, however they end, it is to wait for
    ],
)

Element = NamedTuple("Element", [("state", str), ("reason", str)])

# What a scheduler says of a job that it lists.
Status = NamedTuple(
    "Status",
    [
        # RUNNING when an element runs; else PENDING, HELD or WAITING; ENDED when the scheduler
        # still shows it but none of its elements will run again.
        ("state", str),
        ("reason", str),  # why it waits, in the scheduler's word
        ("waiting", str),  # indices that have not started, as ``5-9,12``; empty: none, or not known
        ("elements", Dict[int, Element]),  # those listed one by one, by index, in the glossary's states
    ],
)

# What accounting remembers of an element that ended.
Account = NamedTuple(
    "Account",
    [("state", str), ("exit_code", Optional[int]), ("reason", str), ("max_rss_mb", Optional[float])],
)

# What the site allows; None where there is no limit or it is not known.
Limits = NamedTuple(
    "Limits",
    [
        ("array", Optional[int]),  # elements of one job
        ("queued", Optional[int]),  # elements that the person may have there at once
        ("present", int),  # elements that they have there now
    ],
)


class FullError(NodeError):
    """The scheduler takes no more now, and may later."""


class UnclearError(NodeError):
    """The scheduler may have taken the job or not: look for it by name."""


def module(scheduler: str) -> Any:
    """The scheduler's module."""
    if scheduler not in MODULES:
        raise NodeError(
            "this cluster's cjnode knows no scheduler %r" % scheduler,
            "one of: %s" % ", ".join(sorted(MODULES)),
        )
    return importlib.import_module(MODULES[scheduler])


def batch_script(scheduler: str, spec: JobSpec) -> str:
    """The text of ``.cj/job.sh``. Pure."""
    return str(module(scheduler).batch_script(spec))


def submit(scheduler: str, root: str, job: Job) -> str:
    """Start a job and return its ID.

    Raises FullError or UnclearError, and NodeError with the scheduler's own words when it says no.
    """
    return str(module(scheduler).submit(root, job))


def find(scheduler: str, root: str, name: str) -> List[str]:
    """The IDs of all jobs of that name that the scheduler has or remembers, oldest first."""
    found: List[str] = module(scheduler).find(root, name)
    return found


def poll(scheduler: str, root: str, jobs: List[str]) -> Dict[str, Status]:
    """The jobs that the scheduler lists, by one query for all; one that is missing is gone or unknown.

    Raises NodeError when the scheduler gave no answer.
    """
    found: Dict[str, Status] = module(scheduler).poll(root, jobs)
    return found


def accounts(scheduler: str, root: str, jobs: List[str]) -> Dict[str, Dict[int, Account]]:
    """What accounting tells of jobs' elements, by job and index; empty where there is none."""
    found: Dict[str, Dict[int, Account]] = module(scheduler).accounts(root, jobs)
    return found


def explain(scheduler: str, reason: str) -> str:
    """A reason for waiting in plain words; the scheduler's own where there are none for it. Pure."""
    return str(module(scheduler).explain(reason))


def cancel(scheduler: str, root: str, job: str) -> None:
    """End a job. Nothing happens to one that has ended."""
    module(scheduler).cancel(root, job)


def hold(scheduler: str, root: str, job: str) -> None:
    """Keep what has not started of a job from starting."""
    module(scheduler).hold(root, job)


def release(scheduler: str, root: str, job: str) -> None:
    """Let a held job start."""
    module(scheduler).release(root, job)


def limits(scheduler: str, root: str) -> Limits:
    """What the site allows, asked now."""
    found: Limits = module(scheduler).limits(root)
    return found


def most(scheduler: str, root: str, flags: List[str]) -> Dict[str, int]:
    """The largest ``memory_mb`` and ``walltime_s`` a job with these flags can have, where that is told."""
    if not hasattr(module(scheduler), "most"):
        return {}
    found: Dict[str, int] = module(scheduler).most(root, flags)
    return found


def index_lines(index: str, restarts: str, job: str, nodes: str) -> Tuple[str, ...]:
    """Shell lines that set the element's variables; each argument is a shell word in double quotes.

    ``index`` counts from 1; ``restarts`` is how often the scheduler started this element again, ``+`` where
    it tells only that it did, ``?`` where it may have and does not tell.
    """
    return (
        "CJ_ELEMENT=$((FIRST + %s - 1))" % index,
        'CJ_RESTARTS="%s" CJ_JOB_ID="%s" CJ_NODELIST="%s"' % (restarts, job, nodes),
        "export CJ_ELEMENT CJ_RESTARTS CJ_JOB_ID CJ_NODELIST",
        # An element that comes late finds nothing to do; one that was started again has its own blocks.
        'DONE="$ROOT/packages/$PACKAGE/submissions/$SUBMISSION/exhausted"',
        'if [ "$CJ_RESTARTS" = 0 ] && [ -e "$DONE" ]; then exit 0; fi',
    )


def job_script(
    spec: JobSpec, directives: List[str], variables: Tuple[str, ...], shell: str = "/bin/sh"
) -> str:
    """The text of ``.cj/job.sh`` of any scheduler: directives, the element's variables, set-up, worker."""
    lines = ["#!" + shell]
    lines += directives
    lines += [
        "# One element of a job: sh .cj/job.sh ROOT PACKAGE SUBMISSION [FIRST]",
        "ROOT=$1 PACKAGE=$2 SUBMISSION=$3 FIRST=${4:-1}",
    ]
    lines += variables
    lines += spec.setup
    if spec.python:
        lines.append("PYTHON=%s" % quoted(spec.python))
    lines += [
        'exec "$PYTHON" "$ROOT/packages/$PACKAGE/code/.cj/cjnode.pyz" work --root "$ROOT"'
        ' --package "$PACKAGE" --submission "$SUBMISSION"',
    ]
    return "\n".join(lines) + "\n"


def hint_for(said: str, hints: Iterable[Tuple[str, str]]) -> str:
    """What to do about a refusal: the hint of the first pattern that is in the scheduler's words. Pure."""
    for pattern, hint in hints:
        if re.search(pattern, said):
            return hint
    return "change alloc or the resources, and launch it again"


def flag_lines(prefix: str, flags: List[str]) -> List[str]:
    """``alloc`` as directives, a line each. Raises NodeError for what would not stay one line."""
    broken = [flag for flag in flags if not flag.strip() or _CONTROL.search(flag)]
    if broken:
        raise NodeError(
            "alloc: a flag must be one line without control characters: %r" % broken[0],
            "give each flag as an item of alloc, or as an --alloc of its own",
        )
    return [prefix + flag.strip() for flag in flags]


def part_script(job_sh: str, root: str, package: str, submission: int, first: int, log: str) -> str:
    """The file handed to a scheduler: the directives of ``.cj/job.sh``, then its call for one part. Pure.

    No arguments are left to give: schedulers differ in how they pass them, and some cannot.
    """
    lines = job_sh.split("\n")
    head = lines[:1] + [line for line in lines[1:] if _is_directive(line)]
    code = "%s/packages/%s/code/.cj/job.sh" % (root, package)
    words = [head[0][2:].strip(), code, root, package, "%d" % submission, "%d" % first]
    call = "exec " + " ".join(quoted(word) for word in words)
    lines = [_in_sight(code, log), "exec >>%s 2>&1" % quoted(log), "cd %s || exit 1" % quoted(root), call]
    return "\n".join(head + lines) + "\n"


def _in_sight(code: str, log: str) -> str:
    """A shell line that waits until this node's network file system shows what the login node made."""
    there = "[ -r %s ] && [ -d %s ]" % (quoted(code), quoted(log.rpartition("/")[0]))
    look = "ls %s >/dev/null 2>&1; sleep 1; n=$((n + 1))" % quoted(code.rpartition("/code/")[0])
    return "n=0; until %s || [ $n -ge %d ]; do %s; done" % (there, SIGHT_S, look)


def _is_directive(line: str) -> bool:
    return line.startswith(("#SBATCH ", "#PBS ", "#BSUB ", "#$ "))
