"""What the person's ssh configuration says of a host, read as ``ssh_config(5)`` has it.

paramiko's own reader keeps ``Include`` as a dead key and takes a ``Match`` it does not know for matching.
"""

from __future__ import annotations

import fnmatch
import getpass
import glob
import itertools
import os
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from cjledger.errors import CjError

SYSTEM_FILE = Path("/etc/ssh/ssh_config")

_DEEPEST_INCLUDE = 16
# These add up; of all others the first value counts.
_LISTS = ("identityfile", "certificatefile")
# What would change where a connection leads or how safe it is: not done, and not passed over in silence.
_NOT_DONE = (
    *("canonicalizehostname", "certificatefile", "knownhostscommand", "pkcs11provider"),
    *("ciphers", "macs", "kexalgorithms", "hostkeyalgorithms", "addressfamily", "bindaddress"),
)
_WHOLE_LINE = ("proxycommand", "localcommand", "remotecommand", "knownhostscommand")


@dataclass(frozen=True)
class Line:
    """One setting: its file and number, the keyword in lower case, the words; what an Include brought."""

    source: str
    keyword: str
    words: tuple[str, ...]
    files: tuple[tuple[Line, ...], ...] = ()


@dataclass(frozen=True)
class Settings:
    """The values for one host, keywords in lower case; ``notes`` says what was left out and why."""

    alias: str
    values: Mapping[str, tuple[str, ...]]
    notes: tuple[str, ...] = ()

    def first(self, keyword: str, default: str = "") -> str:
        """The first word of a setting."""
        return self.values.get(keyword, (default,))[0]

    def number(self, keyword: str, default: int) -> int:
        """A setting that is a count of something; ssh's time formats in seconds."""
        found = self.first(keyword)
        if not found or found == "none":
            return default
        parts = re.fullmatch(r"(\d+w)?(\d+d)?(\d+h)?(\d+m)?(\d+s?)?", found.lower())
        if parts is None:
            raise CjError(f"the ssh configuration's {keyword} {found} is no number", "edit ~/.ssh/config")
        sizes = (604800, 86400, 3600, 60, 1)
        return sum(
            int(part.rstrip("wdhms")) * size for part, size in zip(parts.groups(), sizes, strict=True) if part
        )

    def says_yes(self, keyword: str) -> bool:
        """True when a setting is there and on."""
        return self.first(keyword).lower() in ("yes", "true")

    @property
    def hostname(self) -> str:
        """The name or address to connect to."""
        return self.first("hostname", self.alias)

    @property
    def user(self) -> str:
        """The name to log in as."""
        return self.first("user") or getpass.getuser()

    @property
    def port(self) -> int:
        """The port to connect to."""
        return self.number("port", 22)

    def paths(self, keyword: str, default: tuple[str, ...] = ()) -> list[Path]:
        """A setting's files, with ``~``, tokens and ``${NAME}`` replaced; ``none`` empties it."""
        found = self.values.get(keyword, default)
        return [Path(self.expanded(word)) for word in found if word.lower() != "none"]

    def expanded(self, text: str) -> str:
        """A text with ssh's tokens, a leading ``~`` and ``${NAME}`` replaced."""
        text = re.sub(r"\$\{(\w+)\}", lambda found: os.environ.get(found[1], ""), text)
        return os.path.expanduser(self.with_tokens(text))

    def with_tokens(self, text: str) -> str:
        """A text with ssh's tokens replaced: %h the host name, %n as typed, %p port, %r user, …"""
        here = os.uname().nodename
        tokens = {
            "%": "%",
            "h": self.hostname,
            "n": self.alias,
            "k": self.first("hostkeyalias", self.alias),
            "p": str(self.port),
            "r": self.user,
            "u": getpass.getuser(),
            "i": str(os.getuid()),
            "d": str(Path.home()),
            "l": here,
            "L": here.split(".")[0],
        }
        return re.sub(r"%(.)", lambda found: tokens.get(found[1], found[0]), text)


def settings(alias: str, user: str | None = None, system: Path = SYSTEM_FILE) -> Settings:
    """All that ``~/.ssh/config`` and the system's file say of a host; ``user`` outranks them."""
    persons = Path.home() / ".ssh"
    lines = [*_lines(persons / "config", persons)], [*_lines(system, system.parent)]
    reading = _Reading(alias, alias, {"user": (user,)} if user else {})
    for file in lines:
        _read(file, reading)
    if reading.wants_final:
        reading = replace(reading, target=_name(reading.values, alias), final=True, lists=dict(reading.lists))
        for file in lines:
            _read(file, reading)
    values = {**reading.values, **{keyword: tuple(words) for keyword, words in reading.lists.items()}}
    if "hostname" in values:
        values["hostname"] = (_name(values, alias),)
    return Settings(alias, values, tuple(dict.fromkeys(reading.notes)))


def _name(values: Mapping[str, tuple[str, ...]], alias: str) -> str:
    found = values.get("hostname", (alias,))[0]
    return found.replace("%h", alias).replace("%%", "%")


def _lines(path: Path, folder: Path, depth: int = 0) -> Iterator[Line]:
    try:
        text = path.read_text(errors="surrogateescape")
    except FileNotFoundError:
        return
    except OSError as problem:
        raise CjError(f"{path} cannot be read: {problem.strerror}", f"ls -l {path}") from problem
    for number, raw in enumerate(text.splitlines(), 1):
        line = _parsed(raw, f"{path} line {number}")
        if line is None:
            continue
        if line.keyword != "include":
            yield line
        elif depth < _DEEPEST_INCLUDE:
            files = (tuple(_lines(file, folder, depth + 1)) for file in _included(line.words, folder))
            yield replace(line, files=tuple(files))
        else:
            raise CjError(f"{line.source}: files include each other too deeply", f"edit {path}")


def _included(words: tuple[str, ...], folder: Path) -> Iterator[Path]:
    for word in words:
        pattern = folder / os.path.expanduser(word)
        yield from (Path(name) for name in sorted(glob.glob(str(pattern))) if os.path.isfile(name))


def _parsed(raw: str, source: str) -> Line | None:
    text = raw.strip()
    found = re.match(r"([A-Za-z][A-Za-z0-9]*)\s*[=\s]\s*(.*)", text)
    if not text or text.startswith("#"):
        return None
    if not found:
        raise CjError(f"{source} cannot be read: {text[:60]}", "edit it: a keyword and its value")
    keyword, rest = found[1].lower(), found[2]
    if keyword in _WHOLE_LINE:
        return Line(source, keyword, (rest,))
    lexer = shlex.shlex(rest, posix=True, punctuation_chars=False)
    lexer.whitespace_split, lexer.quotes, lexer.escape = True, '"', ""
    lexer.commenters = ""
    try:
        words = tuple(itertools.takewhile(lambda word: not word.startswith("#"), lexer))
    except ValueError as problem:
        raise CjError(f"{source} cannot be read: {problem}", "close the quotation mark there") from problem
    if not words:
        raise CjError(f"{source} has no value", "edit it: a keyword and its value")
    return Line(source, keyword, words)


@dataclass
class _Reading:
    """One reading of all lines for a host: ``target`` is what Host compares with."""

    alias: str
    target: str
    values: dict[str, tuple[str, ...]]
    lists: dict[str, list[str]] = field(default_factory=dict)
    final: bool = False
    wants_final: bool = False
    notes: list[str] = field(default_factory=list)


def _read(lines: Iterable[Line], reading: _Reading, enclosing: bool = True) -> None:
    """Take over the values that apply; a block of an included file counts only where its Include does."""
    active = enclosing
    for line in lines:
        if line.keyword == "host":
            active = enclosing and _any_of(line.words, reading.target)
        elif line.keyword == "match":
            active = enclosing and _matches(line, reading)
        elif line.keyword == "include":
            for file in line.files:
                _read(file, reading, active)
        elif active:
            _keep(line, reading)


def _keep(line: Line, reading: _Reading) -> None:
    # ssh takes ProxyJump and ProxyCommand for one setting: the first of them counts.
    other = {"proxyjump": "proxycommand", "proxycommand": "proxyjump"}.get(line.keyword)
    if line.keyword in _NOT_DONE and line.words[0].lower() not in ("no", "none"):
        reading.notes.append(f"{line.source}: {line.keyword} is not known to this transport")
    if line.keyword in _LISTS:
        listed = reading.lists.setdefault(line.keyword, [])
        listed.extend(word for word in line.words if word not in listed)
    elif line.keyword not in reading.values and other not in reading.values:
        reading.values[line.keyword] = line.words


def _any_of(patterns: Iterable[str], name: str) -> bool:
    """As in pattern lists of ssh: one matches, and none that is negated does."""
    found = False
    for pattern in patterns:
        if _like(name, pattern.removeprefix("!")):
            if pattern.startswith("!"):
                return False
            found = True
    return found


def _like(name: str, pattern: str) -> bool:
    # fnmatch knows brackets, ssh does not.
    return fnmatch.fnmatchcase(name.lower(), pattern.lower().replace("[", "[[]"))


def _matches(line: Line, reading: _Reading) -> bool:
    words = list(line.words)
    while words:
        word = words.pop(0)
        criterion, equals, joined = word.removeprefix("!").partition("=")
        criterion = criterion.lower()
        if criterion in ("all", "final", "canonical"):
            holds = criterion == "all" or (criterion == "final" and reading.final)
            reading.wants_final |= criterion == "final"
        elif criterion in ("host", "originalhost", "user", "localuser"):
            if not equals and not words:
                raise CjError(f"{line.source}: {criterion} has no pattern", "edit it")
            patterns = joined if equals else words.pop(0)
            holds = _any_of(patterns.split(","), _compared(criterion, reading))
        else:
            reading.notes.append(
                f"{line.source}: Match {criterion} is not asked here; its settings are left out"
            )
            return False
        if holds == word.startswith("!"):
            return False
    return True


def _compared(criterion: str, reading: _Reading) -> str:
    return {
        "host": _name(reading.values, reading.target),
        "originalhost": reading.alias,
        "user": reading.values.get("user", (getpass.getuser(),))[0],
        "localuser": getpass.getuser(),
    }[criterion]
