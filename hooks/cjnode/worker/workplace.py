"""Where an element's tasks run one after another, and what they leave there."""

import contextlib
import os
import re
import stat
from types import TracebackType
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

from cjnode import globs
from cjnode.files import write_all
from cjnode.program import traces
from cjnode.program.relay import Keeper
from cjnode.program.reproduce import Package
from cjnode.records.blocks import Output
from cjnode.records.journal import Piece, UnreadableError
from cjnode.supplies import datalinks
from cjnode.worker import outputs, streams
from cjnode.worker.outputs import Chosen
from cjnode.worker.scratch import Mirror, discard
from cjnode.worker.streams import Stream, Streams

# A file whose size is larger is not kept. A sparse file can be of any size and cost nothing; its copy would.
LARGEST_MB = 2048

_DENIED = re.compile(r"""Permission denied:? ['"]?([^'"]+)|['" ]([^'" ]+?)['"]?: Permission denied""")

# What a task left, in the block's data already, and the runner's words on it.
Collected = NamedTuple(
    "Collected",
    [
        ("outputs", Tuple[Output, ...]),
        ("error", str),
        ("notes", List[str]),
        ("touched", bool),  # whether the place must be tidied
    ],
)


class Workplace:
    """A mirror of the code and the streams, below one folder of the element's own."""

    def __init__(self, package: Package, folder: str, remarks: Sequence[str] = ()) -> None:
        self._package = package
        self._folder = folder
        self._number = 1
        self.remarks = list(remarks)  # what every record here must say
        self._workdir = os.path.normpath(package.manifest["program"]["workdir"])
        self._wanted = globs.pattern(package.manifest["outputs"])
        discard(folder, folder + ".trash")
        os.makedirs(os.path.join(folder, "trash"), 0o700)
        self.streams = Streams(folder)
        self._mirror = self._new_mirror()

    def _new_mirror(self) -> Mirror:
        folder = os.path.join(self._folder, "%d" % self._number)
        unlinked = self._package.manifest["unlinked"]
        data = datalinks.links(self._package.manifest.get("data") or [])
        trash = os.path.join(self._folder, "trash")
        mirror = Mirror(self._package.tree, folder, unlinked, trash, data)
        os.chmod(self._folder, 0o700)
        mirror.make()
        # A file written to ../ from the top would be lost in silence; so it cannot be written.
        os.chmod(self._folder, 0o500)
        # Where a task starts.
        self.workdir = os.path.normpath(os.path.join(folder, self._workdir))
        return mirror

    @property
    def root(self) -> str:
        """The mirror: for a task, the top of the repository."""
        return self._mirror.folder

    def folders(self) -> Dict[str, Tuple[int, int, int]]:
        """The mirror's folders, and what they look like untouched."""
        return self._mirror.marks()

    def collect(self, journal: Keeper, failed: bool) -> Collected:
        """Bring what a task left into the block's data."""
        kept: List[Output] = []
        notes = list(self.remarks)
        for stream in self.streams.all():
            self._keep_stream(journal, stream, kept, notes)
        changed = self._mirror.changed()
        if changed:
            chosen, words = outputs.choose(self._mirror.left(changed), self._workdir, self._wanted)
            notes += words
            for item in sorted(chosen, key=lambda item: item.name):
                self._keep_file(journal, item, kept, notes)
        error = ""
        if failed:
            error = streams.last_line(self.streams.err.fd)
            notes += self._advice(error)
        return Collected(tuple(kept), error, notes, bool(changed) or bool(kept))

    def keep_locals(self, trace: Optional[TracebackType]) -> None:
        """Keep what the program's variables held where a task failed. In the task's own process.

        Not where the disk is full or the program has all files open: the task's own ending is what counts.
        """
        found = traces.lines(trace, (self._package.tree, self.root))
        with contextlib.suppress(OSError):
            fd = os.open(os.path.join(self._folder, "locals"), os.O_WRONLY | os.O_APPEND)
            try:
                write_all(fd, "".join(line + "\n" for line in found).encode("utf-8", "backslashreplace"))
            finally:
                os.close(fd)

    def _keep_stream(self, journal: Keeper, stream: Stream, kept: List[Output], notes: List[str]) -> None:
        size = os.fstat(stream.fd).st_size
        if size:
            pieces, left_out = streams.pieces(size)
            kept.append(journal.keep(stream.name, stream.fd, pieces))
            if left_out:
                notes.append("%s shortened by %d bytes" % (stream.name[3:], left_out))

    def _keep_file(self, journal: Keeper, item: Chosen, kept: List[Output], notes: List[str]) -> None:
        path = os.path.join(self.root, item.path)
        try:
            fd = _open_regular(path)
        except OSError as problem:
            notes.append("%s not kept: %s" % (item.name, problem.strerror))
            return
        try:
            size = os.fstat(fd).st_size
            if size > largest_mb() * 10**6:
                notes.append(
                    "%s not kept: %.1f GB, larger than %d MB" % (item.name, size / 1e9, largest_mb())
                )
                return
            pieces: Sequence[Piece] = [(0, size)]
            kept.append(journal.keep(item.name, fd, pieces))
        except UnreadableError as problem:
            notes.append("%s not kept: %s" % (item.name, problem))
        finally:
            os.close(fd)

    def _advice(self, error: str) -> List[str]:
        """What to do about a refused write to the package's own files."""
        match = _DENIED.search(error)
        name = (match.group(1) or match.group(2)).strip() if match else ""
        if not name:
            return []
        path = os.path.normpath(os.path.join(self.workdir, name))
        inside = os.path.relpath(path, self.root)
        if inside.startswith("..") or not os.path.isfile(os.path.join(self._package.tree, inside)):
            return []
        return [
            "%s is a file of the package, which stays as it is: name it with --out, or git-ignore it" % inside
        ]

    def tidy(self) -> None:
        """Make the place what it was before the task."""
        self.streams.empty()
        changed = self._mirror.changed()
        if not changed:
            return
        try:
            self._mirror.restore(changed)
        except OSError:
            # Something there cannot be removed (a mount, an immutable file): leave it where it is.
            self._number += 1
            self._mirror = self._new_mirror()

    def remove(self) -> None:
        """Remove the place, as far as that is possible."""
        self.streams.close()
        try:
            discard(self._folder, self._folder + ".trash")
        except OSError:
            pass


def largest_mb() -> int:
    """The size in MB above which a file is not kept."""
    return int(os.environ.get("CJ_LARGEST_OUTPUT_MB", "%d" % LARGEST_MB))


def _open_regular(path: str) -> int:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        fd = os.open(path, flags)
    except PermissionError:
        # A hard link may be a file of the package, whose mode is not ours to change.
        if os.lstat(path).st_nlink > 1:
            raise
        os.chmod(path, 0o600)
        fd = os.open(path, flags)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(0, "no regular file")
    return fd
