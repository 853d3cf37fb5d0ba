"""The snapshot's tree is what `git add -A && git write-tree` gives, in every kind of repository."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from cjledger import gitrepo, snapshot
from cjledger.errors import CjError
from cjledger.model import Change, Lock, Snapshot
from tests.snapshots import commit, files_of, git, git_add_all, new_repo, possessions, write

Build = Callable[[Path], Path]


def take(top: Path, **options: object) -> Snapshot:
    return snapshot.take(gitrepo.discover(top), snapshot.Wanted(**options))  # type: ignore[arg-type]


def basic(home: Path, *options: str) -> Path:
    top = new_repo(home / "repo", *options)
    for name in ("a.py", "gone.txt", "mode.sh", "sub/deep/b.txt", "link-to-be", "folder/x", "folder/y"):
        write(top, name, f"{name}\n")
    write(top, ".gitignore", "*.log\nbuild/\n")
    commit(top)
    return top


def soil(top: Path) -> Path:
    """Make every common kind of change."""
    write(top, "a.py", "edited\n")
    (top / "gone.txt").unlink()
    (top / "mode.sh").chmod(0o755)
    write(top, "sub/deep/new.txt", "new\n")
    (top / "link-to-be").unlink()
    (top / "link-to-be").symlink_to("a.py")
    shutil.rmtree(top / "folder")
    write(top, "folder", "now a file\n")
    write(top, "noise.log", "ignored\n")
    write(top, "build/x.o", "ignored\n")
    write(top, "fresh/one/two.txt", "untracked\n")
    write(top, "staged.txt", "staged\n")
    git(top, "add", "staged.txt")
    return top


SOILED = (
    Change("a.py", "modified"),
    Change("folder", "untracked"),
    Change("folder/x", "deleted"),
    Change("folder/y", "deleted"),
    Change("fresh/one/two.txt", "untracked"),
    Change("gone.txt", "deleted"),
    Change("link-to-be", "type-changed"),
    Change("mode.sh", "modified"),
    Change("staged.txt", "added"),
    Change("sub/deep/new.txt", "untracked"),
)


def clean(home: Path) -> Path:
    return basic(home)


def dirty(home: Path) -> Path:
    return soil(basic(home))


def unborn(home: Path) -> Path:
    top = new_repo(home / "repo")
    write(top, "a/b.txt")
    write(top, "staged")
    git(top, "add", "staged")
    return top


def empty(home: Path) -> Path:
    return new_repo(home / "repo")


def detached(home: Path) -> Path:
    top = basic(home)
    git(top, "checkout", "-q", "--detach")
    return soil(top)


def linked_worktree(home: Path) -> Path:
    top = basic(home)
    git(top, "worktree", "add", "-q", str(home / "linked"))
    return soil(home / "linked")


def separate_git_dir(home: Path) -> Path:
    top = basic(home)
    git(top, "init", "-q", "--separate-git-dir", str(home / "elsewhere.git"))
    return soil(top)


def shallow(home: Path) -> Path:
    commit(basic(home), "second")
    git(home, "clone", "-q", "--depth=1", f"file://{home}/repo", "shallow")
    return soil(home / "shallow")


def partial_offline(home: Path) -> Path:
    top = basic(home)
    git(top, "config", "uploadpack.allowFilter", "true")
    git(home, "clone", "-q", "--filter=blob:none", "--no-checkout", f"file://{home}/repo", "partial")
    partial = home / "partial"
    git(partial, "sparse-checkout", "set", "sub")
    git(partial, "checkout", "-q")
    (home / "repo").rename(home / "gone")
    write(partial, "a.py", "edited\n")
    write(partial, "sub/deep/new.txt", "new\n")
    return partial


def sparse(home: Path) -> Path:
    top = basic(home)
    git(top, "sparse-checkout", "set", "--cone", "sub")
    write(top, "sub/deep/b.txt", "edited\n")
    write(top, "new.txt", "new\n")
    return top


def sparse_index(home: Path) -> Path:
    top = basic(home)
    git(top, "sparse-checkout", "set", "--cone", "--sparse-index", "sub")
    write(top, "sub/deep/b.txt", "edited\n")
    write(top, "new.txt", "new\n")
    return top


def sparse_attributes(home: Path) -> Path:
    top = new_repo(home / "repo")
    write(top, "x/.gitattributes", "*.txt text eol=crlf\n")
    write(top, "x/a.txt", "a\r\nb\r\n")
    commit(top)
    git(top, "sparse-checkout", "set", "--no-cone", "/x/a.txt")
    assert not (top / "x/.gitattributes").exists()
    write(top, "x/a.txt", "edited\r\nb\r\n")
    return top


def split_index(home: Path) -> Path:
    top = basic(home)
    git(top, "update-index", "--split-index")
    return soil(top)


def index_version_4(home: Path) -> Path:
    top = basic(home)
    git(top, "update-index", "--index-version=4", "--untracked-cache")
    return soil(top)


def sha256(home: Path) -> Path:
    return soil(basic(home, "--object-format=sha256"))


def conflict(home: Path) -> Path:
    top = basic(home)
    git(top, "checkout", "-qb", "other")
    write(top, "a.py", "theirs\n")
    write(top, "both-added", "theirs\n")
    write(top, "gone.txt", "theirs\n")
    commit(top)
    git(top, "checkout", "-q", "main")
    write(top, "a.py", "ours\n")
    write(top, "both-added", "ours\n")
    (top / "gone.txt").unlink()
    commit(top)
    with pytest.raises(AssertionError):
        git(top, "merge", "-q", "other")
    write(top, "new.txt", "new\n")
    return top


def weird_names(home: Path) -> Path:
    top = new_repo(home / "repo")
    names = [
        b"new\nline",
        b'quo"te',
        b"-leading",
        b" space ",
        "snö\u4e2d".encode(),
        b"not-utf8-\xff",
        b"back\\slash",
    ]
    names += [
        b":(top)magic",
        b"tab\tcr\r",
        b'"quoted"',
        b"*glob[a]?",
        b"\xc3\xa9 composed",
        b"e\xcc\x81 decomposed",
    ]
    for name in names:
        write(top, name, b"1\n")
        write(top, b"dir" + name + b"/" + name, b"1\n")
    commit(top)
    for name in names:
        write(top, name, b"edited\n")
        write(top, b"fresh" + name + b"/" + name, b"1\n")
        os.unlink(os.path.join(os.fsencode(top), b"dir" + name, name))
    return top


def intent_to_add(home: Path) -> Path:
    top = basic(home)
    for name in ("ita-kept", "ita-deleted", "ita-ignored.log", "folder/ita"):
        write(top, name, "text\n")
        git(top, "add", "-Nf", name)
    (top / "ita-deleted").unlink()
    return top


def line_endings(home: Path) -> Path:
    top = new_repo(home / "repo")
    write(top, "crlf-in-index.txt", "a\r\nb\r\n")
    write(top, "auto.txt", "a\nb\n")
    write(top, "u16.txt", "text\n".encode("utf-16"))
    write(top, "keyword.txt", "$Id$\n")
    commit(top)
    git(top, "config", "core.autocrlf", "true")
    git(top, "config", "core.safecrlf", "true")
    write(
        top,
        ".gitattributes",
        "u*.txt working-tree-encoding=UTF-16\nkeyword* ident\n*.bat eol=crlf\n*.bin -text\n",
    )
    write(top, "crlf-in-index.txt", "edited\r\nb\r\n")
    write(top, "auto.txt", "edited\r\nb\r\n")
    write(top, "u16.txt", "other\n".encode("utf-16"))
    write(top, "ufresh.txt", "fresh\n".encode("utf-16"))
    write(top, "keyword.txt", "$Id: 0123456789 $\nedited\n")
    write(top, "new.bat", "x\r\ny\r\n")
    write(top, "raw.bin", "x\r\ny\r\n")
    return top


def clean_filter(home: Path) -> Path:
    top = basic(home)
    git(top, "config", "filter.up.clean", "tr a-z A-Z")
    write(top, "sub/.gitattributes", "*.up filter=up\n")
    write(top, "sub/a.up", "shout\n")
    write(top, "sub/deep/b.up", "shout too\n")
    write(top, "b.up", "quiet\n")
    return top


def no_file_mode(home: Path) -> Path:
    top = basic(home)
    git(top, "update-index", "--chmod=+x", "mode.sh")
    git(top, "config", "core.fileMode", "false")
    write(top, "mode.sh", "edited\n")
    write(top, "new.sh", "#!/bin/sh\n")
    (top / "new.sh").chmod(0o755)
    return top


def staged_then_changed(home: Path) -> Path:
    top = basic(home)
    write(top, "both", "staged\n")
    write(top, "a.py", "staged\n")
    git(top, "add", "both", "a.py")
    (top / "both").unlink()
    write(top, "a.py", "edited again\n")
    git(top, "rm", "-q", "--cached", "gone.txt", "mode.sh")
    (top / "mode.sh").unlink()
    git(top, "rm", "-qr", "folder")
    write(top, "folder", "a file, staged\n")
    git(top, "add", "folder")
    (top / "folder").unlink()
    write(top, "folder/again", "a folder again\n")
    return top


def file_folder_swaps(home: Path) -> Path:
    top = basic(home)
    (top / "a.py").unlink()
    write(top, "a.py/inner/x", "1\n")
    shutil.rmtree(top / "sub")
    (top / "sub").symlink_to("folder")
    shutil.rmtree(top / "folder")
    (top / "gone.txt").unlink()
    (top / "gone.txt").symlink_to("nowhere")
    return top


def stat_dirty(home: Path) -> Path:
    top = basic(home)
    for file in top.glob("*.*"):
        os.utime(file, (1, 1))
    return top


def index_lock(home: Path) -> Path:
    top = soil(basic(home))
    (top / ".git/index.lock").touch()
    return top


def from_a_subfolder(home: Path) -> Path:
    return soil(basic(home)) / "sub"


KINDS: tuple[Build, ...] = (
    *(
        clean,
        dirty,
        unborn,
        empty,
        detached,
        linked_worktree,
        separate_git_dir,
        shallow,
        partial_offline,
        sparse,
    ),
    *(
        sparse_index,
        sparse_attributes,
        split_index,
        index_version_4,
        sha256,
        conflict,
        weird_names,
        intent_to_add,
    ),
    *(
        line_endings,
        clean_filter,
        no_file_mode,
        staged_then_changed,
        file_folder_swaps,
        stat_dirty,
        index_lock,
    ),
    from_a_subfolder,
)


@pytest.mark.parametrize("build", KINDS, ids=lambda build: build.__name__)
def test_the_tree_is_what_git_add_all_gives_and_nothing_of_the_persons_changes(
    build: Build, tmp_path: Path
) -> None:
    top = build(tmp_path)
    before = possessions(top)
    taken = take(top)
    assert possessions(top) == before
    assert taken.tree == git_add_all(top)
    git(gitrepo.discover(top).top, "fsck", "--connectivity-only", "--no-dangling", taken.tree)
    assert list(gitrepo.discover(top).cj_dir.glob("snapshot/*")) == []


def test_every_path_that_differs_from_head_is_named_with_its_change(tmp_path: Path) -> None:
    assert take(dirty(tmp_path)).changes == SOILED


def test_conflicts_are_named_and_their_markers_are_taken(tmp_path: Path) -> None:
    top = conflict(tmp_path)
    taken = take(top)
    conflicts = {change.path for change in taken.changes if change.change == "conflicted"}
    assert conflicts == {"a.py", "both-added", "gone.txt"}
    assert b"<<<<<<<" in files_of(top, taken.tree)["a.py"]


def test_a_look_tells_which_files_a_snapshot_will_have(tmp_path: Path) -> None:
    top = new_repo(tmp_path)
    write(top, "a b.py", "")
    write(top, "b.py", "")
    commit(top)
    write(top, "new c.py", "")
    write(top, "ignored.py", "")
    write(top, ".gitignore", "ignored.py\n")
    with snapshot.begin(gitrepo.discover(top)) as begun:
        seen = begun.seen.result()
    there = {b"a b.py", b"b.py", b"new c.py", b".gitignore"}
    assert {path for path in (*there, b"ignored.py", b"c.py", b"a", b"absent.py") if seen.has(path)} == there


def test_a_touched_file_is_no_change(tmp_path: Path) -> None:
    taken = take(stat_dirty(tmp_path))
    assert taken._replace(listing=b"") == Snapshot(git_add_all(tmp_path / "repo"), b"", (), ())


def test_a_name_that_is_not_utf8_is_readable_in_the_changes(tmp_path: Path) -> None:
    top = basic(tmp_path)
    write(top, b"caf\xe9")
    assert take(top).changes == (Change("caf\\xe9", "untracked"),)


def test_a_top_level_cj_folder_is_left_out_and_deeper_ones_are_not(tmp_path: Path) -> None:
    top = basic(tmp_path)
    write(top, ".cj/tracked", "1\n")
    commit(top)
    write(top, ".cj/untracked", "1\n")
    write(top, "sub/.cj/kept", "1\n")
    taken = take(top)
    assert not [path for path in files_of(top, taken.tree) if path.startswith(".cj")]
    assert taken.changes == (Change("sub/.cj/kept", "untracked"),)


def test_ignored_folders_come_in_when_forced(tmp_path: Path) -> None:
    top = basic(tmp_path)
    write(top, "build/lib.py", "1\n")
    write(top, "build/__pycache__/lib.pyc", "1\n")
    write(top, "sub/x.log", "1\n")
    plain = files_of(top, take(top).tree)
    taken = take(top, force=["build", "sub/"])
    assert set(files_of(top, taken.tree)) - set(plain) == {"build/lib.py", "sub/x.log"}
    assert taken.changes == (Change("build/lib.py", "untracked"), Change("sub/x.log", "untracked"))


def test_a_forced_folder_that_is_not_there_or_outside_is_refused(tmp_path: Path) -> None:
    top = basic(tmp_path)
    for name in ("absent", "../outside"):
        with pytest.raises(CjError, match=name):
            take(top, force=[name])


def test_grafts_land_byte_for_byte_below_cj_deps(tmp_path: Path) -> None:
    top = basic(tmp_path)
    write(top, ".gitattributes", "* text eol=lf\n")
    lib = tmp_path / "lib"
    write(lib, "a.py", "crlf\r\n")
    write(lib, "pkg/run.sh", "#!/bin/sh\n")
    (lib / "pkg/run.sh").chmod(0o755)
    (lib / "link").symlink_to("a.py")
    write(lib, b'odd"\n\xff', "1\n")
    new_repo(lib)
    taken = take(top, grafts=[(lib, ".cj/deps/lib")])
    found = files_of(top, taken.tree)
    grafted = {path: content for path, content in found.items() if path.startswith(".cj/")}
    assert grafted == {
        ".cj/deps/lib/a.py": b"crlf\r\n",
        ".cj/deps/lib/pkg/run.sh": b"#!/bin/sh\n",
        ".cj/deps/lib/link": b"a.py",
        os.fsdecode(b'.cj/deps/lib/odd"\n\xff'): b"1\n",
    }
    assert taken.changes == (Change(".gitattributes", "untracked"),)
    modes = git(top, "ls-tree", "-r", taken.tree, ".cj/deps/lib").decode()
    assert "100755" in modes
    assert "120000" in modes


def submodules(home: Path) -> Path:
    inner = new_repo(home / "inner")
    write(inner, "f", "1\n")
    commit(inner)
    top = basic(home)
    for name in ("dirty", "moved", "untracked", "clean", "both"):
        git(top, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(inner), f"lib/{name}")
    commit(top)
    write(top, "lib/dirty/f", "edited\n")
    write(top, "lib/untracked/new", "new\n")
    for name in ("moved", "both"):
        write(top, f"lib/{name}/f", "2\n")
        commit(top / "lib" / name)
        git(top, "config", f"submodule.lib/{name}.ignore", "all")
    write(top, "lib/both/f", "3\n")
    return top


def test_dirty_submodules_are_said_and_moved_ones_taken(tmp_path: Path) -> None:
    top = submodules(tmp_path)
    taken = take(top)
    assert taken.tree == git_add_all(top)
    assert taken.report == (
        *(
            f"submodule lib/{name} has changes that are not in the package: commit them there"
            for name in ("both", "dirty", "untracked")
        ),
        "lib/clean, lib/moved: submodules, in the package as links without files "
        "(--dep FOLDER takes the files)",
    )
    assert taken.changes == (Change("lib/both", "modified"), Change("lib/moved", "modified"))


def test_a_forced_submodule_comes_in_with_its_files(tmp_path: Path) -> None:
    top = submodules(tmp_path)
    found = files_of(top, take(top, force=["lib/dirty"]).tree)
    assert found["lib/dirty/f"] == b"edited\n"
    assert "lib/dirty" not in found


def test_nested_repositories_are_links_or_left_out_and_said(tmp_path: Path) -> None:
    top = basic(tmp_path)
    nested = new_repo(top / "deep/nested")
    write(nested, "f")
    commit(nested)
    write(new_repo(top / "unborn"), "f")
    new_repo(top / "blank")
    taken = take(top)
    assert taken.report == (
        "nested repository blank has no commit and is left out: --dep blank takes its files",
        "nested repository deep/nested is in the package as a bare link: --dep deep/nested takes its files",
        "nested repository unborn has no commit and is left out: --dep unborn takes its files",
    )
    shutil.rmtree(top / "unborn")
    shutil.rmtree(top / "blank")
    assert taken.tree == git_add_all(top)
    assert taken.changes == (Change("deep/nested", "untracked"),)


def test_hidden_edits_are_said_and_left_out(tmp_path: Path) -> None:
    top = basic(tmp_path)
    git(top, "update-index", "--assume-unchanged", "a.py", "gone.txt", "mode.sh")
    git(top, "update-index", "--skip-worktree", "sub/deep/b.txt")
    write(top, "a.py", "edited\n")
    write(top, "sub/deep/b.txt", "edited\n")
    (top / "gone.txt").unlink()
    taken = take(top)
    assert taken.tree == git_add_all(top) == git(top, "rev-parse", "HEAD^{tree}").decode().strip()
    assert taken.report == (
        "a.py is marked assume-unchanged but edited: the edit is not in the package"
        " (git update-index --no-assume-unchanged a.py)",
        "gone.txt is marked assume-unchanged but deleted: it is in the package as committed"
        " (git update-index --no-assume-unchanged gone.txt)",
        "sub/deep/b.txt is marked skip-worktree but edited: the edit is not in the package"
        " (git update-index --no-skip-worktree sub/deep/b.txt)",
    )


def test_files_outside_the_sparse_cone_are_taken_where_git_add_would_not_and_said(tmp_path: Path) -> None:
    top = sparse(tmp_path)
    write(top, "folder/new", "new\n")
    write(top, "folder/x", "edited\n")
    taken = take(top)
    found = files_of(top, taken.tree)
    assert (found["folder/new"], found["folder/x"], found["folder/y"]) == (
        b"new\n",
        b"edited\n",
        b"folder/y\n",
    )
    assert taken.tree == git_add_all(top, "--sparse")
    assert taken.report == (
        "1 file is outside the sparse checkout and in the package as committed",
        "folder/new, folder/x: outside the sparse checkout, in the package nevertheless",
    )


def test_pipes_and_sockets_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    top = basic(tmp_path)
    os.mkfifo(top / "sub/deep/pipe")
    monkeypatch.chdir(top)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("sock")
        taken = take(top)
    assert taken.report == (
        "sock is a socket and is left out",
        "sub/deep/pipe is a named pipe and is left out",
    )
    assert taken.changes == ()


def test_a_tracked_file_replaced_by_a_pipe_is_as_git_has_it(tmp_path: Path) -> None:
    top = basic(tmp_path)
    (top / "a.py").unlink()
    os.mkfifo(top / "a.py")
    assert "a.py is a named pipe and is left out" in take(top).report


def test_lfs_files_are_said_to_be_pointers(tmp_path: Path) -> None:
    top = basic(tmp_path)
    git(top, "config", "filter.lfs.clean", "echo version https://git-lfs.github.com/spec/v1; sha256sum")
    write(top, ".gitattributes", "*.dat filter=lfs -text\n")
    write(top, "old.dat", "bytes\n")
    commit(top)
    write(top, "sub/new.dat", "bytes\n")
    taken = take(top)
    assert taken.report == (
        "old.dat, sub/new.dat: stored by Git LFS, in the package as pointers, not as data",
    )
    assert taken.tree == git_add_all(top)


def listing(repo: gitrepo.Repo, tree: str) -> bytes:
    return gitrepo.run(repo, "ls-tree", "-r", "-z", tree)


def test_locks_are_found_anywhere_in_the_tree_with_the_hash_of_their_bytes(tmp_path: Path) -> None:
    top = basic(tmp_path)
    for name in (
        "uv.lock",
        "sub/requirements-dev.txt",
        "sub/environment.yaml",
        "Manifest.toml",
        "my-uv.lock",
    ):
        write(top, name, "pin\n")
    write(top, "requirements/notes.md", "no\n")
    repo = gitrepo.discover(top)
    digest = "bdd8f9bb2bc2ec1fdf7a24bdc1b7e24d2a6d16d6bdb3e5a5ae7ac2ca1f0c0b3f"
    found = snapshot.locks(repo, listing(repo, take(top).tree))
    assert [lock.path for lock in found] == [
        "Manifest.toml",
        "sub/environment.yaml",
        "sub/requirements-dev.txt",
        "uv.lock",
    ]
    assert {len(lock.sha256) for lock in found} == {len(digest)}
    assert snapshot.locks(repo, listing(repo, repo.empty_tree)) == ()
    assert isinstance(found[0], Lock)
