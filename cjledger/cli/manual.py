"""What the command line says of itself: help, the man page and docs/commands.md from one description."""

from __future__ import annotations

import inspect
import textwrap
from typing import Any, NamedTuple

from cjledger import __version__
from cjledger.cli.verbs import GROUPS, Verb

INTRODUCTION = (
    "A package is named by any unique prefix of its ID of 4 digits or more; left out or @ it is the last one "
    "launched in this repository. PID/7 and PID/3,5-9 name tasks of it."
)


class Word(NamedTuple):
    """An argument or option: how it is written, and what it means."""

    spelling: tuple[str, ...]
    value: str
    text: str

    @property
    def label(self) -> str:
        """As help shows it: ``-m, --message MSG``."""
        return ", ".join(self.spelling) + (f" {self.value}" if self.value else "")


class Page(NamedTuple):
    """All there is to say about one verb."""

    verb: Verb
    paragraphs: tuple[str, ...]
    arguments: tuple[Word, ...]
    options: tuple[Word, ...]


def page(command: Any, verb: Verb) -> Page:
    """Read a verb's description off its parser."""
    paragraphs = inspect.cleandoc(command.help or verb.summary).split("\n\n")
    arguments, options = [], []
    for param in command.params:
        if param.hidden:
            continue
        if param.param_type_name == "argument":
            arguments.append(Word((param.metavar or param.name.upper(),), "", param.help or ""))
        else:
            value = "" if param.is_flag else param.metavar or "VALUE"
            text = (param.help or "") + (" Repeatable." if param.multiple else "")
            options.append(Word((*param.opts, *param.secondary_opts), value, text))
    options.append(Word(("-h", "--help"), "", "Show this help."))
    return Page(verb, tuple(paragraphs), tuple(arguments), tuple(options))


def help_text(shown: Page, width: int = 80) -> str:
    """The help of one verb, in lines of at most ``width`` columns."""
    width = max(40, min(width, 100))
    lines = [f"Usage: git cj {shown.verb.name} {shown.verb.usage}".rstrip(), ""]
    for paragraph in shown.paragraphs:
        lines += [*_paragraph(paragraph, width, ""), ""]
    for title, words in (("Arguments", shown.arguments), ("Options", shown.options)):
        if words:
            lines += [f"{title}:", *_definitions([(word.label, word.text) for word in words], width), ""]
    return "\n".join(lines).rstrip() + "\n"


def overview(width: int = 80) -> str:
    """The help of ``git cj`` as a whole."""
    lines = ["Usage: git cj VERB [WORDS]", ""]
    lines += ["Every launch of a computational experiment becomes one git commit.", ""]
    for title, verbs in GROUPS:
        lines += [f"{title}:", *_definitions([(verb.name, verb.summary) for verb in verbs], width), ""]
    lines += [*textwrap.wrap(INTRODUCTION, width), ""]
    lines += ["git cj VERB -h explains a verb, git cj --help opens the manual page,"]
    lines += ["git cj --version says the version."]
    return "\n".join(lines) + "\n"


def version_line() -> str:
    """What ``git cj --version`` prints."""
    return f"git-cj {__version__}"


def _paragraph(text: str, width: int, indent: str) -> list[str]:
    """A paragraph wrapped; lines that are indented in the source (examples) stay as they are."""
    if text.startswith("  "):
        return [indent + line for line in text.splitlines()]
    return textwrap.wrap(
        " ".join(text.split()),
        width,
        initial_indent=indent,
        subsequent_indent=indent,
        break_on_hyphens=False,
        break_long_words=False,
    )


def _definitions(pairs: list[tuple[str, str]], width: int) -> list[str]:
    column = min(max(len(label) for label, _ in pairs), 26) + 4
    lines = []
    for label, text in pairs:
        wrapped = textwrap.wrap(text, width - column, break_on_hyphens=False) or [""]
        if len(label) > column - 4:
            lines.append(f"  {label}")
        else:
            lines.append(f"  {label:<{column - 2}}{wrapped.pop(0)}".rstrip())
        lines += [" " * column + line for line in wrapped]
    return lines
