"""What nobody else may come by for: who submits, or ends, sees to what waits and to what that waits for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cjnode.schedulers import JobSpec, local

from .cluster_kit import Site, new_site, resources, wait_for
from .conftest import PYTHONS
from .fake_slurm import FakeSlurm
from .test_further import claimed, rows, run, sent, state
from .test_retries import grow, policy

SLOW = "import time; time.sleep(1.5)\n"

# The verb, where nothing can be written that lies in the backlog.
FULL = """
import errno, sys
sys.path.insert(0, {zip!r})
from cjnode import files
write = files._write_aside
def full(path, content, mode):
    if "/backlog/" in path:
        raise OSError(errno.ENOSPC, "No space left on device")
    return write(path, content, mode)
files._write_aside = full
from cjnode.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


def after(package: str, when: str = "ok") -> list[dict[str, str]]:
    return [{"package": package, "when": when, "cluster": "local"}]


def there(site: Site, seed: int, main: str = "print(1)\n", **more: Any) -> str:
    """A package of one task for the embedded scheduler, whose job leaves Python's variables out."""
    asked = resources(jobs=None)
    job = local.batch_script(JobSpec(sys.executable, ["unset PYTHONPATH PYTHONHOME"], asked))
    return site.package(job=job, tasks=1, seed=seed, resources=asked, main=main, **more)


def is_done(site: Site, package: str) -> bool:
    return (site.job(package) / "done.json").exists()


def names(slurm: FakeSlurm, package: str) -> list[str]:
    return [name for _, name, _ in slurm.jobs() if package[:12] in name]


def failed_long_ago(site: Site, slurm: FakeSlurm) -> str:
    """A package with a task that is to run again with more memory, and another that runs on."""
    package = sent(site, policy(2, memory=grow()))
    claimed(site, package, 1, 1)
    claimed(site, package, 2, 2)
    os.utime(site.submission(package) / "intent.json", (1, 1))
    rows(slurm, package, "7_1|RUNNING|None", "7_2|OUT_OF_MEMORY|None")
    return package


def test_a_launch_has_what_it_waits_for_run_again_what_failed(site: Site, slurm: FakeSlurm) -> None:
    first = failed_long_ago(site, slurm)
    second = sent(site, None, 1, seed=2, after=after(first))
    assert names(slurm, first) == [f"cj-{first[:12]}-1", f"cj-{first[:12]}-2"]
    assert len(names(slurm, second)) <= 1


def test_so_has_one_whose_hook_was_cut_off_whatever_was_tried_just_now(site: Site, slurm: FakeSlurm) -> None:
    first = failed_long_ago(site, slurm)
    slurm.will("full")
    sent(site, None, 1, seed=9)
    hook = site.root / "hooks" / "post-receive"
    text = hook.read_text()
    hook.write_text("#!/bin/sh\nexit 0\n")
    second = site.package(scheduler="slurm", tasks=1, seed=2, after=after(first))
    site.send(second)
    hook.write_text(text)
    site.verb("submit", {"package": second, "submission": 1, "token": second})
    assert names(slurm, first) == [f"cj-{first[:12]}-1", f"cj-{first[:12]}-2"]


def test_packages_that_wait_do_not_try_a_full_site_anew(site: Site, slurm: FakeSlurm) -> None:
    slurm.will(*["full"] * 9)
    first = sent(site, policy(2), 1)
    for number in range(2, 5):
        sent(site, None, 1, seed=number, after=after(first))
    assert len(slurm.calls("sbatch")) == 1


def test_a_package_at_its_end_is_not_submitted_again_by_a_look(site: Site, slurm: FakeSlurm) -> None:
    package = sent(site, policy(2, memory=grow()), tasks=1)
    claimed(site, package, 1, 1)
    rows(slurm, package, "7|OUT_OF_MEMORY|None")
    slurm.will("full")
    state(site, package)
    (site.root / "backlog" / f"{package}-2.json").unlink()  # as if killed between the intent and its mark
    site.verb("submit", {"package": package, "submission": 3, "token": "t", "tasks": "1", "attempt": 3})
    run(site, package, 3, 1)
    slurm.say("rows", "")
    before = names(slurm, package)
    assert [state(site, package)["final"] for _ in range(2)] == [True, True]
    assert names(slurm, package) == before


def test_a_full_disk_beside_what_runs_after_it_refuses_no_submission(tmp_path: Path) -> None:
    site = new_site(tmp_path / "site")
    first = there(site, 1, main="import time; time.sleep(3)\n")
    site.send(first)
    site.send(there(site, 2, after=after(first, "any"), then_of={"package": first, "table": None}))
    again = {"package": first, "submission": 2, "token": "t", "tasks": "1", "attempt": 2}
    job = site.verb("submit", again)["job"]
    code = FULL.format(zip=str(site.root / "cjnode.pyz"))
    done = subprocess.run(
        (sys.executable, "-I", "-S", "-c", code, "submit", "--root", site.root),
        input=json.dumps(again).encode(),
        capture_output=True,
    )
    assert (done.returncode, json.loads(done.stdout)["job"]) == (0, job)
    wait_for(lambda: is_done(site, first))


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("name", ["plain", 'o\'d "%r" %s é \\x {} $HOME', os.fsdecode(b"by\xff\xe9te")])
def test_local_packages_follow_one_another_with_nobody_there(tmp_path: Path, python: str, name: str) -> None:
    site = new_site(tmp_path / name, python)
    first = there(site, 1, SLOW)
    second = there(site, 2, after=after(first))
    third = there(site, 3, after=after(second, "any"))
    for package in (first, second, third):
        site.send(package)
    wait_for(lambda: is_done(site, third))
    wait_for(lambda: not list((site.root / "backlog").glob("*.json")))
    assert "Traceback" not in (site.job(first) / "log").read_text(errors="replace")


@pytest.mark.parametrize("variable", ["PYTHONPATH", "PYTHONHOME"])
def test_what_the_launcher_told_its_python_does_not_stop_that(tmp_path: Path, variable: str) -> None:
    site = new_site(tmp_path / "site")
    folder = tmp_path / "other"
    folder.mkdir()
    (folder / "enum.py").write_text("raise RuntimeError('of another Python')\n")
    first = there(site, 1, SLOW)
    second = there(site, 2, after=after(first))
    site.send(first, **{variable: str(folder)})
    site.send(second)
    wait_for(lambda: is_done(site, second))


def test_a_mark_that_cannot_be_read_is_nobody_s_trouble(tmp_path: Path) -> None:
    site = new_site(tmp_path / "site")
    package = there(site, 1)
    site.send(package)
    site.finished(package)
    (site.root / "backlog").mkdir(exist_ok=True)
    mark = site.root / "backlog" / f"{'1' * 40}-1.json"
    mark.symlink_to(mark)
    assert state(site, package)["final"]
    assert site.send(there(site, 2))[0]["submission"] == 1
