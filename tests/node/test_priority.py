"""Priorities: what each scheduler is asked for, what a common user may not ask, and the order on local."""

from __future__ import annotations

from pathlib import Path

import pytest

from cjnode import schedulers
from cjnode.errors import NodeError
from cjnode.schedulers import htcondor, poll
from cjnode.schedulers.priority import check

from .cluster_kit import Site, new_site, resources, wait_for
from .replay_kit import install

# Says that it ran, then waits until the test lets it go.
WAITER = 'echo "$2" >>"$1/tally"\nwhile [ ! -e "$1/go-$2" ]; do sleep 0.05; done\n'


@pytest.mark.parametrize("scheduler", ["pbs", "torque"])
def test_qsub_is_given_it_as_it_is(scheduler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = install(tmp_path, monkeypatch, scheduler)
    if scheduler == "torque":
        site.says("qstat", out="<Data></Data>")
    site.says("qsub", out="12.server\n")
    job = site.job(elements=1, alloc=[])._replace(priority=-7)
    assert schedulers.submit(scheduler, str(site.root), job) == "12.server"
    argv = site.calls()[-1]
    assert argv[argv.index("-p") + 1] == "-7"


def test_torques_commands_over_slurm_mean_the_contrary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = install(tmp_path, monkeypatch, "torque")
    site.says("qstat", err="Unknown option: x\n", code=2)
    site.says("qsub", out="12\n")
    job = site.job(elements=1, alloc=[])
    assert schedulers.submit("torque", str(site.root), job._replace(priority=-7)) == "12"
    argv = site.calls()[-1]
    assert argv[argv.index("-p") + 1] == "7"
    site.says("qstat", err="Unknown option: x\n", code=2)
    with pytest.raises(NodeError, match="only its operators"):
        schedulers.submit("torque", str(site.root), job._replace(priority=7))


def test_lsf_counts_from_the_middle_of_its_range(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = install(tmp_path, monkeypatch, "lsf")
    job, root = site.job(elements=1, alloc=[]), str(site.root)
    site.says("bparams", out="    MAX_USER_PRIORITY = 100\n")
    site.says("bsub", out="Job <123> is submitted to queue <normal>.\n")
    schedulers.submit("lsf", root, job._replace(priority=7))
    argv = site.calls()[-1]
    assert argv[argv.index("-sp") + 1] == "57"
    site.says("bparams", out="    MAX_USER_PRIORITY = 100\n")
    with pytest.raises(NodeError, match="priority 51: this LSF takes -49 to 50"):
        schedulers.submit("lsf", root, job._replace(priority=51))
    site.says("bparams", out="    MAX_JOB_ARRAY_SIZE = 1000\n")
    with pytest.raises(NodeError, match="MAX_USER_PRIORITY is not set"):
        schedulers.submit("lsf", root, job._replace(priority=1))


def test_htcondor_has_a_submit_command_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = install(tmp_path, monkeypatch, "htcondor")
    job = site.job(elements=1, alloc=[])
    assert "priority" not in htcondor.description(job)
    site.says("condor_submit", out="12.0 - 12.0\n")
    assert schedulers.submit("htcondor", str(site.root), job._replace(priority=-7)) == "12"
    assert "\npriority = -7\n" in site.last("stdin")


@pytest.mark.parametrize(
    ("scheduler", "priority"), [("slurm", 1), ("sge", 1), ("pbs", 1001), ("local", -1001)]
)
def test_what_would_not_be_granted_is_refused(scheduler: str, priority: int) -> None:
    with pytest.raises(NodeError, match=f"priority {priority}: "):
        check(scheduler, priority)
    check(scheduler, -1)


def send(site: Site, priority: int | None) -> str:
    package = site.package(job=WAITER, resources=resources(jobs=1, priority=priority), seed=priority or 0)
    assert "job" in site.send(package)[0]
    return package


def test_the_local_pool_with_the_higher_priority_starts_first(tmp_path: Path) -> None:
    site = new_site(tmp_path)
    first = send(site, 5)
    wait_for(lambda: site.tally() == [first])
    plain, low = send(site, None), send(site, -5)
    names = [f"cj-{package[:12]}-1" for package in (first, plain, low)]
    told = poll("local", str(site.root), names)
    words = "jobs of a higher priority go first"
    assert [(told[name].state, told[name].reason) for name in names] == [
        ("RUNNING", ""),
        ("PENDING", words),
        ("PENDING", words),
    ]
    (site.root / f"go-{first}").touch()
    wait_for(lambda: plain in site.tally())
    assert low not in site.tally()
    (site.root / f"go-{plain}").touch()
    wait_for(lambda: low in site.tally())
    (site.root / f"go-{low}").touch()
    for package in (first, plain, low):
        assert site.finished(package) == {"1": 0}


def test_a_held_or_dead_job_is_waited_for_by_nobody(tmp_path: Path) -> None:
    site = new_site(tmp_path)
    first = send(site, 5)
    wait_for(lambda: site.tally() == [first])
    second = send(site, 3)
    schedulers.hold("local", str(site.root), f"cj-{second[:12]}-1")
    (site.root / f"go-{first}").touch()
    third = send(site, None)
    (site.root / f"go-{third}").touch()
    assert site.finished(third) == {"1": 0}
    assert second not in site.tally()
    schedulers.cancel("local", str(site.root), f"cj-{second[:12]}-1")
    site.finished(second)
