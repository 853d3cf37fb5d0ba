"""Seeds: a counter-based function of the root seed and the task number."""

import hashlib


def task_seed(root: int, task: int) -> int:
    """The seed of one task (63 bits), independent of order, block and machine."""
    digest = hashlib.sha256(("cj-seed-1:%d:%d" % (root, task)).encode("ascii")).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def hash_seed(root: int) -> int:
    """``PYTHONHASHSEED`` for the whole package (32 bits)."""
    return task_seed(root, 0) & 0xFFFFFFFF
