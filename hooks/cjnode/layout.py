"""Where things lie below a cluster's root, and who may own them."""

import os

from cjnode.blocks import is_package_id, package_folder, submission_folder
from cjnode.errors import NodeError


def repo_path(root: str) -> str:
    """The bare repository."""
    return os.path.join(root, "repo.git")


def checked_package(root: str, package: object) -> str:
    """The package's folder; refuses what is no whole object ID, whoever sent it."""
    if not isinstance(package, str) or not is_package_id(package):
        raise NodeError("not a package ID: %r" % (package,), "git cj log")
    return package_folder(root, package)


def manifest_path(root: str, package: str) -> str:
    """The manifest as pushed; its presence says that the package was received whole."""
    return os.path.join(package_folder(root, package), "package.json")


def code_path(root: str, package: str) -> str:
    """The expanded tree."""
    return os.path.join(package_folder(root, package), "code")


def expanded_path(root: str) -> str:
    """Which package was expanded last."""
    return os.path.join(root, "expanded.json")


def submission_path(root: str, package: str, submission: int) -> str:
    """The folder of one submission."""
    return submission_folder(package_folder(root, package), submission)


def job_name(package: str, submission: int) -> str:
    """The name by which a submission's job can be found again."""
    return "cj-%s-%d" % (package[:12], submission)
