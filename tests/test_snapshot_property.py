"""The law of the snapshot: its tree equals `git add -A && git write-tree` whatever was done before."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cjledger import gitrepo, snapshot
from tests.snapshots import commit, git, git_add_all, new_repo

# Few names, so that files, folders, links and repositories meet under the same one.
NAMES = st.sampled_from(["a", "b", "a.txt", "b.log", "-x", "n\nl", "é"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
CONTENTS = st.sampled_from(
    [b"", b"1\n", b"2\n", b"a\r\nb\r\n", b"$Id: x $\n", b"\x00\xff", "u\n".encode("utf-16")]
)
RULES = st.sampled_from(
    [
        b"*.txt text\n",
        b"* text=auto\n",
        b"*.txt eol=crlf\na -text\n",
        b"* ident\n",
        b"* filter=rot\n",
        b"a binary\n",
    ]
)
IGNORES = st.sampled_from([b"*.log\n", b"a/\n", b"/b\n!*.txt\n", b"*\n!a\n"])
FOLDERS = st.one_of(st.just(""), PATHS.map(lambda path: path + "/"))

Step = tuple[str, str, bytes]
STEPS = st.one_of(
    st.tuples(st.just("write"), PATHS, CONTENTS),
    st.tuples(st.just("write"), PATHS, CONTENTS),
    st.tuples(st.just("write"), FOLDERS.map(lambda folder: folder + ".gitattributes"), RULES),
    st.tuples(st.just("write"), FOLDERS.map(lambda folder: folder + ".gitignore"), IGNORES),
    st.tuples(
        st.sampled_from(
            ["remove", "link", "exec", "nest", "add", "add-n", "forget", "touch", "fifo", "hide"]
        ),
        PATHS,
        st.just(b""),
    ),
    st.tuples(st.sampled_from(["autocrlf", "filemode", "stage-all"]), st.just("a"), st.just(b"")),
)


def clear(file: Path) -> None:
    """Make place for something at ``file``, also where a file is in the way of its folder."""
    for parent in reversed(file.parents):
        if parent.is_symlink() or (os.path.lexists(parent) and not parent.is_dir()):
            parent.unlink()
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.is_dir() and not file.is_symlink():
        shutil.rmtree(file)
    elif os.path.lexists(file):
        file.unlink()


def put(file: Path, content: bytes) -> None:
    clear(file)
    file.write_bytes(content)


def link(file: Path) -> None:
    clear(file)
    file.symlink_to("a")


def fifo(file: Path) -> None:
    clear(file)
    os.mkfifo(file)


def nest(file: Path) -> None:
    clear(file)
    new_repo(file)
    (file / "inner").write_text("1\n")
    commit(file)


def quietly(top: Path, *arguments: str) -> None:
    try:
        git(top, *arguments)
    except AssertionError:
        return  # git refuses what makes no sense here: that path is not there, is ignored, …


def perform(top: Path, step: Step) -> None:
    verb, path, content = step
    file = top / path
    spec = f":(literal){path}"
    there = os.path.lexists(file) and not file.is_symlink()
    deeds: dict[str, Callable[[], object]] = {
        "write": lambda: put(file, content),
        "remove": lambda: clear(file),
        "link": lambda: link(file),
        "fifo": lambda: fifo(file),
        "nest": lambda: nest(file),
        "exec": lambda: file.chmod(0o755) if there and file.is_file() else None,
        "touch": lambda: os.utime(file, (1, 1)) if there else None,
        "add": lambda: quietly(top, "add", "--", spec),
        "add-n": lambda: quietly(top, "add", "-N", "--", spec),
        "forget": lambda: quietly(top, "rm", "-rq", "--cached", "--", spec),
        "hide": lambda: quietly(top, "update-index", "--assume-unchanged", "--", path),
        "stage-all": lambda: quietly(top, "add", "-A"),
        "autocrlf": lambda: git(top, "config", "core.autocrlf", "input"),
        "filemode": lambda: git(top, "config", "core.fileMode", "false"),
    }
    deeds[verb]()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=st.lists(STEPS, max_size=8), after=st.lists(STEPS, max_size=10), born=st.booleans())
def test_the_tree_equals_git_add_all_and_write_tree(
    tmp_path: Path, before: list[Step], after: list[Step], born: bool
) -> None:
    top = new_repo(Path(tempfile.mkdtemp(dir=tmp_path)))
    git(top, "config", "filter.rot.clean", "tr a-z n-za-m")
    git(top, "config", "core.safecrlf", "false")
    for step in before:
        perform(top, step)
    if born:
        quietly(top, "add", "-A")
        git(top, "commit", "-qm", "1", "--allow-empty")
    for step in after:
        perform(top, step)
    taken = snapshot.take(gitrepo.discover(top))
    try:
        expected = git_add_all(top)
    except AssertionError:
        return  # git itself cannot
    assert taken.tree == expected
