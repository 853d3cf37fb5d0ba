"""F23: shared file systems that have no links, lose answers, or show late what another node made."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from cjnode.records import blocks
from cjnode.schedulers import JobSpec, slurm
from tests.clusters.fixtures import or_skip
from tests.strange_disk import strange

from .cluster_kit import Site, new_site, resources, wait_for
from .conftest import HOOKS, PYTHONS
from .fake_slurm import FakeSlurm

MAIN = "import os\nopen({tally!r}, 'a').write(os.environ['CJ_TASK'] + '\\n')\nprint('done')\n"

Habits = Callable[..., dict[str, str]]


@pytest.fixture(params=PYTHONS, ids=["this python", "python 3.6"][: len(PYTHONS)])
def site(request: pytest.FixtureRequest, tmp_path: Path, slurm: FakeSlurm) -> Site:
    made = new_site(tmp_path / "site", request.param)
    assert "error" not in made.init(scheduler="slurm")
    return made


@pytest.fixture
def habits(site: Site) -> Habits:
    """Variables that give the root's file system its habits."""

    def found(words: str, node: str = "") -> dict[str, str]:
        with or_skip():
            return strange(site.root, words, node)

    return found


def made(site: Site, tasks: int = 4) -> str:
    asked = resources(jobs=None)
    job = slurm.batch_script(JobSpec(site.python, [], asked))
    main = MAIN.format(tally=str(site.folder / "tally"))
    return site.package(scheduler="slurm", job=job, tasks=tasks, main=main, resources=asked)


def start(
    site: Site, package: str, index: int, variables: dict[str, str], job: str = "7"
) -> subprocess.Popen[bytes]:
    """Start an element as slurmd would."""
    found = {
        "SLURM_JOB_ID": str(int(job) + index),
        "SLURM_ARRAY_JOB_ID": job,
        "SLURM_ARRAY_TASK_ID": str(index),
        "SLURM_RESTART_COUNT": "0",
        "SLURM_JOB_NODELIST": "n1",
    }
    environment = {"PATH": os.defpath, "HOME": str(site.folder), **found, **variables}
    script = str(site.submission(package) / "job-1.sh")
    # slurmd has a copy of the script, which the controller sent.
    with open(script) as text:
        return subprocess.Popen(("/bin/sh", "-c", text.read()), env=environment, stderr=subprocess.DEVNULL)


def ran(site: Site) -> list[str]:
    return sorted((site.folder / "tally").read_text().split())


def call(site: Site, verb: str, request: dict[str, Any], variables: dict[str, str]) -> list[dict[str, Any]]:
    done = subprocess.run(
        (site.python, "-I", "-S", site.root / "cjnode.pyz", verb, "--root", site.root),
        input=json.dumps(request).encode(),
        capture_output=True,
        env={**os.environ, **variables},
    )
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    return [json.loads(line) for line in done.stdout.splitlines()]


def counts(site: Site, package: str, variables: dict[str, str]) -> dict[str, int]:
    found: dict[str, int] = call(site, "state", {"packages": [package]}, variables)[0]["counts"]
    return found


# git itself needs fsync: who says that there is none says so to the node half alone.
@pytest.mark.parametrize(
    ("words", "pushes"),
    [
        (f"link={errno.EOPNOTSUPP} flock={errno.ENOSYS}", True),
        (f"link={errno.ENOSYS} flock={errno.EOPNOTSUPP}", True),
        (f"link={errno.EPERM}", True),
        (f"link!{errno.EEXIST}", True),
        (f"link!{errno.EIO}", True),
        (f"across={errno.EXDEV}", True),
        (f"fsync={errno.EINVAL}", False),
        (f"fsync={errno.ENOSYS}", False),
    ],
)
def test_f23_a_file_system_that_lacks_a_call_or_loses_its_answer_runs_each_task_once(
    site: Site, slurm: FakeSlurm, habits: Habits, words: str, pushes: bool
) -> None:
    variables = habits(words)
    first = made(site, tasks=1)
    site.send(first)  # the next one takes unchanged files from it, by links
    package = made(site)
    answers = site.send(package, **(variables if pushes else {}))
    assert [answer.get("job") for answer in answers] == ["8"], answers
    request = {"package": package, "submission": 1, "token": package}
    assert call(site, "submit", request, variables)[0]["job"] == "8"
    # Two jobs, as if one had been submitted by hand besides.
    elements = [start(site, package, k, variables, job) for job in ("8", "20") for k in (1, 2, 3, 4)]
    log = site.submission(package) / "elements.log"
    assert {process.wait() for process in elements} == {0}, log.read_text()[-1000:]
    assert ran(site) == ["1", "2", "3", "4"]
    assert counts(site, package, variables) == {"COMPLETED": 4}
    assert [name for _, name, _ in slurm.jobs()] == [f"cj-{name[:12]}-1" for name in (first, package)]


def test_f23_a_claim_that_another_made_is_theirs_whatever_error_says_so(
    site: Site, habits: Habits, tmp_path: Path
) -> None:
    code = (
        "import sys; from cjnode.records.claims import Claim, create_claim\n"
        "ours = [create_claim(sys.argv[1], Claim('7', k, 1, 'n1', k)) for k in (1, 2)]\n"
        "print([one is not None for one in ours])"
    )
    words = (site.python, "-c", code, str(site.root / "000001-01.claim"))
    variables = {**os.environ, "PYTHONPATH": str(HOOKS), **habits(f"link!{errno.EIO}")}
    assert subprocess.run(words, env=variables, capture_output=True, text=True).stdout == "[True, False]\n"


def test_f23_who_submits_at_once_without_links_makes_one_job(
    site: Site, slurm: FakeSlurm, habits: Habits
) -> None:
    variables = habits(f"link={errno.EOPNOTSUPP} flock={errno.ENOSYS}")
    slurm.will("refuse")
    package = made(site)
    assert "error" in site.send(package, **variables)[0]
    request = {"package": package, "submission": 1, "token": package}
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: call(site, "submit", request, variables)[0], range(6)))
    assert [answer["job"] for answer in answers] == ["7"] * 6
    assert len(slurm.jobs()) == 1


def test_f10_a_quota_that_is_used_up_is_named_by_the_push_and_by_submit(
    site: Site, slurm: FakeSlurm, habits: Habits
) -> None:
    quota = slurm.folder / "bin" / "quota"
    quota.write_text("#!/bin/sh\necho '  /dev/sda1 1024* 900 1000 none 10 0 0'\n")
    quota.chmod(0o755)
    package = made(site)
    assert site.send(package)[0]["job"] == "7"
    full = habits(f"write={errno.EDQUOT}")
    second = made(site, tasks=2)
    done = site.push(f"{second}:refs/cj/inbox/{second}", variables=full)
    assert b"Disk quota exceeded" in done.stderr
    answer = call(site, "submit", {"package": second, "submission": 1, "token": second}, full)[0]
    assert answer["error"] == (
        f"the disk of {site.root} takes no more: your quota is used up, "
        "over the limit: /dev/sda1 1024* 900 1000 none 10 0 0"
    )
    assert answer["hint"].startswith("git cj clean old packages there")
    assert counts(site, package, full) == {"PENDING": 4}
    assert site.send(second)[0]["job"] == "8"


def test_f23_what_the_login_node_made_is_waited_for_by_the_compute_nodes(
    site: Site, slurm: FakeSlurm, habits: Habits
) -> None:
    package = made(site)
    answers = site.send(package, **habits("late=3", "login"))
    assert [answer.get("job") for answer in answers] == ["7"], answers
    elements = [start(site, package, k, habits("late=3", f"node{k % 3}")) for k in (1, 2, 3, 4)]
    # Another login node asks meanwhile: what it does not see it does not call lost.
    while any(process.poll() is None for process in elements):
        (line,) = call(site, "state", {"packages": [package]}, habits("late=3", "login2"))
        assert not line["final"]
        assert "LOST" not in line["counts"]
    assert {process.wait() for process in elements} == {0}
    assert ran(site) == ["1", "2", "3", "4"]
    slurm.say("rows", "")  # the job has left the queue before its records come to sight
    (line,) = call(site, "state", {"packages": [package], "fresh": True}, habits("late=3", "login3"))
    assert "LOST" not in line["counts"]
    wait_for(lambda: counts(site, package, habits("late=3", "login3")) == {"COMPLETED": 4})


def test_f23_login_nodes_that_do_not_see_each_other_yet_submit_once(
    site: Site, slurm: FakeSlurm, habits: Habits
) -> None:
    package = made(site)
    slurm.will("refuse")
    assert "error" in site.send(package)[0]
    request = {"package": package, "submission": 1, "token": package}

    def submit(node: str) -> dict[str, Any]:
        return call(site, "submit", request, habits("late=2", node))[0]

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(submit, ("a", "b", "c", "d")))
    assert [answer.get("job") for answer in answers] == ["7"] * 4, answers
    assert len(slurm.jobs()) == 1


def test_f23_a_name_whose_maker_died_is_taken_after_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with or_skip():
        variables = strange(tmp_path, f"link={errno.EOPNOTSUPP}")
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from cjnode import files;"
        "files._TAKEN_S = float(sys.argv[3]); print(files.create_once(sys.argv[2], b'x'))"
    )
    hooks = str(Path(blocks.__file__).parents[1])

    def create(patience: str) -> str:
        argv = (sys.executable, "-c", code, hooks, str(tmp_path / "name"), patience)
        done = subprocess.run(argv, env={**os.environ, **variables}, capture_output=True, text=True)
        return done.stdout.strip()

    (tmp_path / "name.taken").touch()
    assert create("60") == "False"
    assert not (tmp_path / "name").exists()
    assert create("0") == "True"
    assert (tmp_path / "name").read_bytes() == b"x"
    assert create("0") == "False"
