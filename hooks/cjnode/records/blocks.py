"""The files of a submission's blocks: their names, and what a record is."""

import json
import os
import re
from typing import Dict, Iterator, List, NamedTuple, Optional, Tuple

from cjnode.files import canonical, write_all
from cjnode.vocabulary import is_package_id

_BLOCK_ID = re.compile(r"([1-9][0-9]{0,8})/([0-9]{6,9})-([0-9]{2,4})\Z")
_FILE = re.compile(r"([0-9]{6,9})-([0-9]{2,4})\.(claim|records|data)\Z")

# One generation of one block of one submission; ``str`` of it is the ID that the protocol uses.
BlockId = NamedTuple("BlockId", [("submission", int), ("block", int), ("generation", int)])

Output = NamedTuple("Output", [("path", str), ("offset", int), ("bytes", int), ("sha256", str)])

Record = NamedTuple(
    "Record",
    [
        ("task", int),
        ("attempt", int),
        ("state", str),
        ("exit_code", int),
        ("signal", int),
        ("started", str),
        ("ended", str),
        ("seconds", float),
        ("host", str),
        ("job", str),
        ("element", int),
        ("max_rss_mb", Optional[float]),
        ("cpu_s", Optional[float]),
        ("seed", int),
        ("error", str),
        ("note", str),
        ("environment", str),  # what it ran in: the first digits of that content's SHA-256
        ("outputs", Tuple[Output, ...]),
    ],
)

# A submission's files that were there when its folder was read.
Found = NamedTuple("Found", [("id", BlockId), ("claim", bool), ("records", bool), ("data", bool)])


def package_folder(root: str, package: str) -> str:
    """The package's folder. Raises ValueError when ``package`` is not a whole object ID."""
    if not is_package_id(package):
        raise ValueError("not a package ID: %r" % package)
    return os.path.join(root, "packages", package)


def submission_folder(package_path: str, submission: int) -> str:
    """The folder of submission n (from 1) below a package's folder."""
    return os.path.join(package_path, "submissions", "%d" % submission)


def blocks_folder(submission_path: str) -> str:
    """Where a submission's blocks lie."""
    return os.path.join(submission_path, "blocks")


def block_path(submission_path: str, block: int, generation: int, kind: str) -> str:
    """A block's file; ``kind`` is claim, records or data."""
    return os.path.join(submission_path, "blocks", "%06d-%02d.%s" % (block, generation, kind))


def cancel_folder(submission_path: str) -> str:
    """Where cancellations of a submission lie."""
    return os.path.join(submission_path, "cancel")


def exhausted_path(submission_path: str) -> str:
    """What says that every block of a submission was claimed once. ``.cj/job.sh`` looks for it."""
    return os.path.join(submission_path, "exhausted")


def stopped_path(submission_path: str) -> str:
    """What says that a worker ended by itself before all was done: what is open waits for others."""
    return os.path.join(submission_path, "stopped")


def element_log_path(submission_path: str, element: int) -> str:
    """What an element itself printed, outside its tasks."""
    return os.path.join(submission_path, "element-%d.log" % element)


def block_id_text(block: BlockId) -> str:
    """The protocol's form, ``1/000001-01``."""
    return "%d/%06d-%02d" % block


def parse_block_id(text: str) -> BlockId:
    """Read ``1/000001-01``. Raises ValueError on all else, so no path can be smuggled in."""
    match = _BLOCK_ID.match(text)
    if match is None:
        raise ValueError("not a block: %r" % text)
    return BlockId(int(match.group(1)), int(match.group(2)), int(match.group(3)))


def list_submissions(package_path: str) -> List[int]:
    """The numbers of the submissions that have a folder, ascending."""
    try:
        names = os.listdir(os.path.join(package_path, "submissions"))
    except FileNotFoundError:
        return []
    return sorted(int(name) for name in names if name.isdigit() and name == str(int(name)) and int(name))


def list_blocks(submission_path: str, submission: int) -> List[Found]:
    """Every generation of every block that has a file, ascending by block and generation."""
    try:
        names = os.listdir(blocks_folder(submission_path))
    except FileNotFoundError:
        return []
    kinds: Dict[Tuple[int, int], List[str]] = {}
    for name in names:
        match = _FILE.match(name)
        if match:
            kinds.setdefault((int(match.group(1)), int(match.group(2))), []).append(match.group(3))
    return [
        Found(BlockId(submission, block, generation), "claim" in has, "records" in has, "data" in has)
        for (block, generation), has in sorted(kinds.items())
    ]


def open_appending(path: str) -> int:
    """Open a records or data file for its one writer."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)


def record_to_line(record: Record) -> bytes:
    """A record's line, without its newline."""
    fields = record._asdict()
    fields["outputs"] = [output._asdict() for output in record.outputs]
    return canonical(fields)


def append_record(fd: int, record: Record) -> None:
    """Append a record whole. On failure (disk full) nothing of it is left, and OSError is raised."""
    before = os.fstat(fd).st_size
    try:
        write_all(fd, record_to_line(record) + b"\n")
    except OSError:
        os.ftruncate(fd, before)
        raise


def record_from_line(line: bytes) -> Record:
    """Read a record's line. Raises ValueError on anything that is not one."""
    try:
        fields = json.loads(line.decode("utf-8"))
        fields.setdefault("environment", "")  # records that were made before it was known
        fields["outputs"] = tuple(
            Output(str(o["path"]), int(o["offset"]), int(o["bytes"]), str(o["sha256"]))
            for o in fields["outputs"]
        )
        return Record(**{name: fields[name] for name in Record._fields})
    except (KeyError, TypeError, AttributeError) as problem:
        raise ValueError("not a record: %s" % problem) from problem


def whole_lines(content: bytes) -> Iterator[bytes]:
    """The lines that end in a newline; a torn last one is left out."""
    return iter(content.split(b"\n")[:-1])


def recorded_by(path: str) -> Optional[Tuple[str, int]]:
    """The job and element that wrote a records file; None where it has no record."""
    try:
        with open(path, "rb") as file:
            record = record_from_line(file.readline())
        return record.job, record.element
    except (OSError, ValueError):
        return None
