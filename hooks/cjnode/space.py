"""A cluster's disk that takes no more: what is full, how much there is, what to do about it."""

import errno
import os
from typing import Optional

from cjnode.errors import NodeError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
TAKES_NO_MORE = "takes no more"  # in every refusal of this module
HINT = "git cj clean old packages there, or free space otherwise; then run the command again"

_GITS_WORDS = {"No space left on device": errno.ENOSPC, "Disk quota exceeded": errno.EDQUOT}
_PROBE_BYTES = 4 << 20


def refusal(problem: OSError, root: str) -> Optional[NodeError]:
    """What to say of a write that the disk refused; None when that was not why."""
    return _told(problem.errno, root) if problem.errno in FULL else None


def refusal_of_git(said: str, path: str) -> Optional[NodeError]:
    """The same of what git said."""
    return next((_told(code, path) for words, code in _GITS_WORDS.items() if words in said), None)


def tried(root: str) -> Optional[NodeError]:
    """Whether the disk takes a few megabytes now: what to say if not. Git does not always say why."""
    probe = os.path.join(root, "probe-%d.tmp" % os.getpid())
    try:
        fd = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            left = _PROBE_BYTES
            while left:
                left -= os.write(fd, b"\0" * left)
            os.fsync(fd)
        finally:
            os.close(fd)
            os.unlink(probe)
    except OSError as problem:
        return refusal(problem, root)
    return None


def _told(code: Optional[int], root: str) -> NodeError:
    if code == errno.EDQUOT:
        from cjnode.quota import over

        exceeded = over(root)
        return NodeError(
            "the disk of %s %s: your quota is used up%s"
            % (root, TAKES_NO_MORE, exceeded and ", " + exceeded),
            HINT,
        )
    if code == errno.EROFS:
        return NodeError("the disk of %s %s: it is read-only" % (root, TAKES_NO_MORE), "ask the site")
    return NodeError("the disk of %s %s: %s" % (root, TAKES_NO_MORE, _left(root)), HINT)


def _left(root: str) -> str:
    try:
        found = os.statvfs(root)
    except OSError:
        return "no space is left"
    if found.f_files and not found.f_favail:
        return "no inode of %d is free" % found.f_files
    free, size = found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize
    return "%s of %s are free" % (_size(free), _size(size))


def _size(count: int) -> str:
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= factor:
            return "%.1f %s" % (count / factor, unit)
    return "%d bytes" % count
