"""Bad input: refused with the object, what happened and the next command; nothing is written."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cjledger import gitrepo
from tests.shells import PROGRAMS, Shell

CONTROL = "\x1b[31mred\x1b]0;title\x07\u202e\r\x9b2J"


def picture(shell: Shell) -> dict[str, str]:
    """Everything of the person's, and every ref of ours."""
    top = shell.folder
    seen = {
        str(path.relative_to(top)): f"{path.lstat().st_mode:o} {path.lstat().st_size}"
        for path in sorted(top.rglob("*"))
        if ".git" not in path.relative_to(top).parts
    }
    for name in ("index", "HEAD", "config", "MERGE_HEAD"):
        file = top / ".git" / name
        seen[f"git {name}"] = hashlib.sha256(file.read_bytes()).hexdigest() if file.exists() else ""
    seen["refs"] = shell.git("for-each-ref")
    return seen


def refusal(shell: Shell, *words: str, code: int = 1) -> tuple[str, str]:
    """The error and the hint of ``git cj WORDS``, which must fail and write nothing."""
    before = picture(shell)
    done = shell.run("git", "cj", *words, code=code)
    assert picture(shell) == before
    assert done.stdout == ""
    error, _, hint = done.stderr.partition("\nhint: ")
    assert error.startswith("error: "), done.stderr
    assert hint.strip(), done.stderr
    return error.removeprefix("error: "), hint.strip()


@contextmanager
def as_said(shell: Shell, *words: str) -> Iterator[str]:
    """Do what the hint of a refusal says, and see that the words are no longer refused."""
    _, hint = refusal(shell, *words)
    yield hint
    shell.cj(*words)


def follow(shell: Shell, hint: str) -> str:
    """Type the hint."""
    words = shlex.split(hint)
    assert words[0] == "git", hint
    return shell.run(*words).stdout


def commit(shell: Shell, **files: str) -> None:
    for name, text in files.items():
        shell.write(name.replace("_py", ".py"), text)
    shell.git("add", "-A")
    shell.git("commit", "-qm", "files")


@pytest.mark.parametrize(
    ("words", "named", "hinted"),
    [
        (("run", "ok.py", "locla"), "no cluster locla (did you mean local?)", "one of: local"),
        (("run", "missing.py", "local"), "no program missing.py", "script.py|name a script"),
        (("run", ".", "local"), ". is not a file", "name a script"),
        (("run", ":f", "local"), "':f' names no file", "name a script"),
        (("run", "", "local"), "'' names no file", "name a script"),
        (("run", "two.py:", "local"), "two.py: names no function (it has f, g)", "git cj run two.py:f local"),
        (("run", "ok.py:", "local"), "ok.py: names no function (it defines none)", "git cj run ok.py local"),
        (("run", "two:g", "local"), "there is no program two", "did you mean two.py:g?"),
        (("run", "two", "local"), "there is no program two", "did you mean two.py?"),
        (
            ("run", "ignored.py", "local"),
            "ignored.py is ignored by git",
            "git add -f -- ignored.py puts",
        ),
        (("run", "../out.py", "local"), "../out.py is outside the repository", "cp ../out.py"),
        (("run", "broken.py", "local"), "broken.py:2: ", "python -m py_compile broken.py"),
        (("parrun", "broken.py", "local"), "broken.py:2: ", "python -m py_compile broken.py"),
        (("parrun", "ok.py", "local"), "ok.py has no for loop", "git cj run ok.py"),
        (("parrun", "empty.py", "local"), "line 1 has no iterations: an empty sweep", "give its loops"),
        (("run", "ok.py", "local", "--sweep", "x="), "--sweep x=: there is no value", "--sweep x="),
        (("run", "ok.py", "local", "--sweep", "x=3:1:1"), "the range is empty", "--sweep x=3:-1:1"),
        (("run", "ok.py", "local", "--points", "rows.csv"), "the sweep is empty", "one row a task"),
        (("run", "ok.py", "local", "--points", "no.csv"), "there is no points file", "name one of .csv"),
        (("run", "ok.py", "local", "--blocks", "blocks.json"), "the sweep is empty", "--sweep"),
        (("run", "ok.py", "local", "--repeat", "0"), "there is nothing to run", "--repeat 10"),
        (("run", "ok.py", "local", "--repeat", "1000001"), "1000001 tasks are more than", "max_tasks"),
        (("run", "-c", "echo {cj_repeat}", "local"), "{cj_repeat}, which is no parameter", "--sweep"),
        (("run", "-c", "awk '{print $1}'", "local"), "{print $1}, which is no", "{{print $1}} means the"),
        (("run", "-c", "", "local"), "the command is empty", "git cj run -c 'echo {x}' local"),
        (("run", "ok.py", "local", "--out", ""), "--out '': a pattern without", "--out 'results*.csv'"),
        (("run", "ok.py", "local", "--out", "a[]"), "'a[]': [] names no character", "--out 'results*.csv'"),
        (("run", "ok.py", "local", "--points", "other.csv"), "'x;y' is not a parameter name", "commas"),
        (("run", "ok.py:f", "local"), "no function f at module level", "ok.py:FUNCTION"),
        (("run", "ok.py", "local", "--mem", "lots"), "'lots' is not an amount of memory", "4G"),
        (("run", "ok.py", "local", "--retries", "101"), "101 retries: 0 to 100 can be", "--retries 3"),
        (("run", "ok.py", "local", "--retry-on", "FAILED"), "--retry-on without --retries", "--retries 3"),
        (
            ("run", "ok.py", "local", "--retries", "1", "--retry-on", "TIMEOUT,NODEFAIL"),
            "'NODEFAIL' is no cause of a retry (did you mean NODE_FAIL?)",
            "TIMEOUT",
        ),
        (
            ("run", "ok.py", "local", "--retries", "1", "--retry-on", "SIGKILL"),
            "'SIGKILL' is no cause of a retry (did you mean 137?)",
            "exit codes: 137",
        ),
        (("run", "ok.py", "local", "--retries", "1", "--retry-on", "256"), "256 is no exit code", "1 to 255"),
        (
            ("run", "ok.py", "local", "--retries", "1", "--retry-on", "CANCELLED"),
            "what was cancelled does not run again by itself",
            "git cj retry",
        ),
        (
            ("run", "ok.py", "local", "--retries", "1", "--mem", "1G", "--grow-mem", "0.5x"),
            "'0.5x' is no growth",
            "2x",
        ),
        (("run", "ok.py", "local", "--retries", "1", "--grow-mem", "2x"), "growing from what?", "--mem 4G"),
        (
            (
                "run",
                "ok.py",
                "local",
                "--retries",
                "1",
                "--retry-on",
                "137",
                "--time",
                "1",
                "--grow-time",
                "2x",
            ),
            "TIMEOUT is not among the causes",
            "--retry-on",
        ),
        (("run", "ok.py", "local", "--jobs", "-1"), "--jobs -1: less than one", "--jobs 1"),
        (("run", "ok.py", "local", "--cpus", "0"), "--cpus 0: less than one", "--cpus 1"),
        (("log", "-n", "0"), "-n 0: less than one", "-n 1"),
        (("state", "abcd"), "no package abcd", "git cj log --all"),
        (("state", "xyz"), "'xyz' is not a package ID", "git cj log"),
        (("state", "local"), "'local' is not a package ID", "git cj summary local"),
        (("state",), "nothing was launched", "git cj run PROGRAM local"),
        (("query", "SELECT 1 FROM results", "--all"), "nothing was launched", "git cj run PROGRAM local"),
    ],
)
def test_what_cannot_be_launched_is_refused(
    crowd: Shell, words: tuple[str, ...], named: str, hinted: str
) -> None:
    error, hint = refusal(crowd, *words)
    assert named in error
    assert any(each in hint for each in hinted.split("|"))


def test_who_launched_nothing_is_told_of_what_others_launched(shell: Shell) -> None:
    told = "nothing was launched in this repository yet: git cj run PROGRAM local"
    assert shell.run("git", "cj", "log").stderr == f"{told}\n"
    assert "here that fits: git cj log" in shell.run("git", "cj", "log", "--program", "x").stderr
    shell.git("remote", "add", "origin", "elsewhere")
    assert shell.run("git", "cj", "log").stderr == f"{told}, or git cj sync for what others launched\n"
    assert refusal(shell, "query", "SELECT 1 FROM results")[1].endswith(
        "git cj sync for what others launched"
    )


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """One repository for all that writes nothing."""
    folder = tmp_path_factory.mktemp("crowd") / "work"
    folder.mkdir()
    found = Shell(folder, {"GIT_AUTHOR_NAME": "M", "GIT_AUTHOR_EMAIL": "m@e"})
    found.environment |= {"GIT_COMMITTER_NAME": "M", "GIT_COMMITTER_EMAIL": "m@e"}
    found.run("git", "init", "-q", "-b", "main")
    commit(found, ok_py="print(1)\n", empty_py="for i in []:\n    print(i)\n")
    found.write("two.py", "def f(): pass\ndef g(): pass\n")
    found.write("../out.py", "print(1)\n")
    found.write("ignored.py", "print(1)\n")
    found.write(".gitignore", "ignored.py\n")
    found.write("broken.py", "x = 1\nfor i in range(:\n")
    found.write("rows.csv", "x\n")
    found.write("other.csv", "x;y\n1;2\n")
    found.write("blocks.json", "[]")
    return found


@pytest.mark.parametrize(
    "words",
    [
        ("frobnicate",),
        ("stat",),
        ("run",),
        ("run", "ok.py"),
        ("run", "-dash.py", "local"),
        ("run", "ok.py", "local", "--cpus", "many"),
        ("run", "ok.py", "local", "--frob"),
        ("run", "ok.py", "local", "--sweep", "x=1", "--points", "rows.csv"),
        ("parrun", "ok.py:f", "local"),
        ("show", "--out", "--err"),
        ("plot", "--x", "a", "--y", "b", "--by", "c", "--color", "d"),
        ("completion", "csh"),
    ],
)
def test_words_that_do_not_fit_together_are_usage_errors(crowd: Shell, words: tuple[str, ...]) -> None:
    error, hint = refusal(crowd, *words, code=2)
    assert error
    assert "git cj" in hint or "one of" in hint


def test_outside_a_repository_there_is_nothing_to_launch(crowd: Shell) -> None:
    outside = Shell(crowd.folder.parent)
    for words in (("run", "out.py", "local"), ("state",), ("log",), ("fsck",)):
        said = outside.refused(*words)
        assert "is not in a git repository\nhint: git init" in said
    assert sorted(path.name for path in outside.folder.iterdir()) == ["out.py", "work"]
    bare = crowd.folder.parent / "bare.git"
    crowd.git("init", "-q", "--bare", str(bare))
    for folder in (bare, crowd.folder / ".git"):
        said = Shell(folder).refused("run", "ok.py", "local")
        assert "has no working copy: it is a bare repository" in said
        assert "hint: cd to a working copy of it: git worktree list\n" in said
    shutil.rmtree(bare)


def test_a_git_that_is_too_old_here_is_named(crowd: Shell, tmp_path: Path) -> None:
    # As git 2.18 and 1.8 do: they repeat the questions that they do not know, and end well.
    program = tmp_path / "git"
    program.write_text('#!/bin/sh\nshift\nprintf "%s\\n" "$@"\n')
    program.chmod(0o755)
    there = Shell(crowd.folder, {"PATH": os.pathsep.join((str(tmp_path), str(PROGRAMS), os.environ["PATH"]))})
    said = there.run("git-cj", "run", "ok.py", "local", code=1).stderr
    words = "the git program on PATH is older than 2.29"
    assert said == f"error: {words}\nhint: install a newer one: git cj doctor\n"


def test_an_ambiguous_prefix_lists_the_candidates_and_hints_at_one(shell: Shell) -> None:
    commit(shell, ok_py="print(1)\n")
    first = shell.lines("run", "ok.py", "local", "--no-submit")[0]["package"]
    second = first[:6] + ("0" * 34 if first[6] != "0" else "f" * 34)
    refs = shell.folder / ".git/refs/cj/packages"
    (refs / second).write_text(first + "\n")
    error, hint = refusal(shell, "show", first[:6])
    assert f"{first[:6]} names 2 packages: " in error
    assert first[:12] in error
    assert second[:12] in error
    assert hint.startswith("git cj show ")
    follow(shell, f"git cj show {first[:12]}")


def test_tasks_and_files_that_a_package_does_not_have_are_named(shell: Shell) -> None:
    commit(shell, ok_py="print(1)\n")
    package = shell.launch("run", "ok.py", "local")
    for words in (
        ("state", "@/7"),
        ("show", "@/7"),
        ("ls", "@/7"),
        ("cancel", "@/7"),
        ("show", "@/7", "--out"),
    ):
        error, hint = refusal(shell, *words)
        assert f"package {package[:12]} has 1 task: there is no task 7" in error
        follow(shell, hint)
    shell.cj("harvest")
    error, hint = refusal(shell, "show", "@/1/no.csv")
    assert f"task 1 of {package[:12]} left no no.csv" in error
    follow(shell, hint)
    assert "'x' does not name tasks" in refusal(shell, "show", "@/x")[0]
    for out in ("all.csv", "all.txt"):
        error, _ = refusal(shell, "reduce", "no.csv", "-o", out)
        assert "no task left a table no.csv" in error
    assert "unknown kind of file" in refusal(shell, "reduce", "-o", "x.xls")[0]
    assert "is already there" in refusal(shell, "checkout", "@", ".")[0]


def test_more_tasks_than_the_configured_maximum_are_refused_until_it_is_raised(shell: Shell) -> None:
    commit(shell, ok_py="print(1)\n", nest_py="for i in range(4):\n    print(i)\n")
    shell.write(".cjledger.toml", "[limits]\nmax_tasks = 3\n")
    with as_said(shell, "run", "ok.py", "local", "--sweep", "x=1:1:4", "--no-submit") as hint:
        assert "raise max_tasks under [limits] in .cjledger.toml" in hint
        error, _ = refusal(shell, "parrun", "nest.py", "local")
        assert "more than the configured maximum of 3 tasks" in error
        shell.write(".cjledger.toml", "[limits]\nmax_tasks = 4\n")


def test_an_unborn_head_works(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shell.git("init", "-q", "-b", "main")
    shell.write("ok.py", "print('born')\n")
    package = shell.launch("run", "ok.py", "local")
    assert shell.cj("show", "@/1", "--out") == "born\n"
    assert shell.lines("show")[0]["head"] is None
    assert "Cj-Head: unborn" in shell.git("log", "-1", "--format=%B", package)
    assert not (tmp_path / ".git/index").exists()


def test_a_merge_in_progress_works_and_stays_in_progress(shell: Shell) -> None:
    commit(shell, ok_py="print(open('a').read().count('====='))\n", a="0\n")
    shell.git("checkout", "-qb", "side")
    commit(shell, a="side\n")
    shell.git("checkout", "-q", "main")
    commit(shell, a="main\n")
    shell.run("git", "merge", "-q", "side", code=1)
    before = {key: value for key, value in picture(shell).items() if key != "refs"}
    shell.launch("run", "ok.py", "local")
    after = picture(shell)
    after.pop("refs")
    assert after == before
    assert shell.git("ls-files", "-u")
    assert shell.cj("show", "@/1", "--out") == "1\n"
    assert {"path": "a", "change": "conflicted"} in shell.lines("show")[0]["dirty"]


def test_a_nested_repository_stops_a_launch_until_it_is_taken_or_ignored(shell: Shell) -> None:
    commit(shell, ok_py="print(open('lib/f').read())\n")
    for step in ("unborn", "born"):
        lib = Shell(shell.folder / "lib")
        if step == "unborn":
            shell.git("init", "-q", "lib")
            lib.write("f", "from lib\n")
        else:
            lib.git("add", "-A")
            lib.git("commit", "-qm", "f")
        error, hint = refusal(shell, "run", "ok.py", "local")
        assert "nested repository lib" in error
        assert "--dep lib" in hint
    assert "lib/p.py is in a repository of its own" in _program_in(shell, "lib")
    shell.launch("run", "ok.py", "local", "--dep", "lib")
    assert shell.cj("show", "@/1", "--out") == "from lib\n\n"
    assert shell.lines("show")[0]["report"] == []
    with as_said(shell, "run", "ok.py", "local", "--no-submit") as hint:
        shell.run("sh", "-c", hint.partition(", or ")[2])


def _program_in(shell: Shell, folder: str) -> str:
    program = shell.write(f"{folder}/p.py", "print(1)\n")
    error, hint = refusal(shell, "run", f"{folder}/p.py", "local")
    assert f"--dep {folder}" in hint
    program.unlink()
    return error


def test_a_submodule_with_changes_stops_a_launch_until_they_are_taken_or_committed(
    shell: Shell, tmp_path: Path
) -> None:
    inner = Shell(tmp_path / "inner")
    inner.folder.mkdir()
    inner.git("init", "-q")
    commit(inner, f="1\n")
    shell.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(inner.folder), "lib")
    commit(shell, ok_py="print(open('lib/f').read())\n")
    shell.write("lib/f", "2\n")
    error, hint = refusal(shell, "run", "ok.py", "local")
    assert "submodule lib, which has changes" in error
    assert "lib/p.py is in a repository of its own" in _program_in(shell, "lib")
    shell.launch("run", "ok.py", "local", "--dep", "lib")
    assert shell.cj("show", "@/1", "--out") == "2\n\n"
    follow(shell, hint.partition(", or ")[2] + " -qm two")
    told = shell.run("git", "cj", "run", "ok.py", "local", "--no-submit").stderr
    assert "lib: submodule, in the package as a link without files (--dep FOLDER takes the files)\n" in told
    assert "submodule" not in shell.run("git", "cj", "run", "ok.py", "local", "--dep", "lib").stderr


def test_programs_of_any_name_run_and_are_found_again(shell: Shell) -> None:
    """Newline, quotes, blanks, other scripts, a leading dash, a colon, what a shell would act on."""
    names = ["a\nb 数.py", '-it\'s "so":$(touch x);`y`&|*?.py', "#.py"]
    for number, name in enumerate(names):
        folder = shell.folder / "-d ü\n'" / str(number)
        folder.mkdir(parents=True)
        (folder / name).write_text(f"print({number})\nopen('r.csv', 'w').write('v\\n{number}\\n')\n")
        inside = Shell(folder)
        sent = inside.lines("run", f"./{name}", "local", "-m", name, "--wait")[0]
        assert inside.cj("show", f"{sent['package']}/1", "--out") == f"{number}\n"
        assert inside.lines("show", sent["package"])[0]["program"]["path"] == f"-d ü\n'/{number}/{name}"
        for line in (shell.cj("state") + shell.cj("log", "-n", "1")).splitlines():
            assert len(line) <= 80
    table = shell.cj("reduce", "r.csv", "@").splitlines()
    assert table[1].endswith(f",{len(names) - 1}")
    assert not (shell.folder / "x").exists()
    refusal(shell, "run", "-n.py", "local", code=2)


def test_control_characters_never_reach_the_terminal(shell: Shell) -> None:
    bad = "p" + CONTROL + ".py"
    program = shell.write(bad, "print(1)\n")
    error, hint = refusal(shell, "run", bad, "local")
    assert "path that is refused" in error
    assert not set(error) & set(CONTROL[0])
    assert "rename it" in hint
    name = "p\u202e\u2066.py"
    program.rename(shell.folder / name)
    (shell.folder / name).write_text(f"import sys\nprint({CONTROL!r})\nsys.exit({CONTROL!r})\n")
    package = shell.lines("run", name, "local", "-m", f"why {CONTROL}\n\nmore", "--wait")[0]["package"]
    said = [
        shell.run("git", "cj", *words, code=None)
        for words in (
            ("state",),
            ("log",),
            ("log", "--json"),
            ("show",),
            ("show", "@/1"),
            ("ls",),
            ("reduce", CONTROL),
            ("run", CONTROL, "local"),
            ("run", "README", CONTROL),
            ("state", CONTROL),
            ("run", name, "local", "--dry-run"),
        )
    ]
    for done in said:
        for text in (done.stdout, done.stderr):
            assert not set(text) & set("\x1b\x07\x9b\r\u202e"), (done.args, text)
    assert package[:12] in said[0].stdout
    assert (
        shell.cj("show", "@/1", "--out") == CONTROL.replace("\r", "\n") + "\n"
    )  # a file's bytes as they are


def test_secrets_stop_a_launch_and_never_become_objects(shell: Shell) -> None:
    """F27."""
    commit(shell, ok_py="print(1)\n")
    secrets = {
        ".env": "TOKEN=x\n",
        "a b\n.env": "TOKEN=y\n",
        "conf.py": "k = 'AKIA" + "ABCDEFGHIJKLMNOP" + "'\n",
        "n.ipynb": json.dumps({"out": "ghp_" + "a" * 36}),
    }
    objects = {}
    for name, text in secrets.items():
        shell.write(name, text)
        objects[name] = shell.run("git", "hash-object", "--", name).stdout.strip()
        error, hint = refusal(shell, "run", "ok.py", "local")
        assert "1 file looks like a secret: " in error
        assert "\n" not in error
        assert "add it to .gitignore" in hint
        assert shell.run("git", "cat-file", "-e", objects[name], code=None).returncode
        allowing = shlex.split(hint.partition("allow it: ")[2])
        shell.cj("run", "ok.py", "local", "--no-submit", *allowing)
        shell.git("cat-file", "-e", objects[name])
        (shell.folder / name).unlink()
    shell.write(".env", "A=1\n")
    shell.write("sub/.netrc", "machine\n")
    error, _ = refusal(shell, "run", "ok.py", "local")
    assert "2 files look like a secret: .env (by its name), sub/.netrc (by its name)" in error


def test_large_untracked_files_stop_a_launch_and_never_become_objects(shell: Shell) -> None:
    commit(shell, ok_py="print(1)\n")
    shell.write(".cjledger.toml", "[limits]\nfile_mb = 1\ntotal_mb = 2\n")
    large = shell.write("large.bin", "x" * ((1 << 20) + 1))
    name = shell.git("hash-object", "large.bin")
    with as_said(shell, "run", "ok.py", "local", "--no-submit") as hint:
        assert hint == "add it to .gitignore, or launch with --allow-large"
        assert shell.run("git", "cat-file", "-e", name, code=None).returncode
        shell.write(".gitignore", "large.bin\n")
    large.unlink()
    for number in range(3):
        shell.write(f"{number}.bin", "x" * 1_000_000)
    assert "over 2 MB together" in refusal(shell, "run", "ok.py", "local")[0]
    shell.cj("run", "ok.py", "local", "--no-submit", "--allow-large")


@pytest.mark.parametrize("tracked", [False, True])
def test_a_file_that_cannot_be_read_is_named(shell: Shell, tracked: bool) -> None:
    commit(shell, ok_py="print(1)\n", data="1\n")
    path = shell.write("data" if tracked else "other", "2\n")
    path.chmod(0)
    words: tuple[str, ...] = ("git", "cj", "run", "ok.py", "local")
    if os.geteuid() == 0:  # root reads everything, unless it lacks the capability
        if not shutil.which("setpriv"):
            pytest.skip("root reads every file, and there is no setpriv")
        words = ("setpriv", "--bounding-set=-dac_override,-dac_read_search", *words)
    done = shell.run(*words, code=1)
    assert done.stderr.startswith("error: ")
    assert path.name in done.stderr
    assert "\nhint: " in done.stderr
    assert shell.git("for-each-ref", "refs/cj") == ""
    path.chmod(0o644)
    shell.cj("run", "ok.py", "local", "--no-submit")


def test_every_fault_of_the_configuration_is_named_with_the_nearest_key(shell: Shell) -> None:
    commit(shell, ok_py="print(1)\n")
    wrong = """
defalt_cluster = "x"
[limits]
max_task = 3
file_mb = -1
[program]
output = ["*.csv"]
[cluster.fast]
schedular = "slurm"
scheduler = "slrum"
[cluster.fast.resources]
walltme = 3
"""
    shell.write(".cjledger.toml", wrong)
    for words in (("run", "ok.py", "local"), ("state",), ("config",)):
        error, hint = refusal(shell, *words)
        assert "the configuration has 7 faults" in error
        for given, meant in (
            ("defalt_cluster", "default_cluster"),
            ("limits.max_task", "max_tasks"),
            ("program.output", "outputs"),
            ("cluster.fast.schedular", "scheduler"),
            ("cluster.fast.resources.walltme", "walltime"),
        ):
            assert f"unknown key {given} (did you mean {meant}?)" in error
        assert "cluster.fast.scheduler must be one of" in error
        assert "(did you mean slurm?)" in error
        assert "limits.file_mb must be" in error
        assert "docs/configuration.md" in hint
    for text in ("a = [", "a = 1\na = 2\n", "\x00", "[cluster]\nlocal = 3\n"):
        shell.write(".cjledger.toml", text)
        assert ".cjledger.toml" in refusal(shell, "run", "ok.py", "local")[0]
    (shell.folder / ".cjledger.toml").write_bytes(b"\xff\xfe")
    assert "is not UTF-8 text" in refusal(shell, "run", "ok.py", "local")[0]
    person = Path(os.environ["HOME"]) / ".config/cjledger/config.toml"
    person.parent.mkdir(parents=True)
    person.write_text("[limit]\n")
    shell.write(".cjledger.toml", "[limits]\nmax_tasks = 3\n")
    assert f"{person}: unknown key limit (did you mean limits?)" in refusal(shell, "run", "ok.py", "local")[0]


def craft(shell: Shell, package: str, manifest: bytes) -> str:
    """The same package with another manifest, as another version of the program would write it."""
    blob = subprocess.run(
        ("git", "hash-object", "-w", "--stdin"), cwd=shell.folder, input=manifest, capture_output=True
    ).stdout.decode()
    inner = shell.git("ls-tree", f"{package}:.cj").replace(
        shell.git("rev-parse", f"{package}:.cj/package.json"), blob.strip()
    )
    folder = shell.run("git", "mktree", stdin=inner + "\n").stdout.strip()
    outer = shell.git("ls-tree", package).replace(shell.git("rev-parse", f"{package}:.cj"), folder)
    tree = shell.run("git", "mktree", stdin=outer + "\n").stdout.strip()
    made = shell.run("git", "commit-tree", tree, stdin="from the future\n").stdout.strip()
    shell.git("update-ref", f"refs/cj/packages/{made}", made)
    return made


def test_a_package_of_a_newer_format_is_refused_by_name_and_harms_no_other(shell: Shell) -> None:
    commit(shell, ok_py="open('r.csv', 'w').write('v\\n1\\n')\n")
    package = shell.launch("run", "ok.py", "local")
    shell.cj("harvest")
    content = json.loads(shell.git("show", f"{package}:.cj/package.json"))
    newer = craft(shell, package, json.dumps({"format": 3, "program": ["all", "else", "differs"]}).encode())
    for words in (
        ("state", newer),
        ("show", newer),
        ("submit", newer),
        ("reduce", "r.csv", newer),
        ("cancel", newer),
        ("diff", newer, package),
    ):
        error, hint = refusal(shell, *words)
        assert f"package {newer[:12]} has format 3, newer than this program's 2" in error
        assert hint == "pip install --upgrade cjledger"
    assert newer[:12] in shell.cj("fsck", code=1)
    for wrong in (b"\xff", json.dumps({**content, "program": []}).encode()):
        broken = craft(shell, package, wrong)
        error, hint = refusal(shell, "state", broken)
        assert f"package {broken[:12]} has a manifest that cannot be read" in error
        assert hint == f"git cj fsck {broken[:12]}"
        assert broken[:12] in shell.cj("fsck", broken[:12], code=1)
    assert shell.lines("query", "SELECT v FROM results", "--all") == [{"v": 1}]
    assert shell.lines("log")[0]["package"] == package
    assert shell.lines("state", package)[0]["final"] is True
    assert shell.lines("state", "--all") == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 6 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ("mount", "-t", "tmpfs", "-o", "size=6m", "none", str(folder)), capture_output=True
    )
    if mounted.returncode:
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(("umount", "-l", str(folder)), check=True)


def test_a_full_disk_is_said_and_leaves_no_half_of_a_package(small_disk: Path) -> None:
    shell = Shell(small_disk)
    shell.git("init", "-q", "-b", "main")
    commit(shell, ok_py="print(1)\n", data="0" * 300_000)
    shell.write("data", "".join(f"{n * n % 97}," for n in range(100_000)))
    refused = 0
    for room in (0, 100_000, 500_000, 900_000):
        free = os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_bsize
        with (small_disk / ".git/filler").open("wb") as filler:
            filler.write(b"x" * max(0, free - room))
        done = shell.run("git", "cj", "run", "ok.py", "local", code=None)
        (small_disk / ".git/filler").unlink()
        packages = shell.git("for-each-ref", "--format=%(objectname)", "refs/cj/packages").split()
        if done.returncode:
            refused += 1
            assert done.returncode == 1, done.stderr
            assert "error: " in done.stderr
            assert "hint: " in done.stderr
            assert "space" in done.stderr
        for package in packages:  # there as a whole or not at all
            shell.git("fsck", "--connectivity-only", package)
            shell.cj("submit", package)
            shell.cj("state", package, "--watch")
            shell.cj("clean", package, "--forget", "--yes")
    assert refused
    shell.launch("run", "ok.py", "local")
    assert shell.cj("show", "@/1", "--out") == "1\n"
    assert not [path for path in (small_disk / ".git/cj").rglob("*") if path.name.startswith("package-")]


def test_a_ref_that_a_full_disk_cannot_hold_is_said_with_the_cause(small_disk: Path) -> None:
    shell = Shell(small_disk)
    shell.git("init", "-q", "-b", "main")
    commit(shell, ok_py="print(1)\n")
    repo = gitrepo.discover(small_disk)
    with pytest.raises(OSError, match="space"):
        (small_disk / "filler").write_bytes(b"x" * 7_000_000)
    with pytest.raises(gitrepo.GitError) as refused:
        gitrepo.move_refs(repo, [gitrepo.RefMove("refs/cj/a", repo.head or "", repo.zero)], "a test")
    assert "No space left on device" in refused.value.message
    assert "free some space" in (refused.value.hint or "")


def test_a_launch_from_a_folder_without_files_is_refused(shell: Shell) -> None:
    shell.write("a.py", "print(1)\n")
    shell.write(".gitignore", "ignored/\n")
    for name in ("empty", "ignored"):
        (shell.folder / name).mkdir()
        inside = Shell(shell.folder / name, shell.environment)
        refused = inside.refused("run", "../a.py", "local")
        assert f"error: {name}/ has no file in the package, so no task can start there\n" in refused
        assert "hint: cd .., then launch from there" in refused
    assert shell.cj("log") == ""


def test_a_folder_that_tasks_will_lack_is_said(shell: Shell) -> None:
    (shell.folder / "results").mkdir()
    writes = "open('results/out.csv', 'w').write('a\\n1\\n')\n"
    shell.write("a.py", writes)
    done = shell.run("git", "cj", "run", "a.py", "local", "--dry-run")
    assert "results/ is empty or ignored by git: no task has it to write out.csv" in done.stderr
    assert "os.makedirs('results', exist_ok=True)" in done.stderr
    shell.write("a.py", "import os\nos.makedirs('results', exist_ok=True)\n" + writes)
    assert "results/" not in shell.run("git", "cj", "run", "a.py", "local", "--dry-run").stderr
    shell.write("a.py", writes)
    shell.write("results/kept", "")
    assert "results/" not in shell.run("git", "cj", "run", "a.py", "local", "--dry-run").stderr


def test_a_program_that_a_command_begins_with_must_be_in_the_package(shell: Shell) -> None:
    shell.write("sim", "#!/bin/sh\necho $1\n").chmod(0o755)
    shell.write(".gitignore", "sim\n")
    shell.write("todo.txt", "./sim 1\n./sim 2\n")
    for words in (("-c", "./sim {n}", "local", "--sweep", "n=1"), ("--commands", "todo.txt", "local")):
        assert "sim is ignored by git" in shell.refused("run", *words)
    shell.git("add", "-f", "sim")
    shell.cj("run", "--commands", "todo.txt", "local", "--wait")
    assert shell.cj("show", "@/2", "--out") == "2\n"


def test_what_a_filter_of_git_s_stores_is_said(shell: Shell) -> None:
    shell.git("config", "filter.crypt.clean", "tr a-z n-za-m")
    shell.write(".gitattributes", "key.txt filter=crypt\nother.txt filter=nothing\n")
    shell.write("key.txt", "hello\n")
    shell.write("other.txt", "hello\n")
    shell.write("p.py", "print(1)\n")
    told = " ".join(shell.run("git", "cj", "run", "p.py", "local").stderr.split())
    assert "key.txt: in the package as git's filter crypt stores it, not as it stands here" in told
    assert "other.txt" not in told


@pytest.mark.parametrize(
    "words", [("run", "-c", b"echo \xe9", "local"), ("log", "-m", b"\xe9"), ("query", b"SELECT '\xe9'")]
)
def test_words_that_are_no_text_are_refused(shell: Shell, words: tuple[str | bytes, ...]) -> None:
    done = shell.run(*map(os.fsdecode, ("git", "cj", *words)), code=2)
    assert "not text in UTF-8" in done.stderr


def test_points_and_commands_come_from_pipes(shell: Shell) -> None:
    shell.write("p.py", "import sys\nprint(sys.argv[2])\n")
    for word, text in (("--points p.py", "x\n5\n"), ("--commands", "echo 5\n")):
        option, *program = word.split()
        shell.run("mkfifo", "pipe")
        given = f"printf '{text}' > pipe & git cj run {' '.join(program)} local {option} pipe --wait"
        shell.run("sh", "-c", given.encode("unicode_escape").decode().replace("\\\\", "\\"))
        assert shell.cj("show", "@/1", "--out") == "5\n"
        (shell.folder / "pipe").unlink()
