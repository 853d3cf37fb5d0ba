"""Pack: a launch that was decided becomes a manifest and a commit, not written yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cjledger import __version__, cluster, ledger, package, quantities
from cjledger.commands.plan import Plan
from cjledger.commands.request import LaunchRequest
from cjledger.errors import CjError
from cjledger.gitpack import Entry, Pack, Person
from cjledger.languages import script
from cjledger.model import Data, Environment, Lock, Manifest, Snapshot, Then, manifest_to_bytes, plain
from cjledger.project import Project
from cjnode.errors import NodeError
from cjnode.package.environment import BUILT, setup_lines
from cjnode.package.seeds import hash_seed
from cjnode.schedulers import JobSpec, batch_script


def manifest_of(
    project: Project,
    request: LaunchRequest,
    planned: Plan,
    taken: Snapshot,
    author: Person,
    locks: tuple[Lock, ...],
    environment: Environment,
    data: tuple[Data, ...],
    agent: str | None = None,
) -> Manifest:
    """The manifest of what was planned and taken, by this installation unless ``agent`` says otherwise."""
    unlinked = planned.unlinked(taken)
    report = list(taken.report)
    if unlinked:
        shown = ", ".join(unlinked[:5])
        report.append(f"tasks start without {shown}: left by an earlier run, and an output of this one")
    head = project.repo.head
    return Manifest(
        program=planned.program,
        sweep=planned.sweep,
        tasks=planned.tasks,
        seed=planned.seed,
        outputs=planned.outputs,
        unlinked=unlinked,
        resources=planned.resources,
        cluster=planned.cluster.name,
        scheduler=planned.cluster.scheduler,
        python=planned.python,
        setup=planned.cluster.setup,
        message=request.message,
        created=quantities.now(),
        author=f"{author.name} <{author.address}>",
        agent=ledger.agent(project.repo) if agent is None else agent,
        head=head,
        branch=planned.branch,
        dirty=taken.changes,
        report=tuple(report),
        locks=locks,
        version=__version__,
        max_jobs=planned.cluster.max_jobs,
        environment=environment,
        data=data,
        code=taken.tree,
        retry=planned.retry,
        until_done=request.until_done,
        then=Then(planned.then.program.path or "", planned.then.table) if planned.then else None,
        shuffle=planned.shuffle,
        preload=request.preload,
    )


def commit(
    project: Project,
    tops: Mapping[bytes, Entry],
    manifest: Manifest,
    points: Sequence[tuple[str, bytes]],
    author: Person,
    pack: Pack | None = None,
) -> tuple[str, Pack]:
    """The package of a manifest upon a tree of code, whose ``tops`` are given; nothing is written yet."""
    name = script.file_name(manifest.program)
    setup = setup_lines(
        plain(manifest.environment),
        manifest.setup,
        [data.path for data in manifest.data],
        bool(manifest.resources.gpus),
    )
    if manifest.program.kind != "command":
        # A worker that was started without it would have to start anew: tasks are forked from it.
        setup.insert(0, f"export PYTHONHASHSEED={hash_seed(manifest.seed)}")
    python = "" if manifest.environment.kind in BUILT else manifest.python
    spec = JobSpec(python, setup, plain(manifest.resources))
    files = {
        "package.json": manifest_to_bytes(manifest),
        name: script.script(manifest),
        "job.sh": _job_script(manifest.scheduler, spec),
        "cjnode.pyz": cluster.node_zip(),
        "README": package.readme(manifest, name),
        **dict(points),
    }
    pack = pack or Pack(project.repo)
    return package.build(pack, tops, files, package.message(manifest), author), pack


def _job_script(scheduler: str, spec: JobSpec) -> bytes:
    try:
        return batch_script(scheduler, spec).encode()
    except NodeError as problem:  # what that scheduler could never give
        raise CjError(problem.error, problem.hint) from None
