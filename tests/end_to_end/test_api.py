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
