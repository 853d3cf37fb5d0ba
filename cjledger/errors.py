"""What a person can cause or mend."""

from collections.abc import Iterable


class CjError(Exception):
    """A refusal: what happened, and the next command to type."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(CjError):
    """Words on the command line that do not fit together (exit 2)."""


def nearest(word: str, candidates: Iterable[str], cutoff: float = 0.6) -> str | None:
    """What a word that is not among the candidates may be meant to be."""
    from difflib import get_close_matches  # only mistakes wait for it

    return next(iter(get_close_matches(word, list(candidates), 1, cutoff)), None)
