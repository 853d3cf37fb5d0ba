"""Files that appear whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path


def write_whole(path: Path, content: bytes) -> None:
    """Make a file appear with its content. Of several writers the last one wins."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".cj-{os.urandom(8).hex()}")
    try:
        with aside.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
