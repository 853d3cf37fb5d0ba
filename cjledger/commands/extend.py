"""Extend: further points for an experiment, with exactly its code."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cjledger import __version__, config, gitrepo, ledger, package, quantities
from cjledger.commands import conditions, family, launch, order, packing, reuse, sweeping, then, waiting
from cjledger.commands.plan import Plan
from cjledger.commands.request import LaunchRequest
from cjledger.commands.submit import Launched, launched, send
from cjledger.errors import CjError
from cjledger.gitpack import Person
from cjledger.model import Linked, Manifest
from cjledger.project import Project, Target
from cjnode.package import points as numbering


@dataclass(frozen=True)
class More:
    """The points to add, in one of the ways a launch takes them."""

    sweep: tuple[str, ...] = ()
    block: Mapping[str, Any] | None = None  # values or a specification by name, from Python
    samples: int | None = None
    design: str = "random"
    points: Path | None = None
    rows: tuple[Mapping[str, Any], ...] | None = None
    blocks: Path | None = None
    repeat: int = 1
    seed: int | None = None
    message: str = ""
    reuse: bool = False
    after: tuple[str, ...] = ()  # packages to wait for


def extend(project: Project, target: Target, more: More, announce: Callable[[str], None]) -> Launched:
    """Launch a package that adds points to another one. Raises CjError for what cannot be added."""
    parent = package.read_manifest(project.repo, target.package_id)
    planned = _plan(project, target, parent, more)
    after = order.parse(project, more.after)
    wanted = reuse.Wanted(parent.code, parent.environment, more.seed, False)
    linked: tuple[Linked, ...] = ()
    if more.reuse:
        smaller, linked = reuse.narrow(project, planned, wanted, announce)
        if smaller is None:
            return launch.nothing_to_run(project, planned, linked)
        planned = smaller
    author = package.identity(project.repo)
    manifest = _manifest(project, target, parent, planned, author, more)._replace(linked=linked, after=after)
    tops = package.tops(project.repo, _code(project, target))
    package_id, pack = packing.commit(project, tops, manifest, planned.points, author)
    waits = conditions.why_here(project, manifest) if after else ""
    entry = launch.record(project, manifest, package_id, pack)
    if waits:
        waiting.mark(project, package_id, waits)
        return launched(manifest, package_id, ())._replace(waiting=waits)
    jobs = send(project, package_id, manifest, planned.cluster, announce, entry)
    then.forget(project, package_id)
    return launched(manifest, package_id, jobs)


def _manifest(
    project: Project, target: Target, parent: Manifest, planned: Plan, author: Person, more: More
) -> Manifest:
    """The parent's, for other points: what is of that launch alone is not taken over."""
    return parent._replace(
        sweep=planned.sweep,
        tasks=planned.tasks,
        seed=planned.seed,
        message=more.message or f"more points for {target.short}",
        created=quantities.now(),
        author=f"{author.name} <{author.address}>",
        agent=ledger.agent(project.repo),
        report=(),
        version=__version__,
        extends=target.package_id,
        linked=(),
        after=(),
        then=None,
    )


def _plan(project: Project, target: Target, parent: Manifest, more: More) -> Plan:
    if parent.sweep.kind == "loops":
        raise CjError(
            f"{target.short} has the points of its program's loops",
            "edit the loops, then git cj parrun … --reuse: what is done is not run again",
        )
    ways = (more.sweep, more.block, more.points, more.rows, more.blocks)
    if all(way in (None, ()) for way in ways):
        raise CjError("which points?", f"git cj extend {target.package_id[:8]} --sweep NAME=SPEC")
    request = _request(parent, more)
    seed = more.seed if more.seed is not None else _seed(project, target, parent)
    swept, files = sweeping.sweep_of(project, request, parent.program, "", seed, lambda line: None)
    if parent.sweep.names and set(swept.names) != set(parent.sweep.names):
        raise CjError(
            f"{target.short} has the parameters {', '.join(parent.sweep.names)}, "
            f"and these points have {', '.join(swept.names)}",
            "give each point all of them",
        )
    return Plan(
        program=parent.program,
        sweep=swept,
        tasks=numbering.count(swept),
        points=tuple(files or ()),
        grafts=(),
        outputs=parent.outputs,
        written=frozenset(),
        given_outputs=False,
        resources=parent.resources,
        cluster=config.cluster(project.config, parent.cluster, project.repo.cj_dir),
        python=parent.python,
        branch=parent.branch,
        seed=seed,
    )


def _request(parent: Manifest, more: More) -> LaunchRequest:
    return LaunchRequest(
        program=parent.program.name,
        cluster=parent.cluster,
        sweep=more.sweep,
        block=more.block,
        samples=more.samples,
        design=more.design,
        points=more.points,
        rows=more.rows,
        blocks=more.blocks,
        repeat=more.repeat,
    )


def _seed(project: Project, target: Target, parent: Manifest) -> int:
    """Another root for each extension: its tasks are numbered from 1 again, and must not draw the same."""
    number = len(family.children(project).get(target.package_id, ())) + 1
    digest = hashlib.sha256(f"cj-extend-1:{parent.seed}:{number}".encode()).digest()
    return int.from_bytes(digest[:6])


def _code(project: Project, target: Target) -> str:
    """The parent's tree: its code, and of its own folder what lay outside the repository."""
    repo, folder = project.repo, package.FOLDER
    entries = gitrepo.run(repo, "ls-tree", "-z", target.package_id).split(b"\0")[:-1]
    others = [entry for entry in entries if not entry.endswith(b"\t" + folder.encode())]
    inner = gitrepo.run(repo, "ls-tree", "-z", f"{target.package_id}:{folder}").split(b"\0")[:-1]
    kept = [entry for entry in inner if entry.endswith(b"\tdeps")]
    if kept:
        tree = gitrepo.run(repo, "mktree", "-z", stdin=b"".join(entry + b"\0" for entry in kept)).decode()
        others.append(f"040000 tree {tree.strip()}\t{folder}".encode())
    made = gitrepo.run(repo, "mktree", "-z", stdin=b"".join(entry + b"\0" for entry in others))
    return made.decode().strip()
