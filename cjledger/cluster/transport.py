"""What every way to a cluster can do, and how a reply is told from the noise around it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from typing import IO, Any, NamedTuple, Protocol

from cjledger.errors import CjError
from cjledger.gitrepo import Repo
from cjledger.model import Cluster

Json = dict[str, Any]

_CHUNK = 1 << 20
_REACH = 1 << 42  # no data file is longer
_LONGEST_LINE = 64 << 20
_SMALL_MEMORY = 4 << 30  # where a system does not tell
# A login that prints for ever, or a reply without end, would keep or fill this machine: 1,000,000 tasks are
# 250 MB of lines, and a greeting of 1 MB has been seen.
_MOST_NOISE = 64 << 20
_MOST_LINES = 512 << 20


class Frame(NamedTuple):
    """One line of a reply, and the bytes that follow it."""

    head: Json
    payload: bytes


def _silence(_: object) -> None:
    pass


class Contact(NamedTuple):
    """How to deal with the person: whether a login may ask them, and where to say what goes on."""

    prompts: bool = False
    say: Callable[[str], None] = _silence


class Transport(Protocol):
    """A way to a cluster; nothing is kept between calls but what the way itself needs."""

    @property
    def cluster(self) -> Cluster:
        """Where it leads."""

    def call(self, verb: str, request: Mapping[str, Any]) -> list[Json]:
        """Ask and return the reply's lines. Raises CjError with the cluster's own words."""

    def stream(self, verb: str, request: Mapping[str, Any]) -> Iterator[Frame]:
        """Ask and yield the reply's frames as they come."""

    def push(self, repo: Repo, package_id: str) -> Json:
        """Send a package and have it submitted: ``{"package":…,"submission":1,"job":…}``. Repeatable."""

    def installed(self) -> str | None:
        """The SHA-256 of the node half that is there; None where there is none."""

    def install(self, node: bytes, request: Mapping[str, Any]) -> None:
        """Bring the node half and run its ``init``."""


class LostReplyError(CjError):
    """The reply ended early: what was asked for may have happened or not."""


def frames(
    source: IO[bytes], nonce: str, greeted: Callable[[Json], None] = _silence, most: int = _REACH
) -> Iterator[Frame]:
    """The frames between the nonce's lines; raises CjError on a refusal, LostReplyError on a torn reply.

    What the first of these lines says of the node half there goes to ``greeted``, with ``noise``: whether the
    login printed something before it. All frames together may have at most ``most`` bytes.
    """
    begin, end = f"cj {nonce} begin".encode(), f"cj {nonce} end".encode()
    noise, size = b"", 0
    while not (line := source.readline(_CHUNK)).startswith(begin):
        if not line:
            raise LostReplyError("the cluster gave no reply" + _told(noise))
        noise = (noise + line)[-500:]
        size += len(line)
        if size > _MOST_NOISE:
            raise CjError("a login there prints without end" + _told(noise), "look at ~/.bashrc there")
    if not line.endswith(b"\n"):
        raise LostReplyError("the cluster's reply ended early")
    greeting = line.removeprefix(begin).strip()
    greeted({**(_parsed(greeting) if greeting else {}), "noise": bool(noise.strip())})
    size = brought = 0
    while (line := source.readline(_LONGEST_LINE)).rstrip(b"\n") != end:
        if not line.endswith(b"\n"):
            raise LostReplyError("the cluster's reply ended early")
        size += len(line)
        if size > _MOST_LINES:
            raise CjError("the cluster's reply has no end", "git cj doctor")
        head = _parsed(line)
        there = payload_bytes(head)
        brought += there
        if brought > most:
            raise CjError(
                f"the cluster sends {brought} bytes, where at most {most} are taken", "git cj doctor"
            )
        yield Frame(head, _exactly(source, there))


def most_bytes(verb: str, request: Mapping[str, Any]) -> int:
    """How many bytes may follow the lines of the reply.

    ``fetch`` brings what was asked for, and no more; ``pull`` its limit, or the files of a single task, which
    can be larger: as much as a quarter of this machine's memory, in which all of it is held.
    """
    if verb == "fetch":
        return min(_memory_bytes() // 4, sum(int(item[2]) for item in request["items"]))
    return max(int(request.get("limit") or 0), _memory_bytes() // 4) if verb == "pull" else 0


def _memory_bytes() -> int:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return _SMALL_MEMORY


def payload_bytes(head: Mapping[str, Any]) -> int:
    """How many bytes follow a line of a reply."""
    try:
        if "records" in head and "data" in head:
            start, size = head["records"]
            pairs = [(start, size), *((offset, size) for offset, size in head["data"])]
        else:
            pairs = [(0, head["bytes"])] if set(head) == {"bytes"} else []
    except (TypeError, ValueError) as problem:
        raise CjError("the cluster's reply cannot be read", "git cj doctor") from problem
    if not all(type(number) is int and 0 <= number < _REACH for pair in pairs for number in pair):
        raise CjError("the cluster's reply cannot be read: it has a size that is none", "git cj doctor")
    return sum(size for _, size in pairs)


def _parsed(line: bytes) -> Json:
    try:
        head = json.loads(line)
    except (ValueError, RecursionError) as problem:
        raise CjError(f"the cluster's reply is not JSON: {line[:80]!r}", "git cj doctor") from problem
    if not isinstance(head, dict):
        raise CjError(f"the cluster's reply is no object: {line[:80]!r}", "git cj doctor")
    if set(head) == {"error", "hint"}:
        raise CjError(printable(str(head["error"])), printable(str(head["hint"])))
    return head


def _exactly(source: IO[bytes], size: int) -> bytes:
    if not size:
        return b""
    parts = []
    while size:
        part = source.read(min(size, _CHUNK))
        if not part:
            raise LostReplyError("the cluster's reply ended early")
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _told(noise: bytes) -> str:
    words = printable(noise.decode(errors="replace")).strip()
    return f"; it said: {words}" if words else ""


def printable(text: str) -> str:
    """Text from elsewhere without what a terminal would obey."""
    return "".join(char if char.isprintable() or char in "\n\t" else "?" for char in text)
