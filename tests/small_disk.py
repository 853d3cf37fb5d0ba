"""A small file system of its own, to be filled to the last byte or file; for root alone."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Disk:
    """A mounted file system; what fills it lies in its folder ``filler``."""

    folder: Path

    @property
    def filler(self) -> Path:
        return self.folder / "filler"

    def leave(self, room: int) -> None:
        """Fill it but for so many bytes."""
        self.filler.mkdir(exist_ok=True)
        found = os.statvfs(self.folder)
        left = found.f_bavail * found.f_bsize - room
        # Others may be writing too.
        with suppress(OSError), (self.filler / "bytes").open("wb", buffering=0) as file:
            while left > 0:
                left -= file.write(b"x" * min(left, 4096))

    def leave_files(self, number: int) -> None:
        """Use up its inodes but for so many."""
        self.filler.mkdir(exist_ok=True)
        for k in range(os.statvfs(self.folder).f_favail - number):
            (self.filler / str(k)).touch()

    def free(self) -> None:
        """Take away what fills it."""
        shutil.rmtree(self.filler)


@contextmanager
def small_disk(folder: Path, megabytes: int, inodes: int = 0) -> Iterator[Disk]:
    """A file system in memory, until the block ends; skips the test where none can be mounted."""
    folder.mkdir()
    size = f"size={megabytes}m" + (f",nr_inodes={inodes}" if inodes else "")
    mount = ("mount", "-t", "tmpfs", "-o", size, "none", str(folder))
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        yield Disk(folder)
    finally:
        subprocess.run(("umount", "-l", str(folder)), check=True)
