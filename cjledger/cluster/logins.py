"""Logging in by the system's ssh: what it asks goes to the person, what it refuses becomes a clear error."""

from __future__ import annotations

import re
import shlex
import subprocess
import tempfile
from dataclasses import dataclass

from cjledger.cluster.line import LostLineError
from cjledger.cluster.outbox import persons_environment
from cjledger.cluster.transport import Contact, printable
from cjledger.errors import CjError
from cjledger.model import Cluster

PERSIST = "4h"

# Asked for a host's key ssh says no by itself in batch mode, and asks the person else: never a silent yes.
_LOGIN = (
    *("-f", "-N", "-T", "-o", "ControlMaster=yes", "-o", f"ControlPersist={PERSIST}"),
    *("-o", "StrictHostKeyChecking=ask"),
    *("-o", "ForwardAgent=no", "-o", "ForwardX11=no", "-o", "ClearAllForwardings=yes"),
    *("-o", "RemoteCommand=none", "-o", "PermitLocalCommand=no"),
)


@dataclass(frozen=True)
class Patience:
    """How long a host may take to let us in, and how long to be silent (three times ``alive_s``)."""

    connect_s: int = 15
    alive_s: int = 10

    @property
    def login_s(self) -> int:
        """For the whole login: ssh's own limits end with the first words and begin after the login."""
        return 4 * self.connect_s

    @property
    def options(self) -> tuple[str, ...]:
        """As ssh has it."""
        return (
            *("-o", f"ConnectTimeout={self.connect_s}"),
            *("-o", f"ServerAliveInterval={self.alive_s}", "-o", "ServerAliveCountMax=3"),
        )


def escaped(path: str) -> str:
    """A path as ssh's options have it: percent signs start tokens, blanks end words."""
    plain = path.replace("%", "%%")
    return f'"{plain}"' if re.search(r"\s", plain) else plain


def log_in(where: Cluster, ssh: tuple[str, ...], contact: Contact, patience: Patience) -> None:
    """Make the master. Without a key that suffices the person is asked, if the contact allows it."""
    argv = (*ssh, *_LOGIN, *patience.options)
    words = _try(where, argv, patience)
    if words is None:
        return
    problem = refusal(where, words)
    if not contact.prompts or not (_wants_answer(words) or _is_unknown_key(words)):
        raise problem
    contact.say(f"logging in to {where.name}")
    argv = (*argv, "--", str(where.host))
    # Its questions go to the terminal, or to SSH_ASKPASS; its words to the person.
    if subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, cwd="/").returncode:
        raise CjError(
            f"the login to {where.name} failed",
            f"ssh -v {where.host} shows what was tried; git cj connect {where.name} tries again",
        )


def _try(where: Cluster, ssh: tuple[str, ...], patience: Patience) -> str | None:
    """Log in by what needs no answer. None when that did it, else ssh's words."""
    words = _said(where, ssh, (), patience)
    if words is None or _NO_WAY not in words:
        return words
    # A connection that stays gives no words to what opens the way to it: one that does not stay is asked.
    alone = (ssh[0], "-o", "ControlMaster=no", "-o", "ControlPath=none", "-o", "ControlPersist=no")
    return _said(
        where, (*alone, *(word for word in ssh[1:] if word not in ("-f", "-N"))), ("true",), patience
    )


def _said(where: Cluster, ssh: tuple[str, ...], command: tuple[str, ...], patience: Patience) -> str | None:
    """What ssh says when it fails, without a terminal; None when it does not."""
    # Options count for the host alone: on the way through others nobody must be asked either.
    env = {**persons_environment(), "SSH_ASKPASS_REQUIRE": "never"}
    # A file, not a pipe: the master keeps it open for hours where ssh is old.
    with tempfile.TemporaryFile() as errors:
        argv = (*ssh, "-o", "BatchMode=yes", "-o", "LogLevel=INFO", "--", str(where.host), *command)
        try:
            code = subprocess.run(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                env=env,
                cwd="/",
                timeout=patience.login_s,
                start_new_session=True,
            ).returncode
        except subprocess.TimeoutExpired:
            return f"the login timed out after {patience.login_s} s"
        if code == 0:
            return None
        errors.seek(0)
        text = errors.read()[-8000:].decode(errors="replace").replace("\r\n", "\n")
        return printable(text).strip() or f"ssh exit {code}"


def _wants_answer(words: str) -> bool:
    return "Permission denied" in words or "Too many authentication failures" in words


def _is_changed_key(words: str) -> bool:
    return "REMOTE HOST IDENTIFICATION HAS CHANGED" in words or "REVOKED HOST KEY" in words


def _is_unknown_key(words: str) -> bool:
    return "Host key verification failed" in words and not _is_changed_key(words)


def refusal(where: Cluster, words: str) -> CjError:
    """What ssh's words mean, and the next command."""
    name, host = where.name, where.host
    connect = f"git cj connect {name}"
    last = words.splitlines()[-1] if words else ""
    if _is_changed_key(words):
        offending = re.search(r"Offending .* in (\S+)", words)
        file = f" -f {shlex.quote(offending[1].rpartition(':')[0])}" if offending else ""
        # Under the host's own name and port, which an alias of the configuration hides.
        known = re.search(r"Host key for (\S+) has changed", words)
        entry = shlex.quote(known[1]) if known else host
        return CjError(
            f"the host key of {name} ({host}) has changed: someone may be in between\n{_offence(words)}",
            f"ask its administrators; if they changed it: ssh-keygen{file} -R {entry}",
        )
    told = [line for line in words.splitlines() if not any(sign in line for sign in _PASSING)]
    if _NO_WAY in words and told:
        return CjError(f"the jump host before {name} ({host}) does not let us through: {told[-1]}", connect)
    if _is_unknown_key(words):
        return CjError(f"the host key of {name} ({host}) is not known here", connect)
    if _wants_answer(words):
        return CjError(
            f"there is no live connection to {name}, and logging in needs an answer ({last})", connect
        )
    for sign, message, hint in _SIGNS:
        if sign in words:
            return CjError(
                f"{message.format(name=name, host=host)}: {last}", hint.format(name=name, host=host)
            )
    if any(sign in words for sign in _PASSING):
        return LostLineError(f"{name} turned the connection away: {last}", "run the command again")
    return CjError(f"ssh to {name} ({host}) failed: {last}", f"ssh {host} true")


_SIGNS = (
    (
        "Could not resolve hostname",
        "there is no host {host}",
        "mend host of [cluster.{name}], or ~/.ssh/config",
    ),
    ("Connection refused", "nothing listens for ssh on {host}", "ssh {host}; is the port right?"),
    ("timed out", "{host} does not answer", "check the network or VPN, then try again"),
    ("No route to host", "{host} cannot be reached", "check the network or VPN, then try again"),
    ("Network is unreachable", "{host} cannot be reached", "check the network or VPN, then try again"),
    ("Bad owner or permissions", "ssh refuses its configuration", "chmod 600 ~/.ssh/config"),
    ("Bad configuration option", "ssh does not understand its configuration", "ssh -G {host}"),
)
# An sshd that counts connections (MaxStartups) closes some; the next one may get in.
_NO_WAY = "by UNKNOWN port 65535"  # ssh's words when the way through others ends
_PASSING = ("kex_exchange_identification", "Connection closed by", "Connection reset", "Broken pipe")


def _offence(words: str) -> str:
    kept = [line for line in words.splitlines() if "SHA256:" in line or "Offending" in line]
    return "\n".join(f"  {line.strip()}" for line in kept)
