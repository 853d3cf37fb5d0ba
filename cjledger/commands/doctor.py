"""Doctor: look the laptop and a cluster over, point by point, and say what to do about each failure."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from cjledger import cluster, config, gitrepo
from cjledger.cluster import Contact, replies
from cjledger.commands import cleaning, harvest, launch, state
from cjledger.commands.request import LaunchRequest
from cjledger.config import Config
from cjledger.errors import CjError
from cjledger.model import Cluster
from cjledger.project import Project, Target
from cjnode.verbs import doctor as node

OK, WARNING, FAILURE = "ok", "warning", "failure"
HERE = "here"
LITTLE_BYTES = 1_000_000_000
SKEW_S = 5.0
MOST_SKEW_S = 300.0
WORDS = "cjledger was here"


@dataclass(frozen=True)
class Check:
    """One point: where, what was looked at, how it is, what was found, and what to do about it."""

    where: str
    check: str
    state: str
    found: str
    advice: str = ""


def laptop(folder: Path, found: Config | CjError) -> Iterator[Check]:
    """Look at this machine; ``found`` is the configuration, or what is wrong with it."""
    yield _git()
    clusters = () if isinstance(found, CjError) else tuple(found.clusters.values())
    yield _ssh(clusters)
    yield Check(HERE, "python", OK, f"{platform.python_version()}, {sys.executable}")
    program = shutil.which("git-cj")
    if program:
        yield Check(HERE, "git cj", OK, program)
    else:
        yield Check(HERE, "git cj", WARNING, "git-cj is not on PATH", "add the folder it is in to PATH")
    free = shutil.disk_usage(folder).free
    little = free < LITTLE_BYTES
    yield Check(HERE, "space", WARNING if little else OK, f"{free / 1e9:.1f} GB free", "free some" * little)
    if isinstance(found, CjError):
        yield Check(HERE, "configuration", FAILURE, found.message, found.hint)
    else:
        yield Check(HERE, "configuration", OK, ", ".join(found.sources) or "none: the defaults are in force")


def elsewhere(found: Config) -> Iterator[Check]:
    """The clusters that were not looked at, and how they are."""
    names = ", ".join(name for name in config.known(found) if name != "local")
    if names:
        yield Check(HERE, "clusters", OK, f"{names}: not looked at", "git cj doctor CLUSTER looks at one")


def _git() -> Check:
    told = _said("git", "--version").removeprefix("git version ")
    numbers = tuple(int(word) for word in re.findall(r"\d+", told)[:2])
    if numbers < tuple(map(int, gitrepo.OLDEST.split("."))):
        words = f"install git {gitrepo.OLDEST} or newer"
        return Check(HERE, "git", FAILURE, told or "there is none on PATH", words)
    return Check(HERE, "git", OK, told)


def _ssh(clusters: Sequence[Cluster]) -> Check:
    program = shutil.which("ssh")
    if program:
        return Check(HERE, "ssh", OK, f"{_said(program, '-V')}, {program}")
    if any(where.host and where.transport == "openssh" for where in clusters):
        return Check(HERE, "ssh", FAILURE, "there is no ssh on PATH", "install OpenSSH's client")
    return Check(HERE, "ssh", WARNING, "there is no ssh on PATH: clusters are reached by paramiko")


def _said(*argv: str) -> str:
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return (done.stdout or done.stderr).decode(errors="replace").strip().split("\n")[0]


def of_cluster(project: Project, name: str) -> Iterator[Check]:
    """Look at a cluster. Asks nobody for a password: a login that needs one is a failure with advice."""
    where = config.cluster(project.config, name, project.repo.cj_dir)
    way = cluster.transport(where, project.repo.cj_dir, Contact())
    request = {
        **cluster.init_request(where, project.repo),
        "sources": node.sources(BytesIO(cluster.node_zip())),
        "modules": list(where.modules),
        "python": where.python,
    }
    before = time.time()
    try:
        lines = way.call("doctor", request)
    except CjError as problem:
        is_reached = "is not set up" in problem.message
        advice = problem.hint or f"git cj init {name}"
        yield Check(name, "set up" if is_reached else "login", FAILURE, problem.message, advice)
        return
    after = time.time()
    yield Check(
        where.name, "login", OK, f"{where.host or 'this machine'}, answered in {after - before:.1f} s"
    )
    for line in lines:
        if "time" in line:
            yield clock(where.name, before, replies.number(line, "time"), after)
            continue
        words = {name: replies.text(line, name) for name in ("check", "state", "found", "advice")}
        yield Check(where.name, **{**words, "advice": _of(where.name, words["advice"])})


def _of(name: str, advice: str) -> str:
    """The node half does not know by which name it is called here."""
    return re.sub(r"^(.*)git cj (init|doctor)$", rf"\1git cj \2 {name}", advice)


def clock(name: str, before: float, there: float, after: float) -> Check:
    """Compare the cluster's clock with this machine's: it was read there between two moments here. Pure."""
    skew = there - after if there > after else there - before if there < before else 0.0
    if abs(skew) <= SKEW_S:
        return Check(name, "clock", OK, "agrees with this machine's")
    words = f"{abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} this machine's"
    advice = "times in records are the cluster's; have NTP set the wrong one"
    return Check(name, "clock", FAILURE if abs(skew) > MOST_SKEW_S else WARNING, words, advice)


def round_trip(project: Project, name: str, limit_s: float) -> Iterator[Check]:
    """Send one task to a cluster, wait for its end, bring its output home, and leave nothing there.

    The package is made in a repository of its own, which is removed.
    """
    where = config.cluster(project.config, name, project.repo.cj_dir)
    with tempfile.TemporaryDirectory(prefix="cj-doctor-") as folder:
        own = _scratch(project, where, Path(folder))
        started = time.monotonic()
        try:
            sent = launch.launch(own, LaunchRequest(None, name, command=f"echo {WORDS}"), lambda line: None)
        except CjError as problem:
            yield Check(name, "submit", FAILURE, problem.message, problem.hint)
            return
        target = Target(sent.package_id)
        words = f"{', '.join(sent.jobs)} in {time.monotonic() - started:.1f} s; its end is waited for"
        yield Check(name, "submit", OK, words)
        try:
            yield from _finished(own, target, name, started, limit_s)
        except CjError as problem:
            yield Check(name, "round trip", FAILURE, problem.message, problem.hint)
        finally:
            cleaning.clean(own, target, forget=False, announce=lambda line: None)


def _finished(own: Project, target: Target, name: str, started: float, limit_s: float) -> Iterator[Check]:
    for found in state.follow(own, target):
        waited = time.monotonic() - started
        if found.final:
            break
        if waited > limit_s:
            counts = ", ".join(f"{count} {word}" for word, count in found.counts.items())
            why = "; ".join([*found.problems, *found.reasons])
            words = f"not over after {waited:.0f} s: {counts}" + (f" ({why})" if why else "")
            yield Check(name, "round trip", WARNING, words, "the queue is long: git cj doctor --submit later")
            return
    told = [next(harvest.contents(own, target, [output]))[1] for output in harvest.outputs(own, target)]
    if found.counts == {"COMPLETED": 1} and f"{WORDS}\n".encode() in told:
        yield Check(name, "round trip", OK, f"ran and came home in {time.monotonic() - started:.1f} s")
        return
    _, listed = state.state(own, target, tasks=True)
    words = f"{listed[0].state}: {listed[0].error or listed[0].note or 'no word of why'}"
    yield Check(name, "round trip", FAILURE, words, "read python, setup and modules of the cluster's table")


def _scratch(project: Project, where: Cluster, folder: Path) -> Project:
    """An empty repository that sends to the same root as the person's own."""
    subprocess.run(
        ("git", "init", "-q", f"--object-format={project.repo.hash_name}", str(folder)),
        env=gitrepo.clean_environment(),
        check=True,
        capture_output=True,
    )
    own = where._replace(root=where.root if where.host else os.path.abspath(where.root))
    settings = project.config._replace(clusters={where.name: own}, default_cluster=None)
    return Project(gitrepo.discover(folder), folder.resolve(), settings)
