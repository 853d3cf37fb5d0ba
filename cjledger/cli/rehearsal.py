"""What a launch would do: ``--dry-run``."""

from __future__ import annotations

import tempfile
from pathlib import Path

from cjledger.cli import output
from cjledger.commands import launch
from cjledger.commands import plan as planning
from cjledger.commands.plan import Plan
from cjledger.commands.request import LaunchRequest
from cjledger.languages import script
from cjledger.project import Project
from cjledger.render import plain, plain_lines, table

_SHOWN = 20


def rehearse(project: Project, request: LaunchRequest, json: bool) -> None:
    """Show the tasks, their values and the script of a launch, and refuse what that would; keep nothing."""
    if request.reuse or request.skip_done:
        output.note("what is done already is found at the launch: here all tasks are listed")
        request = request._replace(reuse=False, skip_done=False)
    with tempfile.TemporaryDirectory(prefix="cj-rehearsal-") as folder:
        apart = project._replace(repo=project.repo._replace(scratch=Path(folder)))
        made = launch.make(apart, request, output.note)
    assert isinstance(made, launch.Made)  # only what is done already leaves nothing to run
    for line in made.manifest.report:
        output.note(line)
    planned = made.planned
    new = sum(change.change == "untracked" for change in made.taken.changes)
    changed = len(made.taken.changes) - new
    if json:
        output.emit({"tasks": planned.tasks, "changed_files": changed, "new_files": new})
        for point in planning.tasks_of(planned, range(1, planned.tasks + 1)):
            output.emit({"task": point.task, "params": point.params})
        return
    # The script first: it is long, and what a person looks for should stand last.
    output.say(plain_lines(script.script(made.manifest).decode(errors="replace")))
    _say(project, planned, changed, new)


def _say(project: Project, planned: Plan, changed: int, new: int) -> None:
    noun = "task" if planned.tasks == 1 else "tasks"
    output.say(f"{plain(planned.program.name)} on {planned.cluster.name}: {planned.tasks} {noun}")
    base = ["the files of HEAD"] if project.repo.head else []
    files = [f"{count} {word}" for count, word in ((changed, "changed"), (new, "new")) if count]
    output.say("with " + ", ".join([*base, *(files or ["none changed"])]))
    shown = list(planning.tasks_of(planned, range(1, min(planned.tasks, _SHOWN) + 1)))
    rows = [[point.task, *point.params.values()] for point in shown]
    output.say(table(["task", *shown[0].params], rows, output.width()))
    if planned.tasks > _SHOWN:
        output.say(f"… {planned.tasks - _SHOWN} more: --json lists all")
