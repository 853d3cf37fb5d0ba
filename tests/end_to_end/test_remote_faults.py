"""Lost lines, killed programs, absent and lying schedulers, odd logins: each task runs once and is found."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.clusters.far import Far, login
from tests.clusters.fixtures import or_skip, place
from tests.clusters.laptops import Line, laptop, line
from tests.clusters.ports import wait_until
from tests.clusters.sshd import Site, sshd
from tests.shells import Shell

# Each task leaves a mark outside the cluster's root: what ran twice has two.
COUNTED = """\
import os
with open({marks!r}, "a") as marks:
    marks.write(os.environ["CJ_PACKAGE"] + "/" + os.environ["CJ_TASK"] + "\\n")
print("done")
"""

# Stands before sbatch on PATH; REAL runs the real one.
SBATCH = """\
#!/bin/sh
case "$*" in *--job-name*) ;; *) exec {real} "$@";; esac
echo call >>{folder}/calls
{lines}
"""


@pytest.fixture
def slurm_there(far: Callable[[str], Far]) -> Far:
    return far("slurm")


@pytest.fixture
def wire(slurm_there: Far, tmp_path: Path) -> Line:
    return line(tmp_path / "line", slurm_there.sshd)


@pytest.fixture
def there(slurm_there: Far, wire: Line, tmp_path: Path) -> Shell:
    """A repository on a line that can be cut, with a program whose tasks are counted."""
    shell = laptop(tmp_path / "work", slurm_there, root=tmp_path / "root", path=wire.path)
    counted(shell, tmp_path)
    return shell


@pytest.fixture
def sbatch(slurm_there: Far, tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Puts a program of the test's before sbatch there, until the test ends."""
    folder = tmp_path / "sbatch"
    folder.mkdir()

    def put(lines: str) -> Path:
        real = f"{slurm_there.slurm.path[0]}/sbatch"
        program = folder / "sbatch"
        act = lines.replace("REAL", f'{real} "$@"')
        program.write_text(SBATCH.format(folder=folder, real=real, lines=act))
        program.chmod(0o755)
        slurm_there.sshd.at_login(f'PATH={folder}:"$PATH"\n')
        return folder / "calls"

    yield put
    slurm_there.sshd.at_login("")


def counted(shell: Shell, tmp_path: Path) -> None:
    shell.write("count.py", COUNTED.format(marks=str(tmp_path / "marks")))


def marks(tmp_path: Path) -> list[str]:
    path = tmp_path / "marks"
    return sorted(path.read_text().splitlines()) if path.exists() else []


def deployed(shell: Shell, message: str, *words: str) -> str:
    lines = shell.lines("run", "count.py", "slurm", "-m", message, "--no-submit", *words)
    return str(lines[0]["package"])


def finished(shell: Shell, package: str) -> dict[str, int]:
    """Submit again, wait for the end, and return the counts of states."""
    shell.cj("submit", package)
    shell.cj("state", package, "--watch")
    counts: dict[str, int] = shell.lines("state", package)[0]["counts"]
    return counts


def set_up(shell: Shell, wire: Line) -> None:
    """The cluster is ready, and no connection is open."""
    shell.launch("run", "count.py", "slurm", "-m", "set up")
    wire.cut_now()


def undisturbed(shell: Shell, wire: Line) -> tuple[int, int]:
    """The bytes up and down of a launch on a connection of its own."""
    wire.cut_next("up", 1 << 30)
    before = wire.connections()
    shell.cj("submit", deployed(shell, "undisturbed"))
    assert wire.connections() == before + 1
    return wire.ended()


@pytest.mark.parametrize("way", ["up", "down"])
def test_f7_f8_a_line_cut_anywhere_submits_once(there: Shell, wire: Line, tmp_path: Path, way: str) -> None:
    set_up(there, wire)
    sizes = dict(zip(("up", "down"), undisturbed(there, wire), strict=True))
    packages = []
    for step in range(1, 9):
        package = deployed(there, f"cut {step}")
        wire.cut_next(way, sizes[way] * step // 9)
        there.run("git", "cj", "submit", package, code=None)
        assert finished(there, package) == {"COMPLETED": 1}
        packages.append(package)
        wire.cut_now()
    assert [mark for mark in marks(tmp_path) if mark.partition("/")[0] in packages] == sorted(
        f"{package}/1" for package in packages
    )


@pytest.mark.slow
@pytest.mark.parametrize("way", ["up", "down"])
def test_f7_f8_a_line_cut_at_many_bytes_submits_once(
    there: Shell, wire: Line, tmp_path: Path, way: str
) -> None:
    set_up(there, wire)
    size = dict(zip(("up", "down"), undisturbed(there, wire), strict=True))[way]
    cuts = [*range(0, 2000, 400), *range(2000, size - 400, max(1, size // 8)), *range(size - 400, size, 80)]
    for at in cuts:
        package = deployed(there, f"cut {at}")
        wire.cut_next(way, at)
        there.run("git", "cj", "submit", package, code=None)
        assert finished(there, package) == {"COMPLETED": 1}, at
        assert marks(tmp_path).count(f"{package}/1") == 1, at
        wire.cut_now()


@pytest.mark.slow
def test_f9_a_line_that_falls_silent_is_given_up(there: Shell, wire: Line, tmp_path: Path) -> None:
    set_up(there, wire)
    package = deployed(there, "silence")
    wire.cut_next("hole", 6000)
    there.run("git", "cj", "submit", package, code=None)  # the shell's own limit of 120 s holds
    wire.cut_now()
    assert finished(there, package) == {"COMPLETED": 1}
    assert marks(tmp_path).count(f"{package}/1") == 1


@pytest.mark.parametrize(
    "lines",
    [
        "kill -9 $PPID; exit 1",  # the hook, before the job is there
        "REAL >/dev/null; kill -9 $PPID; exit 1",  # and after
        "REAL >/dev/null; kill -9 $$",  # itself, before it spoke
        "REAL; kill -9 $$",  # and after
        "kill -9 $$",  # before it did anything
        "REAL >/dev/null",  # success without a word
        "REAL >/dev/null; echo 'sbatch: error: Socket timed out on send/recv operation' >&2; exit 1",
        "echo 'sbatch: error: Unable to contact slurm controller (connect failure)' >&2; exit 1",
        "REAL >/dev/null; echo garbage",
    ],
)
def test_f11_f12_a_submission_that_went_wrong_is_made_up_for_once(
    there: Shell, sbatch: Callable[[str], Path], tmp_path: Path, lines: str
) -> None:
    calls = sbatch(f"if [ $(wc -l <{tmp_path}/sbatch/calls) -gt 1 ]; then exec REAL; fi\n{lines}")
    package = deployed(there, "disturbed", "--sweep", "x=1:3")
    there.run("git", "cj", "submit", package, code=None)
    assert finished(there, package) == {"COMPLETED": 3}
    assert marks(tmp_path) == [f"{package}/{task}" for task in (1, 2, 3)]
    assert calls.read_text().count("call") in (1, 2)


def test_f13_a_scheduler_that_is_down_is_no_news(there: Shell, slurm_there: Far, tmp_path: Path) -> None:
    go = tmp_path / "go"
    there.write("wait.py", f"import os, time\nwhile not os.path.exists({str(go)!r}):\n    time.sleep(0.05)\n")
    package = str(there.lines("run", "wait.py", "slurm", "--sweep", "x=1:2")[0]["package"])
    slurm = slurm_there.slurm
    wait_until(lambda: slurm.run("squeue", "-h", "-t", "R", "-r").count("\n") == 2, "two running tasks")
    slurm.stop_controller()
    try:
        state = there.lines("state", package)[0]
        assert (state["counts"], state["final"]) == ({"RUNNING": 2}, False)
        assert "the scheduler did not answer" in state["problems"][0]
    finally:
        slurm.start_controller()
        go.touch()
    slurm.wait_until_up()
    there.cj("state", package, "--watch")
    assert there.lines("state", package)[0]["counts"] == {"COMPLETED": 2}


def test_f14_a_job_submitted_again_by_hand_runs_nothing_twice(
    there: Shell, slurm_there: Far, tmp_path: Path
) -> None:
    package = deployed(there, "again", "--sweep", "x=1:6")
    there.cj("submit", package)
    script = next((tmp_path / "root/packages" / package / "submissions/1").glob("job-*.sh"))
    for _ in range(3):
        slurm_there.slurm.run("sbatch", "--array=1-6", "-o", "/dev/null", str(script))
    slurm_there.wait_until_empty()
    assert finished(there, package) == {"COMPLETED": 6}
    assert marks(tmp_path) == [f"{package}/{task}" for task in range(1, 7)]


def test_f21_many_commands_at_once_lose_nothing(far: Callable[[str], Far], tmp_path: Path) -> None:
    far_slurm = far("slurm")
    strict = Site("strict", max_sessions=4, max_startups="3:50:8")
    variables, path = login("slurm", far_slurm.backend)
    with place() as folder, or_skip(), sshd(folder / "ssh", variables, path, strict) as server:
        wire = line(tmp_path / "line", server)
        crowd = Far("slurm", server, far_slurm.backend, tmp_path / "root")
        there = laptop(tmp_path / "work", crowd, path=wire.path)
        counted(there, tmp_path)
        there.launch("run", "count.py", "slurm")
        before = wire.connections()

        def launch(number: int) -> int:
            words = ("git", "cj", "run", "count.py", "slurm", "-m", f"{number}")
            watch = ("git", "cj", "state", "--all")
            return there.run(*(words if number % 2 else watch), code=None).returncode

        with ThreadPoolExecutor(8) as pool:
            codes = list(pool.map(launch, range(16)))
        assert codes == [0] * 16
        assert wire.connections() - before <= 1
        packages = [str(entry["package"]) for entry in there.lines("log")]
        assert len(packages) == 9
        for package in packages:
            there.cj("state", package, "--watch")
        assert marks(tmp_path) == sorted(f"{package}/1" for package in packages)


@pytest.mark.parametrize(
    "lines",
    [
        "echo 'Welcome to the cluster'; echo 'mind the quota' >&2\n",
        "head -c 1000000 /dev/zero | tr '\\0' x >&2\n",
        "export LC_ALL=de_DE.UTF-8 LANG=xx_XX GIT_DIR=/nowhere PYTHONPATH=/nowhere TERM=bogus\n",
        "umask 0\n",
    ],
    ids=["greeting", "long", "locale", "umask"],
)
def test_f24_what_a_login_says_and_sets_does_no_harm(
    there: Shell, slurm_there: Far, tmp_path: Path, lines: str
) -> None:
    slurm_there.sshd.at_login(lines)
    try:
        package = there.launch("run", "count.py", "slurm")
        assert there.lines("state", package)[0]["counts"] == {"COMPLETED": 1}
        assert there.cj("show", f"{package}/1", "--out") == "done\n"
        assert stat.S_IMODE((tmp_path / "root").stat().st_mode) == 0o700
    finally:
        slurm_there.sshd.at_login("")


def test_f24_a_scheduler_that_only_a_login_shell_finds_is_found(
    far: Callable[[str], Far], tmp_path: Path
) -> None:
    far_slurm = far("slurm")
    variables, path = login("slurm", far_slurm.backend)
    with place() as folder, or_skip(), sshd(folder / "ssh") as server:
        profile = [f"export {name}='{value}'" for name, value in variables.items()]
        profile.append(f'PATH="$PATH:{path[0]}"')
        (server.home / ".bash_profile").write_text("\n".join(profile) + "\n")
        there = laptop(tmp_path / "work", Far("slurm", server, far_slurm.backend, tmp_path / "root"))
        counted(there, tmp_path)
        package = there.launch("run", "count.py", "slurm")
        assert there.lines("state", package)[0]["counts"] == {"COMPLETED": 1}


def test_f26_a_changed_host_key_is_refused(
    there: Shell, wire: Line, slurm_there: Far, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    subprocess.run(("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(other)), check=True)
    kind, key = other.with_suffix(".pub").read_text().split()[:2]
    (tmp_path / "known").write_text(f"[127.0.0.1]:{slurm_there.sshd.port} {kind} {key}\n")
    config = wire.folder / "ssh_config"
    config.write_text(
        config.read_text().replace(f"{slurm_there.sshd.folder}/known_hosts", f"{tmp_path}/known")
    )
    told = there.refused("run", "count.py", "slurm")
    assert "host key" in told.lower()
    assert not (tmp_path / "root").exists()


def test_f26_a_hook_of_someone_elses_is_not_replaced(there: Shell, wire: Line, tmp_path: Path) -> None:
    set_up(there, wire)
    hook = tmp_path / "root/hooks/post-receive"
    hook.chmod(0o755)
    hook.write_text("#!/bin/sh\necho mine\n")
    told = there.refused("init", "slurm")
    assert "post-receive" in told
    assert hook.read_text() == "#!/bin/sh\necho mine\n"


def test_f26_a_root_that_others_can_write_is_refused(there: Shell, tmp_path: Path) -> None:
    (tmp_path / "root").mkdir(mode=0o777)
    (tmp_path / "root").chmod(0o777)
    told = there.refused("init", "slurm")
    assert str(tmp_path / "root") in told
    wait_until(lambda: not os.listdir(tmp_path / "root"), "an empty root")


def test_f29_a_package_purged_there_says_so_and_keeps_what_came_home(
    there: Shell, wire: Line, tmp_path: Path
) -> None:
    package = there.launch("run", "count.py", "slurm", "--sweep", "x=1:3")
    there.cj("harvest", package)
    folder = tmp_path / "root/packages" / package
    subprocess.run(("chmod", "-R", "u+w", str(folder)), check=True)
    shutil.rmtree(folder)
    assert there.cj("show", f"{package}/2", "--out") == "done\n"
    assert there.lines("state", package)[0]["counts"] == {"COMPLETED": 3}
    there.cj("rerun", f"{package}/2", "--yes", "--wait")
    assert marks(tmp_path).count(f"{package}/2") == 2
    assert (folder / "code/count.py").read_bytes() == (there.folder / "count.py").read_bytes()


def test_a_package_with_a_second_factor_asks_once(tmp_path: Path, far: Callable[[str], Far]) -> None:
    far_slurm = far("slurm")
    variables, path = login("slurm", far_slurm.backend)
    two = Site("two", two_factor=True)
    with place() as folder, or_skip(), sshd(folder / "ssh", variables, path, two) as server:
        there = laptop(tmp_path / "work", Far("slurm", server, far_slurm.backend, tmp_path / "root"))
        counted(there, tmp_path)
        package = deployed(there, "two")
        code = server.askpass(server.code("424242"))
        answering = Shell(there.folder, {**there.environment, **code})
        answering.cj("submit", package)
        assert finished(there, package) == {"COMPLETED": 1}
        assert (server.folder / "asked").read_text().count("\n") == 1
        there.cj("connect", "slurm", "--close")
        assert "git cj connect slurm" in there.refused("avail", "slurm")
