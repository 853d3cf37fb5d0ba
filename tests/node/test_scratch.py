"""The mirror of the code, and which of the files found in it are outputs."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from cjnode.errors import NodeError
from cjnode.globs import pattern
from cjnode.package.manifest import parse
from cjnode.worker.outputs import choose
from cjnode.worker.scratch import Left, Mirror, discard

from .cluster_kit import manifest


@pytest.fixture
def mirror(tmp_path: Path) -> Mirror:
    code = tmp_path / "code"
    (code / "sub/inner").mkdir(parents=True)
    (code / ".cj").mkdir()
    for name in ("a.py", "sub/b.py", "sub/inner/c.py", "old.txt", ".cj/package.json"):
        (code / name).write_text(name)
    (code / "link").symlink_to("sub/b.py")
    made = Mirror(str(code), str(tmp_path / "m"), {"old.txt"}, str(tmp_path / "trash"), {})
    made.make()
    return made


def listing(mirror: Mirror) -> list[str]:
    found = []
    for folder, folders, files in os.walk(mirror.folder):
        here = os.path.relpath(folder, mirror.folder)
        found += [os.path.normpath(os.path.join(here, name)) for name in folders + files]
    return sorted(found)


EXPECTED = ["a.py", "link", "sub", "sub/b.py", "sub/inner", "sub/inner/c.py"]


def test_a_mirror_has_folders_and_links_without_cj_and_unlinked_files(mirror: Mirror) -> None:
    assert listing(mirror) == EXPECTED
    assert os.path.samefile(mirror.folder + "/a.py", os.path.join(mirror.folder, "..", "code", "a.py"))
    assert os.readlink(mirror.folder + "/link") == "sub/b.py"
    assert mirror.changed() == []


def test_what_is_made_is_found_however_soon_after(mirror: Mirror) -> None:
    for _ in range(300):
        Path(mirror.folder, "sub/new").write_text("x")
        changed = mirror.changed()
        assert changed == ["sub"]
        assert list(mirror.left(changed)) == [Left("sub/new", "file")]
        mirror.restore(changed)
        assert mirror.changed() == []
    assert listing(mirror) == EXPECTED


def test_a_folder_whose_time_was_set_back_is_found(mirror: Mirror) -> None:
    here = Path(mirror.folder, "sub")
    before = here.stat()
    (here / "new").write_text("x")
    os.utime(here, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert mirror.changed() == ["sub"]


@pytest.mark.parametrize("name", ["", "sub", "sub/inner"])
def test_a_folder_that_is_gone_or_replaced_is_made_again(mirror: Mirror, name: str, tmp_path: Path) -> None:
    here = os.path.join(mirror.folder, name).rstrip("/")
    for replace in (None, "file", "link"):
        discard(here, str(tmp_path / "trash"))
        if replace == "file":
            Path(here).write_text("x")
        elif replace == "link":
            os.symlink("/etc", here)
        mirror.restore(mirror.changed())
        assert listing(mirror) == EXPECTED
        assert mirror.changed() == []


def test_folders_that_changed_places_are_put_back(mirror: Mirror) -> None:
    top = mirror.folder
    os.rename(top + "/sub/inner", top + "/inner")
    os.rename(top + "/sub", top + "/inner/sub")
    mirror.restore(mirror.changed())
    assert listing(mirror) == EXPECTED


def test_compiled_modules_stay_and_are_no_outputs(mirror: Mirror) -> None:
    os.mkdir(mirror.folder + "/__pycache__")
    Path(mirror.folder, "__pycache__/a.pyc").write_text("x")
    changed = mirror.changed()
    assert list(mirror.left(changed)) == []
    mirror.restore(changed)
    assert "__pycache__/a.pyc" in listing(mirror)
    assert mirror.changed() == []


@pytest.mark.parametrize(
    ("globs", "name", "matches"),
    [
        (["**"], "a/b/c.txt", True),
        (["*"], "a.txt", True),
        (["*.csv"], "a/b.csv", False),
        (["**/*.csv"], "b.csv", True),
        (["**/*.csv"], "a/b/c.csv", True),
        (["results"], "results/x/y", True),
        (["results/"], "results/x", True),
        (["results"], "results.txt", False),
        (["./r?.[ch]"], "r1.h", True),
        (["r[!0-9].h"], "r1.h", False),
        (["a+b(c).txt"], "a+b(c).txt", True),
        (["x", "y/**"], "y/z/w", True),
        (["[unclosed"], "[unclosed", True),
        ([], "a", False),
    ],
)
def test_a_glob_means_what_it_says(globs: list[str], name: str, matches: bool) -> None:
    assert bool(pattern(globs).match(name)) == matches


@pytest.mark.parametrize("glob", ["a[]", "x[!]", "run[z-a].csv"])
def test_a_glob_that_names_no_character_is_refused(glob: str) -> None:
    with pytest.raises(ValueError, match="names no character"):
        pattern([glob])
    with pytest.raises(NodeError, match="wrong in: outputs"):
        parse(json.dumps(manifest(outputs=[glob])).encode())


def test_files_outside_the_working_directory_are_told() -> None:
    left = [Left("top.txt", "file"), Left("sub/in.txt", "file")]
    chosen, notes = choose(left, "sub", pattern(["**"]))
    assert [item.name for item in chosen] == ["in.txt"]
    assert notes == ["top.txt not kept: outside the working directory"]
