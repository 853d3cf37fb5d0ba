"""Run a scheduler's programs: where the site has them, in English, for a limited time."""

import os
import pwd
import select
import signal
import subprocess
import time
from typing import BinaryIO, Dict, List, NamedTuple, Optional, Union

from cjnode import processes
from cjnode.errors import NodeError
from cjnode.files import read_json
from cjnode.schedulers import UnclearError

TIMEOUT_S = 60.0

# What a job may see of the environment that submits it: the rest is the hook's, or secret. Submitting
# programs find their parts by some: those of Torque over Slurm are Perl. By the last one `jobs.acting` knows
# such a program again.
_LOGIN = ("HOME", "USER", "LOGNAME", "SHELL", "PATH", "LANG", "TZ", "KRB5CCNAME")
_FOR_JOBS = frozenset((*_LOGIN, "LD_LIBRARY_PATH", "PERL5LIB", "CJ_SUBMITTING"))
# The schedulers' own settings, which the submitting programs read.
_SETTINGS = (
    "SLURM_CONF",
    "SLURM_CLUSTERS",
    "SBATCH_",
    "SGE_",
    "PBS_",
    "LSF_",
    "_CONDOR_",
    "CONDOR_CONFIG",
)
# What the element of a job sees is no business of the jobs that it submits; and a filter or format that
# the person set for their own eyes would make jobs vanish from what is read here.
_DROPPED = (
    "SLURM_ARRAY_",
    "SLURM_JOB",
    "SLURM_TIME_FORMAT",
    "SQUEUE_",
    "SACCT_",
    "SCANCEL_",
    "SGE_TASK_",
    "PBS_ARRAY",
    "PBS_JOB",
    "PBS_TASK",
    "PBS_O_",
    "PBS_ENVIRONMENT",
    "PBS_NODE",
)

Done = NamedTuple("Done", [("code", int), ("out", str), ("err", str)])


class SilentError(NodeError):
    """A program that gave no answer in time, or is not there."""


class MissingError(SilentError):
    """A program that is not there."""


def user() -> str:
    """The person's name on this machine, whatever the environment says."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def environment(root: str) -> Dict[str, str]:
    """This process's environment with what ``init`` found out of the person's login there.

    ``ROOT/site.json`` has ``path``, a list of folders, and ``environment``, variables such as SLURM_CONF.
    """
    kept = {key: value for key, value in processes.environment().items() if not key.startswith(_DROPPED)}
    site = read_json(os.path.join(root, "site.json")) or {}
    for name, value in dict(site.get("environment") or {}).items():
        kept.setdefault(str(name), str(value))
    known = kept["PATH"].split(os.pathsep)
    found = [str(folder) for folder in site.get("path") or [] if str(folder) not in known]
    kept["PATH"] = os.pathsep.join(known + found)
    kept["LC_ALL"] = "C"
    # Else Slurm cuts the list of an array's waiting elements after 64 characters.
    kept["SLURM_BITSTR_LEN"] = "0"
    return kept


def job_environment(root: str) -> Dict[str, str]:
    """What is passed on where a scheduler gives a job the environment of the program that submits it."""
    site = read_json(os.path.join(root, "site.json")) or {}
    names = _FOR_JOBS.union(str(name) for name in site.get("environment") or {})
    return {
        key: value for key, value in environment(root).items() if key in names or key.startswith(_SETTINGS)
    }


def run(
    root: str,
    argv: List[str],
    timeout_s: float = TIMEOUT_S,
    stdin: Union[bytes, BinaryIO, None] = None,
    environ: Optional[Dict[str, str]] = None,
    until: bytes = b"",
) -> Done:
    """Run a program to its end, or until it says on stderr what it is not waited for.

    With ``until`` its input must be a file: nobody writes while its words are read.
    Raises SilentError when it is missing or does not end; it is killed then.
    """
    text = stdin if isinstance(stdin, bytes) else None
    given: Union[int, BinaryIO] = subprocess.PIPE
    if not isinstance(stdin, bytes):
        given = subprocess.DEVNULL if stdin is None else stdin
    try:
        process = subprocess.Popen(
            argv,
            env=environment(root) if environ is None else environ,
            cwd=root,
            stdin=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            # Sites wrap such programs in scripts: all of a group can be ended.
            preexec_fn=os.setpgrp,
        )
    except OSError as problem:
        raise MissingError("%s: %s" % (argv[0], problem.strerror), "git cj doctor")
    start = time.monotonic()
    said = _said(process, until, timeout_s) if until else b""
    try:
        out, err = process.communicate(text, timeout=max(0.0, start + timeout_s - time.monotonic()))
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise SilentError("%s gave no answer in %g s" % (argv[0], timeout_s), "git cj state in a while")
    return Done(process.returncode, out.decode("utf-8", "replace"), (said + err).decode("utf-8", "replace"))


def hand_over(
    root: str,
    argv: List[str],
    stdin: Union[bytes, BinaryIO, None] = None,
    environ: Optional[Dict[str, str]] = None,
    until: bytes = b"",
) -> Done:
    """Run a program that submits a job, in what the job may see. Raises UnclearError when it falls silent."""
    try:
        environ = job_environment(root) if environ is None else environ
        return run(root, argv, stdin=stdin, environ=environ, until=until)
    except MissingError:
        raise
    except SilentError as problem:
        raise UnclearError(problem.error, problem.hint)


def said(done: Done) -> str:
    """What a program said, as one line: its complaints where there are any."""
    return " ".join((done.err.strip() or done.out.strip()).split())


def _said(process: "subprocess.Popen[bytes]", until: bytes, timeout_s: float) -> bytes:
    """What a program says on stderr, to its end; the program is ended when it says ``until``."""
    assert process.stderr is not None
    fd, said, end = process.stderr.fileno(), b"", time.monotonic() + timeout_s
    while True:
        ready = select.select([fd], [], [], max(0.0, end - time.monotonic()))[0]
        piece = os.read(fd, 65536) if ready else b""
        said += piece
        if until in said:
            os.killpg(process.pid, signal.SIGKILL)
            return said
        if not piece:
            return said
