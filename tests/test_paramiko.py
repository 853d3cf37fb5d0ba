"""The way without an ssh program: where it leads, and what happens to commands on it."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cjledger.cluster import transport
from cjledger.cluster.line import LostLineError
from cjledger.cluster.paramiko_ssh import ParamikoLine
from cjledger.cluster.remote import Remote
from cjledger.model import Cluster
from tests.clusters.ports import free
from tests.clusters.sshd import Sshd, alias
from tests.paramiko_kit import at_home, line, output, refused
from tests.typist import at_terminal


@pytest.fixture
def loop(sshd: Sshd) -> Iterator[ParamikoLine]:
    at_home(f"Include {sshd.config}\n")
    with line("loop") as found:
        yield found
    sshd.at_login("")


# Commands


def test_one_login_serves_all_commands(loop: ParamikoLine, sshd: Sshd) -> None:
    assert [loop.open(), loop.open()] == [True, False]
    peers = {output(loop, "echo $SSH_CONNECTION") for _ in range(3)}
    with line("loop") as other:
        peers.add(output(other, "echo $SSH_CONNECTION"))
        assert (len(peers), other.close(), other.close()) == (1, True, False)
    assert output(loop, "echo $SSH_CONNECTION") not in peers


def test_streams_of_any_size_flow_at_the_same_time(loop: ParamikoLine) -> None:
    sent = os.urandom(1 << 22)
    with loop.run("head -c 4000000 /dev/zero >&2; cat; echo said >&2; exit 7", sent) as running:
        assert running.stdout.read() == sent
        ended = running.ended()
    assert (ended.returncode, ended.words[-5:]) == (7, "said\n")


def test_the_end_of_a_command_is_told_from_the_end_of_the_connection(loop: ParamikoLine) -> None:
    for command, code in (("true", 0), ("exit 255", 255), ("kill -9 $$", 128)):
        with loop.run(command, b"") as running:
            assert running.ended().returncode == code
    with (
        loop.run("kill -9 $PPID && cat", b"") as running,
        pytest.raises(LostLineError) as lost,
    ):
        running.ended()
    assert lost.value.message.startswith("the connection to mine was lost")
    assert output(loop, "echo again") == b"again\n"


def test_a_command_that_is_left_does_not_hinder_the_next(loop: ParamikoLine) -> None:
    for _ in range(12):
        with loop.run("cat /dev/zero", b"") as running:
            assert running.stdout.read(10) == bytes(10)
    assert output(loop, "echo on") == b"on\n"


def test_many_commands_at_once_make_one_connection(loop: ParamikoLine) -> None:
    with ThreadPoolExecutor(20) as pool:
        peers = list(pool.map(lambda _: output(loop, "echo $SSH_CONNECTION"), range(20)))
    assert len(peers) == 20
    assert len(set(peers)) == 1


def test_a_server_that_stops_answering_is_noticed(sshd: Sshd) -> None:
    at_home(f"Include {sshd.config}\nHost *\n  ServerAliveInterval 1\n  ServerAliveCountMax 2\n")
    with line("loop") as found, found.run("cat", b""):
        session = int(output(found, "echo $PPID"))
        os.kill(session, signal.SIGSTOP)
        try:
            with pytest.raises(LostLineError, match="the connection to mine was lost"):
                _drained(found, "echo")
        finally:
            os.kill(session, signal.SIGCONT)


def _drained(found: ParamikoLine, command: str) -> None:
    with found.run(command, b"") as running:
        running.ended()


def test_a_shell_there_is_joined_with_the_terminal(loop: ParamikoLine) -> None:
    program = (
        "import sys\n"
        "from cjledger.cluster.paramiko_ssh import ParamikoLine\n"
        "from cjledger.cluster.transport import Contact\n"
        "from cjledger.model import Cluster\n"
        "sys.exit(ParamikoLine(Cluster('mine', 'local', 'root', host='loop'), Contact(True)).shell())\n"
    )
    answers = ("[$#] ", "stty size; echo $TERM $((6 * 7)) $(tty)"), ("[$#] ", "exit 3")
    code, shown = at_terminal(program, *answers)
    assert code == 3
    assert "42 /dev/pts/" in shown


def test_commands_need_no_paramiko_in_their_own_process(loop: ParamikoLine) -> None:
    assert loop.open()
    program = (
        "import sys\n"
        "from cjledger.cluster.paramiko_ssh import ParamikoLine\n"
        "from cjledger.cluster.transport import Contact\n"
        "from cjledger.model import Cluster\n"
        "with ParamikoLine(Cluster('mine', 'local', 'root', host='loop'), Contact()).run('', b'') as found:\n"
        "    assert found.ended().returncode == 0\n"
        "assert 'paramiko' not in sys.modules\n"
    )
    subprocess.run((sys.executable, "-c", program), check=True)


# Ways


def test_jumps_and_proxies_lead_to_the_host(sshd: Sshd) -> None:
    direct, known = alias(sshd, "direct"), f"UserKnownHostsFile {sshd.folder}/known_hosts"
    program = shutil.which("ssh")
    at_home(
        f"Host hop inner outer\n  ProxyJump none\n{alias(sshd, 'one')}  ProxyJump direct\n"
        f"{alias(sshd, 'two')}  ProxyJump hop,inner\n{alias(sshd, 'proxied')}"
        f"  ProxyCommand {program} -F {sshd.config} -W %h:%p loop\n"
        f"{direct}{alias(sshd, 'hop')}{alias(sshd, 'inner')}Host *\n  {known}\n"
    )
    for host in ("direct", "one", "two", "proxied"):
        with line(host) as found:
            assert output(found, "echo there") == b"there\n", host


def test_a_jump_to_itself_comes_to_an_end(sshd: Sshd) -> None:
    at_home(f"{alias(sshd, 'a')}  ProxyJump a\n")
    assert refused("a").message == "more than 8 jumps to a"


def test_a_jump_that_opens_no_way_is_named(sshd: Sshd) -> None:
    port = free(1)[0]
    at_home(f"Include {sshd.config}\nHost deep\n  HostName 127.0.0.1\n  Port {port}\n  ProxyJump loop\n")
    assert refused("deep").message.startswith(f"loop opens no way to deep (127.0.0.1 port {port})")


def test_hosts_that_cannot_be_reached_are_told_apart() -> None:
    port = free(1)[0]
    at_home(f"Host closed\n  HostName 127.0.0.1\n  Port {port}\n")
    closed, unknown = refused("closed"), refused("no-such-host.invalid")
    assert closed.message == f"closed (127.0.0.1 port {port}) cannot be reached: Connection refused"
    assert unknown.message.startswith("there is no host no-such-host.invalid: ")
    assert not isinstance(closed, LostLineError)


def test_a_server_that_closes_before_a_word_is_worth_another_try() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        at_home(f"Host shy\n  HostName 127.0.0.1\n  Port {server.getsockname()[1]}\n")
        threading.Thread(target=lambda: server.accept()[0].close()).start()
        assert isinstance(refused("shy"), LostLineError)


@pytest.mark.parametrize(
    "host", ["-oProxyCommand=touch ran", "a;touch ran", "$(touch ran)", "`touch ran`", ""]
)
def test_a_host_or_user_is_never_more_than_a_name(host: str, tmp_path: Path) -> None:
    at_home(f"Host *\n  ProxyCommand sh -c 'cd {tmp_path}; exec nc %h %r'\n")
    assert "is no user and host" in refused(host).message
    assert "is no user and host" in refused("n1", user=host or "-l").message
    assert list(tmp_path.iterdir()) == []


def test_it_is_the_way_where_there_is_no_ssh_program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    way = transport(Cluster("mine", "local", "root", host="loop"), tmp_path)
    assert isinstance(way, Remote)
    assert isinstance(way.line, ParamikoLine)
