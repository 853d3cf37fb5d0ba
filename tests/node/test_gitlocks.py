"""F12: a git that was killed leaves its locks; nobody has to remove them by hand."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from .cluster_kit import Site, resources


def made(site: Site) -> str:
    return site.package(scheduler="slurm", resources=resources(jobs=None))


@pytest.mark.parametrize("lock", ["packed-refs.lock", "refs/cj/packages/{package}.lock"])
def test_a_package_is_taken_although_a_killed_git_left_a_lock(site: Site, lock: str) -> None:
    package = made(site)
    path = site.repo / lock.format(package=package)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    assert site.send(package)[0]["job"] == "7"
    assert not path.exists()


def test_a_push_that_a_lock_refused_goes_when_submit_was_asked(site: Site) -> None:
    package = made(site)
    path = site.repo / f"refs/cj/inbox/{package}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    assert site.send(package) == []
    request = {"package": package, "submission": 1, "token": package}
    assert "is not on this cluster" in site.verb("submit", request)["error"]
    assert site.send(package)[0]["job"] == "7"


def test_a_git_that_lives_keeps_its_lock(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CJ_SETTLE_S", "60")
    package = made(site)
    path = site.repo / "packed-refs.lock"
    path.touch()
    kept: list[bool] = []

    def end() -> None:
        time.sleep(2.5)  # longer than git itself waits
        kept.append(path.exists())
        path.unlink()

    holder = threading.Thread(target=end)
    holder.start()
    assert site.send(package)[0]["job"] == "7"
    holder.join()
    assert kept == [True]


@pytest.mark.parametrize("lock", ["config.lock"])
def test_a_cluster_is_set_up_although_a_killed_git_left_a_lock(site: Site, lock: str, tmp_path: Path) -> None:
    config = site.repo / "config"
    config.write_text(config.read_text().replace("cj.config", "other.config"))
    (site.repo / lock).touch()
    assert "error" not in site.init(scheduler="slurm")
    assert "cj.config" in config.read_text()
