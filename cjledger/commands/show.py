"""Show: a package's manifest, a task's parameters and record, a file, a stream, the reproduction script."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from cjledger import gitrepo, ledger, package
from cjledger.commands import harvest, state
from cjledger.errors import CjError
from cjledger.languages import script
from cjledger.project import Project, Target, check_tasks, package_points
from cjnode.package.seeds import task_seed

STREAMS = {"out": "cj:out", "err": "cj:err"}


def manifest(project: Project, target: Target) -> dict[str, Any]:
    """The manifest as it lies in the package, with the package's name."""
    blob = next(gitrepo.read_blobs(project.repo, [f"{target.package_id}:{package.FOLDER}/package.json"]))
    package.read_manifest(project.repo, target.package_id)
    content: dict[str, Any] = json.loads(blob or b"{}")
    if content.get("data"):
        content["data"] = _found_data(project, target) or content["data"]
    return {"package": target.package_id, **content}


def _found_data(project: Project, target: Target) -> list[dict[str, Any]]:
    """What the first submission found of the package's data on the cluster."""
    entries = (
        entry
        for name in ledger.chains(project.repo)
        for entry in ledger.of_package(project.repo, name, target.package_id)
    )
    return next((entry.data["data"] for entry in entries if entry.data.get("data")), [])


def tasks(project: Project, target: Target) -> list[dict[str, Any]]:
    """Parameters, seed and last record of the tasks the target names."""
    read = package.read_manifest(project.repo, target.package_id)
    check_tasks(target, read.tasks)
    numbers = list(target.tasks or ())
    points = list(package_points(project.repo, target.package_id, read.sweep, numbers))
    if state.was_submitted(project, target.package_id):
        _, listed = state.state(project, target, tasks=True)
        known = {task.task: asdict(task) for task in listed}
    else:
        known = {}
    return [
        {
            "package": target.package_id,
            "task": point.task,
            "seed": task_seed(read.seed, point.task),
            **{k: v for k, v in known.get(point.task, {}).items() if k not in ("task", "params")},
            "params": point.params,
        }
        for point in points
    ]


def one_task(target: Target) -> int:
    """The single task a target names. Raises CjError when it names none or several."""
    if not target.tasks or len(target.tasks) != 1:
        raise CjError("this needs one task", f"git cj show {target.package_id[:8]}/1")
    return target.tasks[0]


def file(project: Project, target: Target) -> bytes:
    """One output of one task, or with no such output a file of the package."""
    task = one_task(target)
    name = target.file or ""
    found = harvest.outputs(project, target)
    for output in found:
        if output.path == name:
            return next(harvest.contents(project, target, [output]))[1]
    names = sorted({output.path for output in found if not output.path.startswith("cj:")})
    raise CjError(
        f"task {task} of {target.short} left no {name}",
        f"it left: {', '.join(names)}" if names else f"git cj state {target.package_id[:8]} --tasks",
    )


def stream(project: Project, target: Target, which: str) -> bytes:
    """A task's standard output (``out``) or standard error (``err``); empty when it printed nothing."""
    one_task(target)
    found = [output for output in harvest.outputs(project, target) if output.path == STREAMS[which]]
    return next(harvest.contents(project, target, found[-1:]))[1] if found else b""


def reproduction(project: Project, target: Target) -> bytes:
    """The script that runs the package's tasks; for one task, that task and no other."""
    read = package.read_manifest(project.repo, target.package_id)
    check_tasks(target, read.tasks)
    if not target.tasks:
        return script.script(read)
    task = one_task(target)
    point = next(package_points(project.repo, target.package_id, read.sweep, [task]))
    return script.script(read, baked=point, package_id=target.package_id)


def changes(project: Project, target: Target) -> str:
    """What differed from HEAD at launch, as git's patch."""
    read = package.read_manifest(project.repo, target.package_id)
    before = read.head or project.repo.empty_tree
    if not gitrepo.ref_value(project.repo, f"{before}^{{tree}}"):
        raise CjError(
            f"{before[:12]}, HEAD at the launch of {target.short}, is not in this repository",
            f"git fetch origin {before}",
        )
    arguments = ("diff", "--no-ext-diff", "--no-color", before, target.package_id)
    return gitrepo.run(project.repo, *arguments, "--", ".", ":(exclude).cj").decode(errors="replace")
