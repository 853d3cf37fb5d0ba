"""Logins without an ssh program: host keys, keys, passphrases, second factors, passwords."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import paramiko
import pytest

from cjledger.cluster.paramiko_ssh.asking import Terminal
from cjledger.cluster.paramiko_ssh.connection import connect
from cjledger.cluster.paramiko_ssh.known_hosts import fingerprint, known_keys
from cjledger.cluster.paramiko_ssh.logins import LoginRefusedError
from cjledger.cluster.paramiko_ssh.ssh_config import settings
from cjledger.errors import CjError
from tests.clusters.fixtures import started
from tests.clusters.sshd import Site, Sshd, alias
from tests.clusters.sshd import sshd as start_sshd
from tests.paramiko_kit import at_home, line, output, refused
from tests.typist import at_terminal, typing


@pytest.fixture(scope="module")
def guarded() -> Iterator[Sshd]:
    """A server that asks for a code besides the key."""
    with contextlib.ExitStack() as stack:
        site = Site(alias="guarded", two_factor=True)
        yield started(stack, lambda folder: start_sshd(folder, site=site))


# Host keys


def known(sshd: Sshd) -> bytes:
    return known_keys([sshd.folder / "known_hosts"], f"[127.0.0.1]:{sshd.port}")[0].blob


def unknown_host(sshd: Sshd, extra: str = "") -> Path:
    mine = Path.home() / ".ssh" / "mine"
    at_home(
        f"Host loop\n  UserKnownHostsFile {mine}\n  StrictHostKeyChecking ask\n{extra}Include {sshd.config}\n"
    )
    return mine


@pytest.mark.parametrize("strict", ["ask", "accept-new", "no"])
def test_an_unknown_host_key_is_never_taken_in_silence(sshd: Sshd, strict: str) -> None:
    mine = unknown_host(sshd)
    text = (mine.parent / "config").read_text().replace("Checking ask", f"Checking {strict}")
    (mine.parent / "config").write_text(text)
    problem = refused("loop")
    shown = f"ssh-ed25519 {fingerprint(known(sshd))}"
    assert problem.message == f"the key of loop (127.0.0.1 port {sshd.port}) is not known: {shown}"
    assert problem.hint.startswith("git cj connect mine, ")
    assert not mine.exists()


@pytest.mark.parametrize("hashed", ["yes", "no"])
def test_a_host_key_that_the_person_confirms_is_kept(sshd: Sshd, hashed: str) -> None:
    mine = unknown_host(sshd, f"  HashKnownHosts {hashed}\n")
    with typing((r"\(yes/no\)\? ", "yes")) as person:
        connect(settings("loop"), Terminal(person.path)).close()
    assert fingerprint(known(sshd)) in person.seen
    assert ("127.0.0.1" in mine.read_text()) is (hashed == "no")
    connect(settings("loop"), None).close()


def test_a_host_key_that_is_not_confirmed_is_not_kept(sshd: Sshd) -> None:
    mine = unknown_host(sshd)
    with typing((r"\(yes/no\)\? ", "y")) as person, pytest.raises(CjError, match="was not confirmed"):
        connect(settings("loop"), Terminal(person.path))
    assert not mine.exists()


def test_a_changed_host_key_is_refused_with_both_fingerprints(sshd: Sshd, tmp_path: Path) -> None:
    mine = unknown_host(sshd)
    subprocess.run(("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "k"), check=True)
    kind, key = (tmp_path / "k.pub").read_text().split()[:2]
    mine.write_text(f"[127.0.0.1]:{sshd.port} {kind} {key}\n")
    problem = refused("loop")
    other = known_keys([mine], f"[127.0.0.1]:{sshd.port}")[0]
    assert problem.message == (
        f"the key of loop (127.0.0.1 port {sshd.port}) has changed: it shows ssh-ed25519 "
        f"{fingerprint(known(sshd))}, known is ssh-ed25519 {other.fingerprint} ({mine}:1). "
        "Someone may be listening in"
    )
    assert f"ssh-keygen -R '[127.0.0.1]:{sshd.port}' -f {mine}" in problem.hint


def test_a_revoked_host_key_is_refused(sshd: Sshd) -> None:
    mine = unknown_host(sshd)
    line = (sshd.folder / "known_hosts").read_text()
    mine.write_text(f"{line}@revoked {line}")
    assert "is revoked" in refused("loop").message


def test_a_key_known_under_an_alias_counts(sshd: Sshd) -> None:
    mine = unknown_host(sshd, "  HostKeyAlias cluster\n")
    kind, key = (sshd.folder / "known_hosts").read_text().split()[1:]
    mine.write_text(f"cluster {kind} {key}\n")
    connect(settings("loop"), None).close()


# Logins


def test_a_second_factor_is_asked_once_and_serves_the_commands_that_follow(guarded: Sshd) -> None:
    at_home(f"Include {guarded.config}\n")
    with line("guarded") as found:
        with pytest.raises(CjError) as problem:
            output(found, "true")
        assert problem.value.message.startswith(
            "there is no live connection to mine: guarded refused the login"
        )
        assert problem.value.hint == "git cj connect mine"
        program = (
            "from cjledger.cluster.paramiko_ssh import ParamikoLine\n"
            "from cjledger.cluster.transport import Contact\n"
            "from cjledger.model import Cluster\n"
            "where = Cluster('mine', 'local', 'root', host='guarded')\n"
            "print('opened', ParamikoLine(where, Contact(True)).open())\n"
        )
        code, shown = at_terminal(
            program, ("[Pp]assword: ", "000000"), ("[Pp]assword: ", guarded.code("424242"))
        )
        assert code == 0, shown
        assert "opened True" in shown
        assert "424242" not in shown
        assert output(found, "echo in") == b"in\n"
        assert found.close()


def test_a_second_factor_that_is_wrong_three_times_is_refused(guarded: Sshd) -> None:
    at_home(f"Include {guarded.config}\n")
    wrong = [("[Pp]assword: ", "1")] * 3
    with typing(*wrong) as person, pytest.raises(LoginRefusedError, match=r"keyboard-interactive"):
        connect(settings("guarded"), Terminal(person.path))


def test_a_login_that_is_refused_says_what_was_tried(sshd: Sshd, tmp_path: Path) -> None:
    key = tmp_path / "key"
    subprocess.run(("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key), check=True)
    open_to_all = tmp_path / "open"
    shutil.copy(key, open_to_all)
    open_to_all.chmod(0o644)
    text = alias(sshd, "loop").replace(f"{sshd.folder}/user_ed25519", str(key))
    at_home(
        f"{text}  IdentityFile {open_to_all}\n  IdentityFile {tmp_path}/none\nMatch exec true\n  User x\n"
    )
    with pytest.raises(LoginRefusedError) as problem:
        connect(settings("loop", "nobody"), None)
    assert problem.value.message == (
        "loop refused the login as nobody (publickey)\n"
        f"  others can read {open_to_all}: chmod 600 {open_to_all}\n"
        f"  there is no {tmp_path}/none\n"
        f"  {Path.home()}/.ssh/config line 11: Match exec is not asked here; its settings are left out"
    )
    assert not problem.value.needs_terminal


@pytest.mark.parametrize("form", [(), ("-m", "PEM")])
@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_a_passphrase_is_asked_for_at_the_terminal(
    sshd: Sshd, tmp_path: Path, kind: str, form: tuple[str, ...]
) -> None:
    key = tmp_path / "key"
    argv = ("ssh-keygen", "-q", "-t", kind, "-N", "open sesame", "-f", str(key), *form)
    subprocess.run(argv, check=True)
    _authorize(sshd, key.with_suffix(".pub"))
    at_home(alias(sshd, "loop").replace(f"{sshd.folder}/user_ed25519", str(key)))
    with pytest.raises(LoginRefusedError, match=f"has a passphrase: ssh-add {key}"):
        connect(settings("loop"), None)
    prompt = f"Enter passphrase for key '{key}': "
    with typing((prompt, "wrong"), (prompt, "open sesame")) as person:
        connect(settings("loop"), Terminal(person.path)).close()
    assert "sesame" not in person.seen


def _authorize(sshd: Sshd, public: Path) -> None:
    with open(sshd.folder / "authorized_keys", "a") as file:
        file.write(public.read_text())


def test_the_agent_s_keys_are_offered(sshd: Sshd, tmp_path: Path) -> None:
    agent = subprocess.Popen(("ssh-agent", "-D", "-a", tmp_path / "agent"), stdout=subprocess.PIPE)
    try:
        assert agent.stdout
        agent.stdout.readline()
        adding = {**os.environ, "SSH_AUTH_SOCK": str(tmp_path / "agent")}
        subprocess.run(("ssh-add", "-q", sshd.folder / "user_ed25519"), env=adding, check=True)
        text = alias(sshd, "loop").replace(f"  IdentityFile {sshd.folder}/user_ed25519\n", "")
        at_home(
            f"{text}  IdentityAgent {tmp_path}/agent\n".replace("IdentitiesOnly yes", "IdentitiesOnly no")
        )
        connect(settings("loop"), None).close()
        # The configuration names the key by its public half: only the agent has the private one.
        shutil.copy(sshd.folder / "user_ed25519.pub", tmp_path / "named.pub")
        at_home(f"{text}  IdentityAgent {tmp_path}/agent\n  IdentityFile {tmp_path}/named.pub\n")
        connect(settings("loop"), None).close()
    finally:
        agent.kill()
        agent.wait()


class Questions(paramiko.ServerInterface):  # type: ignore[misc]
    """A server of several rounds: a password, two questions of which one may be seen, a round of none."""

    def __init__(self) -> None:
        self.answers: list[list[str]] = []

    def get_banner(self) -> tuple[str, str]:
        return "Welcome to\x1b Ulm\n", "en"

    def get_allowed_auths(self, username: str) -> str:
        return "keyboard-interactive" if self.answers == [["the password"]] else "password"

    def check_auth_password(self, username: str, password: str) -> int:
        if password != "the password":
            return int(paramiko.AUTH_FAILED)
        self.answers.append([password])
        return int(paramiko.AUTH_PARTIALLY_SUCCESSFUL)

    def check_auth_interactive(self, username: str, submethods: str) -> paramiko.InteractiveQuery:
        return paramiko.InteractiveQuery(
            "Two", "Answer\x1b]0;x\x07 both", ("Code: ", False), ("Town: ", True)
        )

    def check_auth_interactive_response(self, responses: list[str]) -> int | paramiko.InteractiveQuery:
        self.answers.append(list(responses))
        if responses:
            return paramiko.InteractiveQuery("", "")
        return int(paramiko.AUTH_SUCCESSFUL)


def test_servers_ask_in_several_rounds_and_ways(tmp_path: Path) -> None:
    key = paramiko.ECDSAKey.generate()
    asking = Questions()
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        folder = at_home(f"Host asking\n  HostName 127.0.0.1\n  Port {port}\n")
        (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {key.get_name()} {key.get_base64()}\n")
        sessions = []

        def answer() -> None:
            sessions.append(paramiko.Transport(server.accept()[0]))
            sessions[0].add_server_key(key)
            sessions[0].start_server(event=threading.Event(), server=asking)

        threading.Thread(target=answer).start()
        prompts = (
            ("password: ", "wrong"),
            ("password: ", "the password"),
            ("Code: ", "42"),
            ("Town: ", "Ulm"),
        )
        with typing(*prompts) as person:
            connect(settings("asking"), Terminal(person.path)).close()
        sessions[0].close()
    assert asking.answers == [["the password"], ["42", "Ulm"], []]
    assert person.seen.startswith("Welcome to? Ulm\r\n")
    assert person.seen.count("Ulm") == 2
    assert [word for word in ("42", "the password", "\x1b") if word in person.seen] == []


def test_a_key_in_the_file_of_revoked_ones_is_refused(sshd: Sshd, tmp_path: Path) -> None:
    revoked = tmp_path / "revoked"
    unknown_host(sshd, f"  RevokedHostKeys {revoked}\n")
    assert refused("loop").message.startswith(f"{revoked} cannot be read: ")
    revoked.write_text((sshd.folder / "host_ed25519.pub").read_text())
    assert "is revoked" in refused("loop").message
    revoked.write_bytes(b"SSHKRL\n\0")
    assert refused("loop").message == f"{revoked} is in a form that only ssh itself reads"
