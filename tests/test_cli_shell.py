"""The frame of the command line: help, errors, exit codes, completion, the manual."""

from __future__ import annotations

import importlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cjledger.cli import main, manpage, manual
from cjledger.cli.app import command
from cjledger.cli.verbs import VERBS

DOCS = Path(__file__).parent.parent / "docs"


def _run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(("git-cj", *words), capture_output=True, text=True, stdin=subprocess.DEVNULL)


def _imported(words: list[str]) -> set[str]:
    """The modules of a process that ran ``git cj WORDS``."""
    code = f"import sys; from cjledger.cli import main; main({words!r}); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run((sys.executable, "-c", code), capture_output=True, text=True)
    return set(done.stderr.split())


def test_the_program_does_without_pandas_also_where_it_is_installed() -> None:
    code = """
import sys, cjledger.start, cjledger.cli
def convert():
    import pyarrow
    print(pyarrow.scalar(1), pyarrow.array([1.5]), "pandas" in sys.modules)
    return 0
cjledger.cli.main = convert
cjledger.start.main()
"""
    done = subprocess.run((sys.executable, "-c", code), capture_output=True, text=True)
    assert done.stdout.split()[0] == "1", done.stderr
    assert done.stdout.split()[-1] == "False"


def test_help_names_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-h"]) == 0
    shown = capsys.readouterr().out
    assert all(f"  {name} " in shown for name in VERBS)
    assert main(["--help"]) == 0
    assert capsys.readouterr().out == shown
    assert main([]) == 2
    assert capsys.readouterr().out == shown


@pytest.mark.parametrize("name", VERBS)
def test_each_verb_explains_itself_in_80_columns(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "-h"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"Usage: git cj {name} {VERBS[name].usage}".rstrip() + "\n")
    assert all(len(line) <= 80 for line in shown.splitlines())
    assert "VALUE" not in shown
    assert not any(line.startswith("git cj ") for line in shown.splitlines()), "an example is set as prose"
    for words in ([name, "--help"], ["help", name]):
        assert main(words) == 0
        assert capsys.readouterr().out == shown


@pytest.mark.parametrize("name", VERBS)
def test_each_verb_s_first_line_is_its_summary(name: str) -> None:
    function = getattr(importlib.import_module(f"cjledger.cli.{VERBS[name].module}"), VERBS[name].code)
    assert function.__doc__.split("\n")[0] == VERBS[name].summary


@pytest.mark.parametrize("name", VERBS)
def test_every_word_of_a_verb_is_explained(name: str) -> None:
    shown = manual.page(command(name), VERBS[name])
    assert all(word.text for word in (*shown.arguments, *shown.options))


def test_whatever_prints_has_json() -> None:
    pages = [manual.page(command(name), verb) for name, verb in VERBS.items()]
    without = [
        page.verb.name for page in pages if not any("--json" in option.spelling for option in page.options)
    ]
    assert without == ["completion"]
    assert set(manpage.JSON) | {"completion", "harvest", "sanity"} == set(VERBS)


def test_the_version_comes_without_typer(repository: Path) -> None:
    assert _run("--version").stdout == f"{manual.version_line()}\n"
    by_git = subprocess.run(("git", "cj", "--version"), capture_output=True, text=True)
    assert by_git.stdout == f"{manual.version_line()}\n"
    assert "typer" not in _imported(["--version"])


@pytest.mark.parametrize("words", [["run", "-h"], ["who"], ["log"], ["state"], ["config"]])
def test_a_light_command_imports_nothing_heavy(repository: Path, words: list[str]) -> None:
    heavy = {
        "rich",
        "pydantic",
        "pyarrow",
        "polars",
        "paramiko",
        "dulwich",
        "pygit2",
        "plotext",
        "matplotlib",
    }
    assert _imported(words) & heavy == set()


@pytest.mark.parametrize(
    ("words", "lines"),
    [
        (["stat"], ["error: there is no verb stat", "hint: git cj state"]),
        (["xyzzy"], ["error: there is no verb xyzzy", "hint: git cj -h"]),
        (["--verison"], ["error: there is no option --verison", "hint: git cj -h"]),
        (["help", "stat"], ["error: there is no verb stat", "hint: git cj state"]),
        (["state", "--jsn"], ["error: no such option: --jsn", "hint: git cj state -h"]),
        (["log", "-n", "many"], ["error: invalid value for '-n' / '--number': 'many' is not a whole number"]),
        (["gather", "x"], ["error: missing argument 'DIR'", "hint: git cj gather -h"]),
        (["run"], ["error: which program?"]),
        (
            ["parrun", "local", "a b.py"],
            ["error: local is a cluster: the program comes first", "hint: git cj parrun 'a b.py' local"],
        ),
        (["run", "a.py"], ["error: on which cluster?", "hint: git cj run a.py local"]),
        (["parrun", "a.py"], ["error: on which cluster?", "hint: git cj parrun a.py local"]),
        (["deploy", "a.py"], ["error: on which cluster?", "hint: git cj deploy a.py local"]),
        (["pardeploy", "a.py"], ["error: on which cluster?", "hint: git cj pardeploy a.py local"]),
        (["parrun"], ["error: which program?", "hint: git cj parrun PROGRAM CLUSTER"]),
        (["pardeploy"], ["error: which program?", "hint: git cj pardeploy PROGRAM CLUSTER"]),
        (
            ["parrun", "local"],
            ["error: which program? local is a cluster", "hint: git cj parrun PROGRAM local"],
        ),
        (["run", "-c", "ls", "a", "b"], ["error: with -c or --commands there is no program: what is a?"]),
        (["plot", "@"], ["error: which columns?"]),
        (["sanity", "esists", "f"], ["error: there is no check esists", "hint: git cj sanity exists f"]),
        (["completion", "csh"], ["error: there is no completion for csh", "hint: git cj completion bash"]),
    ],
)
def test_words_that_do_not_fit_are_a_usage_error(
    repository: Path, words: list[str], lines: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert [line.split(" (")[0] for line in shown.err.splitlines()][: len(lines)] == lines
    assert shown.err.splitlines()[-1].startswith("hint: ")
    assert len(shown.err.splitlines()) == 2


def test_a_refusal_says_what_and_what_next(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = _run("state", "abcd")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[0] == "error: there is no package abcd in this repository"
    assert done.stderr.splitlines()[1].startswith("hint: git cj ")
    monkeypatch.chdir(tmp_path)
    done = _run("state")
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "is not in a git repository" in done.stderr


def test_control_characters_never_reach_the_terminal(repository: Path) -> None:
    (repository / ".cjledger.toml").write_text('"\\u001b]0;x\\u0007\\u202ekey" = 1\n')
    done = _run("who")
    assert done.returncode == 1
    assert "unknown key key" in done.stderr
    assert done.stderr.replace("\n", "").isprintable()


def test_a_folder_that_is_gone_is_said(repository: Path) -> None:
    gone = repository / "gone"
    gone.mkdir()
    os.chdir(gone)
    gone.rmdir()
    done = _run("state")
    assert (done.returncode, done.stderr.splitlines()[0]) == (
        1,
        "error: the folder you are in does not exist any more",
    )


def test_a_bug_leaves_its_traceback_in_a_file_and_one_line(repository: Path) -> None:
    (repository / ".git/cj/agent").mkdir(
        parents=True
    )  # a folder where a file belongs: nobody's fault but ours
    done = _run("who")
    kept = list((repository / ".git/cj/bugs").iterdir())
    assert done.returncode == 3
    assert len(kept) == 1
    assert done.stderr == f"error: a bug in git cj: IsADirectoryError; the traceback is in {kept[0]}\n"
    assert "git-cj who" in kept[0].read_text()
    assert kept[0].read_text().rstrip().splitlines()[-1].startswith("IsADirectoryError")
    assert kept[0].stat().st_mode & 0o777 == 0o600


def test_a_full_disk_is_an_error_not_a_bug(repository: Path) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(("git-cj", "-h"), stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("error: No space left on device\nhint: ")
    assert "Traceback" not in done.stderr


def test_ctrl_c_ends_with_130_and_no_traceback(repository: Path) -> None:
    pipe = repository / ".cjledger.toml"
    os.mkfifo(pipe)
    process = subprocess.Popen(("git-cj", "who"), stderr=subprocess.PIPE, text=True)
    with pipe.open("w"):  # opens when the command reads its configuration, and keeps it reading
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate()
    assert (process.returncode, stderr.strip()) == (130, "")


def test_a_reader_that_leaves_hears_no_complaint(repository: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(("git-cj", "-h"), stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, "")


def test_a_locale_without_the_characters_still_answers(repository: Path) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "GIT_AUTHOR_NAME": "Zoë"}
    done = subprocess.run(("git-cj", "who"), capture_output=True, text=True, env=environment)
    assert done.returncode == 0
    assert "Zo\\xeb" in done.stdout


@pytest.mark.parametrize(
    ("settings", "coloured"),
    [
        ({"TERM": "xterm"}, True),
        ({"TERM": "xterm", "NO_COLOR": "1"}, False),
        ({"TERM": "xterm", "NO_COLOR": ""}, True),
        ({"TERM": "dumb"}, False),
        ({"TERM": ""}, False),
    ],
)
def test_colours_are_for_terminals_that_want_them(settings: dict[str, str], coloured: bool) -> None:
    code = "from cjledger.cli import output; print(output.colour())"
    environment = {**{name: value for name, value in os.environ.items() if name != "NO_COLOR"}, **settings}
    ours, theirs = os.openpty()
    subprocess.run((sys.executable, "-c", code), stdout=theirs, env=environment, check=True)
    assert os.read(ours, 100).split() == [str(coloured).encode()]
    os.close(ours)
    os.close(theirs)
    piped = subprocess.run((sys.executable, "-c", code), capture_output=True, env=environment)
    assert piped.stdout == b"False\n"


def test_the_manual_is_what_the_program_says() -> None:
    """``python -m cjledger.cli.manpage`` writes the one, with ``--markdown`` the other."""
    assert (DOCS / "git-cj.1").read_text(encoding="utf-8") == manpage.roff()
    assert (DOCS / "commands.md").read_text(encoding="utf-8") == manpage.markdown()


@pytest.mark.skipif(not shutil.which("man"), reason="man is not installed")
def test_man_renders_the_manual_without_a_warning() -> None:
    environment = {**os.environ, "MANWIDTH": "80", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        ("man", "--warnings", "-l", str(DOCS / "git-cj.1")), capture_output=True, text=True, env=environment
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert all(f"git cj {name}" in done.stdout for name in VERBS)
    assert all(len(line) <= 80 for line in done.stdout.splitlines())
