"""Launch: the working copy and a sweep become a package, and the package goes to its cluster."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import Any, NamedTuple

from cjledger import cluster, datalinks, environments, gitrepo, ledger, package, snapshot
from cjledger.background import Beside
from cjledger.commands import folders, packing, reuse
from cjledger.commands.plan import Plan, plan
from cjledger.commands.request import LaunchRequest
from cjledger.commands.submit import Launched, launched, send
from cjledger.errors import CjError
from cjledger.gitpack import Pack, Person
from cjledger.gitrepo import RefMove, Repo
from cjledger.ledger import Entry
from cjledger.model import (
    After,
    Data,
    Linked,
    Manifest,
    Snapshot,
)
from cjledger.project import Project
from cjnode.errors import NodeError
from cjnode.repository import tree as node_tree

Announce = Callable[[str], None]


def launch(
    project: Project, request: LaunchRequest, announce: Announce, begun: snapshot.Begun | None = None
) -> Launched:
    """Make the package and, unless asked not to, submit it.

    The package and its ledger entry exist or do not exist together; a submission that fails leaves the
    package, to be sent with ``git cj submit``. ``begun`` is a look at the working copy that goes on already.
    """
    made = make(project, request, announce, begun)
    if isinstance(made, Launched):
        return made
    planned, taken, author, manifest, package_id, pack = made
    waits, last = "", None
    if manifest.after or planned.then:
        from cjledger.commands import sequel  # for such launches alone

        waits = sequel.why_wait(project, request, manifest)
        last = sequel.after_all(project, planned, taken, (manifest, package_id, pack), author)
    entry = record(project, manifest, package_id, pack, ledger.likely_tip(project.repo), last)
    if waits or (last and request.submit):
        sequel.note(project, package_id, waits, last if request.submit else None)
    for line in manifest.report:
        announce(line)
    if waits:
        return launched(manifest, package_id, ())._replace(waiting=waits)
    jobs: tuple[str, ...] = ()
    if request.submit:
        jobs = send(project, package_id, manifest, planned.cluster, announce, entry)
    return launched(manifest, package_id, jobs)


class Made(NamedTuple):
    """A package whose objects are not written yet, and what it was made of."""

    planned: Plan
    taken: Snapshot
    author: Person
    manifest: Manifest
    package_id: str
    pack: Pack


def make(
    project: Project, request: LaunchRequest, announce: Announce, begun: snapshot.Begun | None = None
) -> Made | Launched:
    """Take the files and make a package of them; Launched where nothing is to run.

    Raises CjError for all that a launch refuses before anything is sent.
    """
    with Beside(package.identity, project.repo) as identity:
        planned = plan(project, request, announce, begun)
    author = identity.result()
    data = datalinks.choose(project.repo, project.config, planned.cluster, planned.program)
    remarks = datalinks.remarks(project.repo, data)
    cluster.node_zip()  # made now, it costs nothing: git is still looking
    taken = snapshot.take(project.repo, _wanted_files(project, request, planned), begun)
    _check_whole(taken)
    folders.check_start(planned.program, taken.listing)
    remarks += tuple(folders.without(project, planned.program, planned.written, taken.listing, data))
    told = taken._replace(report=taken.report + remarks)
    return _made(project, request, planned, told, author, data, announce)


def _wanted_files(project: Project, request: LaunchRequest, planned: Plan) -> snapshot.Wanted:
    """What a launch takes besides what git would, and what it may take."""
    limits = project.config.limits
    return snapshot.Wanted(
        force=tuple(dep for dep in planned.program.deps if not dep.startswith(".cj/")),
        grafts=planned.grafts,
        allow_large=request.allow_large,
        allow_secrets=request.allow_secret,
        limits=snapshot.Limits(limits.file_mb, limits.total_mb),
    )


def record(
    project: Project,
    manifest: Manifest,
    package_id: str,
    pack: Pack,
    after: Entry | None = None,
    then: str | None = None,
) -> Entry:
    """Write a package, and give it its ref and its entry in the ledger, in one transaction.

    ``then`` is the package that runs after it, if any, and is made with it.
    """
    made = [package_id] if then is None else [package_id, then]
    return ledger.append(
        project.repo,
        "launched",
        package_id,
        f"launched {package_id[:12]}: {package.default_subject(manifest)}",
        {**_launch_data(manifest), **({"then": then} if then else {})},
        also=lambda: [RefMove(package.ref(each), each, project.repo.zero) for each in made],
        after=after,
        pack=pack,
    )


def _made(
    project: Project,
    request: LaunchRequest,
    planned: Plan,
    taken: Snapshot,
    author: Person,
    data: tuple[Data, ...],
    announce: Announce,
) -> Made | Launched:
    tops = Beside(package.tops, project.repo, taken.tree)
    pinned = snapshot.locks(project.repo, taken.listing)
    environment, remarks = environments.choose(
        project.repo, taken.tree, taken.listing, planned.cluster, planned.program.workdir, planned.python
    )
    wanted = reuse.Wanted(taken.tree, environment, request.seed, request.skip_done)
    asked, linked = planned, tuple[Linked, ...]()
    if request.reuse or request.skip_done:
        smaller, linked = reuse.narrow(project, planned, wanted, announce)
        if smaller is None:
            return nothing_to_run(project, planned, linked)
        planned = smaller
    elif before := reuse.launched_before(project, planned, wanted):
        announce(
            f"{before[:12]} has the same tasks already: git cj state {before[:8]} shows how far it came, "
            "--reuse runs only what it lacks"
        )
    told = taken._replace(report=taken.report + remarks)
    agent = "" if project.repo.scratch else None  # a rehearsal gives the installation no name
    manifest = packing.manifest_of(project, request, planned, told, author, pinned, environment, data, agent)
    manifest = manifest._replace(linked=linked, after=_after(project, request))
    _check_tree(project.repo, taken.listing)
    package_id, pack = packing.commit(project, tops.result(), manifest, planned.points, author)
    if project.repo.scratch is None:
        reuse.remember(project, asked, wanted, package_id)
    return Made(planned, taken, author, manifest, package_id, pack)


def _after(project: Project, request: LaunchRequest) -> tuple[After, ...]:
    if not request.after:
        return ()
    from cjledger.commands import sequel  # for such launches alone

    return sequel.after(project, request)


def nothing_to_run(project: Project, planned: Plan, linked: tuple[Linked, ...]) -> Launched:
    """What a launch tells when all its points are done."""
    newest = linked[0].package
    manifest = package.read_manifest(project.repo, newest)
    told = f"nothing to run: all {planned.tasks} tasks are done, in " + ", ".join(
        f"{link.package[:12]} ({link.tasks})" for link in linked
    )
    return launched(manifest, newest, ())._replace(report=(told,), tasks=0, linked=linked)


def _check_whole(taken: Snapshot) -> None:
    """Refuse what would run without files that lie in the working copy."""
    if not taken.missing:
        return
    words = {"nested": "nested repository {}", "submodule": "submodule {}, which has changes"}
    named = "; ".join(words[lost.change].format(lost.path) for lost in taken.missing)
    deps = " ".join(f"--dep {shlex.quote(lost.path)}" for lost in taken.missing)
    first = shlex.quote(taken.missing[0].path)
    other = (
        f"echo /{first}/ >> .gitignore"
        if taken.missing[0].change == "nested"
        else f"git -C {first} commit -a"
    )
    raise CjError(f"git would leave files out of the package: {named}", f"add {deps}, or {other}")


def _check_tree(repo: Repo, listing: bytes) -> None:
    """Refuse here what the cluster would refuse, before there is a package."""
    try:
        node_tree.check_paths(listing)
        links = node_tree.links(listing)
        targets = gitrepo.read_blobs(repo, [link.object_id for link in links])
        node_tree.check_links(
            {link.path: target or b"" for link, target in zip(links, targets, strict=True)} if links else {}
        )
    except NodeError as problem:
        raise CjError(problem.error, problem.hint or "remove it, or leave it out by .gitignore") from None


def _launch_data(manifest: Manifest) -> dict[str, Any]:
    """What ``git cj log`` shows of a launch without opening the package."""
    return {
        "program": manifest.program.name,
        "cluster": manifest.cluster,
        "tasks": manifest.tasks,
        "message": manifest.message,
        "author": manifest.author,
        "created": manifest.created,
        "code": manifest.code,
        **({"extends": manifest.extends} if manifest.extends else {}),
        **({"after": [f"{each.package}:{each.when}" for each in manifest.after]} if manifest.after else {}),
    }
