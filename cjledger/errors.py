"""What a person can cause or mend."""


class CjError(Exception):
    """A refusal: what happened, and the next command to type."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(CjError):
    """Words on the command line that do not fit together (exit 2)."""
