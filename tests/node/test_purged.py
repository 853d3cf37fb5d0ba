"""A site that removes old files: what is gone is said, and made again from the repository."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from .cluster_kit import Site, resources
from .fake_slurm import FakeSlurm


def sent(site: Site) -> str:
    script = ("100755", b"tool", site.blob("#!/bin/sh\n"))
    link = ("120000", b"link", site.blob("main.py"))
    package = site.package(
        script, link, scheduler="slurm", job="#!/bin/sh\n", tasks=3, resources=resources(jobs=None)
    )
    assert site.send(package)[0]["job"] == "7"
    return package


def folder(site: Site, package: str) -> Path:
    return site.root / "packages" / package


def look(top: Path) -> dict[str, Any]:
    """Every file's mode, time and bytes."""
    found = {}
    for path in sorted(top.rglob("*")):
        stat = path.lstat()
        what = os.readlink(path) if path.is_symlink() else None
        if path.is_file() and what is None:
            what = hashlib.sha256(path.read_bytes()).hexdigest()
        found[str(path.relative_to(top))] = (
            (stat.st_mode, what) if what is None else (stat.st_mode, what, stat.st_size)
        )
    return found


def remove(path: Path) -> None:
    subprocess.run(("chmod", "-R", "u+w", str(path)), check=True)
    shutil.rmtree(path)


def test_a_purged_package_says_so_and_comes_again_byte_for_byte(site: Site, slurm: FakeSlurm) -> None:
    package = sent(site)
    code = folder(site, package) / "code"
    before = look(code)
    remove(folder(site, package))
    line = site.verb("state", {"packages": [package]})
    words = f"package {package[:12]} was purged on the cluster: its folder is gone"
    assert (line["counts"], line["problems"], line["final"]) == ({}, [words], False)
    pulled = site.verb("pull", {"package": package, "positions": {}})
    assert pulled == {"done": True, "more": False, "problems": [words]}
    request = {"package": package, "submission": 2, "token": "t", "tasks": "2", "attempt": 2}
    assert site.verb("submit", request)["job"] == "8"
    assert look(code) == before
    assert slurm.jobs()[-1] == ("8", f"cj-{package[:12]}-2", 1)


def test_files_that_are_missing_are_put_back_before_a_submission(site: Site, slurm: FakeSlurm) -> None:
    package = sent(site)
    code = folder(site, package) / "code"
    before = look(code)
    for path in (code, code / ".cj"):
        path.chmod(0o700)
    (code / "tool").unlink()
    (code / ".cj" / "job.sh").unlink()
    request = {"package": package, "submission": 2, "token": "t", "tasks": "2", "attempt": 2}
    assert site.verb("submit", request)["job"] == "8"
    assert look(code) == before
    assert {path.name for path in folder(site, package).iterdir()} == {"code", "package.json", "submissions"}


def test_outputs_that_were_deleted_are_told_with_what_is_left(site: Site) -> None:
    package = sent(site)
    blocks = site.submission(package) / "blocks"
    line = {
        "task": 1,
        "attempt": 1,
        "outputs": [{"path": "a.txt", "offset": 0, "bytes": 3, "sha256": "0"}],
    }
    (blocks / "000001-01.records").write_text(json.dumps(line) + "\n")
    done = subprocess.run(
        (site.python, "-I", "-S", site.root / "cjnode.pyz", "pull", "--root", site.root),
        input=json.dumps({"package": package}).encode(),
        capture_output=True,
        check=True,
    )
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "done": True,
        "more": False,
        "problems": ["the outputs of block 1/000001-01 were deleted on the cluster"],
    }
