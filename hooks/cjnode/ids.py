"""Names that come from outside and become parts of paths."""

import re

_PACKAGE = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?\Z")


def is_package_id(text: str) -> bool:
    """Whether the text is a whole object ID: what may be joined to a path."""
    return _PACKAGE.match(text) is not None
