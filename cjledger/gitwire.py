"""The door to dulwich: git's push protocol over any two-way stream, where no program can open one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from dulwich.client import ReportStatusParser, read_pkt_refs_v1
from dulwich.errors import GitProtocolError, HangupException, SendPackError
from dulwich.protocol import PktLineParser, Protocol, parse_capability
from dulwich.refs import Ref

_ZERO = {"sha1": "0" * 40, "sha256": "0" * 64}
_WANTED = (b"report-status", b"side-band-64k", b"quiet", b"ofs-delta")
_DATA, _PROGRESS = 1, 2


class WireError(Exception):
    """The conversation broke off or made no sense; what was sent may have arrived or not."""


@dataclass(frozen=True)
class Sent:
    """How it ended: the refusal's words (empty when accepted), and what the other side printed."""

    refusal: str
    printed: str


def send(
    protocol: Protocol,
    ref: str,
    commit: str,
    pack: Callable[[frozenset[str]], Iterable[bytes]],
    hash_name: str,
) -> Sent:
    """Create a ref at a commit, as ``git push`` does; ``pack`` gets the ids that the other side shows.

    Raises WireError when the stream ends early or holds something else than git's protocol.
    """
    try:
        refs, offered = read_pkt_refs_v1(protocol.read_pkt_seq())
        pairs = [parse_capability(word) for word in offered]
        formats = {(value or b"").decode() for name, value in pairs if name == b"object-format"}
        if hash_name not in (formats or {"sha1"}):
            found = ", ".join(sorted(formats)) or "sha1"
            protocol.write_pkt_line(None)
            return Sent(f"the repository there has {found} object names, this one {hash_name}", "")
        if refs.get(Ref(ref.encode())) == commit.encode():
            protocol.write_pkt_line(None)
            return Sent("", "")
        accepted = [name for name in _WANTED if name in offered]
        words = [*accepted, *([f"object-format={hash_name}".encode()] if formats else [])]
        command = f"{_ZERO[hash_name]} {commit} {ref}".encode()
        protocol.write_pkt_line(command + b"\0 " + b" ".join(words))
        protocol.write_pkt_line(None)
        for part in pack(frozenset(name.decode() for name in refs.values())):
            protocol.write(part)
        return _answer(protocol, b"side-band-64k" in accepted)
    except (GitProtocolError, HangupException, ValueError, AssertionError, EOFError) as problem:
        raise WireError(str(problem) or type(problem).__name__) from problem


def stream(read: Callable[[int], bytes], write: Callable[[bytes], None]) -> Protocol:
    """The protocol over a stream; ``read`` returns all of the bytes asked for unless the stream ended."""
    return Protocol(read, write)


def _answer(protocol: Protocol, sideband: bool) -> Sent:
    status = ReportStatusParser()
    printed: list[bytes] = []
    if not sideband:
        for packet in protocol.read_pkt_seq():
            status.handle_packet(packet)
        return Sent(_refusal(status), "")
    lines = PktLineParser(status.handle_packet)
    for channel, data in _bands(protocol):
        if channel == _DATA:
            lines.parse(data)
        elif channel == _PROGRESS:
            printed.append(data)
        else:
            raise WireError(data.decode(errors="replace").strip())
    return Sent(_refusal(status), b"".join(printed).decode(errors="replace"))


def _bands(protocol: Protocol) -> Iterator[tuple[int, bytes]]:
    for packet in protocol.read_pkt_seq():
        if packet[:1] not in (b"\1", b"\2", b"\3"):
            raise WireError(f"the answer is not git's: {packet[:60]!r}")
        yield packet[0], packet[1:]


def _refusal(status: ReportStatusParser) -> str:
    try:
        refs = dict(status.check())
    except SendPackError as problem:
        return " ".join(part.decode(errors="replace") for part in problem.args)
    if not refs:
        raise WireError("the answer says nothing of what was sent")
    return "; ".join(f"{name.decode()} {why}" for name, why in refs.items() if why is not None)
