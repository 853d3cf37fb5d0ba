"""The embedded scheduler: pools that outlive their starters, elements that are alone, ends that arrive."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cjnode import processes
from cjnode.errors import NodeError
from cjnode.schedulers import (
    JobSpec,
    Limits,
    Status,
    cancel,
    find,
    hold,
    limits,
    local,
    localjobs,
    poll,
    pool,
    release,
)

from .cluster_kit import Site, new_site, resources, wait_for

# Says who it is, then waits to be ended.
SLEEPER = 'echo "$CJ_ELEMENT $CJ_INCARNATION" >>"$1/tally"\nexec sleep 1000\n'


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return new_site(tmp_path)


def started(site: Site, job: str, *, jobs: int = 1, tasks: int = 1) -> str:
    """Send a package; the name of its job, or the job's refusal."""
    package = site.package(job=job, tasks=tasks, resources=resources(jobs=jobs))
    name: str = site.send(package)[0]["job"]
    return name


def done(site: Site, name: str) -> dict[str, int]:
    path = site.root / "scheduler" / name / "done.json"
    wait_for(path.exists)
    codes: dict[str, int] = json.loads(path.read_bytes())["exit_codes"]
    return codes


def element_pids(site: Site, name: str) -> list[int]:
    return [who.pid for who in localjobs.elements(str(site.root / "scheduler" / name))]


def test_the_batch_script_is_text_and_nothing_else() -> None:
    spec = JobSpec("/opt/my python/bin/python3", ["module load R"], {})
    assert local.batch_script(spec) == (
        "#!/bin/sh\n"
        "# One element of a job: sh .cj/job.sh ROOT PACKAGE SUBMISSION [FIRST]\n"
        "ROOT=$1 PACKAGE=$2 SUBMISSION=$3 FIRST=${4:-1}\n"
        'CJ_ELEMENT="${CJ_ELEMENT:-1}" CJ_INCARNATION="${CJ_INCARNATION:-1}" CJ_JOB_ID="${CJ_JOB_ID:-}"\n'
        "export CJ_ELEMENT CJ_INCARNATION CJ_JOB_ID\n"
        "module load R\n"
        "PYTHON='/opt/my python/bin/python3'\n"
        'exec "$PYTHON" "$ROOT/packages/$PACKAGE/code/.cj/cjnode.pyz" work --root "$ROOT"'
        ' --package "$PACKAGE" --submission "$SUBMISSION"\n'
    )


def test_a_job_has_its_elements_and_their_exit_codes(tmp_path: Path, node_python: str) -> None:
    site = new_site(tmp_path / "site", node_python)
    script = 'echo "$CJ_ELEMENT $CJ_INCARNATION $CJ_JOB_ID" >>"$1/tally"\nexit "$CJ_ELEMENT"\n'
    name = started(site, script, jobs=3, tasks=24)
    assert done(site, name) == {"1": 1, "2": 2, "3": 3}
    assert site.tally() == [f"{element} 1 {name}" for element in (1, 2, 3)]
    assert poll("local", str(site.root), [name]) == {}
    assert find("local", str(site.root), name) == [name]


def test_what_an_element_prints_is_kept(site: Site) -> None:
    name = started(site, "echo out\necho err >&2\n")
    done(site, name)
    (log,) = site.root.glob("packages/*/submissions/1/element-1.log")
    assert log.read_text() == "out\nerr\n"


def test_an_element_that_dies_by_a_signal_is_started_again_three_times(site: Site) -> None:
    name = started(site, 'echo "$CJ_ELEMENT $CJ_INCARNATION" >>"$1/tally"\nkill -9 $$\n')
    assert done(site, name) == {"1": 137}
    assert site.tally() == ["1 1", "1 2", "1 3", "1 4"]


def test_what_a_dead_element_left_behind_is_ended(site: Site) -> None:
    script = 'if [ "$CJ_INCARNATION" = 1 ]; then sleep 1000 & echo $! >>"$1/tally"; kill -9 $$; fi\n'
    name = started(site, script)
    assert done(site, name) == {"1": 0}
    assert not processes.identity(int(site.tally()[0])).start


def test_a_living_job_is_running_and_can_be_ended(site: Site) -> None:
    name = started(site, SLEEPER, jobs=2, tasks=16)
    wait_for(lambda: len(site.tally()) == 2)
    assert poll("local", str(site.root), [name, "cj-000000000000-1"]) == {name: Status("RUNNING", "", "", {})}
    cancel("local", str(site.root), name)
    assert done(site, name) == {"1": 143, "2": 143}
    assert poll("local", str(site.root), [name]) == {}
    cancel("local", str(site.root), name)


def test_a_job_whose_processes_are_gone_is_not_there(site: Site) -> None:
    name = started(site, SLEEPER)
    wait_for(lambda: len(site.tally()) == 1)
    folder = str(site.root / "scheduler" / name)
    owner = localjobs.owner(folder)
    assert owner is not None
    os.kill(owner.pid, signal.SIGKILL)
    wait_for(lambda: not processes.alive(owner))
    # Its element lives on and works; it can still be ended.
    assert poll("local", str(site.root), [name]) == {name: Status("RUNNING", "", "", {})}
    assert find("local", str(site.root), name) == []
    cancel("local", str(site.root), name)
    wait_for(lambda: poll("local", str(site.root), [name]) == {})


def test_a_process_number_given_again_is_not_the_job(site: Site) -> None:
    name = started(site, "exit 0\n")
    done(site, name)
    folder = site.root / "scheduler" / name
    (folder / "done.json").unlink()
    for element in folder.glob("element-*.json"):
        element.unlink()
    stranger = processes.identity(os.getpid())
    for changed in (stranger._replace(start="1"), stranger._replace(boot="another boot")):
        (folder / "owner-1.json").write_text(json.dumps({"format": 1, **changed._asdict()}))
        assert poll("local", str(site.root), [name]) == {}
    # A process of another machine cannot be seen from here: it is not called gone.
    elsewhere = stranger._replace(machine="another machine", start="1")
    (folder / "owner-1.json").write_text(json.dumps({"format": 1, **elsewhere._asdict()}))
    assert poll("local", str(site.root), [name]) == {name: Status("PENDING", "", "", {})}


def test_a_second_pool_leaves_the_job_to_the_first(site: Site) -> None:
    name = started(site, SLEEPER)
    wait_for(lambda: len(site.tally()) == 1)
    script = "import sys; from cjnode.schedulers import pool; print(pool.launch(sys.argv[1], sys.argv[2]))"
    arguments = (sys.executable, "-c", script, str(site.root), name)
    pools = [subprocess.Popen(arguments, stdout=subprocess.PIPE, env=with_node()) for _ in range(5)]
    assert [process.communicate()[0] for process in pools] == [b"True\n"] * 5
    assert sorted(path.name for path in (site.root / "scheduler" / name).glob("owner-*")) == ["owner-1.json"]
    cancel("local", str(site.root), name)
    assert done(site, name) == {"1": 143}
    assert site.tally() == ["1 1"]


def with_node() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(pool.__file__).parents[2])}


def test_of_many_pools_at_once_one_takes_a_dead_ones_job_and_ends_its_elements(site: Site) -> None:
    name = started(site, SLEEPER)
    wait_for(lambda: len(site.tally()) == 1)
    folder = str(site.root / "scheduler" / name)
    owner, orphan = localjobs.owner(folder), localjobs.elements(folder)[0]
    assert owner is not None
    os.kill(owner.pid, signal.SIGKILL)
    wait_for(lambda: not processes.alive(owner))
    script = "import sys; from cjnode.schedulers import pool; print(pool.launch(sys.argv[1], sys.argv[2]))"
    arguments = (sys.executable, "-c", script, str(site.root), name)
    pools = [subprocess.Popen(arguments, stdout=subprocess.PIPE, env=with_node()) for _ in range(5)]
    assert [process.communicate()[0] for process in pools] == [b"True\n"] * 5
    wait_for(lambda: len(site.tally()) == 2)
    assert site.tally() == ["1 1", "1 2"]
    assert not processes.alive(orphan)
    cancel("local", str(site.root), name)
    assert done(site, name) == {"1": 143}


def test_of_many_who_take_a_dead_ones_job_at_once_one_has_it(tmp_path: Path) -> None:
    """One who saw the dead owner late took the job from the living one: elements were started twice."""
    dead = {"format": 1, **processes.identity(os.getpid())._asdict(), "start": "1"}
    for number in range(40):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "owner-1.json").write_text(json.dumps(dead))
        ready = threading.Barrier(8)

        def take(folder: str = str(folder), ready: threading.Barrier = ready) -> bool:
            ready.wait()
            return pool.take(folder)

        with ThreadPoolExecutor(8) as many:
            took = [each.result() for each in [many.submit(take) for _ in range(8)]]
        assert sorted(took) == [False] * 7 + [True]
        assert sorted(path.name for path in folder.iterdir()) == ["owner-1.json", "owner-2.json"]


def test_a_held_job_waits_and_a_released_one_starts(site: Site) -> None:
    package = site.package()
    folder = site.job(package)
    folder.mkdir()
    hold("local", str(site.root), folder.name)
    site.send(package)
    assert poll("local", str(site.root), [folder.name]) == {folder.name: Status("HELD", "", "", {})}
    release("local", str(site.root), folder.name)
    release("local", str(site.root), folder.name)
    assert done(site, folder.name) == {"1": 0}
    with pytest.raises(NodeError, match="has started"):
        hold("local", str(site.root), folder.name)


def test_a_held_job_can_be_ended(site: Site) -> None:
    package = site.package()
    folder = site.job(package)
    folder.mkdir()
    hold("local", str(site.root), folder.name)
    site.send(package)
    cancel("local", str(site.root), folder.name)
    assert done(site, folder.name) == {}
    assert site.tally() == []


def test_a_package_that_cannot_be_expanded_says_so_where_its_elements_would(site: Site) -> None:
    package = site.package()
    folder = site.job(package)
    folder.mkdir()
    hold("local", str(site.root), folder.name)
    gone = site.repo / "objects"
    site.send(package)
    assert poll("local", str(site.root), [folder.name]) == {folder.name: Status("HELD", "", "", {})}
    cancel("local", str(site.root), folder.name)
    done(site, folder.name)
    shutil.rmtree(gone)
    gone.mkdir()
    code = site.root / "packages" / package / "code"
    for path in (code, code / ".cj"):
        path.chmod(0o700)
    shutil.rmtree(code)
    request = {"package": package, "submission": 2, "token": "t", "tasks": "1", "attempt": 2}
    assert "error" not in site.verb("submit", request)
    assert site.finished(package, 2) == {}
    log = (site.submission(package, 2) / "element-1.log").read_text()
    assert log.startswith("the job could not start: ")


def test_a_job_does_not_see_what_git_told_the_hook(site: Site) -> None:
    name = started(site, 'env | grep -E "^(GIT|SSH)_" >>"$1/tally"\necho "$PATH" >>"$1/tally"\n')
    done(site, name)
    exec_path = subprocess.run(("git", "--exec-path"), capture_output=True, text=True).stdout.strip()
    (path,) = site.tally()
    assert exec_path not in path.split(":")


def test_there_are_no_limits() -> None:
    assert limits("local", "/") == Limits(None, None, 0)


def test_a_name_that_is_no_job_is_refused(site: Site) -> None:
    with pytest.raises(NodeError, match="not a job"):
        poll("local", str(site.root), ["../../packages"])


def test_cancel_names_what_had_not_ended(site: Site) -> None:
    package = site.package(job=SLEEPER, tasks=5)
    site.send(package)
    wait_for(lambda: len(site.tally()) == 1)
    reply = site.verb("cancel", {"package": package, "tasks": "2-3", "token": "a"})
    assert reply == {"package": package, "cancelled": 2}
    assert json.loads((site.submission(package) / "cancel" / "a.json").read_bytes()) == {
        "format": 1,
        "tasks": "2-3",
    }
    assert poll("local", str(site.root), [site.job(package).name]) != {}
    assert site.verb("cancel", {"package": package, "tasks": None, "token": "b"})["cancelled"] == 3
    assert site.finished(package) == {"1": 143}


def test_clean_ends_a_job_and_leaves_nothing_of_the_package(site: Site) -> None:
    package = site.package(job=SLEEPER)
    site.send(package)
    wait_for(lambda: len(site.tally()) == 1)
    pids = element_pids(site, site.job(package).name)
    reply = site.verb("clean", {"package": package})
    assert reply["freed"] > 1000
    assert [processes.identity(pid).start for pid in pids] == [""]
    assert list((site.root / "packages").iterdir()) == []
    assert list((site.root / "scheduler").iterdir()) == []
    assert site.refs() == {"refs/cj/tip/mia-1": package}
    assert site.verb("clean", {"package": package}) == {"package": package, "freed": 0}
    # It can come again.
    assert site.send(package)[0]["submission"] == 1
    wait_for(lambda: len(site.tally()) == 2)
    site.verb("clean", {"package": package})
