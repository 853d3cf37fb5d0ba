from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cjledger.languages.script import script
from cjledger.model import Program
from cjnode.package.points import point
from tests.package_kit import by_hand, grid, package_in


def test_tasks_are_listed_and_shown(tmp_path: Path) -> None:
    package, _ = package_in(tmp_path, Program("script", "PT.py"), grid(x=(1, 2), s=("a b",)), "print(1)\n")
    assert by_hand(package, "--list").stdout == "1 x=1 s='a b'\n2 x=2 s='a b'\n"
    assert by_hand(package, "--show", "2").stdout.splitlines()[0] == "2 x=2 s='a b'"
    assert "(1-2)" in by_hand(package, "--help").stdout
    assert (by_hand(package).returncode, by_hand(package).stdout) == (2, "")
    for words, message in (
        (["3"], "error: no task 3: the package has 2\n"),
        (["--frobnicate"], "error: '--frobnicate' is neither a task number nor an option; try --help\n"),
    ):
        done = by_hand(package, *words)
        assert (done.returncode, done.stdout, done.stderr) == (1, "", message)


def test_leftovers_of_earlier_runs_are_pointed_out(tmp_path: Path) -> None:
    package, _ = package_in(
        tmp_path, Program("script", "PT.py"), text="print(1)\n", unlinked=("results.txt",)
    )
    assert by_hand(package, "1").stderr == ""
    (tmp_path / "results.txt").write_text("old\n")
    assert "results.txt of an earlier run is here" in by_hand(package, "1").stderr


def commit(folder: Path) -> str:
    """Commit all files of a folder as a repository of its own."""
    for words in (("init", "-q"), ("add", "-Af"), ("commit", "-qm", "package")):
        subprocess.run(("git", *words), cwd=folder, check=True)
    return subprocess.run(
        ("git", "rev-parse", "HEAD"), cwd=folder, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def baked(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """A package in a repository, and its task 2 as a script of its own; runs that in a folder."""
    tree = tmp_path / "repository"
    text = "import os, sys\nprint(open('data.txt').read(), sys.argv, os.environ['CJ_PACKAGE'], os.getcwd())\n"
    text += "open('out.txt', 'w')\n"
    tree.mkdir()
    (tree / "data.txt").write_bytes(b"exact\r\nbytes")
    (tree / ".gitattributes").write_text("*.txt text eol=crlf\n")
    (tree / "link").symlink_to("data.txt")
    package, manifest = package_in(tree, Program("script", "PT.py"), grid(x=(1, 2)), text)
    package_id = commit(tree)
    alone = tmp_path / "task-2.py"
    alone.write_bytes(script(manifest, point(manifest.sweep, 2, package.folder), package_id))

    def run(folder: Path) -> subprocess.CompletedProcess[str]:
        (tmp_path / "temporary").mkdir(exist_ok=True)
        return subprocess.run(
            (sys.executable, str(alone)),
            cwd=folder,
            env={**os.environ, "TMPDIR": str(tmp_path / "temporary")},
            capture_output=True,
            text=True,
        )

    return run


def test_a_tasks_own_script_runs_in_the_packages_tree(
    tmp_path: Path, baked: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    done = baked(tmp_path / "repository")
    assert (done.returncode, done.stderr) == (0, "")
    assert "['PT.py', '--x', '2']" in done.stdout
    assert done.stdout.split()[-1] == str(tmp_path / "repository")


def test_a_tasks_own_script_takes_the_package_from_the_repository_around(
    tmp_path: Path, baked: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    tree = tmp_path / "repository"
    for name in ("PT.py", "data.txt", ".cj/package.json"):
        (tree / name).unlink()
    done = baked(tree)
    assert done.returncode == 0
    (written,) = (tmp_path / "temporary").iterdir()
    assert done.stderr == f"cj: the task runs in {written} and leaves its files there\n"
    assert (written / "out.txt").exists()
    assert not (tree / "out.txt").exists()
    assert (written / "link").readlink() == Path("data.txt")


def test_a_tasks_own_script_without_its_package_says_where_to_look(
    tmp_path: Path, baked: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    done = baked(tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert "fetch refs/cj/packages/" in done.stderr


def test_a_file_that_the_repository_has_lost_is_named(
    tmp_path: Path, baked: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    tree = tmp_path / "repository"
    lost = subprocess.run(("git", "rev-parse", "HEAD:data.txt"), cwd=tree, capture_output=True, text=True)
    (tree / ".git/objects" / lost.stdout[:2] / lost.stdout[2:].strip()).unlink()
    (tree / "PT.py").unlink()
    (tree / ".cj/package.json").unlink()
    done = baked(tree)
    assert (done.returncode, done.stdout) == (1, "")
    assert "the file data.txt of package" in done.stderr


def test_a_checkout_of_the_package_knows_its_id(tmp_path: Path) -> None:
    package, _ = package_in(
        tmp_path, Program("script", "PT.py"), text="import os\nprint(os.environ.get('CJ_PACKAGE'))\n"
    )
    assert by_hand(package, "1").stdout == "None\n"
    assert by_hand(package, "1").stdout.strip() != commit(tmp_path)
    head = subprocess.run(("git", "rev-parse", "HEAD"), cwd=tmp_path, capture_output=True, text=True).stdout
    assert by_hand(package, "1").stdout == head


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    package, _ = package_in(tmp_path, Program("script", "PT.py"), text="print(1)\n")
    found = json.loads((tmp_path / ".cj/package.json").read_text())
    (tmp_path / ".cj/package.json").write_text(json.dumps({**found, "format": 3}))
    assert by_hand(package, "1").stderr == "error: the package has format 3, newer than this script's 2\n"
