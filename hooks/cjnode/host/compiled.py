"""The node half's zip with this Python's bytecode beside its sources: a launch waits for their imports."""

import importlib.util
import io
import marshal
import struct
import sys
import time
import zipfile


def compiled(content: bytes) -> bytes:
    """The same zip with a ``.pyc`` for each ``.py``. Another Python takes the sources."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(out, "w") as new:
        for entry in old.infolist():
            if not entry.filename.endswith(".py"):
                continue
            source = old.read(entry)
            new.writestr(entry, source)
            compact = zipfile.ZipInfo(entry.filename + "c", entry.date_time)
            compact.external_attr = entry.external_attr
            new.writestr(compact, _header(entry) + _bytecode(source, entry.filename))
    return out.getvalue()


def fits(content: bytes) -> bool:
    """Whether the bytecode in a compiled zip is that of the sources beside it, for this Python."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for entry in archive.infolist():
            if not entry.filename.endswith(".py"):
                continue
            source, found = archive.read(entry), archive.read(entry.filename + "c")
            header = _header(entry)
            # Compared as code: equal code is not always written in equal bytes.
            wanted = compile(source, entry.filename, "exec", dont_inherit=True)
            if found[: len(header)] != header or marshal.loads(found[len(header) :]) != wanted:
                return False
    return True


def _bytecode(source: bytes, name: str) -> bytes:
    return marshal.dumps(compile(source, name, "exec", dont_inherit=True))


def _header(source: zipfile.ZipInfo) -> bytes:
    """As zipimport checks it: magic number, flags (from 3.7), the source's local time and size."""
    changed = int(time.mktime(source.date_time + (-1, -1, -1))) & 0xFFFFFFFF
    flags = struct.pack("<I", 0) if sys.version_info >= (3, 7) else b""
    return importlib.util.MAGIC_NUMBER + flags + struct.pack("<II", changed, source.file_size & 0xFFFFFFFF)
