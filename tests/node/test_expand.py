"""The expanded tree: every byte, exec bits, links, read-only; whole or not there."""

from __future__ import annotations

import os
import stat
import subprocess
import time
from pathlib import Path

import pytest

from cjnode.errors import NodeError
from cjnode.repository.expand import ensure_expanded, remove

from .cluster_kit import Site, new_site

ATTRIBUTES = (
    "* text eol=crlf ident export-subst working-tree-encoding=UTF-16LE filter=evil\nhidden export-ignore\n"
)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return new_site(tmp_path)


def received(site: Site, package: str) -> Path:
    """Bring a package without running anything of it."""
    subprocess.run(
        (
            "git",
            f"--git-dir={site.repo}",
            "fetch",
            "-q",
            site.laptop,
            f"{package}:refs/cj/packages/{package}",
        ),
        check=True,
    )
    folder = site.root / "packages" / package
    folder.mkdir()
    return folder


def test_a_tree_is_expanded_bit_for_bit(site: Site) -> None:
    deep = site.tree([("100644", b"x", site.blob(b"")), ("100755", b"y", site.blob(b"#!/bin/sh\n"))])
    package = site.package(
        ("100644", b".gitattributes", site.blob(ATTRIBUTES)),
        ("100644", b"crlf.txt", site.blob("one\ntwo\r\n$Id$ $Format:%H$\n")),
        ("100644", b"hidden", site.blob(os.urandom(3 << 20))),
        ("120000", b"link", site.blob(b"sub/x")),
        ("40000", b"sub", deep),
    )
    received(site, package)
    code = Path(ensure_expanded(str(site.root), package))
    assert (code / "link").readlink() == Path("sub/x")
    listed = site.git("ls-tree", "-r", package).splitlines()
    for line in listed:
        (mode, _, object_id), path = line.split("\t")[0].split(), line.split("\t")[1]
        if mode != "120000":
            assert site.git("hash-object", "--no-filters", str(code / path)) == object_id
            assert stat.S_IMODE((code / path).stat().st_mode) == (0o555 if mode == "100755" else 0o444)
    files = [path for path in code.rglob("*") if not path.is_dir()]
    assert len(files) == len(listed)
    for folder in (code, code / "sub", code / ".cj"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o555


def test_a_sha256_tree_is_expanded(tmp_path: Path) -> None:
    site = new_site(tmp_path / "site", hash_name="sha256")
    package = site.package()
    received(site, package)
    assert (Path(ensure_expanded(str(site.root), package)) / "main.py").read_text() == "print(1)\n"


def test_a_submodule_is_an_empty_folder(site: Site) -> None:
    package = site.package(("160000", b"module", "1" * 40))
    received(site, package)
    code = Path(ensure_expanded(str(site.root), package))
    assert list((code / "module").iterdir()) == []


def test_expanding_again_changes_nothing(site: Site) -> None:
    package = site.package()
    received(site, package)
    code = Path(ensure_expanded(str(site.root), package))
    before = code.stat()
    ensure_expanded(str(site.root), package)
    assert (code.stat().st_ino, code.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_what_a_killed_expansion_left_is_removed(site: Site) -> None:
    package = site.package()
    folder = received(site, package)
    gone = subprocess.run(("sh", "-c", "echo $$"), capture_output=True, check=True, text=True).stdout.strip()
    now = int(time.time() * 1e6)
    here, elsewhere = os.uname().nodename, f"code.other.example.org.{gone}-{now}.tmp"
    for name in (f"code.{here}.{gone}-{now}.tmp", f"code.other.example.org.{gone}-1.tmp", elsewhere):
        left = folder / name / "sub"
        left.mkdir(parents=True)
        left.chmod(0o555)
    ensure_expanded(str(site.root), package)
    # What another machine began a moment ago may go on there.
    assert {path.name for path in folder.iterdir()} == {"code", elsewhere}


def test_a_damaged_object_is_never_expanded(site: Site) -> None:
    package = site.package(main="good\n")
    folder = received(site, package)
    blob = site.git("rev-parse", f"{package}:main.py")
    objects = site.repo / "objects"
    for pack in (objects / "pack").glob("*.pack"):
        moved = pack.rename(site.folder / pack.name)
        pack.with_suffix(".idx").unlink()
        with moved.open("rb") as file:
            command = ("git", f"--git-dir={site.repo}", "unpack-objects", "-q")
            subprocess.run(command, stdin=file, check=True)
    other = site.git("hash-object", "-w", "--stdin", stdin=b"evil\n")
    path = objects / blob[:2] / blob[2:]
    path.chmod(0o600)
    path.write_bytes((site.laptop / "objects" / other[:2] / other[2:]).read_bytes())
    with pytest.raises(NodeError, match=r"damaged 'main\.py'"):
        ensure_expanded(str(site.root), package)
    assert list(folder.iterdir()) == []


def test_names_that_collide_are_told(site: Site) -> None:
    """Git refuses such a tree in a push; one that is there all the same overwrites nothing."""
    package = site.package(("100644", b"main.py", site.blob("twice\n")))
    received(site, package)
    with pytest.raises(NodeError, match="are one on this file system"):
        ensure_expanded(str(site.root), package)


def test_a_read_only_tree_can_be_removed(site: Site) -> None:
    package = site.package(("40000", b"sub", site.tree([("100644", b"x", site.blob("12345"))])))
    folder = received(site, package)
    code = Path(ensure_expanded(str(site.root), package))
    size = sum(path.stat().st_size for path in code.rglob("*") if path.is_file())
    assert remove(str(folder)) == size
    assert not folder.exists()


def test_a_package_takes_unchanged_files_from_the_one_before(site: Site) -> None:
    same, first, then = site.blob(b"same\n"), site.blob(b"first\n"), site.blob(b"then\n")
    one = site.package(("100644", b"a", same), ("100644", b"b", first), ("100644", b"c", same))
    two = site.package(("100644", b"a", same), ("100644", b"b", then), ("100755", b"c", same))
    for package in (one, two):
        received(site, package)
    before = Path(ensure_expanded(str(site.root), one))
    after = Path(ensure_expanded(str(site.root), two))
    assert (after / "a").stat().st_ino == (before / "a").stat().st_ino
    assert [(after / name).read_bytes() for name in "abc"] == [b"same\n", b"then\n", b"same\n"]
    assert stat.S_IMODE((after / "c").stat().st_mode) == 0o555
    assert stat.S_IMODE((before / "c").stat().st_mode) == 0o444


def test_a_file_that_was_written_to_is_not_taken(site: Site) -> None:
    same = site.blob(b"same\n")
    one, two = (
        site.package(("100644", b"a", same)),
        site.package(("100644", b"a", same), ("100644", b"b", same)),
    )
    for package in (one, two):
        received(site, package)
    spoiled = Path(ensure_expanded(str(site.root), one)) / "a"
    spoiled.chmod(0o644)
    spoiled.write_bytes(b"evil\n")
    spoiled.chmod(0o444)
    assert (Path(ensure_expanded(str(site.root), two)) / "a").read_bytes() == b"same\n"


def test_a_package_outlives_the_one_it_took_files_from(site: Site) -> None:
    same = site.blob(b"same\n")
    one, two = (
        site.package(("100644", b"a", same)),
        site.package(("100644", b"a", same), ("100644", b"b", same)),
    )
    for package in (one, two):
        received(site, package)
        ensure_expanded(str(site.root), package)
    remove(str(site.root / "packages" / one))
    assert (site.root / "packages" / two / "code" / "a").read_bytes() == b"same\n"
