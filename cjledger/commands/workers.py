"""A package's workers: who they are, more of them or fewer, and what dead ones hold."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from cjledger import ledger, package
from cjledger.cluster import replies
from cjledger.commands import others, state
from cjledger.errors import CjError
from cjledger.model import Manifest
from cjledger.project import Project, Target, transport
from cjledger.quantities import check_count


@dataclass(frozen=True)
class Worker:
    """One element of a package's job; None where nothing is known.

    ``done`` counts tasks; ``silent_s`` is the time since it last showed that it lives.
    """

    worker: int
    state: str
    job: str | None
    host: str | None
    block: int | None
    task: int | None
    done: int
    silent_s: float | None


@dataclass(frozen=True)
class Workers:
    """A package's workers, and what was done about them: jobs added, elements asked to end."""

    package_id: str
    workers: tuple[Worker, ...]
    jobs: tuple[str, ...] = ()
    stopped: str = ""


@dataclass(frozen=True)
class Recovered:
    """Blocks freed of dead workers, blocks that may be such but changed a moment ago, and living workers."""

    package_id: str
    blocks: int
    doubtful: int
    workers: int


def workers(project: Project, target: Target, *, add: int = 0, stop: int = 0) -> Workers:
    """Show a package's workers, after adding so many or asking so many to end after their present task."""
    manifest = _manifest(project, target, "workers")
    for option, number in (("+N", add), ("-N", stop)):
        if number:
            check_count(option, number)
    request = {"package": target.package_id, "add": add, "stop": stop, "token": os.urandom(8).hex()}
    *lines, last = transport(project, manifest).call("workers", request)
    if "submission" not in last:
        raise CjError("the cluster's answer about workers is not whole", f"git cj doctor {manifest.cluster}")
    jobs = replies.texts(last, "jobs") if "jobs" in last else ()
    stopped = replies.text(last, "stopped") if "stopped" in last else ""
    if add or stop:
        state.forget(project, target.package_id)
        words = f"{add} workers added to" if add else f"workers {stopped} asked to end, of"
        data = {"added": add, "jobs": list(jobs), "stopped": stopped}
        ledger.append(project.repo, "workers", target.package_id, f"{words} {target.short}", data)
    return Workers(target.package_id, tuple(map(_worker, lines)), jobs, stopped)


def _worker(line: dict[str, Any]) -> Worker:
    def text(name: str) -> str | None:
        return replies.text(line, name) if line.get(name) is not None else None

    def count(name: str) -> int | None:
        return replies.count(line, name) if line.get(name) is not None else None

    return Worker(
        worker=replies.count(line, "element"),
        state=replies.text(line, "state"),
        job=text("job"),
        host=text("host"),
        block=count("block"),
        task=count("task"),
        done=replies.count(line, "done"),
        silent_s=replies.number(line, "silent_s") if line.get("silent_s") is not None else None,
    )


def recover(project: Project, target: Target) -> Recovered:
    """Free what dead workers of a package hold, while others go on."""
    manifest = _manifest(project, target, "recover")
    line = replies.one(
        transport(project, manifest).call("recover", {"package": target.package_id}), "recover"
    )
    found = {name: replies.count(line, name) for name in ("blocks", "doubtful", "workers")}
    if found["blocks"]:
        state.forget(project, target.package_id)
        words = f"recovered {target.short}: {found['blocks']} blocks of dead workers freed"
        ledger.append(project.repo, "recovered", target.package_id, words, {"blocks": found["blocks"]})
    return Recovered(target.package_id, **found)


def _manifest(project: Project, target: Target, verb: str) -> Manifest:
    if target.tasks:
        raise CjError(f"{verb} takes a whole package", f"git cj {verb} {target.package_id[:8]}")
    if not state.was_submitted(project, target.package_id):
        raise CjError(f"{target.short} was not submitted", f"git cj submit {target.package_id[:8]}")
    manifest = package.read_manifest(project.repo, target.package_id)
    others.check_reachable(project, target, manifest)
    return manifest
