"""What ``git cj reduce`` says of tasks that end while it reads."""

from __future__ import annotations

import json
import os
from pathlib import Path

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


def test_whole_numbers_are_what_was_asked_for_to_the_last_digit(shell: Shell) -> None:
    shell.write("f.py", "def f(seed): return {'text': str(seed), 'back': seed}\n")
    seeds = [2**64 - 1, 2**64 - 2, 2**53 + 1]
    shell.launch("run", "f.py:f", "local", "--sweep", "seed=" + ",".join(map(str, seeds)))
    rows = shell.lines("reduce")
    assert [(row["seed"], row["text"], row["back"]) for row in rows] == [(s, str(s), s) for s in seeds]
    groups = shell.lines("query", "SELECT seed, count(*) AS n FROM results GROUP BY seed ORDER BY seed")
    assert groups == [{"seed": seed, "n": 1} for seed in sorted(seeds)]
    assert shell.cj("reduce", "--by", "seed").splitlines()[1:] == [f"{seed},1" for seed in sorted(seeds)]


TYPES = """
import datetime, decimal, sys
import pyarrow as pa, pyarrow.parquet as pq

moment = datetime.datetime(2020, 1, 2, 3, 4, 5, 6)
for k in (1, 2, 3):
    wide = [decimal.Decimal("1.10")] if k < 3 else [[decimal.Decimal("1.10")]]
    pq.write_table(pa.table({
        "took": pa.array([k], pa.duration("s")),
        "at": [moment],
        "day": [moment.date()],
        "raw": [b"\\xff"],
        "wide": pa.array(wide, pa.decimal256(60, 2) if k < 3 else pa.list_(pa.decimal256(60, 2))),
        "parts": [[k, k]],
    }), "p.parquet")
"""
SHOWN = {"took": 1.0, "at": "2020-01-02T03:04:05.000006", "day": "2020-01-02", "raw": "ff", "wide": 1.1}


def test_a_parquet_file_of_any_types_is_reduced_asked_and_drawn(shell: Shell) -> None:
    shell.write("p.py", TYPES)
    package = shell.launch("parrun", "p.py", "local")
    done = shell.run("git", "cj", "reduce", "--json")
    about = {"cj_package": package, "cj_task": 1, "cj_attempt": 1, "k": 1}
    first = {**about, **SHOWN, "parts": "[1, 1]"}
    assert json.loads(done.stdout.splitlines()[0]) == first
    assert "2 of 3 tasks are in" in done.stderr
    assert "COMPLETED, but p.parquet is not a table like the others': 3" in done.stderr
    assert shell.lines("query", "SELECT * FROM results ORDER BY k")[0] == {
        **about,
        **SHOWN,
        "parts": "[1, 1]",
    }
    assert shell.lines("query", "SELECT max(took) AS most, array_agg(day) AS days FROM results", "--all") == [
        {"most": 2.0, "days": ["2020-01-02", "2020-01-02"]}
    ]
    for kind in ("csv", "tsv", "jsonl", "parquet", "arrow"):
        shell.cj("reduce", "-o", f"t.{kind}")
    mark = {"csv": ",", "tsv": "\t"}
    for kind, between in mark.items():
        line = (shell.folder / f"t.{kind}").read_text().splitlines()[1]
        assert line.split(between)[4:9] == [str(value) for value in SHOWN.values()]
    for name in SHOWN:
        assert name in shell.cj("plot", "--x", "k", "--y", name)
    bugs = shell.folder / ".git/cj/bugs"
    assert not bugs.exists()


def test_what_a_library_panics_at_is_a_bug_report(shell: Shell) -> None:
    shell.write("f.py", "def f(x): return {'y': x}\n")
    shell.launch("run", "f.py:f", "local", "--sweep", "x=100000000")
    done = shell.run("git", "cj", "query", "SELECT CAST(CAST(y AS INT) AS DATE) AS d FROM results", code=3)
    (kept,) = (shell.folder / ".git/cj/bugs").iterdir()
    assert done.stderr.endswith(f"error: a bug in git cj: PanicException; the traceback is in {kept}\n")
    assert "Traceback" not in done.stderr


def test_numbers_that_are_not_finite_have_one_form_in_json(shell: Shell, tmp_path: Path) -> None:
    shell.write("f.py", "def f(x): return {'loss': [1.5, float('nan'), float('-inf')][x]}\n")
    shell.launch("run", "f.py:f", "local", "--sweep", "x=0,1,2")
    values = [1.5, "NaN", "-Infinity"]
    shell.cj("reduce", "-o", "t.jsonl")
    written = [json.loads(line)["loss"] for line in (shell.folder / "t.jsonl").read_text().splitlines()]
    assert written == values
    assert [row["loss"] for row in shell.lines("reduce")] == values
    assert [row["loss"] for row in shell.lines("query", "SELECT loss FROM results")] == values
    assert [line.rpartition(",")[2] for line in shell.cj("reduce").splitlines()] == [
        "loss",
        "1.5",
        "NaN",
        "-inf",
    ]


def test_what_functions_returned_has_the_name_that_query_gives_it(shell: Shell) -> None:
    shell.write("f.py", "def f(x):\n    return {'y': x}\n")
    shell.launch("run", "f.py:f", "local", "--sweep", "x=1,2")
    said = shell.refused("reduce", "no.csv")
    assert said.endswith("hint: there are: results\n")
    assert shell.cj("reduce", "results") == shell.cj("reduce")
    assert len(shell.lines("reduce", "results", "--where", "y = 2")) == 1
