"""Look a cluster over, point by point: what works, what does not, and what to do about it."""

import hashlib
import os
import re
import stat
import sys
import time
import zipfile
from typing import Any, BinaryIO, Callable, Dict, Iterator, List, Tuple

from cjnode import quota, schedulers
from cjnode.errors import NodeError
from cjnode.files import canonical, create_once
from cjnode.findings import FAILURE, OK, WARNING, Finding
from cjnode.host import owners, setup, site
from cjnode.host.compiled import fits
from cjnode.records import layout
from cjnode.repository import gitbare
from cjnode.schedulers import commands
from cjnode.verbs import summary

OLDEST_GIT = (1, 8, 3)
LITTLE_BYTES, FEW_INODES = 1 << 30, 10000
NO_BYTES, NO_INODES = 50 << 20, 100

Point = Callable[[str, Dict[str, Any]], Iterator[Finding]]


def doctor(root: str, request: Dict[str, Any], out: BinaryIO) -> None:
    """The verb: a line ``{"check":…,"state":…,"found":…,"advice":…}`` for each point, first ``{"time":…}``.

    The request is that of ``init`` and also ``{"sources":…,"modules":[…],"python":…}``.
    """
    out.write(canonical({"time": time.time()}) + b"\n")
    out.flush()
    for point in POINTS:
        for finding in _looked(point, root, request):
            out.write(canonical(finding._asdict()) + b"\n")
            out.flush()


def _looked(point: Point, root: str, request: Dict[str, Any]) -> List[Finding]:
    """One point's findings; that it cannot be looked at is one too."""
    name = point.__name__.strip("_").replace("_", " ")
    try:
        return list(point(root, request))
    except NodeError as problem:
        return [Finding(name, FAILURE, problem.error, problem.hint)]
    except (OSError, ValueError, LookupError, TypeError) as problem:
        return [Finding(name, FAILURE, "cannot be looked at: %s" % problem, "git cj init")]


def _python(root: str, request: Dict[str, Any]) -> Iterator[Finding]:
    yield Finding("python", OK, "%d.%d.%d, %s" % (sys.version_info[:3] + (sys.executable,)), "")
    with open(os.path.join(root, "python"), "rb") as file:
        noted = os.fsdecode(file.readline().strip())
    if not os.access(noted, os.X_OK):
        yield Finding("python", WARNING, "the hook's Python %s is gone" % noted, "git cj init")
    program = request.get("python")
    if program:
        told = site.first_line(root, (str(program), "--version"))
        numbers = re.match(r"Python ([0-9]+)\.([0-9]+)", told)
        advice = "correct python in the cluster's table, or load its module in setup"
        if numbers is None:
            yield Finding("task's python", WARNING, "%s: %s" % (program, told), advice)
        elif tuple(map(int, numbers.groups())) < (3, 6):
            words = "%s: %s, and tasks need 3.6 or newer" % (program, told)
            yield Finding("task's python", FAILURE, words, advice)
        else:
            yield Finding("task's python", OK, "%s, %s" % (told[len("Python ") :], program), "")


def _git(root: str, request: Dict[str, Any]) -> Iterator[Finding]:
    told = site.first_line(root, ("git", "--version")).replace("git version ", "")
    numbers = tuple(int(word) for word in re.findall(r"\d+", told)[:3])
    if not numbers:
        yield Finding("git", FAILURE, told, "have git on PATH there without a login shell")
    elif numbers < OLDEST_GIT:
        yield Finding("git", FAILURE, "%s is too old" % told, "git 1.8.3 or newer")
    else:
        yield Finding("git", OK, told, "")


def _root(root: str, request: Dict[str, Any]) -> Iterator[Finding]:
    wrong = owners.faults(root, with_parents=True)
    for fault in wrong:
        yield Finding("root", FAILURE if fault.is_own else WARNING, fault.error, fault.hint)
    probe = os.path.join(root, "doctor-%d" % os.getpid())
    if not create_once(probe, b"?"):
        yield Finding("root", FAILURE, "%s is there from another time" % probe, "rm " + probe)
    os.unlink(probe)
    if not wrong:
        mode = stat.S_IMODE(os.stat(root).st_mode)
        yield Finding("root", OK, "%s, mode %04o, writable" % (root, mode), "")


def _space(root: str, request: Dict[str, Any]) -> Iterator[Finding]:
    found = os.statvfs(root)
    free = found.f_bavail * found.f_frsize
    state = FAILURE if free < NO_BYTES else WARNING if free < LITTLE_BYTES else OK
    advice = "" if state == OK else "git cj clean old packages, or choose another root"
    yield Finding("space", state, "%.1f GB free" % (free / 1e9), advice)
    if not found.f_files:
        yield Finding("inodes", OK, "not counted by this file system", "")
        return
    left = found.f_favail
    state = FAILURE if left < NO_INODES else WARNING if left < FEW_INODES else OK
    yield Finding("inodes", state, "%d free" % left, "" if state == OK else "git cj clean old packages")


def _scheduler(root: str, request: Dict[str, Any]) -> Iterator[Finding]:
    scheduler = str(request.get("scheduler", ""))
    installed = layout.scheduler(root)
    if installed != scheduler:
        words = "set up as %s, configured as %s" % (installed, scheduler)
        yield Finding("scheduler", WARNING, words, "git cj init")
    if scheduler == "local":
        yield Finding("scheduler", OK, "local: processes on that machine", "")
        return
    found = site.find(root, str(request.get("cluster", "")), scheduler)
    missing = [name for name in site.PROGRAMS[scheduler] if name not in found["commands"]]
    state = WARNING if missing else OK
    words = "%s, %s" % (scheduler, found["versions"].get(scheduler, ""))
    advice = "without %s less is known of jobs" % ", ".join(missing) if missing else ""
    yield Finding("scheduler", state, words, advice)
    if not found["login"]:
        yield Finding("login shell", WARNING, "bash -l gave no answer", "look at ~/.bash_profile there")
    limits = schedulers.limits(scheduler, root)
    told = ["%s %s" % pair for pair in (("array", limits.array), ("queued", limits.queued)) if pair[1]]
    words = ", ".join(told) or "none known"
    yield Finding("limits", OK, "%s; %d there now" % (words, limits.present), "")
    for finding in _accounting(root, scheduler):
        yield finding


def _accounting(root: str, scheduler: str) -> Iterator[Finding]:
    """Whether accounting answers, for those that have a command for it."""
    asked = {"slurm": ["sacct", "-n", "-X", "-o", "JobID"], "sge": ["qacct", "-j", "0"]}.get(scheduler)
    if asked is None:
        return
    try:
        done = commands.run(root, asked, site.VERSION_S)
        told = (done.err.strip() or done.out.strip()).splitlines()
        works = done.code == 0 or "job id 0 not found" in done.err + done.out
        words = told[-1] if told else "exit %d" % done.code
    except NodeError as problem:
        works, words = False, problem.error
    if works:
        yield Finding("accounting", OK, "%s answers" % asked[0], "")
    else:
        advice = "none is needed: why a job died is then told by the queue alone"
        yield Finding("accounting", WARNING, words, advice)


def _modules(root: str, request: Dict[str, Any]) -> Iterator[Finding]:
    wanted = [str(name) for name in request.get("modules") or []]
    if request.get("scheduler") == "local" and not wanted:
        return
    has = site.kept(root).get("modules") or (wanted and (site.login_shell() or site.NO_LOGIN).has_modules)
    if has:
        yield Finding("modules", OK, "there is a module command", "")
    else:
        advice = "take modules out of the cluster's table, or ask the site" if wanted else ""
        yield Finding("modules", FAILURE if wanted else OK, "there is no module command", advice)


def _hooks(root: str, request: Dict[str, Any]) -> Iterator[Finding]:
    good = True
    for name, text in sorted((request.get("hooks") or {}).items()):
        path = os.path.join(root, "hooks", name)
        try:
            with open(path, "rb") as file:
                content = file.read()
        except FileNotFoundError:
            content = b""
        if content == text.encode("utf-8"):
            continue
        good = False
        if owners.OURS.encode("ascii") in content[:500]:
            yield Finding("hooks", WARNING, "%s is another version's, or was changed" % name, "git cj init")
        elif content:
            yield Finding(
                "hooks", FAILURE, "%s is not cjledger's hook" % path, "move it away, then git cj init"
            )
        else:
            yield Finding("hooks", FAILURE, "%s is missing: pushes start nothing" % name, "git cj init")
    if good:
        yield Finding("hooks", OK, "as sent", "")
    for path, expected in setup.written(root):
        with open(path, "rb") as file:
            if file.read() != expected:
                yield Finding("repository", FAILURE, "%s was changed" % path, "git cj init")
    objects = os.listdir(os.path.join(gitbare.repo_path(root), "objects"))
    cut_off = len([name for name in objects if name.startswith("tmp_objdir-")])
    words = "%d interrupted pushes left files" % cut_off if cut_off else "hardened as sent"
    yield Finding("repository", OK, words, "")


def sources(path: Any) -> str:
    """The SHA-256 of the sources in a node half (a path or a file), whatever bytecode lies beside them."""
    digest = hashlib.sha256()
    with zipfile.ZipFile(path) as archive:
        for name in sorted(name for name in archive.namelist() if name.endswith(".py")):
            body = archive.read(name)
            digest.update(("%s %d\n" % (name, len(body))).encode("utf-8") + body)
    return digest.hexdigest()


def _node_half(root: str, request: Dict[str, Any]) -> Iterator[Finding]:
    path = os.path.join(root, "cjnode.pyz")
    with open(path, "rb") as file:
        content = file.read()
    if request.get("sources") and sources(path) != request["sources"]:
        yield Finding("node half", WARNING, "another version, or it was changed", "git cj init")
    elif not fits(content):
        yield Finding("node half", WARNING, "its bytecode is not that of this Python", "git cj init")
    else:
        yield Finding("node half", OK, "as sent", "")


def _backlog(root: str, request: Dict[str, Any]) -> Iterator[Finding]:
    waiting = summary.backlog(root)
    if waiting:
        yield Finding("backlog", WARNING, "%d submissions wait to be sent" % waiting, "git cj state --all")
    else:
        yield Finding("backlog", OK, "empty", "")


def _quotas(root: str, request: Dict[str, Any]) -> Iterator[Finding]:
    return quota.findings(root)


POINTS: Tuple[Point, ...] = (
    _python,
    _git,
    _root,
    _space,
    _quotas,
    _scheduler,
    _modules,
    _hooks,
    _node_half,
    _backlog,
)
