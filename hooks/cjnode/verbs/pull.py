"""Verbs ``pull`` and ``fetch``: the new bytes of a package's blocks, as they lie in their files."""

import json
import os
from typing import Any, BinaryIO, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from cjnode.errors import NodeError
from cjnode.files import canonical
from cjnode.records import blocks, layout
from cjnode.records.blocks import BlockId

LARGE_BYTES = 4 << 20  # an output longer than this comes by ``fetch`` alone
DEFAULT_LIMIT = 64 << 20
_CHUNK = 1 << 20

Range = Tuple[int, int]  # offset, bytes

# What is sent of one block: ``records`` are whole lines from ``start``.
Piece = NamedTuple("Piece", [("start", int), ("records", bytes), ("data", List[Range])])


def pull(root: str, request: Dict[str, Any], out: BinaryIO) -> None:
    """Write a frame for each block that has records beyond the positions, up to the limit."""
    package_path = layout.checked_package(root, request.get("package"))
    if not os.path.isdir(package_path):
        # Loaded when needed: it takes as long as all else of a small pull.
        from cjnode.repository.adopt import purged

        gone = purged(root, request["package"])
        if gone:  # what came home stays there, and no more will come
            out.write(canonical({"done": True, "more": False, "problems": [gone]}) + b"\n")
            return
    _package(root, request["package"])
    positions = request.get("positions") or {}
    limit = int(request.get("limit") or DEFAULT_LIMIT)
    sent, more = 0, False
    problems: List[str] = []
    for found in _blocks(package_path):
        name = blocks.block_id_text(found.id)
        start = int((positions.get(name) or [0])[0])
        piece, rest = _piece(package_path, found.id, start, limit - sent, sent == 0)
        more = more or rest
        if piece is not None:
            _send(package_path, found.id, piece, out)
            if not piece.data and not found.data and _span(piece.records.split(b"\n")[:-1]):
                problems.append("the outputs of block %s were deleted on the cluster" % name)
            sent += len(piece.records) + sum(size for _, size in piece.data)
        if more:
            break
    last: Dict[str, Any] = {"done": True, "more": more}
    if problems:
        last["problems"] = problems
    out.write(canonical(last) + b"\n")


def _package(root: str, package: object) -> str:
    path = layout.checked_package(root, package)
    if not os.path.isdir(path):
        raise NodeError("there is no package %s on this cluster" % str(package)[:12], "git cj submit")
    return path


def _blocks(package_path: str) -> Iterator[blocks.Found]:
    for number in blocks.list_submissions(package_path):
        submission = blocks.submission_folder(package_path, number)
        for found in blocks.list_blocks(submission, number):
            if found.records:
                yield found


def _path(package_path: str, block: BlockId, kind: str) -> str:
    submission = blocks.submission_folder(package_path, block.submission)
    return blocks.block_path(submission, block.block, block.generation, kind)


def _piece(
    package_path: str, block: BlockId, start: int, room: int, must: bool
) -> Tuple[Optional[Piece], bool]:
    """What fits of a block's news into ``room`` bytes, and whether something was left behind.

    With ``must`` one record goes out however long it is, so that every pull brings something.
    """
    records, rest = _new_records(_path(package_path, block, "records"), start, room, must)
    if not records:
        return None, rest
    there = _size(_path(package_path, block, "data"))
    lines = records.split(b"\n")[:-1]
    span = _span(lines)
    if span is None:
        return Piece(start, records, []), rest
    low, high = span[0], min(span[1], there)
    if 0 <= low < high and high - low <= LARGE_BYTES and len(records) + high - low <= room:
        # The common case: nothing in it can be too large, so nothing between is parsed.
        return Piece(start, records, [(low, high - low)]), rest
    return _fitting(lines, start, there, room, must, rest)


def _fitting(
    lines: Sequence[bytes], start: int, there: int, room: int, must: bool, rest: bool
) -> Tuple[Optional[Piece], bool]:
    """As many of the lines as fit with their data, outputs that are too large left out."""
    used = taken = 0
    ranges: List[Range] = []
    for line in lines:
        own = [
            (offset, min(size, there - offset))
            for offset, size in _outputs(line)
            if size <= LARGE_BYTES and offset < there
        ]
        cost = len(line) + 1 + sum(size for _, size in own)
        if used + cost > room and not (must and not taken):
            rest = True
            break
        used += cost
        taken += 1
        for offset, size in own:
            _join(ranges, offset, size)
    if not taken:
        return None, rest
    return Piece(start, b"".join(line + b"\n" for line in lines[:taken]), ranges), rest


def _join(ranges: List[Range], offset: int, size: int) -> None:
    if ranges and sum(ranges[-1]) == offset:
        ranges[-1] = (ranges[-1][0], ranges[-1][1] + size)
    else:
        ranges.append((offset, size))


def _new_records(path: str, start: int, room: int, must: bool) -> Tuple[bytes, bool]:
    """Whole lines from ``start``, at most ``room`` bytes, and whether whole lines were left behind."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, start))
            content = file.read(max(0, room))
            if must and b"\n" not in content:
                content += file.readline()
            rest = file.readline().endswith(b"\n")
    except OSError:
        return b"", False
    return content[: content.rfind(b"\n") + 1], rest


def _outputs(line: bytes) -> List[Range]:
    """Where a record's outputs lie; none when the line cannot be read or makes no sense."""
    try:
        found = [(o["offset"], o["bytes"]) for o in json.loads(line.decode("utf-8"))["outputs"]]
    except (ValueError, KeyError, TypeError, RecursionError):
        return []
    return [
        (at, size) for at, size in found if type(at) is int and type(size) is int and at >= 0 and size > 0
    ]


def _span(lines: Sequence[bytes]) -> Optional[Range]:
    """From the first output of the lines to the end of the last (begin and end), None without outputs."""
    first = next((ranges for ranges in map(_outputs, lines) if ranges), None)
    last = next((ranges for ranges in map(_outputs, reversed(lines)) if ranges), None)
    if first is None or last is None:
        return None
    return min(at for at, _ in first), max(at + size for at, size in last)


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def _send(package_path: str, block: BlockId, piece: Piece, out: BinaryIO) -> None:
    frame = {
        "block": blocks.block_id_text(block),
        "records": [piece.start, len(piece.records)],
        "data": [list(part) for part in piece.data],
    }
    out.write(canonical(frame) + b"\n")
    out.write(piece.records)
    for offset, size in piece.data:
        _copy(_path(package_path, block, "data"), offset, size, out)


def _copy(path: str, offset: int, size: int, out: BinaryIO) -> None:
    """Send exactly ``size`` bytes: a file cut short under our hands is filled with zeros.

    The frame promised the count; the outputs' digests show that these are not the task's bytes.
    """
    try:
        with open(path, "rb") as file:
            file.seek(offset)
            while size:
                content = file.read(min(size, _CHUNK))
                if not content:
                    break
                out.write(content)
                size -= len(content)
    except OSError:
        pass
    while size:
        out.write(b"\0" * min(size, _CHUNK))
        size -= min(size, _CHUNK)


def fetch(root: str, request: Dict[str, Any], out: BinaryIO) -> None:
    """Write each asked range of the blocks' data: a line with its length, then the bytes that are there."""
    package_path = _package(root, request.get("package"))
    try:
        items = [
            (blocks.parse_block_id(name), int(at), int(size)) for name, at, size in request.get("items", [])
        ]
    except (ValueError, TypeError) as problem:
        raise NodeError("these items cannot be fetched: %s" % problem)
    for block, offset, size in items:
        path = _path(package_path, block, "data")
        there = max(0, min(size, _size(path) - offset)) if offset >= 0 else 0
        out.write(canonical({"bytes": there}) + b"\n")
        _copy(path, offset, there, out)
