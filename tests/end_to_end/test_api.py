"""The Python interface, used as a program outside the project would."""

from __future__ import annotations

import json
import sys

from tests.shells import Shell

USE = """
import json
import cjledger as cj
import model

package = cj.launch(model.fit, sweep={"a": [1, 2, 3], "b": "10:10:20"}, message="from Python", seed=3)
state = package.wait(60)
rows = package.results()
points = cj.launch("model.py:fit", points=[{"a": 1}, {"a": 5}], jobs=1)
points.wait(60)
print(json.dumps({
    "counts": state.counts,
    "sums": rows.collect()["s"].to_list(),
    "pandas": list(rows.to_pandas().shape),
    "arrow": rows.to_arrow().num_rows,
    "found": [cj.find(package.id[:6]).id == package.id, cj.find().id == points.id,
              cj.find(program="fit").id == points.id, len(cj.packages()) == 2],
    "retried": package.retry(),
    "explicit": points.results().collect()["s"].to_list(),
}))
try:
    cj.launch(model.fit, memry="1G")
except TypeError as problem:
    assert "memry" in str(problem)
"""


def test_launching_waiting_and_reading_from_python(shell: Shell) -> None:
    shell.write("model.py", "def fit(a, b=2):\n    return {'s': a + b}\n")
    said = json.loads(shell.run(sys.executable, "-c", USE).stdout)
    assert said == {
        "counts": {"COMPLETED": 6},
        "sums": [11, 21, 12, 22, 13, 23],
        "pandas": [6, 6],
        "arrow": 6,
        "found": [True] * 4,
        "retried": False,
        "explicit": [3, 7],
    }


REUSED = """
import cjledger as cj
def rows(package):
    return sorted(row["x"] for row in package.results().collect().to_dicts())
for values in ([21], [22, 1, 2]):
    cj.launch("m.py:f", sweep={"x": values}).wait()
package = cj.launch("m.py:f", sweep={"x": [21, 22]}, reuse=True)
ended = sorted(one.params["x"] for one in package.as_completed())
print(rows(package), package.tasks, ended, package.wait().final)
"""


def test_what_is_reused_whole_is_read_as_it_was_asked_for(shell: Shell) -> None:
    shell.write("m.py", "def f(x):\n    return {'y': x}\n")
    shell.write("steer.py", REUSED)
    assert shell.run(sys.executable, "steer.py").stdout == "[21, 22] 2 [21, 22] True\n"


TYPED = """
import cjledger as cj, polars as pl
for options in ({"walltime": 60}, {"memory": 4096}, {"seed": "abc"}, {"repeat": 2.5}):
    try:
        cj.launch("m.py:f", sweep={"x": [1]}, **options)
    except TypeError as problem:
        print(problem)
print(cj.launch("m.py:f", points=pl.DataFrame({"x": [1, 2]}), submit=False).tasks)
"""


def test_options_of_another_type_are_refused_and_frames_are_points(shell: Shell) -> None:
    shell.write("m.py", "def f(x):\n    return {'y': x}\n")
    shell.write("steer.py", TYPED)
    assert shell.run(sys.executable, "steer.py").stdout.splitlines() == [
        "walltime takes a text, as in --help: walltime='60', not 60",
        "memory takes a text, as in --help: memory='4096', not 4096",
        "seed takes a whole number, not 'abc'",
        "repeat takes a whole number, not 2.5",
        "2",
    ]


def test_a_function_that_an_import_does_not_make_is_not_launched(shell: Shell) -> None:
    text = "import cjledger as cj\nif __name__ == '__main__':\n    def inner(x): return x\n"
    shell.write("steer.py", text + "    cj.launch(inner, sweep={'x': [1]})\n")
    assert "has no function inner at module level" in shell.run(sys.executable, "steer.py", code=1).stderr


def test_a_command_needs_no_program(shell: Shell) -> None:
    launched = 'cj.launch(command="echo {x}", sweep={"x": [1, 2]}).wait().counts'
    done = shell.run(sys.executable, "-c", f"import cjledger as cj; print({launched})")
    assert done.stdout == "{'COMPLETED': 2}\n"
    neither = shell.run(sys.executable, "-c", "import cjledger as cj; cj.launch()", code=1)
    assert neither.stderr.endswith("TypeError: launch() takes a program or a command\n")
