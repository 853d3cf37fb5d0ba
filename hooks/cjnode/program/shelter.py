"""Keeping a program's hands off its folder while it runs only to list its loops.

What it opens for writing goes to a temporary folder, and it reads that again; folders it makes, files it
removes or renames stay as they are. Writers that do not pass through Python's ``open`` are not covered.
"""

import builtins
import io
import os
import shutil
from typing import Any, Callable, Dict


class Shelter:
    """Stands between a program and the files below one folder."""

    def __init__(self) -> None:
        self.open: Callable[..., Any] = io.open
        self.open_low: Callable[..., int] = os.open
        self.top = ""
        self.aside = ""
        self.written: Dict[str, str] = {}

    def protect(self, top: str, aside: str) -> None:
        """From now on nothing below ``top`` changes; ``aside`` takes what is written."""
        self.top = os.path.realpath(top)
        self.aside = aside
        builtins.open = io.open = self.careful_open
        os.open = self.careful_open_low
        for name in ("remove", "unlink", "rmdir", "mkdir"):
            setattr(os, name, self._ignoring(getattr(os, name)))
        for name in ("rename", "replace"):
            setattr(os, name, self._renaming(getattr(os, name)))

    def _place(self, path: Any) -> str:
        """The path, when it lies below the protected folder, else nothing."""
        if isinstance(path, int):
            return ""
        place = os.path.realpath(os.fsdecode(path))
        return place if place.startswith(self.top + os.sep) else ""

    def careful_open(self, file: Any, mode: str = "r", *args: Any, **words: Any) -> Any:
        place = self._place(file)
        if not place or (not set("wax+") & set(mode) and place not in self.written):
            return self.open(file, mode, *args, **words)
        if place not in self.written:
            if "x" in mode and os.path.lexists(place):
                raise FileExistsError(17, "File exists", os.fsdecode(file))
            if "r" in mode and not os.path.exists(place):
                raise FileNotFoundError(2, "No such file or directory", os.fsdecode(file))
        words.pop("opener", None)
        return self.open(self._copy(place, "w" in mode), mode, *args, **words)

    def careful_open_low(self, path: Any, flags: int, *args: Any, **words: Any) -> int:
        place = self._place(path)
        writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        if not place or words.get("dir_fd") is not None or (not writes and place not in self.written):
            return self.open_low(path, flags, *args, **words)
        missing = not os.path.lexists(place) and place not in self.written
        if missing and not flags & os.O_CREAT:
            raise FileNotFoundError(2, "No such file or directory", os.fsdecode(path))
        if not missing and flags & os.O_CREAT and flags & os.O_EXCL:
            raise FileExistsError(17, "File exists", os.fsdecode(path))
        return self.open_low(self._copy(place, bool(flags & os.O_TRUNC)), flags | os.O_CREAT, *args, **words)

    def _copy(self, place: str, empty: bool) -> str:
        """The file that stands for one in the protected folder, made when it is first written to."""
        if place not in self.written:
            self.written[place] = os.path.join(self.aside, "written-%d" % len(self.written))
            if not empty and os.path.isfile(place):
                with self.open(place, "rb") as source, self.open(self.written[place], "wb") as target:
                    shutil.copyfileobj(source, target)
        return self.written[place]

    def _ignoring(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def ignoring(path: Any, *args: Any, **words: Any) -> Any:
            if words.get("dir_fd") is not None or self._place(path):
                return None
            return real(path, *args, **words)

        return ignoring

    def _renaming(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def renaming(source: Any, target: Any, **words: Any) -> Any:
            before, after = self._place(source), self._place(target)
            if before in self.written and after:
                self.written[after] = self.written.pop(before)
            elif not before and not after:
                return real(source, target, **words)
            return None

        return renaming


shelter = Shelter()
