"""Kills, races and other people's git processes around a snapshot."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from cjledger import gitrepo, snapshot
from cjledger.errors import CjError
from tests.snapshots import commit, files_of, git, git_add_all, new_repo, possessions, write

TAKE = """
import sys
from pathlib import Path
from cjledger import gitrepo, snapshot
print(snapshot.take(gitrepo.discover(Path(sys.argv[1]))).tree)
"""

# A git that kills its parent at the n-th start, before or after it did its work, and writes the count.
KILLER = """#!/bin/sh
while ! mkdir "$COUNTER.lock" 2>/dev/null; do :; done
n=$(($(cat "$COUNTER") + 1)); echo $n > "$COUNTER"; rmdir "$COUNTER.lock"
if [ "$n" = "$KILL_AT" ] && [ "$WHEN" = before ]; then kill -9 $PPID; exit 1; fi
if [ "$n" = "$KILL_AT" ]; then "$REAL_GIT" "$@"; kill -9 $PPID; exit 1; fi
exec "$REAL_GIT" "$@"
"""

RENAMER = """
import os, signal, sys
left = [int(sys.argv[2])]
def killing(real):
    def act(*arguments, **options):
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments, **options)
    return act
for name in ("mkdir", "rmdir", "unlink", "rename", "replace", "utime"):
    setattr(os, name, killing(getattr(os, name)))
"""


def soiled(tmp_path: Path) -> Path:
    top = new_repo(tmp_path / "repo")
    for name in ("a.py", "sub/b.py", "gone"):
        write(top, name, f"{name}\n")
    commit(top)
    write(top, "a.py", "edited\n")
    write(top, "sub/new", "new\n")
    (top / "gone").unlink()
    return top


def attempt(repo: gitrepo.Repo) -> tuple[str, str]:
    """The tree, or the words of the refusal."""
    try:
        return snapshot.take(repo).tree, ""
    except CjError as refusal:
        return "", refusal.message


def wrapper(tmp_path: Path, script: str) -> dict[str, str]:
    real = shutil.which("git")
    assert real
    folder = tmp_path / "bin"
    folder.mkdir(exist_ok=True)
    (folder / "git").write_text(script)
    (folder / "git").chmod(0o755)
    return {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "REAL_GIT": real}


def leftovers(top: Path) -> list[Path]:
    return list((top / ".git/cj/snapshot").glob("*"))


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_kill_at_any_start_of_git_changes_nothing_and_the_next_snapshot_tidies_up(
    tmp_path: Path, when: str
) -> None:
    top = soiled(tmp_path)
    before = possessions(top)
    expected = git_add_all(top)
    environment = wrapper(tmp_path, KILLER) | {"WHEN": when}
    for at in range(1, 100):
        # A file for each try: a git that outlived its killed parent still counts in the old one.
        counter = tmp_path / f"count{at}"
        counter.write_text("0")
        done = subprocess.run(
            [sys.executable, "-c", TAKE, str(top)],
            env={**environment, "KILL_AT": str(at), "COUNTER": str(counter)},
            stdout=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
        )
        assert possessions(top) == before
        if done.returncode == 0:
            break
        assert done.returncode == -9
    # one more start than there are: git answered them all
    assert done.stdout.decode().strip() == expected
    assert at > 8
    assert leftovers(top) == []
    git(top, "fsck", "--no-dangling")


def test_a_kill_at_any_step_of_ours_in_the_file_system_leaves_what_the_next_snapshot_removes(
    tmp_path: Path,
) -> None:
    top = soiled(tmp_path)
    before = possessions(top)
    seen = []
    for at in range(1, 100):
        done = subprocess.run(
            [sys.executable, "-c", RENAMER + TAKE, str(top), str(at)], stdout=subprocess.PIPE
        )
        assert possessions(top) == before
        seen.append(len(leftovers(top)))
        if done.returncode == 0:
            break
    assert done.stdout.decode().strip() == git_add_all(top)
    assert 1 in seen
    assert leftovers(top) == []


def test_a_leftover_of_a_living_process_or_another_machine_stays(tmp_path: Path) -> None:
    top = soiled(tmp_path)
    home = top / ".git/cj/snapshot"
    alive = home / f"{os.uname().nodename}.{os.getpid()}.00000000"
    elsewhere = home / "node.example.org.1.00000000"
    old = home / "node.example.org.2.00000000"
    for folder in (alive, elsewhere, old):
        folder.mkdir(parents=True)
    os.utime(old, (1, 1))
    snapshot.take(gitrepo.discover(top))
    assert sorted(leftovers(top)) == sorted([alive, elsewhere])


def test_a_same_size_edit_in_the_same_second_is_always_captured(tmp_path: Path) -> None:
    top = new_repo(tmp_path / "repo")
    write(top, "a.py", "000\n")
    commit(top)
    repo = gitrepo.discover(top)
    for number in range(1, 101):
        write(top, "a.py", f"{number:03}\n")
        if number % 2:
            git(top, "add", "a.py")
            write(top, "a.py", f"{number + 500:03}\n")
        text = f"{number + 500 * (number % 2):03}\n".encode()
        tree = snapshot.take(repo).tree
        assert git(top, "cat-file", "blob", f"{tree}:a.py") == text


def test_an_edit_that_keeps_size_and_time_is_captured(tmp_path: Path) -> None:
    top = new_repo(tmp_path / "repo")
    write(top, "a.py", "one\n")
    commit(top)
    status = (top / "a.py").stat()
    write(top, "a.py", "two\n")
    os.utime(top / "a.py", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert files_of(top, snapshot.take(gitrepo.discover(top)).tree) == {"a.py": b"two\n"}


def test_two_files_written_in_turn_are_never_torn(tmp_path: Path) -> None:
    """The writer raises one number, then the other: no instant shows the second ahead, or behind by two."""
    top = new_repo(tmp_path / "repo")
    for number in range(100):
        write(top, f"filler/{number}", "x\n")
    write(top, "z-first", "00000000")
    write(top, "a-second", "00000000")
    commit(top)
    repo = gitrepo.discover(top)
    stop = threading.Event()

    def count() -> None:
        with (top / "z-first").open("r+b") as first, (top / "a-second").open("r+b") as second:
            for number in range(1, 10_000):
                for file in (first, second):
                    os.pwrite(file.fileno(), b"%08d" % number, 0)
                    if stop.wait(0.01 + 0.12 * (number % 2)):
                        return

    writer = threading.Thread(target=count)
    writer.start()
    try:
        outcomes = [attempt(repo) for _ in range(4)]
    finally:
        stop.set()
        writer.join()
    for tree, words in outcomes:
        found = files_of(top, tree) if tree else {}
        assert tree or "-first" in words or "-second" in words
        assert not tree or 0 <= int(found["z-first"]) - int(found["a-second"]) <= 1
    assert snapshot.take(repo).tree == git_add_all(top)


# Rewrites a file while git holds it, at the moment the blob is written.
MEDDLER = """#!/bin/sh
case "$*" in
*update-index*)
    n=$(cat "$COUNTER"); echo $((n + 1)) > "$COUNTER"
    "$REAL_GIT" "$@"; code=$?
    if [ "$n" -lt "$TIMES" ]; then eval "$DEED"; fi
    exit $code ;;
esac
exec "$REAL_GIT" "$@"
"""


@pytest.mark.parametrize(
    "deed", ['echo "rewritten $n" > a.py', ": > a.py", "rm -f a.py", "rm -f sub/new", "echo $n > another-$n"]
)
@pytest.mark.parametrize("times", [1, 50])
def test_a_file_that_changes_while_it_is_taken_is_taken_again_or_named(
    deed: str, times: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    top = soiled(tmp_path)
    (tmp_path / "count").write_text("0")
    extra = {"COUNTER": str(tmp_path / "count"), "TIMES": str(times), "DEED": deed}
    for name, value in (wrapper(tmp_path, MEDDLER) | extra).items():
        monkeypatch.setenv(name, value)
    tree, words = attempt(gitrepo.discover(top))
    monkeypatch.setenv("TIMES", "0")
    if not tree:
        assert times > 1
        assert "a.py" in words
        return
    if "another" in deed:
        # Made after the instant that the snapshot shows.
        assert "another-0" not in files_of(top, tree)
        return
    assert "rewritten" not in deed or times == 1
    assert tree == git_add_all(top)


CRASHER = """#!/bin/sh
case "$*" in *update-index*) if [ ! -e "$COUNTER" ]; then : > "$COUNTER"; kill -BUS $$; fi ;; esac
exec "$REAL_GIT" "$@"
"""


def test_git_dying_of_a_truncated_file_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    top = soiled(tmp_path)
    for name, value in (wrapper(tmp_path, CRASHER) | {"COUNTER": str(tmp_path / "count")}).items():
        monkeypatch.setenv(name, value)
    assert snapshot.take(gitrepo.discover(top)).tree == git_add_all(top)
    assert (tmp_path / "count").exists()


def test_a_working_copy_that_never_holds_still_is_refused_by_name(tmp_path: Path) -> None:
    top = soiled(tmp_path)
    repo = gitrepo.discover(top)
    stop = threading.Event()

    def scribble() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            (top / "noisy.txt").write_text("x" * (number % 7))

    writer = threading.Thread(target=scribble)
    writer.start()
    try:
        words = next(words for tree, words in (attempt(repo) for _ in range(50)) if not tree)
    finally:
        stop.set()
        writer.join()
    assert "noisy.txt" in words


LOOPS = {
    "commit": "git commit -qm x --allow-empty",
    "prune": "git gc -q --prune=now",
    "rebase": "git rebase -qf HEAD~1",
    "stash": "git stash -q; git stash pop -q",
}


@pytest.mark.parametrize("deed", LOOPS)
def test_other_git_processes_at_work_do_not_break_a_snapshot(deed: str, tmp_path: Path) -> None:
    top = new_repo(tmp_path / "repo")
    for number in range(30):
        write(top, f"f{number}", f"{number}\n")
    commit(top)
    commit(top)
    if deed != "rebase":
        write(top, "f1", "edited\n")
    loop = subprocess.Popen(
        ["sh", "-c", f"while :; do {LOOPS[deed]} || :; done"],
        cwd=top,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    taken = 0
    refused: list[str] = []
    try:
        for _ in range(10):
            tree, words = attempt(gitrepo.discover(top))
            taken += bool(tree)
            refused += [words] if words else []
            if tree and deed == "commit":
                assert files_of(top, tree)["f1"] == b"edited\n"
    finally:
        os.killpg(loop.pid, 9)
        loop.wait()
    assert taken + len(refused) == 10
    assert taken > 0 or deed in ("stash", "prune")
    assert {words for words in refused if "keeps changing" not in words and "could not" not in words} == set()
