"""Submit tasks of a package, with all that this means for what belongs to the same experiment."""

import os
from typing import Any, Callable, Dict

from cjnode.files import create_json
from cjnode.records import layout
from cjnode.submission import submit
from cjnode.submission.submit import Request

# ``family`` and ``then`` are loaded when needed: most launches are of a package that stands alone.


def submit_package(
    root: str, request: Request, tend: Callable[[str, str], None] = lambda root, package: None
) -> Dict[str, Any]:
    """Submit and return the reply. Raises NodeError when the package or the scheduler says no.

    What runs after the package's tasks runs once more: that is seen to before and after the act. ``tend`` is
    called for each package that this one, or what runs after it, waits for.
    """
    begun = submit.begin(root, request)
    if begun.intent.get("after"):
        from cjnode.status import gate

        for each in gate.awaited(root, begun.folder, begun.intent):
            tend(root, each)
    then_of, extends = begun.fields.get("then_of"), begun.fields.get("extends")
    if then_of:
        from cjnode.status import family

        family.register(root, request.package, begun.fields)
    is_further = not then_of and bool(extends or request.submission > 1)
    if is_further:
        from cjnode.status import family
        from cjnode.submission import then

        if extends:
            family.join(root, request.package, begun.fields)
        if os.path.exists(layout.paused_path(root, request.package)):
            create_json(os.path.join(begun.folder, "held"), {})
        then.again(root, request.package)
    reply, anew = submit.act(root, begun)
    if anew:
        from cjnode.submission.anew import submit_anew

        submit_anew(root, request.package, request.submission, submit_package)
    if is_further:
        then.bring(root, request.package, tend)
    return reply


def bring(root: str, package: str, submission: int, patient: bool) -> bool:
    """Submit what is not with the scheduler yet of a submission; whether the site takes no more now.

    Raises NodeError with the scheduler's words when it refuses, BusyError when it is not clear what it has.
    """
    from cjnode.submission import backlog
    from cjnode.submission.anew import submit_anew

    outcome = backlog.bring(root, package, submission, patient)
    if outcome.anew:
        submit_anew(root, package, submission, submit_package)
    return outcome.full
