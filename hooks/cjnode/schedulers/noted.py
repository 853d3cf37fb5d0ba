"""What was learnt of a site and holds for a day, in ``ROOT/scheduler``."""

import os
import time
from typing import Any, Dict, Optional

from cjnode.errors import NodeError
from cjnode.files import json_bytes, read_json, replace

DAY_S = 86400


def fresh(path: str) -> Optional[Dict[str, Any]]:
    """What was noted within a day; None when nothing was, or it cannot be read."""
    try:
        found = read_json(path)
        age = time.time() - float((found or {}).get("noted") or 0)
    except (NodeError, TypeError, ValueError):
        return None
    return found if 0 <= age < DAY_S else None


def note(path: str, fields: Dict[str, Any]) -> None:
    """Keep fields for a day."""
    os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
    replace(path, json_bytes(dict(fields, noted=int(time.time()))))
