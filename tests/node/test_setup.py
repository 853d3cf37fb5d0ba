"""A cluster's root: made once, upgraded, refused where it would be unsafe."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import zipfile
from pathlib import Path

import pytest

from cjledger.cluster import node_zip

from .cluster_kit import Site, new_site


def snapshot(root: Path) -> dict[str, bytes]:
    names = (
        "cluster.json",
        "site.json",
        "python",
        "repo.git/config",
        "repo.git/cj.config",
        "repo.git/info/attributes",
    )
    kept = [root / name for name in names]
    kept += sorted((root / "hooks").iterdir())
    return {str(path): path.read_bytes() for path in kept}


def test_init_can_be_repeated_and_changes_nothing(tmp_path: Path, node_python: str) -> None:
    site = new_site(tmp_path, node_python)
    before = snapshot(site.root)
    reply = site.init()
    assert snapshot(site.root) == before
    assert reply["root"] == str(site.root)
    assert json.loads(before[str(site.root / "cluster.json")]) == {
        "format": 1,
        "cluster": "local",
        "scheduler": "local",
        "cjnode": reply["cjnode"],
        "version": 1,
    }


def test_a_root_is_closed_to_others(tmp_path: Path) -> None:
    site = new_site(tmp_path)
    for path in (site.root, site.root / "hooks", site.repo, site.root / "packages", site.root / "cjnode.pyz"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_a_root_that_others_can_write_to_is_refused(tmp_path: Path) -> None:
    site = new_site(tmp_path)
    site.root.chmod(0o770)
    assert site.init() == {"error": f"others can write to {site.root}", "hint": f"chmod go-w {site.root}"}


def test_hooks_that_others_can_write_to_are_refused(tmp_path: Path) -> None:
    site = new_site(tmp_path)
    (site.root / "hooks").chmod(0o777)
    assert "others can write" in site.init()["error"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_root_of_another_user_is_refused(tmp_path: Path) -> None:
    site = new_site(tmp_path)
    os.chown(site.root, 12345, 12345)
    assert "belongs to another user" in site.init()["error"]


def test_a_hook_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    site = new_site(tmp_path)
    theirs = site.root / "hooks" / "post-receive"
    theirs.write_text("#!/bin/sh\nmail -s pushed mia\n")
    assert "is not cjledger's hook" in site.init()["error"]
    assert theirs.read_text() == "#!/bin/sh\nmail -s pushed mia\n"


def test_a_root_of_a_newer_format_is_refused(tmp_path: Path) -> None:
    site = new_site(tmp_path)
    (site.root / "cluster.json").write_text('{"format":2}')
    assert "newer" in site.init()["error"]


def test_a_root_keeps_one_hash(tmp_path: Path) -> None:
    site = new_site(tmp_path)
    assert "another root" in site.init(hash="sha256")["hint"]


def test_an_interrupted_init_is_finished_by_the_next(tmp_path: Path) -> None:
    site = new_site(tmp_path)
    whole = snapshot(site.root)
    (site.root / "cluster.json").unlink()
    (site.root / "hooks" / "post-receive").unlink()
    (site.repo / "info" / "attributes").unlink()
    (site.repo / "cj.config").unlink()
    subprocess.run(("git", f"--git-dir={site.repo}", "config", "--unset", "include.path"), check=True)
    site.init()
    again = snapshot(site.root)
    assert again.pop(str(site.repo / "config"))
    assert again == {name: body for name, body in whole.items() if name in again}
    listed = subprocess.run(
        ("git", f"--git-dir={site.repo}", "config", "--get-all", "receive.hideRefs"), capture_output=True
    )
    assert listed.stdout.split() == [b"refs/cj/packages"]


def test_the_installed_zip_is_the_delivered_one_with_bytecode(tmp_path: Path) -> None:
    site = new_site(tmp_path)
    (tmp_path / "again.pyz").write_bytes(node_zip())
    with zipfile.ZipFile(site.root / "cjnode.pyz") as has, zipfile.ZipFile(tmp_path / "again.pyz") as came:
        sources = {name: came.read(name) for name in came.namelist()}
        assert {name: has.read(name) for name in has.namelist() if name.endswith(".py")} == sources
        assert {name + "c" for name in sources} == set(has.namelist()) - set(sources)


def test_a_request_that_is_no_json_is_refused(tmp_path: Path) -> None:
    site = new_site(tmp_path)
    done = subprocess.run(
        (site.python, site.root / "cjnode.pyz", "submit", "--root", site.root, "--nonce", "n1"),
        input=b"{",
        capture_output=True,
    )
    lines = done.stdout.splitlines()
    assert (done.returncode, lines[1][:12], lines[3]) == (1, b"cj n1 begin ", b"cj n1 end")
    assert json.loads(lines[2])["error"].startswith("the request is not JSON")


def test_a_site_without_python_says_what_to_do(tmp_path: Path) -> None:
    site = new_site(tmp_path)
    (site.root / "python").write_text("/nonexistent/python3\n")
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("git", "git-receive-pack", "sh", "cat", "rm"):
        found = subprocess.run(("sh", "-c", f"command -v {name}"), capture_output=True, text=True).stdout
        (tools / name).symlink_to(found.strip())
    hook = site.root / "hooks" / "post-receive"
    text = hook.read_text()
    # Whatever Python this machine has outside PATH must not be found either.
    hook.write_text("\n".join(line.replace("/usr/", "/nowhere/") for line in text.splitlines()) + "\n")
    package = site.package()
    (answer,) = site.send(package, PATH=str(tools))
    assert answer["error"] == "there is no Python 3.6 or newer here"
    assert "python = " in answer["hint"]


def test_another_python_is_found_when_the_recorded_one_is_gone(tmp_path: Path) -> None:
    site = Site(new_site(tmp_path).folder)
    (site.root / "python").write_text("/nonexistent/python3\n")
    package = site.package()
    assert site.send(package) == [{"package": package, "submission": 1, "job": f"cj-{package[:12]}-1"}]
    site.finished(package)
