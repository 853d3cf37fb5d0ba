"""Text for shells."""


def quoted(text: str) -> str:
    """A text as one word of a shell's."""
    return "'" + text.replace("'", "'\"'\"'") + "'"
