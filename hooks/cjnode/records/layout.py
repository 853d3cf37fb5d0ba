"""Where things lie below a cluster's root, and who may own them."""

import os
from typing import Any, Dict, Optional

from cjnode.errors import NodeError
from cjnode.files import read_json
from cjnode.package.axes import MANIFEST_FORMAT
from cjnode.records.blocks import package_folder, submission_folder
from cjnode.vocabulary import is_package_id

# What is said of a package that was never taken in here, or was cleaned.
ABSENT = "is not on this cluster"


def checked_package(root: str, package: object) -> str:
    """The package's folder; refuses what is no whole object ID, whoever sent it."""
    if not isinstance(package, str) or not is_package_id(package):
        raise NodeError("not a package ID: %r" % (package,), "git cj log")
    return package_folder(root, package)


def present_package(root: str, package: object) -> str:
    """The same for one that was sent here and not cleaned since. Raises NodeError for any other."""
    folder = checked_package(root, package)
    if not os.path.isdir(folder):
        raise absent(os.path.basename(folder))
    return folder


def absent(package: str) -> NodeError:
    """What to raise of a package that was never taken in here, or was cleaned."""
    hint = "git cj submit %s, which runs all its tasks" % package[:8]
    return NodeError("package %s %s" % (package[:12], ABSENT), hint)


def manifest_path(root: str, package: str) -> str:
    """The manifest as pushed; its presence says that the package was received whole."""
    return os.path.join(package_folder(root, package), "package.json")


def read_manifest(root: str, package: str) -> Optional[Dict[str, Any]]:
    """The manifest, which was checked when it came; None when it is not here. Raises NodeError."""
    return read_json(manifest_path(root, package), MANIFEST_FORMAT)


def paused_path(root: str, package: str) -> str:
    """While it is there, nothing of the package begins."""
    return os.path.join(package_folder(root, package), "paused.json")


def code_path(root: str, package: str) -> str:
    """The expanded tree."""
    return os.path.join(package_folder(root, package), "code")


def expanded_path(root: str) -> str:
    """Which package was expanded last."""
    return os.path.join(root, "expanded.json")


def submission_path(root: str, package: str, submission: int) -> str:
    """The folder of one submission."""
    return submission_folder(package_folder(root, package), submission)


def job_name(package: str, submission: int, part: int = 1) -> str:
    """The name by which a part of a submission can be found again at the scheduler."""
    name = "cj-%s-%d" % (package[:12], submission)
    return name if part == 1 else "%s-%d" % (name, part)


def part_path(submission: str, kind: str, part: int, ending: str = ".json") -> str:
    """A file of one part in a submission's folder: the first part's has no number."""
    return os.path.join(submission, kind + ("" if part == 1 else "-%d" % part) + ending)


def script_path(submission: str, part: int) -> str:
    """What the scheduler is handed for a part."""
    return os.path.join(submission, "job-%d.sh" % part)


def elements_log_path(submission: str) -> str:
    """What all elements printed, outside their tasks, on a cluster with a scheduler of its own."""
    return os.path.join(submission, "elements.log")


def backlog_path(root: str) -> str:
    """Where submissions are marked that are not wholly with the scheduler."""
    return os.path.join(root, "backlog")


def has_backlog(root: str) -> bool:
    """Whether any submission is marked."""
    try:
        return any(name.endswith(".json") for name in os.listdir(backlog_path(root)))
    except OSError:
        return False


def mark_path(root: str, package: str, submission: int) -> str:
    """The mark of one of them."""
    return os.path.join(backlog_path(root), "%s-%d.json" % (package, submission))


def wish_path(root: str, package: str) -> str:
    """What was asked for a package's submissions besides its manifest."""
    return os.path.join(root, "wishes", package + ".json")


def asked_path(root: str, name: str) -> str:
    """What was learnt from the scheduler last, kept so that it is not asked too often."""
    return os.path.join(root, "scheduler", name)


def scheduler(root: str) -> str:
    """The scheduler of this cluster; ``local`` where nothing says so."""
    cluster = read_json(os.path.join(root, "cluster.json"))
    return str(cluster["scheduler"]) if cluster else "local"
