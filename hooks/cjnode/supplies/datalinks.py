"""Data that lies on the cluster already: looked at at a submission, linked to where a task runs."""

import hashlib
import os
import stat
import time
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple

from cjnode.errors import NodeError
from cjnode.files import canonical, create_json, json_bytes, now, read_json, replace

CHUNK = 8 << 20
TELL_S = 5.0

Say = Callable[[Dict[str, Any]], None]

# What a submission found. ``bytes`` and ``sha256`` of a folder are those of all in it, and need ``hash``.
Seen = NamedTuple(
    "Seen",
    [
        ("local", str),
        ("path", str),
        ("kind", str),  # file or folder
        ("bytes", Optional[int]),
        ("mtime", float),
        ("sha256", Optional[str]),
    ],
)


def links(data: List[Dict[str, Any]]) -> Dict[str, str]:
    """Where each link lies, relative to the repository's top, and what it leads to."""
    return {each["local"]: os.path.expanduser(each["path"]) for each in data}


def require(root: str, submission: str, data: List[Dict[str, Any]]) -> List[Dict[str, Any]]:
    """Look at a submission's data and keep what was seen. Raises NodeError that names what is missing."""
    path = os.path.join(submission, "data.json")
    if not os.path.exists(path):
        create_json(path, {"data": look(root, data, lambda fields: None), "at": now()})
    kept = read_json(path)
    return list(kept["data"]) if kept else []


def look(root: str, data: List[Dict[str, Any]], say: Say) -> List[Dict[str, Any]]:
    """Size and time of all data, digests where wanted. Raises NodeError that names what is missing."""
    missing, found = [], []
    for each in data:
        try:
            status = os.stat(os.path.expanduser(each["path"]))
            found.append(status)
            if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
                raise OSError(0, "neither a file nor a folder")
            if not os.access(os.path.expanduser(each["path"]), os.R_OK):
                raise PermissionError(0, "not readable")
        except OSError as problem:
            missing.append("%s (for %s): %s" % (each["path"], each["local"], problem.strerror))
    if missing:
        raise NodeError(
            "data is missing on the cluster: %s" % "; ".join(missing),
            "bring it there, or correct [data] in .cjledger.toml and launch again",
        )
    return [_seen(root, each, status, say)._asdict() for each, status in zip(data, found)]


def _seen(root: str, wanted: Dict[str, Any], status: os.stat_result, say: Say) -> Seen:
    path = os.path.expanduser(wanted["path"])
    folder = stat.S_ISDIR(status.st_mode)
    size: Optional[int] = None if folder else status.st_size
    digest = None
    if wanted.get("hash"):
        size, digest = _digest(root, path, say)
    kind = "folder" if folder else "file"
    return Seen(wanted["local"], wanted["path"], kind, size, status.st_mtime, digest)


def _digest(root: str, path: str, say: Say) -> Tuple[int, str]:
    """Size and SHA-256; the digest found before for the same names, sizes and times is taken as it is."""
    files = list(_files(path))
    size = sum(status.st_size for _, status in files)
    marks = [[name, status.st_size, status.st_mtime_ns, status.st_ino] for name, status in files]
    mark = hashlib.sha256(canonical(marks)).hexdigest()
    place = os.path.join(root, "data", hashlib.sha256(os.fsencode(path)).hexdigest()[:32] + ".json")
    known = read_json(place)
    if known is not None and known.get("mark") == mark:
        return size, str(known["sha256"])
    say({"progress": "computing the SHA-256 of %s (%d bytes)" % (path, size)})
    count = _Count(path, size, say)
    digests = [[name, _file_digest(os.path.join(path, name) if name else path, count)] for name, _ in files]
    digest = digests[0][1] if files and not files[0][0] else hashlib.sha256(canonical(digests)).hexdigest()
    os.makedirs(os.path.dirname(place), 0o700, exist_ok=True)
    replace(place, json_bytes({"path": path, "mark": mark, "sha256": digest}))
    return size, digest


def _files(path: str) -> Iterator[Tuple[str, os.stat_result]]:
    """A file, under an empty name; all regular files of a folder by name. Links to files are followed."""
    if not os.path.isdir(path):
        yield "", os.stat(path)
        return
    names = []
    for here, folders, files in os.walk(path):
        folders.sort()
        names += [os.path.relpath(os.path.join(here, name), path) for name in files]
    for name in sorted(names):
        try:
            status = os.stat(os.path.join(path, name))
        except OSError:  # a link that leads nowhere
            status = os.lstat(os.path.join(path, name))
        if stat.S_ISREG(status.st_mode):
            yield name, status


class _Count:
    """Tells how far the reading is."""

    def __init__(self, path: str, size: int, say: Say) -> None:
        self._path, self._size, self._say = path, size, say
        self._done, self._told = 0, time.monotonic()

    def add(self, count: int) -> None:
        """So many bytes more were read."""
        self._done += count
        if time.monotonic() - self._told >= TELL_S:
            self._told = time.monotonic()
            share = 100 * self._done // max(1, self._size)
            self._say({"progress": "SHA-256 of %s: %d %%" % (self._path, share)})


def _file_digest(path: str, count: _Count) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while True:
            chunk = file.read(CHUNK)
            if not chunk:
                return digest.hexdigest()
            digest.update(chunk)
            count.add(len(chunk))


def differences(submission: str) -> List[str]:
    """What is not as the submission found it, in words, for the records of those who run on it."""
    kept = read_json(os.path.join(submission, "data.json"))
    words = []
    for fields in kept["data"] if kept else []:
        seen = Seen(**{name: fields.get(name) for name in Seen._fields})
        try:
            status = os.stat(os.path.expanduser(seen.path))
        except OSError as problem:
            words.append("data %s: %s" % (seen.local, problem.strerror))
            continue
        if seen.kind == "file" and (status.st_size, status.st_mtime) != (seen.bytes, seen.mtime):
            words.append("data %s is not what it was at the submission" % seen.local)
    return words
