"""Claims: the file that says who has a generation of a block, made once, its last line rewritten in place."""

import json
import os
from typing import Any, Dict, NamedTuple, Optional, Tuple

from cjnode.files import NO_LINKS, canonical, link_once, write_all

CURRENT_BYTES = 80

Claim = NamedTuple(
    "Claim",
    [
        ("job", str),
        ("element", int),
        ("incarnation", int),  # which start of the element made it, from 1
        ("host", str),
        ("pid", int),
    ],
)

# What a claim's holder is at: task 0 is none. ``started`` is RFC 3339, or empty; of task 0 it is when the
# holder was done with the block.
Current = NamedTuple("Current", [("task", int), ("attempt", int), ("started", str)])


def _current_line(task: int, attempt: int, started: str, to: int = 0) -> bytes:
    fields: Dict[str, Any] = dict(Current(task, attempt, started)._asdict())
    if to not in (0, task):
        fields["to"] = to
    line = canonical(fields)
    if to and len(line) >= CURRENT_BYTES:  # then without the fraction of the second
        line = canonical(dict(fields, started=started[:19] + "Z"))
    if len(line) >= CURRENT_BYTES:
        raise ValueError("too long for a claim's line: %r" % line)
    return line.ljust(CURRENT_BYTES - 1) + b"\n"


def claim_content(claim: Claim) -> bytes:
    """A claim whose holder has not begun a task."""
    return canonical(claim._asdict()) + b"\n" + _current_line(0, 0, "")


def create_claim(path: str, claim: Claim) -> Optional[int]:
    """Claim a block: the open claim file, or None when another has it. Never a claim half written."""
    if os.path.lexists(path):
        return None
    content = claim_content(claim)
    folder = os.path.dirname(path)
    aside = os.path.join(folder, ".%s-%d-%d.tmp" % (claim.host.replace("/", "_"), claim.pid, claim.element))
    fd = os.open(aside, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        write_all(fd, content)
        # A link appears with its content; a file made by O_EXCL is empty first, and a holder killed then
        # would leave a block that names nobody and that nobody could take over.
        is_ours = link_once(aside, path)
    except OSError as problem:
        os.close(fd)
        if problem.errno not in NO_LINKS:
            raise
        return _create_exclusively(path, content)
    finally:
        try:
            os.unlink(aside)
        except OSError:
            pass  # the claim stands: to try again would find it, and take it for another's
    if is_ours:
        return fd
    os.close(fd)
    return None


def _create_exclusively(path: str, content: bytes) -> Optional[int]:
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        return None
    try:
        write_all(fd, content)
    except OSError:
        os.close(fd)
        os.unlink(path)
        raise
    return fd


def write_current(fd: int, task: int, attempt: int, started: str, to: int = 0) -> None:
    """Say in the claim what is being run now, in place (task 0: nothing)."""
    line = _current_line(task, attempt, started, to)
    os.pwrite(fd, line, os.fstat(fd).st_size - CURRENT_BYTES)


def mend(fd: int, content: bytes) -> None:
    """Write an open claim of ours anew, as it was at first, when something cut it off."""
    if os.fstat(fd).st_size != len(content):
        os.pwrite(fd, content, 0)
        os.ftruncate(fd, len(content))


def read_claim(path: str) -> Optional[Tuple[Claim, Current]]:
    """A claim and what its holder is at; None when it is absent or cannot be read."""
    try:
        holder, now = _read(path)
        claim = Claim(
            str(holder["job"]),
            int(holder["element"]),
            int(holder["incarnation"]),
            str(holder["host"]),
            int(holder["pid"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
    try:
        return claim, Current(int(now["task"]), int(now["attempt"]), str(now["started"]))
    except (ValueError, KeyError, TypeError):
        return claim, Current(0, 0, "")


def begun_up_to(path: str) -> int:
    """The last task of a block that a claim's holder may have begun besides the one it is at; 0 for none."""
    try:
        now = _read(path)[1]
        return int(now.get("to") or 0) if now.get("task") else 0
    except (OSError, ValueError, TypeError):
        return 0


def is_damaged(path: str) -> bool:
    """Whether a claim does not say what its holder was at."""
    try:
        holder, now = _read(path)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return not holder or "task" not in now


def _read(path: str) -> Tuple[Dict[str, Any], Dict[str, Any]]:
    """A claim's two lines: who holds it, and what they are at. Empty where they cannot be read."""
    with open(path, "rb") as file:
        first, _, second = file.read(4096).partition(b"\n")
    return _fields(first), _fields(second)


def _fields(line: bytes) -> Dict[str, Any]:
    try:
        fields = json.loads(line.decode("utf-8"))
    except ValueError:
        return {}
    return fields if isinstance(fields, dict) else {}
