"""Files that appear whole: written aside, synced, then linked or renamed."""

import binascii
import contextlib
import errno
import fcntl
import json
import os
import time
from typing import Any, Dict, Iterator, Optional

from cjnode.blocks import canonical, write_all
from cjnode.errors import NodeError

FORMAT = 1

# File systems without hard links (some FUSE and SMB mounts) say one of these.
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS)


def now() -> str:
    """The time in UTC as every file has it."""
    seconds, rest = divmod(int(time.time() * 1e6), 10**6)
    return "%s.%06dZ" % (time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)), rest)


def _write_aside(path: str, content: bytes, mode: int) -> str:
    # A process number is not enough for a name on a file system that several machines share.
    aside = "%s.%d-%s.tmp" % (path, os.getpid(), binascii.hexlify(os.urandom(4)).decode("ascii"))
    fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        write_all(fd, content)
        os.fsync(fd)
    except OSError:
        os.unlink(aside)
        raise
    finally:
        os.close(fd)
    return aside


def create_once(path: str, content: bytes) -> bool:
    """Make a file appear with its content. False when it was there already."""
    aside = _write_aside(path, content, 0o600)
    try:
        os.link(aside, path)
    except FileExistsError:
        os.unlink(aside)
        return False
    except OSError as problem:
        if problem.errno not in _NO_LINKS:
            os.unlink(aside)
            raise
        if os.path.exists(path):
            os.unlink(aside)
            return False
        os.rename(aside, path)
        return True
    os.unlink(aside)
    return True


def replace(path: str, content: bytes, mode: int = 0o600) -> None:
    """Put a file in the place of another in one step."""
    os.rename(_write_aside(path, content, mode), path)


def create_json(path: str, fields: Dict[str, Any]) -> bool:
    """Make a JSON file appear with the format's number. False when it was there already."""
    return create_once(path, json_bytes(fields))


def json_bytes(fields: Dict[str, Any]) -> bytes:
    """The bytes of a JSON file: the format's number first."""
    whole: Dict[str, Any] = {"format": FORMAT}
    whole.update(fields)
    return canonical(whole) + b"\n"


def age_s(path: str) -> Optional[float]:
    """How old a file is by its own file system's clock, which may not be this machine's; None: it is gone."""
    probe = "%s.%d-%s.tmp" % (path, os.getpid(), binascii.hexlify(os.urandom(4)).decode("ascii"))
    fd = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        return os.fstat(fd).st_mtime - os.stat(path).st_mtime
    except FileNotFoundError:
        return None
    finally:
        os.close(fd)
        os.unlink(probe)


def forget(path: str) -> None:
    """Remove a file that need not be there."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


@contextlib.contextmanager
def locked(path: str, wait: bool) -> Iterator[bool]:
    """Hold a lock that ends with its process; False when another holds it and we do not wait.

    Where the file system has no locks nobody is kept out: a lock saves work, nothing relies on it.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
            return
        except OSError:
            pass
        yield True
    finally:
        os.close(fd)


def read_json(path: str) -> Optional[Dict[str, Any]]:
    """A JSON file of ours; None when it is absent, NodeError when it is newer or damaged."""
    try:
        with open(path, "rb") as file:
            fields = json.loads(file.read().decode("utf-8"))
        if fields["format"] > FORMAT:
            raise NodeError(
                "%s has format %s, newer than this cjnode's %d" % (path, fields["format"], FORMAT),
                "git cj init with the newest cjledger",
            )
        return dict(fields)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, KeyError, TypeError) as problem:
        raise NodeError("%s cannot be read: %s" % (path, problem), "git cj doctor")
