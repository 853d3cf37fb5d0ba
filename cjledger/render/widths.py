"""How much room a text takes on a terminal, and how it is cut to fit."""

from __future__ import annotations

import unicodedata

NAME = 12  # columns that a name gets at least


def columns_of(text: str) -> int:
    """How many columns of a terminal a text takes."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1
        for char in text
    )


def fit(text: str, width: int) -> str:
    """The text in at most ``width`` columns, cut with ``…``."""
    if columns_of(text) <= width:
        return text
    if width < 1:
        return ""
    kept = text[: width - 1] if text.isascii() else text
    while columns_of(kept) > width - 1:
        kept = kept[:-1]
    return kept + "…"
