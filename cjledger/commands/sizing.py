"""How many workers a launch has when nobody says: by what earlier tasks of the program took."""

from __future__ import annotations

import json
import math

from cjledger.model import Cluster, Program, Resources
from cjledger.project import Project

# A worker is worth its start, and the scheduler's work with it, when its tasks take so long together.
WORTH_S = 300.0
# Fewer tasks have an element each, whatever they take.
LEAST_TASKS = 100
_LOOKED_AT = 20  # packages


def workers(
    project: Project, program: Program, tasks: int, resources: Resources, where: Cluster
) -> int | None:
    """The number of workers, or None to leave it to the cluster.

    With ``--cpus`` it is left: workers would run that many tasks at a time, and these may want the threads.
    """
    is_open = resources.workers is None and resources.cpus is None and resources.jobs is None
    if not is_open or where.scheduler == "local" or tasks < LEAST_TASKS:
        return None
    each_s = _seconds(project, program, where)
    if each_s is None:
        return None
    wanted = math.ceil(tasks * each_s / WORTH_S)
    if resources.walltime_s:  # all done in half of it, if all take as long
        wanted = max(wanted, math.ceil(2 * tasks * each_s / resources.walltime_s))
    return max(1, wanted) if wanted < tasks else None


def _seconds(project: Project, program: Program, where: Cluster) -> float | None:
    """What a task of the program took on that cluster, by the package that was looked at last."""
    found = (project.repo.cj_dir / "state").glob("*.json")
    for path in sorted(found, key=lambda each: each.stat().st_mtime, reverse=True)[:_LOOKED_AT]:
        try:
            state = json.loads(path.read_bytes())["state"]
            total, count = state["seconds"]
            is_same = (state["program"], state["cluster"]) == (program.name, where.name)
        except (OSError, ValueError, KeyError, TypeError):
            continue  # derived: it tells nothing
        if is_same and count:
            return float(total) / int(count)
    return None
