"""Command templates: ``{name}`` replaced by values, quoted for the place where they stand."""

import re
import shlex
from typing import Any, Dict, List, Optional, Tuple

# What no shell ever reads as anything but itself (the characters shlex.quote leaves alone).
_UNQUOTED = re.compile(r"[A-Za-z0-9_@%+=:,./-]+\Z")
_PIECE = re.compile(r"\{\{|\}\}|\$\{[^{}]*\}|\{([^{}]*)\}|\{|\}")


def text_form(value: Any) -> str:
    """A parameter as text: strings as they are, floats by repr, true, false, nothing for null."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else repr(value)


def template_parts(template: str) -> List[Tuple[str, Optional[str]]]:
    """Pairs of shell text and the parameter name after it (None after the last). Raises ValueError."""
    parts: List[Tuple[str, Optional[str]]] = []
    text = ""
    end = 0
    for match in _PIECE.finditer(template):
        text += template[end : match.start()]
        end = match.end()
        word = match.group()
        if word in ("{{", "}}"):
            text += word[0]
        elif word.startswith("$"):
            text += word
        elif match.group(1) is None:
            raise ValueError(
                "a single %s in the command: write %s for the character itself" % (word, word * 2)
            )
        else:
            parts.append((text, match.group(1)))
            text = ""
    parts.append((text + template[end:], None))
    return parts


def fill(template: str, params: Dict[str, Any]) -> str:
    """The shell command of one point. Raises ValueError for a name that is no parameter."""
    done = ""
    place = _Place()
    for text, name in template_parts(template):
        place.read(text)
        done += text
        if name is None:
            break
        if name not in params:
            known = ", ".join(params) or "none"
            raise ValueError(
                "the command names {%s}, which is no parameter (there are: %s); write {{%s}} for the "
                "characters themselves" % (name, known, name)
            )
        done += place.quoted(text_form(params[name]), name)
    return done


class _Place:
    """Where in a shell command we are: between words, in quotes, in a substitution."""

    def __init__(self) -> None:
        self.stack: List[str] = []  # of ' " ( ` # <
        self.escaped = False
        self.previous = " "

    def read(self, text: str) -> None:
        for at, character in enumerate(text):
            self._read(character, text[at + 1 : at + 2])
            self.previous = character

    def _read(self, character: str, following: str) -> None:
        inside = self.stack[-1] if self.stack else ""
        if self.escaped:
            self.escaped = False
        elif inside == "#":
            if character == "\n":
                self.stack.pop()
        elif inside == "'":
            if character == "'":
                self.stack.pop()
        elif character == "\\":
            self.escaped = True
        elif character == '"' or character == "`":
            if inside == character:
                self.stack.pop()
            else:
                self.stack.append(character)
        elif character == "(" and (inside != '"' or self.previous == "$"):
            self.stack.append("(")
        elif character == ")" and inside == "(":
            self.stack.pop()
        elif inside != '"':
            self._read_between_words(character, following)

    def _read_between_words(self, character: str, following: str) -> None:
        if character == "'":
            self.stack.append("'")
        elif character == "#" and self.previous in " \t\n;&|(":
            self.stack.append("#")
        elif character == "<" and following == "<":
            self.stack.append("<")

    def quoted(self, value: str, name: str) -> str:
        """The value as shell text that is read as exactly that value here."""
        self.previous = "x"
        if _UNQUOTED.match(value):
            return value
        strange = [mark for mark in self.stack if mark in "`#<"]
        if strange or self.escaped or "\0" in value:
            kind = {"`": "backquotes", "#": "a comment", "<": "a here-document"}.get("".join(strange)[:1], "")
            raise ValueError(
                'the value %r of {%s} cannot be quoted safely in %s: use "$CJ_PARAM_%s" there instead'
                % (value, name, kind or "this place", name)
            )
        around = self.stack[-1] if self.stack and self.stack[-1] in "'\"" else ""
        return around + shlex.quote(value) + around
