"""Packages that somebody else launched, on a cluster that cannot be asked from here: what harvests tell."""

from __future__ import annotations

from typing import Any

from cjledger import ledger
from cjledger.entry import is_moment
from cjledger.errors import CjError
from cjledger.ledger import Entry
from cjledger.model import Manifest
from cjledger.project import Project, Target
from cjnode.vocabulary import FINAL_STATES

FIELDS = ("attempt", "state", "job", "exit_code", "started", "ended", "host", "max_rss_mb", "error", "note")


def senders(project: Project, package_id: str) -> list[str]:
    """The installations that submitted a package, as the ledgers here say."""
    return [
        name
        for name in ledger.chains(project.repo)
        if any(map(is_there, ledger.of_package(project.repo, name, package_id)))
    ]


def is_there(entry: Entry) -> bool:
    """Whether the entry says that the cluster knew the package: also one refused, then cancelled, there."""
    if entry.event == "cancelled":
        return bool(entry.data.get("cancelled")) and not entry.data.get("tasks") and "why" not in entry.data
    return entry.event in ("submitted", "retried")


def is_elsewhere(project: Project, package_id: str) -> bool:
    """Whether others alone submitted the package."""
    names = senders(project, package_id)
    return bool(names) and ledger.agent(project.repo) not in names


def launcher(project: Project, package_id: str, manifest: Manifest) -> str:
    """Who launched a package that only they can ask for, in words."""
    names = ", ".join(senders(project, package_id))
    cluster = f"cluster {manifest.cluster} cannot be asked from here"
    return f"launched by {manifest.author} on {names}, whose {cluster}"


def is_unreachable(project: Project, package_id: str, manifest: Manifest) -> bool:
    """Whether a package's cluster cannot be asked from here, for others submitted it to one of their own."""
    return is_elsewhere(project, package_id) and not is_reachable(project, manifest)


def check_reachable(project: Project, target: Target, manifest: Manifest) -> None:
    """Refuse a package whose cluster cannot be asked from here."""
    if is_unreachable(project, target.package_id, manifest):
        raise CjError(
            f"{target.short} was {launcher(project, target.package_id, manifest)}",
            "git cj sync brings its results when they are harvested there",
        )


def is_reachable(project: Project, manifest: Manifest) -> bool:
    """Whether the package's cluster is one that several machines can reach: ``local`` is each one's own."""
    where = project.config.clusters.get(manifest.cluster)
    return where is not None and where.host is not None


def attempts(project: Project, package_id: str, tasks: int) -> tuple[list[dict[str, Any]], list[str]]:
    """The newest harvested record of each task, by task: ``task`` and ``FIELDS``; what was left out.

    Records of others are read with care: only of tasks from 1 to ``tasks``, with a final state.
    """
    # polars: for such packages alone.
    from cjledger import query
    from cjledger.harvest import store
    from cjledger.harvest.manifest import RECORDS

    tip, results = store.load(project.repo, package_id)
    paths, problems = store.readable(project.repo, package_id, tip, results.of(RECORDS))
    if not paths:
        return [], problems
    rows = query.collect(query.records(list(paths.values())))
    newest = {row["cj_task"]: row for row in rows.iter_rows(named=True) if row["state"] in FINAL_STATES}
    listed = [{"task": task, **_fields(row)} for task, row in sorted(newest.items()) if task <= tasks]
    return listed, problems


def _fields(row: dict[str, Any]) -> dict[str, Any]:
    found = {name: row["cj_attempt" if name == "attempt" else name] for name in FIELDS}
    return {**found, "started": _moment(row["started"]), "ended": _moment(row["ended"])}


def _moment(text: str | None) -> str | None:
    """A time with its zone; None for other texts."""
    return text if is_moment(text) else None
