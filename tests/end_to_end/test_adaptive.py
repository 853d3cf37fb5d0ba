"""Points chosen from results while the experiment runs."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.shells import Shell

MODEL = """
def fit(x):
    if x == 3:
        raise ValueError("no")
    return {"y": (x - 7) ** 2}
"""
STEERING = """
import cjledger as cj

package = cj.launch("m.py:fit", points=[{"x": 0}, {"x": 3}])
best, seen = None, []
for result in package.as_completed(period_s=0.1):
    seen.append((result.params["x"], result.state, [row["y"] for row in result.rows]))
    if result.state != "COMPLETED":
        continue
    y = result.rows[0]["y"]
    if best is None or y < best:
        best = y
        package.extend([{"x": result.params["x"] + 4}])
print(sorted(seen))
print(package.results().select("x", "y").sort("x").collect().rows())
"""


def test_results_lead_to_further_points(shell: Shell) -> None:
    shell.write("m.py", MODEL)
    shell.write("steer.py", STEERING)
    done = shell.run(sys.executable, "steer.py")
    assert done.stdout.splitlines() == [
        str([(0, "COMPLETED", [49]), (3, "FAILED", []), (4, "COMPLETED", [9]),
             (8, "COMPLETED", [1]), (12, "COMPLETED", [25])]),
        str([(0, 49), (4, 9), (8, 1), (12, 25)]),
    ]  # fmt: skip


SAMPLING = """
import cjledger as cj

package = cj.launch("m.py:fit", sweep={"x": "randint(10,90)"}, samples=2, seed=1)
seen = []
for result in package.as_completed(period_s=0.1):
    seen.append(result.params["x"])
    if len(seen) == 1:
        package.extend(sweep={"x": [1, 2]})
        package.extend(sweep={"x": "uniform(100,101)"}, samples=2, design="lhs")
print(sorted(10 <= x <= 90 for x in seen).count(True), 1 in seen, 2 in seen, sum(100 < x < 101 for x in seen))
"""
TABLES = """
import warnings
import cjledger as cj

package = cj.launch("two.py")
with warnings.catch_warnings(record=True) as told:
    print([result.rows for result in package.as_completed(period_s=0.1)], str(told[0].message)[-20:])
print([row["v"] for result in package.as_completed(file="b.csv") for row in result.rows])
"""
COUNTED = """
import cjledger as cj
from cjledger.commands import family
from cjledger.project import Target

package = cj.find({package!r})
print(len(family.members(package.project, [Target(package.id)])))
"""


def test_an_experiment_is_extended_by_sweeps_and_samples(shell: Shell) -> None:
    shell.write("m.py", MODEL)
    shell.write("steer.py", SAMPLING)
    assert shell.run(sys.executable, "steer.py").stdout.split() == ["2", "True", "True", "2"]


def test_of_several_tables_one_is_named(shell: Shell) -> None:
    shell.write("two.py", "for name in 'ab':\n    open(name + '.csv', 'w').write('v\\n' + name + '\\n')\n")
    shell.write("steer.py", TABLES)
    assert shell.run(sys.executable, "steer.py").stdout.splitlines() == ["[()] none of a.csv, b.csv", "['b']"]


def test_many_extensions_ask_git_no_more_often_than_a_few(shell: Shell, tmp_path: Path) -> None:
    shell.write("m.py", MODEL)
    package = shell.launch("run", "m.py:fit", "local", "--sweep", "x=0")
    asked = []
    for more in (2, 4):
        for _ in range(more):
            shell.cj("extend", package, "--sweep", "x=1")
        traces = tmp_path / f"traces-{more}"
        traces.mkdir()
        shell.environment["GIT_TRACE2_EVENT"] = str(traces)
        members = shell.run(sys.executable, "-c", COUNTED.format(package=package)).stdout
        del shell.environment["GIT_TRACE2_EVENT"]
        asked.append((int(members), len(list(traces.iterdir()))))
    assert [members for members, _ in asked] == [3, 7]
    assert asked[0][1] == asked[1][1]
