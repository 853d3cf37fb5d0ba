"""What a launch would do: ``--dry-run``."""

from __future__ import annotations

from cjledger import snapshot
from cjledger.cli import output
from cjledger.commands import launch, packing, sequel
from cjledger.commands import plan as planning
from cjledger.commands.plan import LaunchRequest
from cjledger.project import Project
from cjledger.render import plain, plain_lines, table

_SHOWN = 20


def rehearse(project: Project, request: LaunchRequest, json: bool) -> None:
    """Show the tasks, their values and the script of a launch, and refuse what that would; write nothing."""
    planned = planning.plan(project, request, output.note)
    if request.after:
        sequel.after(project, request)  # refuses what can never be waited for
    changed, new = snapshot.examine(project.repo, launch.wanted_files(project, request, planned))
    if request.reuse or request.skip_done:
        output.note("what is done already is found at the launch: here all tasks are listed")
    if json:
        output.emit({"tasks": planned.tasks, "changed_files": changed, "new_files": new})
        for point in planning.tasks_of(planned, range(1, planned.tasks + 1)):
            output.emit({"task": point.task, "params": point.params})
        return
    # The script first: it is long, and what a person looks for should stand last.
    script = packing.preview(project, request, planned)
    output.say(plain_lines(script.decode(errors="replace")))
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
