"""What the manual says of --json is what is printed."""

from __future__ import annotations

import re

from cjledger.cli.manpage import JSON
from tests.shells import NEST, Shell

WORDS = {
    "run": ("parrun", "PT.py", "local", "--no-submit"),
    "submit": ("submit", "@", "--wait"),
    "state": ("state", "@"),
    "log": ("log",),
    "ls": ("ls", "@"),
    "get": ("get", "@"),
    "gather": ("gather", "results.txt", "all"),
    "harvest": ("harvest", "@"),
    "plot": ("plot", "--x", "delta", "--y", "epsilon"),
    "sanity": ("sanity", "exists", "nothing.txt"),
    "cancel": ("cancel", "@"),
    "rerun": ("rerun", "@/1", "--yes"),
    "clean": ("clean", "@"),
    "checkout": ("checkout", "@", "../then"),
    "who": ("who",),
}


def _keys(line: str) -> set[str]:
    """The names of an object as the manual writes it, less those inside its values."""
    inner = line[line.index("{") + 1 :]
    while inner != (inner := re.sub(r"\{[^{}]*\}", "", inner)):
        pass
    return set(re.findall(r'"(\w+)":', inner[: inner.index("}")]))


def test_every_key_that_is_printed_is_in_the_manual_and_none_else(shell: Shell) -> None:
    shell.write("PT.py", NEST)
    printed = {verb: set(shell.lines(*words)[0]) for verb, words in WORDS.items()}
    assert printed == {verb: _keys(JSON[verb][0]) for verb in WORDS}
