"""The system's ssh as a way to a cluster: one connection for all, and every fault a line can have."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cjledger.cluster import Contact, ensure_ready
from cjledger.cluster.line import LostLineError
from cjledger.cluster.logins import Patience, refusal
from cjledger.cluster.masters import SESSIONS, Master, master
from cjledger.cluster.openssh import OpenSsh, way
from cjledger.cluster.remote import Remote
from cjledger.errors import CjError
from cjledger.gitrepo import Repo
from cjledger.model import Cluster
from tests.clusters import laptops
from tests.clusters.fixtures import place, started
from tests.clusters.ports import wait_until
from tests.clusters.sshd import Site, Sshd
from tests.clusters.sshd import sshd as start
from tests.test_cluster import new_repo
from tests.test_transports import package, state
from tests.typist import at_terminal


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    return new_repo(tmp_path / "laptop")


@pytest.fixture
def line(sshd: Sshd, monkeypatch: pytest.MonkeyPatch) -> Iterator[laptops.Line]:
    """A way to the server that can be cut."""
    with place() as folder:
        found = laptops.line(folder / "line", sshd)
        monkeypatch.setenv("PATH", found.path + os.pathsep + os.environ["PATH"])
        yield found
        found.cut_now()


def at(tmp_path: Path, said: list[str] | None = None, **words: Any) -> Remote:
    """A cluster behind ``loop``, its pauses short."""
    where = Cluster("far", "local", str(tmp_path / "root"), host="loop")._replace(**words)
    contact = Contact(say=said.append) if said is not None else Contact()
    return replace(way(where, tmp_path / "cj", contact), pauses_s=(0.01, 0.05, 0.2))


def ssh_of(remote: Remote) -> OpenSsh:
    assert isinstance(remote.line, OpenSsh)
    return remote.line


def masters(found: Remote) -> list[int]:
    """The process IDs of the masters of a host's socket."""
    socket = str(ssh_of(found)._master().path)
    pids = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if f"ControlPath={socket}".encode() in words and b"-N" in words:
                pids.append(int(entry.name))
    return pids


@pytest.fixture
def far(line: laptops.Line, tmp_path: Path, repo: Repo) -> Remote:
    found = at(tmp_path)
    assert ensure_ready(found, repo)
    return found


def test_all_commands_share_one_connection(far: Remote, line: laptops.Line, repo: Repo) -> None:
    package_id = package(repo)
    far.push(repo, package_id)
    state(far, package_id)
    assert line.connections() == 1
    assert far.line.close()
    assert not far.line.close()
    state(far, package_id)
    assert line.connections() == 2


def test_many_that_start_at_once_make_one_master(tmp_path: Path, line: laptops.Line, repo: Repo) -> None:
    with ThreadPoolExecutor(20) as pool:
        ways = [at(tmp_path) for _ in range(20)]
        list(pool.map(lambda found: ensure_ready(found, repo), ways))
        assert line.connections() == 1
        assert len(masters(ways[0])) == 1
        package_id = package(repo)
        jobs = set(pool.map(lambda found: str(found.push(repo, package_id)["job"]), ways))
    assert jobs == {f"cj-{package_id[:12]}-1"}
    assert line.connections() == 1


def test_a_master_that_was_killed_is_made_anew(far: Remote, repo: Repo, line: laptops.Line) -> None:
    for number in range(2):
        for pid in masters(far):
            os.kill(pid, signal.SIGKILL)
        package_id = package(repo, text=f"print({number})\n")
        assert far.push(repo, package_id)["package"] == package_id
    assert line.connections() == 3


@pytest.mark.slow
@pytest.mark.parametrize("direction", ["up", "down"])
def test_a_connection_cut_anywhere_submits_once(
    far: Remote, repo: Repo, line: laptops.Line, direction: str, tmp_path: Path
) -> None:
    first = package(repo, text="print(0)\n")
    far.line.close()
    line.ended()
    far.push(repo, first)
    total = line.ended()[direction == "down"]
    for number, size in enumerate((*range(1, total, max(1, total // 12)), total - 40, total - 1, total)):
        line.cut_next(direction, size)
        package_id = package(repo, text=f"print({number}, 'again')\n")
        assert far.push(repo, package_id)["job"] == f"cj-{package_id[:12]}-1"
        assert len(list((tmp_path / "root/packages" / package_id / "submissions").iterdir())) == 1
        line.cut_now()


def test_a_connection_that_ends_right_after_its_login_is_worth_another_try(tmp_path: Path) -> None:
    with pytest.raises(LostLineError, match="ended when ssh had logged in"):
        Master(tmp_path / "socket").open(lambda: None, waits=False, say=print)


def down_to_state(far: Remote, package_id: str, line: laptops.Line) -> int:
    """How many bytes come on a new connection until a state is there; no connection is left."""
    far.line.close()
    line.ended()
    state(far, package_id)
    return line.ended()[1]


def test_a_state_cut_off_is_asked_again(repo: Repo, line: laptops.Line, tmp_path: Path) -> None:
    said: list[str] = []
    far = at(tmp_path, said)
    ensure_ready(far, repo)
    package_id = package(repo)
    far.push(repo, package_id)
    line.cut_next("down", down_to_state(far, package_id, line) - 200)
    assert state(far, package_id)["tasks"] == 1
    assert any("trying again" in words for words in said)


def test_a_host_that_falls_silent_is_given_up(far: Remote, repo: Repo, line: laptops.Line) -> None:
    package_id = package(repo)
    far.push(repo, package_id)
    size = down_to_state(far, package_id, line) - 200
    impatient = replace(far, line=replace(ssh_of(far), patience=Patience(2, 1)), pauses_s=())
    line.cut_next("hole", size)
    with pytest.raises((LostLineError, CjError)):
        state(impatient, package_id)
    line.cut_now()
    assert state(far, package_id)["tasks"] == 1


def test_a_server_that_stands_still_is_given_up(
    far: Remote, repo: Repo, line: laptops.Line, sshd: Sshd
) -> None:
    far.line.close()
    impatient = replace(far, line=replace(ssh_of(far), patience=Patience(1, 1)), pauses_s=())
    os.kill(sshd.pid, signal.SIGSTOP)
    try:
        with pytest.raises(CjError, match="does not answer") as caught:
            impatient.call("state", {"packages": []})
    finally:
        os.kill(sshd.pid, signal.SIGCONT)
    assert "then try again" in caught.value.hint


def two_factor(stack: ExitStack, monkeypatch: pytest.MonkeyPatch, site: Site) -> Sshd:
    found = started(stack, lambda folder: start(folder / "s", site=site))
    monkeypatch.setenv("PATH", found.environment["PATH"])
    return found


def test_two_factor_is_asked_once_and_never_by_who_may_not(
    tmp_path: Path, repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ExitStack() as stack:
        server = two_factor(stack, monkeypatch, Site(two_factor=True))
        silent = at(tmp_path)
        with pytest.raises(CjError, match="no live connection to far") as caught:
            ensure_ready(silent, repo)
        assert caught.value.hint == "git cj connect far"
        for name, value in server.askpass(server.code("123456")).items():
            monkeypatch.setenv(name, value)
        with pytest.raises(CjError, match="no live connection"):
            silent.call("state", {"packages": []})
        assert not (server.folder / "asked").exists()
        asking = way(silent.cluster, tmp_path / "cj", Contact(prompts=True))
        assert ensure_ready(asking, repo)
        assert (server.folder / "asked").read_text().count("\n") == 1
        package_id = package(repo)
        assert silent.push(repo, package_id)["package"] == package_id
        assert state(silent, package_id)["tasks"] == 1
        assert (server.folder / "asked").read_text().count("\n") == 1
        assert silent.line.close()


def test_a_shell_there_is_joined_with_the_terminal(tmp_path: Path, line: laptops.Line) -> None:
    (tmp_path / ".cjledger.toml").write_text('[cluster.far]\nhost = "loop"\nscheduler = "slurm"\n')
    subprocess.run(("git", "init", "-q", str(tmp_path)), check=True)
    program = (
        f"import os, sys; os.chdir({str(tmp_path)!r}); sys.argv[1:] = ['connect', 'far']\n"
        "from cjledger.start import main\nmain()\n"
    )
    answers = ("[$#] ", "stty size; echo $((6 * 7)) $(tty)"), ("[$#] ", "exit 3")
    code, shown = at_terminal(program, *answers)
    assert (code, line.connections()) == (3, 1)
    assert "far  connected (loop)" in shown
    assert "42 /dev/pts/" in shown


def test_more_sessions_than_a_host_allows_wait(
    tmp_path: Path, repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ExitStack() as stack:
        two_factor(stack, monkeypatch, Site(max_sessions=2))
        far = at(tmp_path)
        ensure_ready(far, repo)
        package_id = package(repo)
        far.push(repo, package_id)
        with ThreadPoolExecutor(12) as pool:
            assert [*pool.map(lambda _: state(far, package_id)["tasks"], range(12))] == [1] * 12
        assert len(masters(far)) == 1


def test_an_unknown_and_a_changed_host_key_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ExitStack() as stack:
        server = two_factor(stack, monkeypatch, Site())
        server.config.write_text(
            server.config.read_text().replace("StrictHostKeyChecking yes", "StrictHostKeyChecking no")
        )
        known = server.folder / "known_hosts"
        before = known.read_text()
        known.write_text("")
        with pytest.raises(CjError, match=r"host key of far .* is not known") as caught:
            at(tmp_path).call("state", {"packages": []})
        assert caught.value.hint == "git cj connect far"
        assert known.read_text() == ""
        words = (server.folder / "user_ed25519.pub").read_text().split()
        known.write_text(f"{before.split()[0]} {words[0]} {words[1]}\n")
        with pytest.raises(CjError, match="has changed: someone may be in between") as caught:
            at(tmp_path).call("state", {"packages": []})
        command = caught.value.hint.partition("if they changed it: ")[2]
        assert command.startswith(f"ssh-keygen -f {known} -R ")
        subprocess.run(("sh", "-c", command), check=True, capture_output=True)
        assert known.read_text() == ""


def test_what_cannot_be_reached_is_said_with_the_next_command(
    tmp_path: Path, sshd: Sshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", sshd.environment["PATH"])
    with pytest.raises(CjError, match="there is no host no-such-host") as caught:
        at(tmp_path, host="no-such-host.invalid").call("state", {"packages": []})
    assert "host of [cluster.far]" in caught.value.hint
    with ExitStack() as stack:
        server = two_factor(stack, monkeypatch, Site())
        server.stop()
        with pytest.raises(CjError, match="nothing listens for ssh on loop"):
            at(tmp_path).call("state", {"packages": []})


def test_a_jump_host_that_does_not_let_through_is_named_and_asks_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ExitStack() as stack:
        server = two_factor(stack, monkeypatch, Site())
        plain = server.config.read_text()
        assert plain.startswith("Host loop\n")
        behind = plain.replace("Host loop", "Host behind") + "  ProxyJump gate\n"
        gate = plain.replace("Host loop", "Host gate")
        locked = re.sub("IdentityFile .*", "IdentityFile /dev/null", gate)
        unknown = re.sub("(?m)^ *(UserKnown|Strict).*\n", "", gate)
        for jump, why in ((locked, "Permission denied"), (unknown, "Host key verification failed")):
            server.config.write_text(plain + behind + jump)
            monkeypatch.setenv("SSH_ASKPASS", "/bin/false")
            with pytest.raises(CjError, match="the jump host before far") as caught:
                at(tmp_path, host="behind").call("state", {"packages": []})
            assert why in caught.value.message
            assert caught.value.hint == "git cj connect far"


@pytest.mark.parametrize(
    "words", [{"host": "-oProxyCommand=touch ran"}, {"user": "-oProxyCommand=touch ran"}, {"root": "-x"}]
)
def test_no_option_is_smuggled_in(
    tmp_path: Path, repo: Repo, line: laptops.Line, words: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = at(tmp_path, None, **words)
    if "root" in words:
        assert ensure_ready(found, repo)
        package_id = package(repo)
        assert found.push(repo, package_id)["package"] == package_id
    else:
        with pytest.raises(CjError):
            ensure_ready(found, repo)
    assert not (tmp_path / "ran").exists()
    assert not Path("/ran").exists()


@pytest.mark.parametrize("shell", ["/bin/dash", "/bin/bash", "/bin/tcsh", "/usr/bin/fish", "/bin/zsh"])
def test_any_login_shell_will_do(
    tmp_path: Path, repo: Repo, monkeypatch: pytest.MonkeyPatch, shell: str
) -> None:
    if not Path(shell).exists():
        pytest.skip(f"no {shell}")
    with ExitStack() as stack:
        server = two_factor(stack, monkeypatch, Site(shell=shell))
        server.at_login("echo Welcome to $0\n")
        far = at(tmp_path)
        ensure_ready(far, repo)
        package_id = package(repo)
        assert far.push(repo, package_id)["package"] == package_id
        assert state(far, package_id)["tasks"] == 1
        far.line.close()


def test_words_of_a_server_are_shown_without_control_characters(tmp_path: Path) -> None:
    words = "\x1b[2JPermission denied (publickey)."
    assert "\x1b" not in refusal(Cluster("far", host="loop"), words.replace("\x1b", "?")).message


def test_a_folder_that_others_can_enter_holds_no_socket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "run" / "cjledger").mkdir(parents=True)
    (tmp_path / "run" / "cjledger").chmod(0o777)
    found = master(("host",), {"XDG_RUNTIME_DIR": str(tmp_path / "run")})
    assert found.path.parent != tmp_path / "run" / "cjledger"
    long = tmp_path / ("x" * 100)
    assert len(str(master(("host",), {"XDG_RUNTIME_DIR": str(long)}).path)) < 87


def test_who_waits_for_another_login_is_told(tmp_path: Path) -> None:
    found = Master(tmp_path / "socket")
    said: list[str] = []
    with subprocess.Popen(("flock", f"{found.path}.lock", "cat"), stdin=subprocess.PIPE) as other:
        wait_until(
            lambda: subprocess.run(("flock", "-n", f"{found.path}.lock", "true")).returncode == 1, "a lock"
        )

        def say(words: str) -> None:
            said.append(words)
            assert other.stdin
            other.stdin.close()

        with pytest.raises(LostLineError, match="cannot be kept"):
            found.open(lambda: None, True, say)
    assert said == ["another command is logging in there: waiting for it"]


def test_places_for_sessions_are_limited(tmp_path: Path) -> None:
    found = Master(tmp_path / "socket")
    with ExitStack() as stack:
        for _ in range(SESSIONS):
            stack.enter_context(found.session())
        waiting = subprocess.run(
            ("flock", "-n", str(tmp_path / "socket.0"), "true"), capture_output=True
        ).returncode
        assert waiting == 1
