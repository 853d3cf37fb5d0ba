"""``--then``: a script that runs on the cluster when all tasks have ended, and sees their table."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from tests.node.cluster_kit import wait_for
from tests.shells import Shell

MODEL = "def f(x, y):\n    if x == 3:\n        raise ValueError('three')\n    return {'z': x * y}\n"
# Keeps the table as it came, and counts how often it ran.
REDUCE = """
import json, os
with open(os.environ["CJ_TABLE"]) as file:
    rows = [json.loads(line) for line in file]
with open("sum.csv", "w") as out:
    out.write("rows,total\\n%d,%d\\n" % (len(rows), sum(row.get("z") or 0 for row in rows)))
with open("table.json", "w") as out:
    json.dump(rows, out)
with open(@PLACE@ + "/ran", "a") as out:
    out.write("x")
print("reduced", len(rows))
"""


def prepare(shell: Shell, place: Path) -> None:
    shell.write("model.py", MODEL)
    shell.write("reduce.py", REDUCE.replace("@PLACE@", repr(str(place))))


def ran(place: Path) -> int:
    path = place / "ran"
    return len(path.read_text()) if path.exists() else 0


def table(shell: Shell, package: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(shell.cj("show", f"{package}/then/table.json"))
    return rows


LAUNCH = ("run", "model.py:f", "local", "--sweep", "y=10", "--then", "reduce.py")


def test_it_runs_once_when_all_have_ended_and_sees_their_rows(shell: Shell, tmp_path: Path) -> None:
    prepare(shell, tmp_path)
    package = shell.launch(*LAUNCH, "--sweep", "x=1,2,3", "--seed", "5")
    told = shell.lines("state", package)[0]
    assert (told["tasks"], told["counts"]) == (3, {"COMPLETED": 2, "FAILED": 1})
    assert told["then"]["counts"] == {"COMPLETED": 1}
    assert "    then reduce.py: 1 COMPLETED\n" in shell.cj("state", package)
    about = {"cj_package": package, "cj_attempt": 1, "y": 10}
    assert table(shell, package) == [
        {**about, "cj_task": 1, "cj_state": "COMPLETED", "x": 1, "z": 10},
        {**about, "cj_task": 2, "cj_state": "COMPLETED", "x": 2, "z": 20},
        {**about, "cj_task": 3, "cj_state": "FAILED", "x": 3},
    ]
    assert shell.cj("show", f"{package}/then", "--out") == "reduced 3\n"
    (shown,) = shell.lines("show", f"{package}/then")
    assert (shown["task"], shown["state"], shown["attempt"]) == (1, "COMPLETED", 1)
    assert shell.cj("show", f"{package}/then/sum.csv") == "rows,total\n3,30\n"
    assert ran(tmp_path) == 1
    (launch,) = shell.lines("log", "--all")
    assert launch["then"] == shown["package"]
    assert shell.lines("show", package)[0]["then"] == {"path": "reduce.py", "table": None}
    shell.cj("fsck")


def test_it_starts_by_itself(shell: Shell, tmp_path: Path) -> None:
    prepare(shell, tmp_path)
    shell.cj(*LAUNCH, "--sweep", "x=1,2")
    wait_for(lambda: ran(tmp_path) == 1)


def test_it_runs_again_after_a_retry_and_after_an_extension(shell: Shell, tmp_path: Path) -> None:
    prepare(shell, tmp_path)
    package = shell.launch(*LAUNCH, "--sweep", "x=1,3")
    assert ran(tmp_path) == 1
    shell.cj("retry", package, "--wait")
    assert ran(tmp_path) == 2
    assert shell.lines("show", f"{package}/then")[0]["attempt"] == 2
    assert [row["cj_attempt"] for row in table(shell, package)] == [1, 2]
    more = shell.launch("extend", package, "--sweep", "x=5", "--sweep", "y=10")
    shell.cj("state", package, "--watch")
    assert [(row["cj_package"], row["cj_task"], row.get("z")) for row in table(shell, package)] == [
        (package, 1, 10),
        (package, 2, None),
        (more, 1, 50),
    ]
    assert ran(tmp_path) == 3
    shell.cj("state", package, "--watch")
    assert ran(tmp_path) == 3


FILES = {
    "r.csv": "a,b\n{x},q\n",
    "r.jsonl": '{{"a":{x},"b":"q"}}\n',
    "r.json": '[{{"a":{x},"b":"q"}}]',
    "r.txt": "a b\n{x} q\n",
}


def test_it_reads_the_file_that_is_named(shell: Shell, tmp_path: Path) -> None:
    prepare(shell, tmp_path)
    for name, text in FILES.items():
        line = f"with open({name!r}, 'w') as out:\n    out.write({text!r}.format(x=sys.argv[2]))\n"
        shell.write("p.py", "import sys\n" + line)
        words = ("run", "p.py", "local", "--sweep", "x=1,2", "--then", f"reduce.py:{name}")
        package = shell.launch(*words)
        about = {"cj_package": package, "cj_attempt": 1, "cj_state": "COMPLETED", "b": "q"}
        assert table(shell, package) == [
            {**about, "cj_task": task, "x": task, "a": task} for task in (1, 2)
        ], name


NOT_FINITE = """
import json
values = [1.5, float("nan"), float("-inf"), float("inf")]

def f(x):
    return {"v": values[x], "w": "NaN" if x else "text", "name": "NaN"}

if __name__ == "__main__":
    for x in (0, 1, 2, 3):
        with open("r.csv", "w") as out:
            out.write(f"inf,w\\n{values[x]},{'nan' if x else 'text'}\\n")
        with open("r.json", "w") as out:
            json.dump({"v": values[x], "w": "NaN"}, out)
"""


def test_numbers_that_are_not_finite_are_numbers_to_it(shell: Shell, tmp_path: Path) -> None:
    prepare(shell, tmp_path)
    shell.write("p.py", NOT_FINITE)
    numbers = [1.5, float("nan"), float("-inf"), float("inf")]
    words = ("run", "p.py:f", "local", "--sweep", "x=0,1,2,3", "--then", "reduce.py")
    rows = table(shell, shell.launch(*words))
    assert repr([row["v"] for row in rows]) == repr(numbers)
    assert [row["w"] for row in rows] == ["text", "NaN", "NaN", "NaN"]
    rows = table(shell, shell.launch("parrun", "p.py", "local", "--then", "reduce.py:r.csv"))
    assert repr([row["inf"] for row in rows]) == repr(numbers)
    assert [row["w"] for row in rows] == ["text", "nan", "nan", "nan"]
    rows = table(shell, shell.launch("parrun", "p.py", "local", "--then", "reduce.py:r.json"))
    assert repr([row["v"] for row in rows]) == repr(numbers)
    assert [row["w"] for row in rows] == ["NaN"] * 4


def test_what_is_no_script_is_refused_before_anything_is_made(shell: Shell, tmp_path: Path) -> None:
    prepare(shell, tmp_path)
    words = (*LAUNCH[:-1], "nowhere.py", "--sweep", "x=1")
    assert "there is no program nowhere.py" in shell.refused(*words)
    shell.write("broken.py", "def\n")
    assert "broken.py" in shell.refused(*LAUNCH[:-1], "broken.py", "--sweep", "x=1")
    assert shell.lines("log", "--all") == []
    package = shell.launch("run", "model.py:f", "local", "--sweep", "x=1", "--sweep", "y=1")
    assert f"nothing runs after {package[:12]}" in shell.refused("show", f"{package}/then")


def test_a_package_may_wait_for_what_runs_last(shell: Shell, tmp_path: Path) -> None:
    prepare(shell, tmp_path)
    shell.write("last.py", f"print(open({str(tmp_path)!r} + '/ran').read())\n")
    package = str(shell.lines(*LAUNCH, "--sweep", "x=1")[0]["package"])
    last = shell.launch("run", "last.py", "local", "--after", f"{package}/then")
    assert shell.cj("show", f"{last}/1", "--out") == "x\n"


def test_cancel_and_clean_take_it_with_them(shell: Shell, tmp_path: Path) -> None:
    prepare(shell, tmp_path)
    shell.write("wait.py", "import time\ntime.sleep(1000)\n")
    words = ("run", "wait.py", "local", "--then", "reduce.py")
    package = str(shell.lines(*words)[0]["package"])
    assert shell.lines("state", package)[0]["then"]["counts"] == {"WAITING": 1}
    shell.cj("cancel", package)
    shell.cj("state", package, "--watch")
    assert shell.lines("state", package)[0]["then"]["counts"] == {"CANCELLED": 1}
    shell.cj("clean", package, "--forget", "--yes")
    assert list((shell.folder / ".git/cj/local/packages").iterdir()) == []
    assert ran(tmp_path) == 0
    shell.cj("fsck")


USE = """
import cjledger as cj

package = cj.launch("model.py:f", points=[{"x": 1, "y": 2}, {"x": 2, "y": 2}], then="reduce.py")
package.wait(60)
package.pause()
package.resume()
last = package.then()
print(last.wait(60).counts, last.then(), last.results("sum.csv").collect().rows(named=True)[0]["total"])
"""


def test_python_has_it_too(shell: Shell, tmp_path: Path) -> None:
    prepare(shell, tmp_path)
    assert shell.run(sys.executable, "-c", USE).stdout == "{'COMPLETED': 1} None 6\n"
