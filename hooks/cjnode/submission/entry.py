"""Submit for those outside: a push, or the laptop."""

from typing import Any, Dict

from cjnode.submission.experiment import submit_package
from cjnode.submission.submit import Request


def submit(root: str, request: Request) -> Dict[str, Any]:
    """Submit and return the reply; what it waits for is seen to first: nobody else may come by who would.

    Raises NodeError when the package or the scheduler says no.
    """
    return submit_package(root, request, _tend)


def _tend(root: str, package: str) -> None:
    from cjnode.submission.reruns import tend  # most launches wait for nothing

    tend(root, package)
