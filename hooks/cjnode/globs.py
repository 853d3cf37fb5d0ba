"""Which file names a person means by patterns."""

import re
from typing import Iterable, Pattern


def pattern(globs: Iterable[str]) -> Pattern[str]:
    """What an output's name must match: ``*`` and ``?`` stay in a folder, ``**`` does not.

    A glob that matches a folder takes all in it. Raises ValueError for a class of characters that has none.
    """
    return re.compile("(?:%s)(?:/.*)?\\Z" % "|".join(_translated(glob) for glob in globs), re.DOTALL)


def _translated(glob: str) -> str:
    parts = []
    # A leading ./ and doubled slashes mean nothing.
    rest = re.sub(r"/+", "/", re.sub(r"\A(?:\./+)+", "", glob)).rstrip("/")
    for token in re.findall(r"\*\*/|\*\*|\*|\?|\[!?\]?[^\]]*\]|[\s\S]", rest):
        if token == "**/":
            parts.append("(?:[^/]+/)*")
        elif token == "**":
            parts.append(".*")
        elif token == "*":
            parts.append("[^/]*")
        elif token == "?":
            parts.append("[^/]")
        elif len(token) > 1:
            parts.append(_class(token))
        else:
            parts.append(re.escape(token))
    return "".join(parts)


def _class(token: str) -> str:
    """The regular expression of one character out of ``[…]``, or with ``!`` of one that is not there."""
    inner = token[1:-1].replace("\\", "\\\\").replace("[", "\\[")
    written = "[%s]" % ("^" + inner[1:] if inner[:1] == "!" else inner)
    try:
        re.compile(written)
    except re.error:
        raise ValueError("%s names no character" % token)
    return written
