"""submit."""

from __future__ import annotations

from cjledger.cli import output
from cjledger.cli.launch import show
from cjledger.cli.launch_options import Priority
from cjledger.cli.options import Json, Pid, Wait, Yes
from cjledger.project import Target, resolve_whole


def submit(
    pid: Pid = None, priority: Priority = None, yes: Yes = False, wait: Wait = False, json: Json = False
) -> None:
    """Send a package that was deployed, or whose sending failed.

    Sending twice submits once. A package of somebody else's, which came by git cj sync, is sent with --yes
    only: its code will run as you.
    """
    from cjledger.cli.following import stay
    from cjledger.commands import submit as sending

    project = output.project(prompts=True)
    target = resolve_whole(project, pid, "git cj submit")
    done = sending.submit(project, target, output.note, trusted=yes, priority=priority)
    show(done, json)
    if wait:
        stay(project, Target(done.package_id))
