"""What ``git cj reduce`` says of tasks that end while it reads."""

from __future__ import annotations

import os

from tests.shells import Shell

PROGRAM = """
import os, time

for task in (1, 2):
    while task == 2 and not os.path.exists({gate!r}):
        time.sleep(0.05)
    with open("results.csv", "w") as out:
        out.write("x\\n" + "7\\n" * 20000)
"""


def test_a_task_that_ends_after_its_rows_were_looked_for_is_not_said_to_have_left_none(shell: Shell) -> None:
    gate, table = shell.folder.parent / "gate", shell.folder.parent / "table"
    shell.write("two.py", PROGRAM.format(gate=str(gate)))
    package = str(shell.lines("parrun", "two.py", "local", "--jobs", "2")[0]["package"])
    while shell.lines("state", package)[0]["counts"].get("COMPLETED") != 1:
        pass
    os.mkfifo(table)
    reduce = shell.start("sh", "-c", f"git cj reduce > {table} 2> {table}.said")
    # More rows than a pipe holds: it stands still between the rows it read and the states it asks for.
    with open(table, "rb") as rows:
        rows.read(1)
        gate.touch()
        shell.cj("state", package, "--watch")
        rows.read()
    assert reduce.wait() == 0
    said = (shell.folder.parent / "table.said").read_text().splitlines()
    assert said == [
        f"{package[:12]}: 1 of 2 tasks are in",
        "  missing, COMPLETED only now, git cj reduce once more: 2",
    ]
    assert shell.run("git", "cj", "reduce").stderr == f"{package[:12]}: 2 of 2 tasks are in\n"
