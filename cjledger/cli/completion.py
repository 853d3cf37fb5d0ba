"""What TAB offers after ``git cj``, and the scripts that ask."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.resources import files
from pathlib import Path

from cjledger import config, gitrepo
from cjledger.cli.manual import page
from cjledger.cli.verbs import LAUNCHES, VERBS
from cjledger.errors import CjError
from cjledger.render.plain import plain
from cjnode.vocabulary import PACKAGES, STATES

SHELLS = {"bash": "git-cj.bash", "zsh": "_git-cj", "fish": "git-cj.fish"}

_OFFERED = 100

Offer = tuple[str, str]  # a word, and what it means


def script(shell: str) -> str:
    """The completion script of a shell; it asks ``git-cj _complete`` at each TAB."""
    return (files("cjledger.cli") / "shells" / SHELLS[shell]).read_text(encoding="utf-8")


def answer(words: Sequence[str]) -> int:
    """Print what fits the last of the words that follow ``git cj``, a word and its meaning a line."""
    for word, meaning in offers(words):
        sys.stdout.write(f"{word}\t{plain(meaning)}\n")
    return 0


def offers(words: Sequence[str]) -> Iterator[Offer]:
    """What fits; nothing where the shell's own file names do."""
    *before, current = words or [""]
    if not before:
        if current.startswith("-"):
            known = [("--help", "Show all verbs."), ("--version", "Show the version.")]
        else:
            known = [(verb.name, verb.summary) for verb in VERBS.values()]
        yield from _fitting(known, current)
    elif before[0] in VERBS and not (before[0] in LAUNCHES and "--" in before):
        yield from _fitting(_of_verb(before[0], before[1:], current), current)


def _fitting(known: Sequence[Offer] | Iterator[Offer], current: str) -> Iterator[Offer]:
    return (offer for offer in known if offer[0].startswith(current))


def _of_verb(verb: str, before: Sequence[str], current: str) -> Iterator[Offer]:
    options: dict[str, tuple[bool, str]] = {}
    if current.startswith("-") or any(word.startswith("-") for word in before):
        options = _options(verb)
    if current.startswith("-"):
        yield from ((name, text) for name, (_, text) in options.items() if name.startswith("--"))
        return
    positional: list[str] = []
    taker = ""
    for word in before:
        if taker:
            taker = ""
        elif word.startswith("-"):
            taker = word if options.get(word, (False, ""))[0] else ""
        else:
            positional.append(word)
    if taker:
        kind = {"--cluster": "cluster", "--state": "state", "--after": "package"}.get(taker, "")
    else:
        command = verb in LAUNCHES and any(word in ("-c", "--command") for word in before)
        kinds = _POSITIONS.get(verb, ())
        at = len(positional) + command
        kind = kinds[min(at, len(kinds) - 1)] if kinds and (at < len(kinds) or verb == "reduce") else ""
    if kind:
        yield from _KINDS[kind](current)


def _options(verb: str) -> dict[str, tuple[bool, str]]:
    """A verb's options: whether each takes a value, and what it means."""
    from cjledger.cli.app import command  # typer: only where options are asked for

    words = page(command(verb), VERBS[verb]).options
    return {name: (bool(word.value), word.text) for word in words for name in word.spelling}


def _clusters(_: str) -> Iterator[Offer]:
    try:
        found = config.load(gitrepo.discover(Path.cwd()).top, config.person_file(os.environ))
    except CjError:
        found = config.Config()
    for name in config.known(found):
        where = found.clusters.get(name)
        yield name, (where.host or where.scheduler) if where else "this machine"


def _remotes(_: str) -> Iterator[Offer]:
    try:
        names = gitrepo.text(gitrepo.discover(Path.cwd()), "remote").splitlines()
    except CjError:
        return
    yield from ((name, "a git remote") for name in names)


def _packages(current: str) -> Iterator[Offer]:
    """Packages by the first digits of their IDs, newest first; no object but theirs is read."""
    if current and not all(char in "0123456789abcdef" for char in current):
        return
    try:
        repo = gitrepo.discover(Path.cwd())
        lines = gitrepo.run(
            repo,
            "for-each-ref",
            "--sort=-creatordate",
            f"--count={_OFFERED}",
            "--format=%(refname) %(contents:subject)",
            f"{PACKAGES}{current}*",
        )
    except CjError:
        return
    for line in lines.decode(errors="replace").splitlines():
        name, _, subject = line.removeprefix(PACKAGES).partition(" ")
        yield name[:12], subject


_KINDS: dict[str, Callable[[str], Iterator[Offer]]] = {
    "cluster": _clusters,
    "package": _packages,
    "state": lambda _: ((state, "") for state in STATES),
    "check": lambda _: iter([("exists", "tasks without the file"), ("lines", "tasks with odd line counts")]),
    "remote": _remotes,
    "import": lambda _: iter([("import", "read clusters from ClusterJob's ssh_config")]),
    "shell": lambda _: ((shell, "") for shell in SHELLS),
}

# What stands where among a verb's words; nothing means a file, a pattern or SQL.
_POSITIONS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(LAUNCHES, ("", "cluster")),
    **dict.fromkeys(
        "submit state log show ls get harvest plot cancel retry rerun clean checkout fsck".split(),  # noqa: SIM905
        ("package",),
    ),
    **dict.fromkeys(
        ("hold", "release", "pause", "resume", "workers", "recover", "errors", "extend"), ("package",)
    ),
    **dict.fromkeys(("init", "doctor", "avail", "summary", "connect"), ("cluster",)),
    "sync": ("remote",),
    "config": ("import",),
    "diff": ("package", "package"),
    "gather": ("", "", "package"),
    "reduce": ("", "package"),
    "query": ("", "package"),
    "sanity": ("check", "", "package"),
    "completion": ("shell",),
}
