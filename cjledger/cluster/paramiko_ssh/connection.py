"""Connections: the way to the host through its jumps, its key, the login, and a watch that it answers."""

from __future__ import annotations

import base64
import contextlib
import logging
import re
import socket
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import paramiko

from cjledger.cluster.line import LostLineError
from cjledger.cluster.paramiko_ssh.asking import Terminal
from cjledger.cluster.paramiko_ssh.known_hosts import entry_name, fingerprint, known_keys, remember
from cjledger.cluster.paramiko_ssh.logins import log_in
from cjledger.cluster.paramiko_ssh.ssh_config import Settings, settings
from cjledger.errors import CjError

_MOST_JUMPS = 8
_USER_KNOWN_HOSTS = ("~/.ssh/known_hosts", "~/.ssh/known_hosts2")
_GLOBAL_KNOWN_HOSTS = ("/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2")

# Without a handler Python prints paramiko's tracebacks.
logging.getLogger("paramiko").addHandler(logging.NullHandler())


def connect(where: Settings, terminal: Terminal | None, jumps: int = 0) -> paramiko.Transport:
    """A session, logged in. Raises CjError for what a person can mend."""
    timeout = where.number("connecttimeout", 15) or 15
    road = _road(where, terminal, jumps, timeout)
    session = None
    try:
        session = paramiko.Transport(road)
        session.banner_timeout = session.handshake_timeout = timeout
        keys = _Keys.of(where)
        keys.prefer_known(session)
        _start(session, where, timeout)
        keys.check(session.get_remote_server_key(), terminal)
        log_in(session, where, terminal)
    except BaseException:
        if session:
            session.close()
        road.close()
        raise
    _watch(session, where.number("serveraliveinterval", 0) or 10, where.number("serveralivecountmax", 3))
    return session


def _start(session: paramiko.Transport, where: Settings, timeout: int) -> None:
    try:
        session.start_client(timeout=timeout)
        # paramiko returns as if all was well when the time is over.
        session.get_remote_server_key()
    except (paramiko.SSHException, EOFError, OSError) as problem:
        if not session.remote_version:
            # A server that counts connections (MaxStartups) closes some before a word; the next may get in.
            raise LostLineError(f"{_name(where)} closed the connection: {problem}") from problem
        raise CjError(
            f"{_name(where)} does not speak ssh as it should: {problem}",
            f"see whether ssh {where.alias} gets there, and git cj doctor",
        ) from problem


def _name(where: Settings) -> str:
    if where.alias == where.hostname and where.port == 22:
        return where.alias
    return f"{where.alias} ({where.hostname} port {where.port})"


def _road(where: Settings, terminal: Terminal | None, jumps: int, timeout: int) -> Any:
    """What carries the session: a socket, a proxy's, or a channel of the session before."""
    if jumps > _MOST_JUMPS:
        raise CjError(f"more than {_MOST_JUMPS} jumps to {where.alias}", "see ProxyJump in ~/.ssh/config")
    jump, command = where.first("proxyjump", "none"), where.first("proxycommand", "none")
    if jump.lower() != "none":
        return _jump(where, where.with_tokens(jump), terminal, jumps, timeout)
    if command.lower() != "none":
        return _proxied(where.expanded(command))
    try:
        # Connections that rest behind a firewall, and hosts that vanish.
        found = socket.create_connection((where.hostname, where.port), timeout)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return found
    except socket.gaierror as problem:
        raise CjError(
            f"there is no host {_name(where)}: {problem.strerror}",
            "see host in the configuration, and HostName in ~/.ssh/config",
        ) from problem
    except OSError as problem:
        raise CjError(
            f"{_name(where)} cannot be reached: {problem.strerror or problem}",
            "see whether the network (VPN) and the port are right, then try again",
        ) from problem


def _jump(where: Settings, jump: str, terminal: Terminal | None, jumps: int, timeout: int) -> Any:
    *before, last = jump.split(",")
    hop = _hop(last, before)
    session = connect(hop, terminal, jumps + 1)
    try:
        channel = session.open_channel(
            "direct-tcpip", (where.hostname, where.port), ("127.0.0.1", 0), timeout=timeout
        )
    except paramiko.SSHException as problem:
        session.close()
        raise CjError(
            f"{hop.alias} opens no way to {_name(where)}: {problem}",
            f"see whether ssh -J {jump} {where.alias} gets there",
        ) from problem
    # The channel is of no use without its session.
    channel.carrier = session
    return channel


def _hop(word: str, before: list[str]) -> Settings:
    """The settings of a jump host, written ``[user@]host[:port]`` or ``ssh://…``."""
    found = re.fullmatch(
        r"(?:ssh://)?(?:([^@]+)@)?(\[[^]]+\]|[^:\[\]]+|[0-9A-Fa-f:]+)(?::(\d+))?/?", word.strip()
    )
    if not found or found[2].startswith("-"):
        raise CjError(f"ProxyJump {word} cannot be read", "write it as user@host:port in ~/.ssh/config")
    user, host, port = found.groups()
    hop = settings(host.strip("[]"), user)
    values = dict(hop.values)
    if port:
        values["port"] = (port,)
    if before:
        values.pop("proxycommand", None)
        values["proxyjump"] = (",".join(before),)
    return Settings(hop.alias, values, hop.notes)


def _proxied(command: str) -> socket.socket:
    """Start a ProxyCommand, the person's own, as ssh does; it ends with the connection."""
    ours, theirs = socket.socketpair()
    with theirs:
        subprocess.Popen(("/bin/sh", "-c", f"exec {command}"), stdin=theirs.fileno(), stdout=theirs.fileno())
    return ours


class _Keys:
    """The keys known for a host, and what to do about the one it shows."""

    def __init__(self, where: Settings, name: str, files: list[Path], others: list[Path]) -> None:
        self.where, self.name, self.files = where, name, files
        self.known = known_keys([*files, *others], name)

    @classmethod
    def of(cls, where: Settings) -> _Keys:
        """The keys for a host under the name that its known_hosts entries have."""
        alias = where.first("hostkeyalias")
        files = where.paths("userknownhostsfile", _USER_KNOWN_HOSTS)
        others = where.paths("globalknownhostsfile", _GLOBAL_KNOWN_HOSTS)
        found = cls(where, alias or entry_name(where.hostname, where.port), files, others)
        if not found.known and not alias and where.port != 22:
            # As ssh: a key known for the host counts for its other ports.
            found.known = known_keys([*files, *others], where.hostname.lower())
        return found

    def prefer_known(self, session: paramiko.Transport) -> None:
        """Ask for a key of a kind that is known, else a host with several looks like another."""
        kinds = {key.kind for key in self.known if not key.revoked}
        if "ssh-rsa" in kinds:
            kinds |= {"rsa-sha2-512", "rsa-sha2-256"}
        options = session.get_security_options()
        options.key_types = sorted(options.key_types, key=lambda kind: kind not in kinds)

    def check(self, key: paramiko.PKey, terminal: Terminal | None) -> None:
        """Refuse a key that is not the host's; ask about one that is new."""
        kind, blob = key.get_name(), key.asbytes()
        if any(known.blob == blob and known.revoked for known in self.known) or self._is_revoked(blob):
            raise CjError(f"the key of {_name(self.where)} is revoked", "ask the host's administrators")
        if any(known.blob == blob for known in self.known):
            return
        valid = [known for known in self.known if not known.revoked]
        if valid:
            other = next((known for known in valid if known.kind == kind), valid[0])
            raise CjError(
                f"the key of {_name(self.where)} has changed: it shows {kind} {fingerprint(blob)}, known is "
                f"{other.kind} {other.fingerprint} ({other.source}). Someone may be listening in",
                f"ask its administrators; if they changed it: ssh-keygen -R '{self.name}' -f {other.file}",
            )
        self._ask(kind, blob, terminal)

    def _is_revoked(self, blob: bytes) -> bool:
        for file in self.where.paths("revokedhostkeys"):
            try:
                text = file.read_bytes()
            except OSError as problem:
                # As ssh: what cannot be read may name any key.
                raise CjError(f"{file} cannot be read: {problem.strerror}", f"ls -l {file}") from problem
            if text.startswith(b"SSHKRL"):
                raise CjError(
                    f"{file} is in a form that only ssh itself reads",
                    'transport = "openssh" for this cluster in .cjledger.toml',
                )
            if base64.b64encode(blob) in text.split():
                return True
        return False

    def _ask(self, kind: str, blob: bytes, terminal: Terminal | None) -> None:
        unknown = f"the key of {_name(self.where)} is not known: {kind} {fingerprint(blob)}"
        if terminal is None or self.where.first("stricthostkeychecking", "ask").lower() in ("yes", "true"):
            raise CjError(
                unknown, "git cj connect, and compare it with what the site publishes; or ssh-keyscan"
            )
        terminal.say(f"{unknown[0].upper()}{unknown[1:]}.")
        if terminal.ask("Is it the one that the site publishes (yes/no)? ", echo=True).strip() != "yes":
            raise CjError("the host's key was not confirmed", "ask the host's administrators for it")
        for file in self.files[:1]:
            remember(file, self.name, kind, blob, self.where.says_yes("hashknownhosts"))


def _watch(session: paramiko.Transport, interval: int, count: int) -> None:
    """Close a session whose host no longer answers: paramiko's keepalive does not look for answers."""
    answered = [time.monotonic()]
    over = threading.Event()

    def ask() -> None:
        while session.is_active() and not over.wait(interval):
            with contextlib.suppress(Exception):
                session.global_request("keepalive@openssh.com", wait=True)
            answered[0] = time.monotonic()

    def look() -> None:
        while session.is_active() and not over.wait(interval):
            if time.monotonic() - answered[0] > interval * (count + 1):
                session.close()
        over.set()

    for act in (ask, look):
        threading.Thread(target=act, daemon=True).start()
