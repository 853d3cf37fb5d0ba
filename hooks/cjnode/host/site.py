"""What a site has: where its scheduler's programs are, the variables they need, and what it allows.

A command that comes by ssh, and a hook, see a bare environment: what `/etc/profile` and modules add for a
login is missing. So ``init`` asks a login shell once, and ``ROOT/site.json`` keeps the answer.
"""

import binascii
import json
import os
import shutil
import signal
import subprocess
import sys
from typing import Any, BinaryIO, Callable, Dict, List, NamedTuple, Optional, Tuple

from cjnode import processes, schedulers
from cjnode.errors import NodeError
from cjnode.files import canonical, json_bytes, read_json, replace
from cjnode.schedulers import commands

LOGIN_S = 20.0
VERSION_S = 10.0

# The first two say that the scheduler is there.
PROGRAMS = {
    "slurm": ("sbatch", "squeue", "scancel", "scontrol", "sacct"),
    "sge": ("qconf", "qsub", "qstat", "qdel", "qacct"),
    "pbs": ("qsub", "qstat", "qdel", "qselect", "pbsnodes"),
    "torque": ("qsub", "qstat", "qdel", "qselect", "pbsnodes"),
    "lsf": ("bsub", "bjobs", "bkill", "bhist"),
    "htcondor": ("condor_submit", "condor_q", "condor_rm", "condor_history"),
}
# How each says what it is.
VERSIONS = {
    "slurm": ("sbatch", "--version"),
    "sge": ("qstat", "-help"),
    "pbs": ("qstat", "--version"),
    "torque": ("qstat", "--version"),
    "lsf": ("bsub", "-V"),
    "htcondor": ("condor_version",),
}
OTHERS = ("git", "uv", "conda", "mamba", "apptainer", "singularity")
VARIABLES = (
    "SLURM_CONF",
    "SGE_ROOT",
    "SGE_CELL",
    "SGE_CLUSTER_NAME",
    "SGE_QMASTER_PORT",
    "SGE_EXECD_PORT",
    "PBS_CONF_FILE",
    "PBS_EXEC",
    "PBS_HOME",
    "PBS_SERVER",
    "PBS_DEFAULT",
    "LSF_ENVDIR",
    "LSF_SERVERDIR",
    "LSF_BINDIR",
    "LSF_LIBDIR",
    "CONDOR_CONFIG",
    # Where the module command's files and the modules are: a job's shell is no login shell.
    "LMOD_PKG",
    "MODULESHOME",
    "MODULEPATH",
)
# Where sites put them whose login shells do not say so.
USUAL = ("/usr/local/bin", "/opt/slurm/bin", "/usr/local/slurm/bin", "/opt/pbs/bin", "/usr/local/torque/bin")

_ASK = """\
if type module >/dev/null 2>&1; then CJ_MODULE=yes; else CJ_MODULE=no; fi
export CJ_MODULE
exec "$1" -I -S -c "$2" "$3"
"""
_TELL = """\
import json, os, sys
print("\\ncj %s begin\\n%s\\ncj %s end" % (sys.argv[1], json.dumps(dict(os.environ)), sys.argv[1]))
"""

Login = NamedTuple("Login", [("environment", Dict[str, str]), ("has_modules", bool)])
NO_LOGIN = Login({}, False)


def site(root: str, request: Dict[str, Any], out: BinaryIO) -> None:
    """The verb: ``{"cluster":…,"scheduler":…}`` looks anew and replies with ``site.json``."""
    found = find(root, str(request.get("cluster", "")), str(request.get("scheduler", "")))
    out.write(canonical(found) + b"\n")


def find(root: str, cluster: str, scheduler: str) -> Dict[str, Any]:
    """Look what the site has and keep it. Raises NodeError when it has another scheduler."""
    here = processes.environment()
    login = None if scheduler == "local" else login_shell()
    known = login.environment if login else {}
    variables = {name: known.get(name) or here.get(name, "") for name in VARIABLES}
    variables = {name: value for name, value in sorted(variables.items()) if value}
    folders = here["PATH"].split(os.pathsep) + _more_folders(known, variables)
    path = os.pathsep.join(folders)

    def which(program: str) -> Optional[str]:
        return shutil.which(program, path=path)

    if scheduler != "local":
        check(cluster, scheduler, present(which, _first_words(path, variables)), login is not None)
    programs = sorted(set(OTHERS + PROGRAMS.get(scheduler, ())))
    places = {program: which(program) for program in programs}
    used = {os.path.dirname(place) for name, place in places.items() if place and name not in OTHERS}
    fields: Dict[str, Any] = {
        "path": [folder for folder in _once(folders) if folder in used and folder not in _plain_path()],
        "environment": variables,
        "commands": {name: place for name, place in places.items() if place},
        "login": login is not None,
        "modules": bool(login and login.has_modules),
    }
    replace(os.path.join(root, "site.json"), json_bytes(fields))
    fields["versions"] = versions(root, scheduler)
    fields["limits"] = _limits(root, scheduler)
    replace(os.path.join(root, "site.json"), json_bytes(fields))
    return fields


def kept(root: str) -> Dict[str, Any]:
    """What was found last; empty where nothing was."""
    return read_json(os.path.join(root, "site.json")) or {}


def login_shell() -> Optional[Login]:
    """The environment of a login shell; None when it does not answer in time or there is no bash."""
    word = nonce()
    body = between(run_login(_ASK, sys.executable, _TELL, word) or "", word)
    try:
        environment = json.loads(body)
        return Login(dict(environment), environment.get("CJ_MODULE") == "yes")
    except (ValueError, TypeError):
        return None


def run_login(script: str, *arguments: str) -> Optional[str]:
    """What a script prints in a login shell, noise of the person's start-up files included.

    None when it does not end in time, in which case its whole group is killed.
    """
    try:
        process = subprocess.Popen(
            ["bash", "-lc", script, "cj"] + list(arguments),
            env=dict(processes.environment(), TERM="dumb"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError:
        return None
    try:
        return process.communicate(timeout=LOGIN_S)[0].decode("utf-8", "replace")
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return None


def nonce() -> str:
    """A word that no start-up file prints."""
    return binascii.hexlify(os.urandom(8)).decode("ascii")


def between(text: str, word: str) -> str:
    """What stands between the lines of a nonce."""
    return text.partition("\ncj %s begin\n" % word)[2].partition("\ncj %s end" % word)[0]


def present(which: Callable[[str], Optional[str]], words: Callable[[Tuple[str, ...]], str]) -> List[str]:
    """The schedulers whose programs are there; ``words`` runs a program and returns what it says."""
    found = [name for name in ("slurm", "sge", "lsf", "htcondor") if all(map(which, PROGRAMS[name][:2]))]
    if all(map(which, PROGRAMS["pbs"][:3])) and "sge" not in found:
        told = words(VERSIONS["pbs"]).lower()
        if "pbs_version" in told or "pbspro" in told or "openpbs" in told:
            found.append("pbs")
        elif "version:" in told or "slurm" in found:  # Slurm's own imitation speaks as Torque does
            found.append("torque")
        else:
            found += ["pbs", "torque"]
    return found


def check(cluster: str, scheduler: str, found: List[str], has_login: bool) -> None:
    """Refuse a scheduler that is not there, naming the one that is. Pure."""
    if scheduler in found:
        return
    if found:
        raise NodeError(
            "%s has %s, not %s" % (cluster, " and ".join(found), scheduler),
            'write scheduler = "%s" in [cluster.%s]' % (found[0], cluster),
        )
    programs = " and ".join(PROGRAMS.get(scheduler, (scheduler,))[:2])
    where = "neither on PATH nor in a login shell" if has_login else "not on PATH, and bash -l gave no answer"
    raise NodeError(
        "there is no %s on %s: %s are %s" % (scheduler, cluster, programs, where),
        "make them found by ~/.bash_profile there, or correct scheduler in [cluster.%s]" % cluster,
    )


def versions(root: str, scheduler: str) -> Dict[str, str]:
    """Versions of git, Python and the scheduler, as they say them."""
    asked = {"git": ("git", "--version"), scheduler: VERSIONS.get(scheduler, ())}
    found = {"python": "%d.%d.%d" % sys.version_info[:3]}
    for name, argv in asked.items():
        if argv:
            found[name] = first_line(root, argv)
    return found


def first_line(root: str, argv: Tuple[str, ...]) -> str:
    """The first line that a program prints, on standard output or else on standard error."""
    try:
        done = commands.run(root, list(argv), VERSION_S)
    except NodeError as problem:
        return problem.error
    lines = (done.out.strip() or done.err.strip()).splitlines()
    return lines[0].strip() if lines else ""


def _limits(root: str, scheduler: str) -> Dict[str, Any]:
    try:
        return dict(schedulers.limits(scheduler, root)._asdict())
    except (NodeError, ImportError):  # it is asked again by each submission
        return {}


def _first_words(path: str, variables: Dict[str, str]) -> Callable[[Tuple[str, ...]], str]:
    def words(argv: Tuple[str, ...]) -> str:
        environment = dict(processes.environment(), PATH=path, LC_ALL="C", **variables)
        try:
            process = subprocess.Popen(
                list(argv),
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
        except OSError:
            return ""
        try:
            return process.communicate(timeout=VERSION_S)[0].decode("utf-8", "replace")
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            return ""

    return words


def _more_folders(login: Dict[str, str], variables: Dict[str, str]) -> List[str]:
    folders = login.get("PATH", "").split(os.pathsep) if login else []
    if variables.get("LSF_BINDIR"):
        folders.append(variables["LSF_BINDIR"])
    if variables.get("SGE_ROOT"):
        below = os.path.join(variables["SGE_ROOT"], "bin")
        folders += (
            [os.path.join(below, name) for name in sorted(os.listdir(below))] if os.path.isdir(below) else []
        )
    if variables.get("PBS_EXEC"):
        folders.append(os.path.join(variables["PBS_EXEC"], "bin"))
    return [folder for folder in folders + list(USUAL) if os.path.isabs(folder)]


def _plain_path() -> List[str]:
    """Folders that every command on this machine sees."""
    return os.defpath.split(os.pathsep) + ["/usr/bin", "/bin"]


def _once(folders: List[str]) -> List[str]:
    return list(dict.fromkeys(folders))
