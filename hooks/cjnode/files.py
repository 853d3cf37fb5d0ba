"""Files that appear whole: written aside, synced, then linked or renamed."""

import binascii
import contextlib
import errno
import fcntl
import json
import os
import time
from typing import Any, Dict, Iterator, Optional

from cjnode.errors import NodeError

# File systems without hard links (some FUSE and SMB mounts) say one of these.
NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS)

# json.dumps makes an encoder for each call.
_ENCODE = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode

FORMAT = 1
TAKEN = ".taken"  # where there are no links, what keeps two from making the same file

_NO_SYNC = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)
_TAKEN_S = 60.0  # where there are no links: who took a name and did not use it so long is dead
_SIGHT_S = 75.0  # a network file system shows to one node what another made after a minute at the latest


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
        sync(fd)
    except OSError:
        os.unlink(aside)
        raise
    finally:
        os.close(fd)
    return aside


def write_all(fd: int, content: bytes) -> None:
    """Write every byte, however many calls it takes."""
    view = memoryview(content)
    while view:
        view = view[os.write(fd, view) :]


def sync(fd: int) -> None:
    """Bring a file to the disk, where the file system can."""
    try:
        os.fsync(fd)
    except OSError as problem:
        if problem.errno not in _NO_SYNC:
            raise


def create_once(path: str, content: bytes) -> bool:
    """Make a file appear with its content. False when it was there already."""
    aside = _write_aside(path, content, 0o600)
    try:
        is_ours = link_once(aside, path)
    except OSError as problem:
        if problem.errno not in NO_LINKS:
            os.unlink(aside)
            raise
        is_ours = _take(path)
        if is_ours:
            os.rename(aside, path)
            return True
    os.unlink(aside)
    return is_ours


def link_once(aside: str, path: str) -> bool:
    """Give a new file its name; False when the name is another's."""
    try:
        os.link(aside, path)
    except OSError as problem:
        if os.lstat(aside).st_nlink == 2:
            return True  # it is ours: a server's answer was lost, and its client asked again
        if isinstance(problem, FileExistsError) or os.path.lexists(path):
            return False  # whatever the server says: the name is there, and it is not ours
        raise
    return True


def _take(path: str) -> bool:
    """Whether a name is ours to make, where there are no links: a file beside it is created exclusively."""
    for _ in range(2):
        if os.path.exists(path):
            return False
        try:
            os.close(os.open(path + TAKEN, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            return True
        except FileExistsError:
            if (age_s(path + TAKEN) or 0.0) < _TAKEN_S:
                return False
            forget(path)
    return False


def replace(path: str, content: bytes, mode: int = 0o600) -> None:
    """Put a file in the place of another in one step."""
    os.rename(_write_aside(path, content, mode), path)


def create_json(path: str, fields: Dict[str, Any]) -> bool:
    """Make a JSON file appear with the format's number. False when it was there already."""
    return create_once(path, json_bytes(fields))


def canonical(value: Any) -> bytes:
    """JSON as every file has it: UTF-8, no spaces, keys in the order given."""
    # A file name may hold bytes that are no text; their surrogates are written as escapes.
    try:
        return _ENCODE(value).encode("utf-8")
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":")).encode("ascii")


def json_bytes(fields: Dict[str, Any]) -> bytes:
    """The bytes of a JSON file: the format's number first."""
    whole: Dict[str, Any] = {"format": FORMAT}
    whole.update(fields)
    return canonical(whole) + b"\n"


def wait_for(path: str, patience_s: float = _SIGHT_S) -> bool:
    """Wait until a file that another node made comes to sight. False when it does not."""
    deadline = time.monotonic() + patience_s
    pause = 0.01
    while not os.path.exists(path):
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
        pause = min(1.0, 2 * pause)
        try:
            os.listdir(os.path.dirname(path))  # has a network file system look anew
        except OSError:
            pass
    return True


def age_s(path: str, folder: str = "") -> Optional[float]:
    """How old a file is by its own file system's clock, which may not be this machine's; None: it is gone.

    ``folder`` is where that clock is read by making a file, the file's own unless given.
    """
    name = binascii.hexlify(os.urandom(4)).decode("ascii")
    probe = "%s.%d-%s.tmp" % (os.path.join(folder, "age") if folder else path, os.getpid(), name)
    fd = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        return os.fstat(fd).st_mtime - os.stat(path).st_mtime
    except FileNotFoundError:
        return None
    finally:
        os.close(fd)
        os.unlink(probe)


def forget(path: str) -> None:
    """Remove a file that need not be there, and let its name be taken anew."""
    for each in (path, path + TAKEN):
        try:
            os.unlink(each)
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


def read_json(path: str, newest: int = FORMAT) -> Optional[Dict[str, Any]]:
    """A JSON file of ours; None when it is absent, NodeError when it is newer or damaged."""
    try:
        with open(path, "rb") as file:
            fields = json.loads(file.read().decode("utf-8"))
        if fields["format"] > newest:
            raise NodeError(
                "%s has format %s, newer than this cjnode's %d" % (path, fields["format"], newest),
                "git cj init with the newest cjledger",
            )
        return dict(fields)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, KeyError, TypeError) as problem:
        raise NodeError("%s cannot be read: %s" % (path, problem), "git cj doctor")
