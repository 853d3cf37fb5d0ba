"""Environments and data, from the configuration to what a task really had."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.shells import Shell
from tests.test_environments import wheel

USES = "import tiny\nprint(tiny.VERSION)\n"


@pytest.fixture
def tiny(shell: Shell, tmp_path: Path) -> Shell:
    """A repository whose lock pins a package, on a cluster that makes a venv of it."""
    for version in ("1.5", "1.6"):
        wheel(tmp_path, "tiny", version)
    shell.write("main.py", USES)
    shell.write("requirements.txt", f"--no-index\n--find-links {tmp_path}\ntiny==1.5\n")
    shell.write(".cjledger.toml", '[cluster.local]\nenvironment = "venv"\n')
    return shell


def built(shell: Shell) -> list[Path]:
    return sorted((shell.folder / ".git/cj/local/environments").glob("*/*/ready/bin/python"))


def test_an_environment_is_built_by_the_first_launch_and_checked_against_its_lock(tiny: Shell) -> None:
    first = tiny.run("git", "cj", "run", "main.py", "local", "--wait")
    assert "building environment " in first.stderr
    assert tiny.cj("show", "@/1", "--out") == "1.5\n"
    assert tiny.cj("show", "--env-check").endswith("  as the lock file says\n")
    second = tiny.run("git", "cj", "run", "main.py", "local", "--wait")
    assert "building" not in second.stderr
    assert len(built(tiny)) == 1
    named = tiny.lines("show")[0]["environment"]
    assert built(tiny)[0].parents[3].name == named["id"]


def test_env_check_says_what_a_task_had_that_the_lock_has_not(tiny: Shell) -> None:
    package = tiny.launch("run", "main.py", "local")
    site = next(built(tiny)[0].parents[1].glob("lib/python*/site-packages"))
    (site / "tiny-1.5.dist-info").rename(site / "tiny-1.6.dist-info")
    shutil.copytree(site / "tiny-1.6.dist-info", site / "more-2.dist-info")
    tiny.cj("rerun", package[:8], "--yes", "--wait")
    (told,) = tiny.lines("show", package[:8], "--env-check", code=1)
    assert told["differences"] == [
        {"name": "more", "locked": None, "had": "2"},
        {"name": "tiny", "locked": "1.5", "had": "1.6"},
    ]
    assert "other tiny 1.6 (locked 1.5)" in tiny.cj("show", package[:8], "--env-check", code=1)


def test_an_environment_that_was_removed_is_built_again(tiny: Shell) -> None:
    tiny.launch("run", "main.py", "local")
    shutil.rmtree(tiny.folder / ".git/cj/local/environments")
    again = tiny.run("git", "cj", "run", "main.py", "local", "--wait")
    assert "building environment " in again.stderr
    assert tiny.cj("show", "@/1", "--out") == "1.5\n"


def test_a_lock_that_cannot_be_installed_keeps_the_package(tiny: Shell, tmp_path: Path) -> None:
    lock = tiny.folder / "requirements.txt"
    lock.write_text(lock.read_text().replace("1.5", "9.9"))
    words = tiny.refused("run", "main.py", "local")
    assert "is kept, but local did not take it: environment " in words
    assert "No matching distribution found for tiny==9.9" in words
    wheel(tmp_path, "tiny", "9.9")
    assert tiny.run("git", "cj", "submit").returncode == 0


def test_a_deployed_package_says_what_it_will_run_in(tiny: Shell) -> None:
    tiny.cj("deploy", "main.py", "local")
    assert built(tiny) == []
    assert "runs in   venv of requirements.txt" in tiny.cj("show", "@/1", "--script")
    tiny.cj("submit", "@")
    assert len(built(tiny)) == 1


def test_data_named_by_the_program_and_the_configuration_is_linked(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "a.txt").write_text("from the directive")
    (tmp_path / "far" / "b.txt").write_text("from the file")
    directive = f"#CJ -s 'in/a.txt' '{tmp_path}/far/a.txt'\n"
    reads = "import pathlib\nprint(*(pathlib.Path(n).read_text() for n in ('in/a.txt', '../b.txt')))\n"
    shell.write("sub/main.py", directive + reads)
    shell.write(".cjledger.toml", f'[data]\n"b.txt" = {{ path = "{tmp_path}/far/b.txt", hash = true }}\n')
    inside = Shell(shell.folder / "sub")
    package = inside.launch("run", "main.py", "local")
    assert inside.cj("show", "@/1", "--out") == "from the directive from the file\n"
    found = {each["local"]: each for each in inside.lines("show", package)[0]["data"]}
    assert set(found) == {"b.txt", "sub/in/a.txt"}
    assert (found["b.txt"]["bytes"], len(found["b.txt"]["sha256"])) == (13, 64)
    listed = shell.git("ls-tree", "-r", "--name-only", package).splitlines()
    assert [name for name in listed if name.endswith(".txt")] == []


@pytest.mark.parametrize(
    ("directive", "words"),
    [
        ("#CJ -s '../x' '/y'", "not a path inside the repository"),
        ("#CJ -s '/x' '/y'", "not a path inside the repository"),
        ("#CJ -s x y", "must be absolute"),
        ("#CJ -S x /y", "#CJ knows no -S"),
        ("#CJ -s x", "needs a local path and one on the cluster"),
        ("%CJ -s 'a b", "needs a local path and one on the cluster"),
        ("#CJ -s .git/x /y", "not a path inside the repository"),
        ("#CJ -s d /y\n#CJ -s d/e /z", "lies in d, which is data too"),
        ("#CJ -s README/x /y", "cannot lie in README"),
    ],
)
def test_data_that_could_escape_is_refused(shell: Shell, directive: str, words: str) -> None:
    shell.write("main.py", ("" if directive.startswith("#") else "'''\n") + directive + "\n")
    if directive.startswith("%"):
        shell.write("main.py", f"'''\n{directive}\n'''\n")
    assert words in shell.refused("run", "main.py", "local")
    assert shell.git("for-each-ref", "refs/cj/") == ""


def test_data_never_goes_into_a_package(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "far.txt").write_text("far")
    shell.write("main.py", f"#CJ -s big.txt {tmp_path}/far.txt\nprint(open('big.txt').read())\n")
    shell.write("big.txt", "here")
    words = shell.refused("run", "main.py", "local")
    assert "big.txt is named as data on the cluster, and would go into the package" in words
    assert "echo /big.txt >> .gitignore" in words
    shell.write(".gitignore", "/big.txt\n")
    shell.launch("run", "main.py", "local")
    assert shell.cj("show", "@/1", "--out") == "far\n"


def test_a_package_by_hand_says_where_its_data_is(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "far.txt").write_text("far")
    shell.write("main.py", f"#CJ -s far.txt {tmp_path}/far.txt\n")
    package = shell.launch("run", "main.py", "local")
    shell.cj("checkout", package, str(tmp_path / "then"))
    script = tmp_path / "then/.cj/reproduce_main.py"
    ended = shell.run("python3", str(script), "1")
    assert f"data far.txt is not here; on local it is {tmp_path}/far.txt" in ended.stderr


def test_what_ran_without_a_lock_is_told_all_the_same(shell: Shell) -> None:
    shell.write("main.py", "print(1)\n")
    package = shell.launch("run", "main.py", "local")
    manifest = json.loads(shell.git("show", f"{package}:.cj/package.json"))
    assert manifest["environment"]["kind"] == "none"
    (told,) = shell.lines("show", "--env-check")
    assert told["differences"] is None
    assert told["note"] == 'environment = "none" has no lock'
    assert told["python"].count(".") == 2


def test_a_module_that_was_not_loaded_is_missing(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "init").mkdir()
    loads = 'module() { [ "$2" = other ] || LOADEDMODULES="$LOADEDMODULES:$2"; export LOADEDMODULES; }\n'
    (tmp_path / "init" / "sh").write_text(loads)
    shell.write("main.py", "print(1)\n")
    shell.write(
        ".cjledger.toml", '[cluster.local]\nenvironment = "modules"\nmodules = ["python/3.12", "other"]\n'
    )
    shell.environment.update(LMOD_PKG=str(tmp_path), LOADEDMODULES="")
    shell.launch("run", "main.py", "local")
    (told,) = shell.lines("show", "--env-check", code=1)
    assert told["modules"] == ["python/3.12"]
    assert told["differences"] == [{"name": "other", "locked": "other", "had": None}]


def test_what_ran_in_the_person_s_own_python_is_compared_with_the_lock_of_the_package(shell: Shell) -> None:
    shell.write("main.py", "print(1)\n")
    shell.write("requirements.txt", "surely-not-there==1.0\n")
    shell.launch("run", "main.py", "local")
    (told,) = shell.lines("show", "--env-check", code=1)
    assert {"name": "surely-not-there", "locked": "1.0", "had": None} in told["differences"]
    assert told["note"] == "compared with requirements.txt"
