"""Points chosen from results while the experiment runs."""

from __future__ import annotations

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
    import sys

    done = shell.run(sys.executable, "steer.py")
    assert done.stdout.splitlines() == [
        str([(0, "COMPLETED", [49]), (3, "FAILED", []), (4, "COMPLETED", [9]),
             (8, "COMPLETED", [1]), (12, "COMPLETED", [25])]),
        str([(0, 49), (4, 9), (8, 1), (12, 25)]),
    ]  # fmt: skip
