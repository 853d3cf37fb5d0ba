"""Foreign strings made harmless for a terminal.

Names, messages and logs come from other people's machines; a control sequence in one could hide text,
retitle the window or answer a question (HAZARDS: terminal escapes).
"""

from __future__ import annotations

import re

# Categories Cc (less tab and newline), Cf, Cs, and the two separators that end a line, as of Unicode 16;
# a test compares them with unicodedata. Written out because asking unicodedata per character is slow.
_INVISIBLE = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u180e\u200b-\u200f"
    "\u2028-\u202e\u2060-\u2064\u2066-\u206f\ufeff\ufff9-\ufffb\U000110bd\U000110cd\U00013430-\U0001343f"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0001\U000e0020-\U000e007f"
)
UNSAFE = re.compile(f"[{_INVISIBLE}\ud800-\udfff]")
_SURROGATE = re.compile("[\ud800-\udfff]")
# ECMA-48: CSI with its parameters, and strings (OSC, DCS, SOS, PM, APC) that are terminated.
_SEQUENCE = re.compile(
    "(?:\x1b\\[|\x9b)[0-?]*[ -/]*[@-~]"
    "|(?:\x1b[]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\\\|\x9c)"
    "|\x1b[ -/]+[0-~]"
)
_SPACE = re.compile("[\t\n\r\v\f\x85\u2028\u2029]+")


def plain(text: str) -> str:
    """One line without control sequences, control, bidi and other invisible characters."""
    if text.isascii() and text.isprintable():
        return text
    return _strip(_SPACE.sub(" ", _SEQUENCE.sub("", text)))


def plain_lines(text: str) -> str:
    """The same for text of several lines: newlines and tabs stay."""
    if text.isascii() and text.isprintable():
        return text
    return _strip(_SEQUENCE.sub("", text.replace("\r\n", "\n")))


def _strip(text: str) -> str:
    return UNSAFE.sub("", _SURROGATE.sub("\ufffd", text))
