"""What messages tell a person to type next: each verb and each option in them is one that there is."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from cjledger.cli import manual
from cjledger.cli.app import command
from cjledger.cli.verbs import VERBS

TOP = Path(__file__).parents[1]
SOURCES = sorted(path for half in ("cjledger", "hooks") for path in (TOP / half).rglob("*.py"))
OPTIONS = {
    name: {spelling for word in manual.page(command(name), verb).options for spelling in word.spelling}
    for name, verb in VERBS.items()
}
VALUE = "\0"  # what stands where a text is filled in
PLACES = (
    "VERB",
    "commands",
    "launches",
    "in",
    "--help",
    "--version",
    "-h",
)  # after "git cj" where no verb is meant
OTHERS = (
    "#SBATCH ",
    "$TOOL",
    "$PYTHON",
    "$TARGET",
    "conda ",
    "git ",
    "pip ",
    "python ",
    "python3 ",
    "skopeo ",
    "-I -S",
)


def texts(path: Path) -> Iterator[str]:
    """The texts of a source, docstrings left out."""
    tree = ast.parse(path.read_text())
    left_out = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = [part.value if isinstance(part, ast.Constant) else VALUE for part in node.values]
            left_out |= {id(part) for part in ast.walk(node)}
            yield "".join(map(str, parts))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in left_out:
            yield node.value


def wrong(text: str) -> Iterator[str]:
    """The verbs and options in a text that there are not."""
    known: set[str] = set().union(*OPTIONS.values())
    for found in re.finditer(r"git cj ([a-zA-Z-]+)([^;`\n]*?)(?=,|;|`|\n| -- |\Z)", text):
        verb = found[1]
        if verb in PLACES:
            continue
        if verb not in VERBS:
            yield f"git cj {verb}"
        used = re.findall(r"(?<![\w-])--?[a-z][a-z-]*", found[2])
        yield from (f"git cj {verb} {option}" for option in used if option not in OPTIONS.get(verb, ()))
    if " " in text.strip() and not any(program in text for program in OTHERS):
        for option in re.findall(r"(?<=[a-z0-9,:] )(?<!alloc )--[a-z][a-z-]*", text):
            if option not in known:
                yield option


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(TOP)))
def test_what_a_person_is_told_to_type_exists(path: Path) -> None:
    assert [(text, word) for text in texts(path) for word in wrong(text)] == []


def test_a_word_that_does_not_exist_is_found() -> None:
    assert list(wrong("ask for less with --walltime")) == ["--walltime"]
    assert list(wrong("git cj resubmit, then git cj state --everything")) == [
        "git cj resubmit",
        "git cj state --everything",
    ]
