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
        self.top = ""
        self.aside = ""
        self.written: Dict[str, str] = {}

    def protect(self, top: str, aside: str) -> None:
        """From now on nothing below ``top`` changes; ``aside`` takes what is written."""
        self.top = os.path.realpath(top)
        self.aside = aside
        builtins.open = io.open = self.careful_open
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
            self.written[place] = os.path.join(self.aside, "written-%d" % len(self.written))
            if "w" not in mode and os.path.isfile(place):
                shutil.copyfile(place, self.written[place])
        words.pop("opener", None)
        return self.open(self.written[place], mode, *args, **words)

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
