"""Where a person wants files: they appear whole, under steady names, or a refusal says why not."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.shells import NEST, Shell

TWO_KINDS = """
for x in range(1, 13):
    if x == 12:
        raise SystemExit("not this one")
    with open("picture.bin", "wb") as out:
        out.write(bytes([x]))
    with open("results.csv", "w") as out:
        out.write("a,b\\n1,2\\n" if x != 3 else "a,b\\n1\\n")
"""


@pytest.fixture
def done(shell: Shell) -> Shell:
    shell.write("PT.py", NEST)
    shell.launch("parrun", "PT.py", "local", "--seed", "7")
    return shell


@pytest.fixture
def mixed(shell: Shell) -> Shell:
    shell.write("two.py", TWO_KINDS)
    shell.launch("parrun", "two.py", "local")
    return shell


@pytest.mark.parametrize("out", ["gone/table.csv", "PT.py/table.parquet", "gone/all.txt"])
def test_a_table_that_has_no_place_is_refused(done: Shell, out: str) -> None:
    said = done.refused("reduce", "results.txt", "-o", out)
    assert f"error: cannot write {done.folder / out}: " in said
    assert f"hint: -o another/place{Path(out).suffix}" in said


def test_a_table_that_cannot_be_made_leaves_the_one_that_is_there(done: Shell) -> None:
    done.write("table.csv", "mine")
    before = sorted(os.listdir(done.folder))
    done.refused("reduce", "results.txt", "--where", "nothing > 1", "-o", "table.csv")
    assert (done.folder / "table.csv").read_text() == "mine"
    assert sorted(os.listdir(done.folder)) == before


def test_a_table_goes_where_a_link_leads(done: Shell, tmp_path: Path) -> None:
    (done.folder / "table.csv").symlink_to(tmp_path / "elsewhere.csv")
    done.cj("reduce", "results.txt", "-o", "table.csv")
    assert (done.folder / "table.csv").is_symlink()
    assert (tmp_path / "elsewhere.csv").read_text().startswith("cj_package,")


@pytest.mark.parametrize("words", [("get", "@/2", "-o", "PT.py"), ("gather", "results.txt", "PT.py")])
def test_a_file_where_a_folder_is_wanted_is_said(done: Shell, words: tuple[str, ...]) -> None:
    said = done.refused(*words)
    assert (
        f"error: cannot make the folder {done.folder}/PT.py: File exists\nhint: name another folder" in said
    )


def test_a_name_that_is_too_long_is_no_bug(done: Shell) -> None:
    long = "x" * 300
    for words in (
        ("run", f"{long}.py", "local"),
        ("run", f"PT.py:{long}", "local"),
        ("run", "PT.py", "local", "--points", f"{long}.csv"),
        ("checkout", "@", long),
        ("reduce", "results.txt", "-o", f"{long}.csv"),
        ("gather", "results.txt", long),
    ):
        assert "hint: " in done.refused(*words)


def test_files_that_come_home_are_read_by_whom_the_umask_lets(done: Shell) -> None:
    done.cj("get", "@/3", "-o", "one")
    done.cj("reduce", "results.txt", "-o", "table.csv")
    mask = os.umask(0)
    os.umask(mask)
    for name in ("one/results.txt", "table.csv"):
        assert (done.folder / name).stat().st_mode & 0o777 == 0o666 & ~mask


def test_files_are_chosen_by_a_pattern_alone_and_by_their_whole_name(mixed: Shell) -> None:
    package = mixed.lines("log")[0]["package"]
    assert {one["path"] for one in mixed.lines("ls", "*.csv")} == {"results.csv"}
    assert [one["path"] for one in mixed.lines("ls", f"{package[:4]}/2/picture.bin")] == ["picture.bin"]
    assert len(mixed.lines("ls", "@/2")) == 2
    assert len(mixed.lines("get", "results.csv", "-o", "all")) == 11
    assert len(mixed.lines("get", "@/2/results.csv", "-o", "one")) == 1
    assert os.listdir(mixed.folder / "one") == ["results.csv"]
    assert "is not a package ID" in mixed.refused("get", "resultscsv")


def test_a_gathered_file_has_one_name_whatever_else_is_asked_for(done: Shell) -> None:
    done.cj("gather", "results.txt", "all", "@/2-4")
    assert sorted(os.listdir(done.folder / "all")) == [f"results_{k:02d}.txt" for k in (2, 3, 4)]
    again = done.run("git", "cj", "gather", "results.txt", "all")
    assert "3 files were there already\n" in again.stderr
    assert len(os.listdir(done.folder / "all")) == 12


def test_files_as_they_are_are_reported_as_they_are(mixed: Shell) -> None:
    told = mixed.run("git", "cj", "reduce", "picture.bin", "-o", "all.txt").stderr
    assert "11 of 12 tasks are in\n  missing, FAILED: 12\n" in told
    assert "no rows" not in told
    told = mixed.run("git", "cj", "reduce", "results.csv", "-o", "raw.txt").stderr
    assert "11 of 12 tasks are in\n  missing, FAILED: 12\n" in told
    assert "10 of 12 tasks are in" in mixed.run("git", "cj", "reduce", "results.csv", "-o", "raw.csv").stderr


def test_files_as_they_are_of_the_tasks_that_are_named(mixed: Shell) -> None:
    told = mixed.run("git", "cj", "reduce", "results.csv", "@/3-4", "-o", "some.txt").stderr
    assert "2 of 2 tasks are in\n" in told
    assert (mixed.folder / "some.txt").read_text() == "a,b\n1\na,b\n1,2\n"


def test_what_a_kind_of_file_cannot_do_is_refused(done: Shell) -> None:
    assert "--header is for" in done.refused("reduce", "-o", "t.csv", "--header", "1", code=2)
    assert "are for tables" in done.refused("reduce", "-o", "t.txt", "--where", "delta > 0", code=2)


def test_tasks_of_a_package_are_reduced_and_never_taken_for_all_when_it_is_cleaned(done: Shell) -> None:
    package = done.lines("log")[0]["package"]
    for words in (("@/3,5-6",), ("results.txt", "@/3,5-6"), (f"{package[:4]}/3,5-6",)):
        rows = [json.loads(line) for line in done.cj("reduce", *words, "--json").splitlines()]
        assert [row["cj_task"] for row in rows] == [3, 5, 6]
    for options in ("", "--forget", "--forget --yes"):
        said = done.refused("clean", "@/3", *options.split())
        assert said == f"error: clean takes a whole package\nhint: git cj clean {package[:8]}\n"
    assert (done.folder / f".git/cj/local/packages/{package}").is_dir()
