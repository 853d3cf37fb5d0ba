"""What was found on a cluster, kept so that a command needs one connection and not two.

Notes may be wrong: the cluster may have been purged or upgraded since. Its answers tell, and they change.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from cjledger.model import Cluster
from cjledger.wholefiles import write_whole

_FORMAT = 1


@dataclass(frozen=True)
class Notes:
    """What the last contact found; ``offered`` is the node half last brought there, taken or outdone.

    ``address`` is what the configuration said then: notes of another address are none.
    """

    address: tuple[str, ...]
    offered: str | None = None
    installed: str | None = None
    version: int = 0
    root: str = ""
    python: str = ""
    hash: str = "sha1"
    seen: str = ""


def address(where: Cluster) -> tuple[str, ...]:
    """What makes it another place when it changes."""
    return (where.host or "", where.user or "", where.root, where.python or "")


def notes_path(cj_dir: Path, where: Cluster) -> Path:
    """The file with a cluster's notes."""
    return cj_dir / "clusters" / f"{where.name}.json"


def noise_path(notes: Path) -> Path:
    """The file whose presence says that logins there print something."""
    return notes.with_suffix(".noisy")


def read_notes(path: Path, where: Cluster) -> Notes:
    """The notes; empty ones when there are none, or when they are of another place."""
    empty = Notes(address(where))
    try:
        raw = json.loads(path.read_bytes())
        known = {field.name for field in fields(Notes)}
        found = Notes(**{**{key: raw[key] for key in known}, "address": tuple(raw["address"])})
    except (OSError, ValueError, LookupError, TypeError):
        return empty
    return found if found.address == empty.address and raw.get("format") == _FORMAT else empty


def write_notes(path: Path, notes: Notes) -> None:
    """Keep the notes."""
    write_whole(path, (json.dumps({"format": _FORMAT, **asdict(notes)}) + "\n").encode())
