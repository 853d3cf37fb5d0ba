"""Logging in: the agent's keys, key files, questions of the server, a password, in ssh's order."""

from __future__ import annotations

import base64
import functools
import os
import queue
import socket
import stat
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import paramiko

from cjledger.cluster.paramiko_ssh.asking import Terminal
from cjledger.cluster.paramiko_ssh.ssh_config import Settings
from cjledger.errors import CjError

_METHODS = ("publickey", "keyboard-interactive", "password")
_KEY_FILES = ("~/.ssh/id_rsa", "~/.ssh/id_ecdsa", "~/.ssh/id_ed25519")
# A person has to find the telephone.
_PATIENCE_S = 300


class LoginRefusedError(CjError):
    """The server took none of what there was to offer. ``needs_terminal``: a person could answer it."""

    def __init__(self, message: str, hint: str, needs_terminal: bool) -> None:
        super().__init__(message, hint)
        self.needs_terminal = needs_terminal


@dataclass
class _Login:
    """One login: what is left to offer, and what to tell when it was not enough."""

    session: paramiko.Transport
    settings: Settings
    terminal: Terminal | None
    keys: Iterator[paramiko.PKey]
    told: list[str] = field(default_factory=list)
    needs_terminal: bool = False
    greeted: bool = False

    @property
    def tries(self) -> int:
        return self.settings.number("numberofpasswordprompts", 3)


def log_in(session: paramiko.Transport, settings: Settings, terminal: Terminal | None) -> None:
    """Log in; questions go to the terminal, and where there is none they are not asked."""
    session.auth_timeout = _PATIENCE_S
    if settings.says_yes("batchmode"):
        terminal = None
    login = _Login(session, settings, terminal, iter(()))
    login.keys = _keys(login)
    allowed = _allowed_at_first(login)
    given_up: set[str] = set()
    while allowed:
        method = next((m for m in _methods(settings) if m in allowed and m not in given_up), None)
        if method is None:
            raise _refused(login, allowed)
        left = _WAYS[method](login)
        if left is None:
            given_up.add(method)
        else:
            # A part of it is done: what remains is asked for anew.
            allowed, given_up = left, set()


def _greet(login: _Login, terminal: Terminal) -> None:
    """Show the server's banner before its first question: it may say what to answer."""
    banner, login.greeted = not login.greeted and login.session.get_banner(), True
    if banner:
        terminal.say(banner.decode(errors="replace"))


def _methods(settings: Settings) -> list[str]:
    wanted = settings.first("preferredauthentications")
    switches = {
        "publickey": "pubkeyauthentication",
        "keyboard-interactive": "kbdinteractiveauthentication",
        "password": "passwordauthentication",
    }
    order = [word for word in wanted.split(",") if word in _METHODS] if wanted else list(_METHODS)
    return [method for method in order if settings.first(switches[method], "yes") != "no"]


def _allowed_at_first(login: _Login) -> list[str]:
    try:
        return list(login.session.auth_none(login.settings.user))
    except paramiko.BadAuthenticationType as problem:
        return list(problem.allowed_types)
    except paramiko.AuthenticationException:
        return list(_METHODS)


def _offer(login: _Login, act: Callable[[], list[str]]) -> list[str] | None:
    """The methods that are left after an offer (none: logged in), or None when it was not taken."""
    try:
        return list(act())
    except (paramiko.AuthenticationException, paramiko.SSHException, EOFError, OSError):
        if not login.session.is_active():
            raise _refused(login, ["the connection was closed"]) from None
        return None


def _with_keys(login: _Login) -> list[str] | None:
    for key in login.keys:
        act = functools.partial(login.session.auth_publickey, login.settings.user, key)
        left = _offer(login, act)
        if left is not None:
            return left
    return None


def _keys(login: _Login) -> Iterator[paramiko.PKey]:
    """Keys in ssh's order: the agent's that the configuration names, its others, files."""
    named = "identityfile" in login.settings.values
    files = login.settings.paths("identityfile", _KEY_FILES)
    publics = {file: _public(file) for file in files}
    wanted = [blob for blob in publics.values() if blob]
    held = {key.asbytes(): key for key in _agent_keys(login)}
    yield from (held[blob] for blob in wanted if blob in held)
    if not login.settings.says_yes("identitiesonly"):
        yield from (key for blob, key in held.items() if blob not in wanted)
    for file in files:
        if publics[file] not in held and (key := _from_file(login, file, named)):
            yield key


def _agent_keys(login: _Login) -> tuple[paramiko.PKey, ...]:
    where = login.settings.first("identityagent", "SSH_AUTH_SOCK")
    if where == "none":
        return ()
    path = os.environ.get("SSH_AUTH_SOCK", "") if where == "SSH_AUTH_SOCK" else login.settings.expanded(where)
    if where.startswith("$") and not where.startswith("${"):
        path = os.environ.get(where[1:], "")
    if not path:
        return ()
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(10)
    try:
        connection.connect(path)
        # paramiko's own Agent knows SSH_AUTH_SOCK alone.
        agent = paramiko.agent.AgentSSH()
        agent._connect(connection)
        return tuple(agent.get_keys())
    except (OSError, paramiko.SSHException) as problem:
        login.told.append(f"the agent at {path} does not answer: {problem}")
        return ()


def _public(file: Path) -> bytes | None:
    path = file if file.suffix == ".pub" else file.with_name(file.name + ".pub")
    try:
        return base64.b64decode(path.read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return None


def _from_file(login: _Login, file: Path, named: bool) -> paramiko.PKey | None:
    """The private key in a file; None, and why in ``told``, when there is none to be had."""
    try:
        found = file.stat()
        if stat.S_IMODE(found.st_mode) & 0o077 and found.st_uid == os.getuid():
            login.told.append(f"others can read {file}: chmod 600 {file}")
            return None
        return paramiko.PKey.from_path(file)
    except TypeError:
        return _decrypted(login, file)
    except FileNotFoundError:
        if named:
            login.told.append(f"there is no {file}")
    except (OSError, ValueError, paramiko.SSHException, paramiko.pkey.UnknownKeyType) as problem:
        login.told.append(f"{file} is no key that can be used: {problem}")
    return None


def _decrypted(login: _Login, file: Path) -> paramiko.PKey | None:
    if login.terminal is None:
        login.needs_terminal = True
        login.told.append(f"{file} has a passphrase: ssh-add {file}")
        return None
    for _ in range(login.tries):
        phrase = login.terminal.ask(f"Enter passphrase for key '{file}': ")
        if not phrase:
            return None
        try:
            return paramiko.PKey.from_path(file, phrase.encode(errors="surrogateescape"))
        except (ValueError, TypeError, paramiko.SSHException):
            login.terminal.say("Bad passphrase, try again.")
    return None


def _with_questions(login: _Login) -> list[str] | None:
    if login.terminal is None:
        login.needs_terminal = True
        return None
    for _ in range(login.tries):
        asked: list[bool] = []
        left = _offer(login, functools.partial(_questions, login, login.terminal, asked))
        # A server that refused without a question will not ask one now.
        if left is not None or not asked:
            return left
        login.terminal.say("That was not accepted.")
    return None


def _questions(login: _Login, terminal: Terminal, asked: list[bool]) -> list[str]:
    """Let the server ask; the answers are typed in this thread, where Ctrl-C is heard."""
    events: queue.SimpleQueue[Any] = queue.SimpleQueue()
    answers: queue.SimpleQueue[list[str]] = queue.SimpleQueue()

    def ask(title: str, instructions: str, prompts: list[tuple[str, bool]]) -> list[str]:
        events.put((title, instructions, prompts))
        return answers.get()

    def act() -> None:
        try:
            events.put(list(login.session.auth_interactive(login.settings.user, ask)))
        except Exception as problem:  # Whatever it is, it is raised in the other thread.
            events.put(problem)

    threading.Thread(target=act, daemon=True).start()
    while isinstance(event := events.get(), tuple):
        title, instructions, prompts = event
        _greet(login, terminal)
        for text in (title, instructions):
            if text.strip():
                terminal.say(text)
        # Some servers end with a round of no questions.
        asked.append(True)
        answers.put([terminal.ask(_marked(prompt, login), echo) for prompt, echo in prompts])
    if isinstance(event, Exception):
        raise event
    return list(event)


def _marked(prompt: str, login: _Login) -> str:
    # As ssh does: the host's words cannot be taken for this program's.
    return f"({login.settings.user}@{login.settings.hostname}) {prompt}"


def _with_password(login: _Login) -> list[str] | None:
    if login.terminal is None:
        login.needs_terminal = True
        return None
    user = login.settings.user
    _greet(login, login.terminal)
    for attempt in range(login.tries):
        if attempt:
            login.terminal.say("Permission denied, please try again.")
        password = login.terminal.ask(f"{user}@{login.settings.hostname}'s password: ")
        act = functools.partial(login.session.auth_password, user, password, fallback=False)
        left = _offer(login, act)
        if left is not None:
            return left
    return None


_WAYS: dict[str, Callable[[_Login], list[str] | None]] = {
    "publickey": _with_keys,
    "keyboard-interactive": _with_questions,
    "password": _with_password,
}


def _refused(login: _Login, allowed: list[str]) -> LoginRefusedError:
    settings = login.settings
    told = "".join(f"\n  {line}" for line in (*login.told, *settings.notes))
    return LoginRefusedError(
        f"{settings.alias} refused the login as {settings.user} ({', '.join(allowed)}){told}",
        f"ssh-add, or name the key and user in ~/.ssh/config under Host {settings.alias}",
        login.needs_terminal,
    )
