"""Every command on one package, and the options that change what it says."""

from __future__ import annotations

import json
import os
import pty
from contextlib import suppress
from pathlib import Path
from textwrap import dedent

import pytest

from tests.shells import NEST, PROGRAMS, UNFINISHED, Shell


@pytest.fixture
def done(shell: Shell) -> Shell:
    shell.write("PT.py", NEST)
    shell.launch("parrun", "PT.py", "local", "-m", "Test PT", "--seed", "7")
    return shell


def test_a_package_is_read_in_every_way(done: Shell) -> None:
    package = done.lines("log")[0]["package"]
    assert done.lines("log", package[:4])[0]["message"] == "Test PT"
    assert done.lines("log", "--program", "nothing") == []
    assert done.lines("show", package)[0]["program"]["path"] == "PT.py"
    task = done.lines("show", f"{package}/3")[0]
    assert (task["state"], task["params"]) == ("COMPLETED", {"delta": 0.1, "epsilon": 3})
    assert done.cj("show", "@/3", "--out") == "done 0.1 3\n"
    assert done.cj("show", "@/3", "--err") == ""
    assert "+deltas = [0.1, 0.2, 0.3]" in done.cj("show", "@", "--diff")
    found = done.lines("ls", "@/3,5-6")
    assert [(one["task"], one["path"]) for one in found] == [(k, "results.txt") for k in (3, 5, 6)]
    assert done.lines("state", "--tasks", "--state", "FAILED") == []
    first = done.lines("state", "@/1", "--tasks")[0]
    keys = "task attempt state job exit_code started ended host max_rss_mb params"
    assert set(first) >= set(keys.split())
    assert set(done.lines("state")[0]) == {
        "package",
        "cluster",
        "program",
        "tasks",
        "counts",
        "final",
        "reasons",
        "problems",
    }


def test_the_script_of_a_task_runs_on_its_own(done: Shell) -> None:
    mine = done.cj("show", "@/6/results.txt")
    done.write("t6.py", done.cj("show", "@/6", "--script"))
    ran = done.run("python3", "-I", "t6.py")
    assert ran.stdout == "done 0.2 2\n"
    folder = ran.stderr.split("runs in ")[1].split(" and leaves")[0]
    assert (Path(folder) / "results.txt").read_text() == mine


def test_the_script_of_a_task_writes_files_only_to_run_it(done: Shell, tmp_path: Path) -> None:
    done.write("t6.py", done.cj("show", "@/6", "--script"))
    aside = tmp_path / "aside"
    aside.mkdir()
    for words, said in ((["--help"], "a task (1-12)"), (["--list"], "12 "), (["--show"], "6 delta=")):
        told = done.run("env", f"TMPDIR={aside}", "python3", "-I", "t6.py", *words)
        assert said in told.stdout
        assert told.stderr == ""
    refused = done.run("env", f"TMPDIR={aside}", "python3", "-I", "t6.py", "99", code=1)
    assert refused.stderr.startswith("error: ")
    assert refused.stderr.count("\n") == 1
    assert list(aside.iterdir()) == []


def test_files_come_home_without_overwriting(done: Shell, tmp_path: Path) -> None:
    done.cj("get", "@/3", "-o", str(tmp_path / "one"))
    assert (tmp_path / "one/results.txt").read_text() == done.cj("show", "@/3/results.txt")
    done.cj("gather", "results.txt", str(tmp_path / "all"))
    names = sorted(path.name for path in (tmp_path / "all").iterdir())
    assert names == [f"results_{k:02d}.txt" for k in range(1, 13)]
    (tmp_path / "all/results_01.txt").write_text("mine")
    told = done.run("git", "cj", "gather", "results.txt", str(tmp_path / "all")).stderr
    assert f"hint: git cj gather results.txt {tmp_path}/all-new\n" in told
    assert (tmp_path / "all/results_01.txt").read_text() == "mine"


def test_a_second_task_s_files_do_not_pass_for_the_first_s(done: Shell, tmp_path: Path) -> None:
    place = str(tmp_path / "one")
    done.cj("get", "@/1", "-o", place)
    told = done.run("git", "cj", "get", "@/2", "results.txt", "-o", place).stderr
    assert f"kept, it is there with other content: {place}/results.txt\n" in told
    hint = f"git cj get @/2 results.txt -o {place}-2"
    assert told.endswith(f"hint: {hint}\n")
    done.run(*hint.split())
    assert (tmp_path / "one-2/results.txt").read_text() == done.cj("show", "@/2/results.txt")


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "parquet", "arrow", "txt"])
def test_a_table_is_written_by_suffix(done: Shell, suffix: str) -> None:
    done.cj("reduce", "results.txt", "-o", f"out.{suffix}")
    assert (done.folder / f"out.{suffix}").stat().st_size > 0


def test_rows_are_grouped_filtered_named_and_asked(done: Shell) -> None:
    names = ("--columns", "d,e,value,r")
    said = done.cj("reduce", "results.txt", *names, "--by", "delta", "--agg", "mean(value),count()", "--json")
    groups = [json.loads(line) for line in said.splitlines()]
    assert [(group["delta"], group["count"]) for group in groups] == [(0.1, 4), (0.2, 4), (0.3, 4)]
    assert groups[0]["mean_value"] == pytest.approx(0.25)
    few = done.cj("reduce", "results.txt", *names, "--where", "value > 0.7", "--json").splitlines()
    assert len(few) == 3
    answer = done.lines("query", "SELECT delta, count(*) AS n FROM results GROUP BY delta ORDER BY delta")
    assert answer == [{"delta": d, "n": 4} for d in (0.1, 0.2, 0.3)]
    assert done.lines("query", "SELECT count(*) AS n FROM results", "--all") == [{"n": 12}]
    wide = ", ".join(f"{n} + 1234567.0625 AS number_{n}" for n in range(30))
    shown = done.cj("query", f"SELECT cj_package, {wide} FROM results LIMIT 1").splitlines()
    assert shown[0].split()[-1] == "number_29"  # into a pipe goes all there is
    assert shown[1].split()[-1] == "1234596.0625"
    assert len(shown[1].split()[0]) == 64 or len(shown[1].split()[0]) == 40


def test_pictures_are_drawn_in_the_terminal_and_to_files(done: Shell) -> None:
    text = done.cj("plot", "--x", "delta", "--y", "epsilon", "--color", "column_3")
    assert "epsilon" in text
    assert max(map(len, text.splitlines())) <= 80
    assert "\x1b" not in text
    for suffix, magic in (("png", b"\x89PNG"), ("svg", b"<?xml")):
        done.cj("plot", "--x", "epsilon", "--y", "column_3", "--by", "delta", "-o", f"p.{suffix}")
        assert (done.folder / f"p.{suffix}").read_bytes().startswith(magic)


def test_who_waits_for_a_task_again_is_told_of_that_one(shell: Shell, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    shell.write(
        "f.py", f"import os\ndef f(x):\n    assert x == 3 or os.path.exists({str(flag)!r})\n    return x\n"
    )
    shell.launch("run", "f.py:f", "local", "--sweep", "x=1:3")
    flag.touch()
    assert shell.run("git", "cj", "retry", "@/1", "--wait").returncode == 0
    assert shell.lines("state")[0]["counts"] == {"COMPLETED": 2, "FAILED": 1}
    flag.unlink()
    assert shell.run("git", "cj", "rerun", "@/1,3", "--yes", "--wait", code=None).returncode == UNFINISHED
    assert shell.run("git", "cj", "rerun", "@/3", "--yes", "--wait").returncode == 0


def test_what_was_never_sent_can_be_ended_and_sent_after_all(shell: Shell) -> None:
    shell.write("p.py", "print(1)\n")
    for verb in ("cancel", "clean"):
        shell.cj("deploy", "p.py", "local", "--sweep", "x=1,2")
        shell.cj(verb, "@")
        (told,) = shell.lines("state")
        assert (told["counts"], told["final"]) == ({"CANCELLED": 2}, True)
        assert shell.lines("state", "--all") == []
    shell.cj("submit", "@", "--wait")
    assert shell.lines("state")[0]["counts"] == {"COMPLETED": 2}


def test_a_table_that_nobody_reads_on_or_that_finds_no_room_is_no_bug(shell: Shell) -> None:
    shell.write("f.py", "def f(x):\n    return x\n")
    shell.launch("run", "f.py:f", "local", "--sweep", "x=1:3000")
    piped = "git cj reduce {} 2>said | head -1; echo ${{PIPESTATUS[0]}}"
    for option in ("", "--json"):
        told = shell.run("bash", "-c", piped.format(option)).stdout.splitlines()
        assert told[-1] in ("0", "141")
        assert "bug" not in (shell.folder / "said").read_text()
        assert (
            "No space left on device"
            in shell.run("bash", "-c", f"git cj reduce {option} >/dev/full", code=1).stderr
        )


def test_the_exit_status_of_wait_is_that_of_what_runs_last_too(shell: Shell) -> None:
    shell.write("f.py", "def f(x):\n    return x\n")
    shell.write("end.py", "raise SystemExit(3)\n")
    words = ("run", "f.py:f", "local", "--sweep", "x=1", "--then", "end.py")
    assert shell.run("git", "cj", *words, "--wait", code=None).returncode == UNFINISHED
    told = shell.run("git", "cj", "errors").stderr
    assert "1 more task of" in told
    assert shell.run("git", "cj", "rerun", "@/1", "--yes", "--wait", code=None).returncode == UNFINISHED
    shell.write("end.py", "print(1)\n")
    shell.cj(*words)
    assert "nothing to retry" in shell.cj("retry", "--wait")  # and then waits all the same
    assert shell.lines("state")[0]["final"]


def test_what_acts_on_whole_packages_refuses_tasks_of_one(done: Shell) -> None:
    short = done.lines("log")[0]["package"][:8]
    for verb in ("harvest", "submit", "checkout", "fsck", "extend", "workers", "recover", "pause"):
        more = ("there",) if verb == "checkout" else ()
        said = done.refused(verb, "@/3", *more)
        assert said.startswith(f"error: {verb} takes a whole package\nhint: git cj {verb} {short}")
    assert not (done.folder / "there").exists()


def test_earlier_packages_are_counted_back_from_the_last(shell: Shell) -> None:
    shell.write("p.py", "print(1)\n")
    names = [shell.lines("run", "p.py", "local", "-m", f"{k}", "--no-submit")[0]["package"] for k in range(3)]
    shown = [shell.lines("show", word)[0]["package"] for word in ("@", "@~0", "@~", "@~1", "@~2")]
    assert shown == [names[2], names[2], names[1], names[1], names[0]]
    assert "fewer than 4 packages" in shell.refused("show", "@~3")
    shell.cj("clean", "@~1", "--forget", "--yes")
    assert shell.lines("show", "@~1/1")[0]["package"] == names[0]


def test_tasks_that_failed_are_retried_and_only_those(shell: Shell, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    shell.write(
        "f.py",
        f"import os\ndef f(x):\n    if x == 2 and not os.path.exists({str(flag)!r}):\n"
        "        raise ValueError('not yet')\n    return x\n",
    )
    words = ("run", "f.py:f", "local", "--sweep", "x=1:3", "--wait")
    assert shell.run("git", "cj", *words, code=None).returncode == UNFINISHED
    failed = shell.lines("state", "--tasks", "--state", "FAILED")
    assert [(task["task"], task["exit_code"]) for task in failed] == [(2, 1)]
    assert "not yet" in failed[0]["error"]
    report = shell.run("git", "cj", "reduce")
    assert "2 of 3 tasks are in" in report.stderr
    assert "missing, FAILED: 2" in report.stderr
    flag.touch()
    done = shell.run("git", "cj", "retry", "--wait", "--json", code=None)
    assert done.returncode == 0
    again = json.loads(done.stdout)
    assert (again["tasks"], again["attempt"]) == ("2", 2)
    assert shell.lines("state")[0]["counts"] == {"COMPLETED": 3}
    assert len(shell.cj("reduce", "--json").splitlines()) == 3
    assert shell.lines("retry")[0]["count"] == 0
    shell.cj("rerun", "@/1", "--yes", "--wait")
    assert shell.lines("state", "@/1", "--tasks")[0]["attempt"] == 2
    assert len(shell.cj("reduce", "--json").splitlines()) == 3


def test_a_rerun_asks_and_nobody_answers(done: Shell) -> None:
    assert "error" in done.refused("rerun", "@/1")


def test_what_runs_is_cancelled(shell: Shell) -> None:
    shell.write("s.py", "import time\ntime.sleep(600)\n")
    shell.cj("run", "s.py", "local", "--sweep", "x=1:8", "--jobs", "2")
    assert shell.lines("cancel", "@/8")[0]["cancelled"] == 1
    assert shell.lines("cancel")[0]["cancelled"] == 7
    assert shell.lines("cancel")[0]["cancelled"] == 0
    shell.cj("state", "--watch")
    assert shell.lines("state")[0]["counts"] == {"CANCELLED": 8}
    assert shell.lines("cancel")[0]["cancelled"] == 0
    assert "  8 of 8 tasks did not complete\n" in shell.cj("errors")


def test_cleaning_frees_the_cluster_and_keeps_what_was_harvested(done: Shell) -> None:
    table = done.cj("reduce", "results.txt")
    package = done.lines("log")[0]["package"]
    freed = done.lines("clean", "@")[0]
    assert freed["lost"] == []
    assert not (done.folder / f".git/cj/local/packages/{package}").exists()
    assert done.cj("reduce", "results.txt") == table
    assert done.cj("show", "@/3", "--out") == "done 0.1 3\n"
    assert done.lines("state")[0]["counts"] == {"COMPLETED": 12}
    assert done.lines("clean", "@", "--forget", "--yes")[0]["lost"]
    assert done.git("for-each-ref", "refs/cj/packages", "refs/cj/results") == ""
    assert done.lines("log")[0]["forgotten"] is True
    done.cj("fsck")


def test_two_packages_are_compared(done: Shell) -> None:
    first = done.lines("log")[0]["package"]
    done.write("PT.py", NEST.replace("0.3]", "0.4]"))
    second = done.lines("pardeploy", "PT.py", "local", "--seed", "8")[0]["package"]
    differences = {(d["section"], d["name"]) for d in done.lines("diff", first, second)}
    assert {("code", "PT.py"), ("parameters", "seed"), ("parameters", "delta")} <= differences
    assert "+deltas = [0.1, 0.2, 0.4]" in done.cj("diff", first, second)


def test_tasks_without_the_usual_file_or_lines_are_found(shell: Shell) -> None:
    shell.write(
        "t.py",
        "import sys\nx = int(sys.argv[-1])\nif x < 4: open('o', 'w').write('l\\n' * (1 + x // 3))\n",
    )
    shell.launch("run", "t.py", "local", "--sweep", "x=1:4")
    assert [task["task"] for task in shell.lines("sanity", "exists", "o")] == [4]
    assert [task["task"] for task in shell.lines("sanity", "lines", "o")] == [3, 4]


def test_who_config_and_fsck_answer(done: Shell) -> None:
    assert done.lines("who")[0]["author"] == "Mia <mia@example.org>"
    assert done.lines("config")[0]["cluster"]["local"]["scheduler"] == "local"
    assert 'cluster.local.scheduler = "local"\n' in done.cj("config")
    assert "nothing wrong" in done.cj("fsck")
    assert done.lines("fsck") == []


def test_a_damaged_object_is_named(done: Shell) -> None:
    package = done.lines("log")[0]["package"]
    blob = done.git("rev-parse", f"{package}:PT.py")
    path = done.folder / ".git/objects" / blob[:2] / blob[2:]
    path.chmod(0o644)
    path.write_bytes(b"rubbish")
    said = done.run("git", "cj", "fsck", code=1).stdout
    assert "PT.py" in said


def test_state_of_all_and_watch(done: Shell) -> None:
    assert done.lines("state", "--all") == []
    done.write("PT.py", NEST + "\n# again\n")
    done.cj("parrun", "PT.py", "local")
    done.cj("state", "--watch")
    assert done.lines("state")[0]["final"] is True


def test_a_cleaned_package_is_submitted_again(shell: Shell) -> None:
    shell.write("model.py", "def f(x):\n    return x\n")
    package = shell.launch("run", "model.py:f", "local", "--sweep", "x=1:3")
    shell.cj("clean", package)
    shell.cj("submit", package, "--wait")
    assert shell.lines("state", package)[0]["counts"] == {"COMPLETED": 3}
    assert (shell.folder / f".git/cj/local/packages/{package}").exists()
    assert len(shell.cj("reduce", package, "--json").splitlines()) == 3


def test_all_unfinished_packages_are_asked_for_at_once(shell: Shell) -> None:
    shell.write("p.py", "import os, time\nwhile not os.path.exists(os.environ['GO']): time.sleep(0.02)\n")
    shell.environment["GO"] = str(shell.folder.parent / "go")
    first, second = (shell.lines("run", "p.py", "local", "-m", word)[0]["package"] for word in "ab")
    waiting = shell.lines("deploy", "p.py", "local", "-m", "c")[0]["package"]
    shell.write("../go", "")
    for package in (first, second):
        shell.lines("state", package, "--watch")
    assert [line["package"] for line in shell.lines("state", "--all")] == [waiting]
    for package in (first, second):
        (shell.folder / ".git/cj/state" / f"{package}.json").unlink()
    listed = shell.lines("state", "--all")
    assert [(line["package"], line["counts"]) for line in listed] == [
        (waiting, {"PENDING": 1}),
        (second, {"COMPLETED": 1}),
        (first, {"COMPLETED": 1}),
    ]
    assert shell.cj("state", "--all").splitlines()[0].startswith(waiting[:12])


def test_a_cluster_that_cannot_be_asked_hides_no_other_one(shell: Shell) -> None:
    shell.write("p.py", "import os, time\nwhile not os.path.exists(os.environ['GO']): time.sleep(0.02)\n")
    shell.environment["GO"] = str(shell.folder.parent / "go")
    shell.write(".cjledger.toml", '[cluster.other]\nscheduler = "local"\n')
    here, there, unseen = (
        shell.lines("run", "p.py", where, "-m", word)[0]["package"]
        for where, word in (("local", "a"), ("other", "b"), ("other", "c"))
    )
    shell.lines("state", there)
    shell.write(".cjledger.toml", "")
    done = shell.run("git", "cj", "state", "--all", "--json", code=1)
    found = {line["package"]: line for line in map(json.loads, done.stdout.splitlines())}
    assert set(found) == {here, there, unseen}
    assert found[here]["problems"] == []
    assert found[there]["problems"] == ["as seen last: there is no cluster other"]
    assert (found[unseen]["counts"], found[unseen]["problems"]) == (
        {},
        ["not seen yet: there is no cluster other"],
    )
    assert "error: there is no cluster other" in done.stderr
    shell.write("../go", "")
    shell.write(".cjledger.toml", '[cluster.other]\nscheduler = "local"\n')
    for package in (here, there, unseen):
        shell.cj("state", package, "--watch")


def test_what_came_home_is_read_when_its_cluster_cannot_be_asked(shell: Shell) -> None:
    table = '[cluster.other]\nscheduler = "local"\n'
    shell.write(".cjledger.toml", table)
    command = "printf 'x\\n{x}\\n' > rows.csv; test {x} -lt 3 || test -e " + str(shell.folder / "go")
    package = shell.launch("run", "-c", command, "other", "--sweep", "x=1:3")
    rows = shell.cj("reduce", package)
    shell.cj("state", package)
    shell.write(".cjledger.toml", "")
    done = shell.run("git", "cj", "reduce", package)
    assert done.stdout == rows
    assert "as harvested before: there is no cluster other" in done.stderr
    assert shell.cj("show", f"{package}/1", "--out") == ""
    assert "there is no cluster other" in shell.refused("harvest", package)
    shell.write(".cjledger.toml", table)
    shell.write("go", "")
    shell.cj("retry", package)
    shell.write(".cjledger.toml", "")
    assert "there is no cluster other" in shell.refused("reduce", package)
    shell.write(".cjledger.toml", table)
    shell.cj("state", package, "--watch")


def test_a_query_names_each_table_that_tasks_left(shell: Shell) -> None:
    write = """
        open("a.csv", "w").write("x,y\\n1,2\\n")
        open("b.csv", "w").write("u\\n1\\n")
    """
    shell.write("two.py", dedent(write))
    shell.cj("run", "two.py", "local", "--wait")
    words = shell.refused("query", "SELECT * FROM results")
    assert 'there are: "a.csv", "b.csv", records' in words
    assert [(row["x"], row["y"]) for row in shell.lines("query", 'SELECT x, y FROM "a.csv"')] == [(1, 2)]
    assert shell.lines("query", 'SELECT u FROM "b.csv"') == [{"u": 1}]
    shell.write("one.py", 'print("x,y")\nopen("c.csv", "w").write("x\\n3\\n")\n')
    shell.cj("run", "one.py", "local", "--wait")
    everything = shell.run("git", "cj", "query", "SELECT x FROM results", "--all", "--json")
    assert everything.stdout == '{"x":3}\n'
    assert "not in results" in everything.stderr
    assert "left 2 tables" in everything.stderr
    assert len(shell.lines("query", "SELECT * FROM records", "--all")) == 2


def test_an_interrupt_leaves_the_terminal_as_it_was(shell: Shell) -> None:
    """It comes from the terminal, and once more from git."""
    shell.write("slow.py", "import time\ntime.sleep(30)\n")
    shell.cj("run", "slow.py", "local")
    pid, terminal = pty.fork()
    if not pid:
        os.chdir(shell.folder)
        path = f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}"
        os.execvpe(
            "git",
            ["git", "cj", "state", "--watch"],
            {**os.environ, **shell.environment, "PATH": path, "TERM": "xterm"},
        )
    shown = b""
    while b"1 " not in shown:
        shown += os.read(terminal, 4096)
    os.write(terminal, b"\x03")
    with suppress(OSError):  # Linux says so when no process has the terminal any more
        while part := os.read(terminal, 4096):
            shown += part
    os.waitpid(pid, 0)
    os.close(terminal)
    assert shown.rindex(b"\x1b[?25h") > shown.rindex(b"\x1b[?25l")
    assert b"the tasks go on: git cj state" in shown[shown.rindex(b"\x1b[?25h") :]
    shell.cj("cancel")
