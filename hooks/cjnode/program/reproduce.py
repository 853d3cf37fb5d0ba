"""Run one task of a package by its number: no more than Python and the package's files are needed."""

import json
import os
import re
import shlex
import sys
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from cjnode.package.axes import MANIFEST_FORMAT
from cjnode.package.points import Sweep, count, point, sweep_from_json
from cjnode.package.seeds import hash_seed, task_seed
from cjnode.package.templates import fill, text_form

Package = NamedTuple(
    "Package",
    [
        ("folder", str),  # the package's .cj folder
        ("tree", str),  # the package's files
        ("package_id", str),  # empty where it is not known
        ("manifest", Dict[str, Any]),
        ("sweep", Sweep),
        ("tasks", int),
    ],
)

Task = NamedTuple(
    "Task", [("task", int), ("params", Dict[str, Any]), ("index", Tuple[int, ...]), ("seed", int)]
)

THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


def load(cj_folder: str, package_id: str = "") -> Package:
    """Read a package from its ``.cj`` folder."""
    folder = os.path.abspath(cj_folder)
    with open(os.path.join(folder, "package.json"), encoding="utf-8") as file:
        manifest = json.load(file)
    if manifest["format"] > MANIFEST_FORMAT:
        raise ValueError(
            "the package has format %s, newer than this script's %d" % (manifest["format"], MANIFEST_FORMAT)
        )
    sweep = sweep_from_json(manifest.pop("sweep"))
    return Package(folder, os.path.dirname(folder), package_id, manifest, sweep, count(sweep))


def task(package: Package, k: int) -> Task:
    """Task ``k`` (from 1): its parameters, loop iterations and seed. Raises IndexError."""
    here = point(package.sweep, k, package.folder)
    return Task(k, here.params, here.index, task_seed(package.manifest["seed"], k))


def task_environment(package: Package, task: Task, attempt: int, code_root: str = "") -> Dict[str, str]:
    """The variables a task gets, apart from those that the scheduler knows.

    PYTHONPATH is among them when the package has ``--dep`` folders; ``code_root`` is where they lie.
    """
    manifest = package.manifest
    environment = {
        "CJ_PACKAGE": package.package_id,
        "CJ_TASK": str(task.task),
        "CJ_ATTEMPT": str(attempt),
        "CJ_TASKS": str(package.tasks),
        "CJ_SEED": str(task.seed),
        "CJ_CLUSTER": str(manifest["cluster"]),
        "PYTHONHASHSEED": str(hash_seed(manifest["seed"])),
    }
    if manifest["program"]["kind"] != "function":
        for name, value in task.params.items():
            environment["CJ_PARAM_" + name] = text_form(value)
    for name in THREADS:
        environment[name] = str(threads(manifest["resources"]))
    deps = dep_folders(package, code_root or package.tree)
    if deps:
        # Empty entries would mean the current directory.
        others = [part for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]
        ours = deps + [part for part in others if part not in deps]
        environment["PYTHONPATH"] = os.pathsep.join(ours)
    return environment


def threads(resources: Dict[str, Any]) -> int:
    """How many threads a task has: its processors; one where workers share theirs among tasks."""
    return int(resources["cpus"] or 1) if not resources.get("workers") else 1


def dep_folders(package: Package, code_root: str) -> List[str]:
    """The ``--dep`` folders, absolute: the repository's own in the tree that the task runs in."""
    folders = []
    for dep in package.manifest["program"]["deps"]:
        # What came from outside the repository lies below .cj, which a task's own tree does not have.
        packed = dep == ".cj" or dep.startswith(".cj/")
        folders.append(os.path.join(package.tree if packed else code_root, dep))
    return folders


def program_arguments(package: Package, task: Task) -> List[str]:
    """What follows the script's name on its command line."""
    arguments = list(package.manifest["program"]["arguments"])
    if package.sweep.kind in ("grid", "points"):
        for name in package.sweep.names:
            if name in task.params:
                arguments += _option("--" + name, text_form(task.params[name]))
    return arguments


def _option(name: str, text: str) -> List[str]:
    # argparse and its kin take what begins with a dash for an option, unless it is a plain number.
    if text.startswith("-") and not re.match(r"-(\d+\.?\d*|\.\d+)\Z", text):
        return ["%s=%s" % (name, text)]
    return [name, text]


def command(package: Package, task: Task, code_root: str = "", rows: str = "") -> List[str]:
    """The command line that runs a task in a process of its own, in the program's working directory.

    A function's rows go to the file ``rows``, or to standard output. Raises ValueError for a template that
    names what is no parameter.
    """
    program = package.manifest["program"]
    if program["kind"] == "command":
        text = fill(program["command"], task.params)
        more = ["sh"] + list(program["arguments"]) if program["arguments"] else []
        return ["/bin/sh", "-c", text] + more
    script = os.path.join(package.folder, script_name(package.manifest))
    python = package.manifest["python"] or sys.executable
    where = ["--in", code_root or package.tree] + (["--rows", rows] if rows else [])
    return [python, script] + where + [str(task.task)]


def script_name(manifest: Dict[str, Any]) -> str:
    """The name of the package's reproduction script."""
    program = manifest["program"]
    if program["kind"] == "command":
        return "reproduce_command.py"
    return "reproduce_%s.py" % os.path.splitext(os.path.basename(program["path"]))[0]


def working_directory(package: Package, code_root: str) -> str:
    """Where a task runs."""
    return os.path.normpath(os.path.join(code_root, package.manifest["program"]["workdir"]))


def describe(task: Task) -> str:
    """A task in words: its number and its parameters."""
    words = ["%s=%s" % (name, shlex.quote(text_form(value))) for name, value in task.params.items()]
    return " ".join([str(task.task)] + words)


def package_around(folder: str) -> Optional[str]:
    """The nearest ``.cj`` folder of a package at or above a folder."""
    here = os.path.abspath(folder)
    while True:
        candidate = os.path.join(here, ".cj")
        if os.path.isfile(os.path.join(candidate, "package.json")):
            return candidate
        parent = os.path.dirname(here)
        if parent == here:
            return None
        here = parent
