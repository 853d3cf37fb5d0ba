"""Expand a package's tree exactly: every byte as it is in the blob, checked by its hash, read-only."""

import os
import re
import stat
import time
from typing import IO, Callable, List, Set

from cjnode.errors import NodeError
from cjnode.files import json_bytes, read_json, replace, write_all
from cjnode.records import layout
from cjnode.repository import gitbare, tree

_CHUNK = 1 << 20
# The part below a second of every expanded file's time: who wrote to one since shows another. The rest is
# the time of the expansion, since sites delete what looks old. Some file systems keep microseconds only.
_MARK_NS = 271828000
_SHARED_S = 7 * 24 * 3600  # an older file might be deleted under a package that shares it
_ASIDE = re.compile(r"code\.(.+)\.([0-9]+)-([0-9]+)\.tmp\Z")
_LEFT_S = 24 * 3600  # what another machine began so long ago goes on no more


def ensure_expanded(root: str, package: str) -> str:
    """The folder with the package's tree, made when it is not there. Appears by rename, whole."""
    code = layout.code_path(root, package)
    if os.path.isdir(code):
        return code
    aside = _aside(code)
    os.mkdir(aside, 0o700)
    try:
        _fill(root, package, os.fsencode(aside))
        try:
            os.rename(aside, code)
            replace(layout.expanded_path(root), json_bytes({"package": package}))
        except OSError:
            if not os.path.isdir(code):  # another was faster
                raise
    finally:
        remove(aside)
        _sweep(os.path.dirname(code))
    return code


def _aside(code: str) -> str:
    """A name beside a tree: machine, process and microseconds tell whether who took it is still at it."""
    return "%s.%s.%d-%d.tmp" % (code, os.uname().nodename, os.getpid(), int(time.time() * 1e6))


def ensure_whole(root: str, package: str) -> str:
    """As ``ensure_expanded``, but a tree from which a site's purge took files is made again."""
    code = layout.code_path(root, package)
    if os.path.isdir(code) and not _is_whole(root, package, os.fsencode(code)):
        aside = _aside(code)
        try:
            os.rename(code, aside)
        except FileNotFoundError:
            pass  # another is at it
        else:
            remove(aside)
    return ensure_expanded(root, package)


def _is_whole(root: str, package: str, code: bytes) -> bool:
    listing = gitbare.run(gitbare.repo_path(root), "ls-tree", "-r", "-z", "--full-tree", package)
    return all(
        os.path.lexists(os.path.join(code, entry.path))
        for entry in tree.entries(listing)
        if entry.mode in tree.FILES or entry.mode == tree.LINK
    )


def _fill(root: str, package: str, folder: bytes) -> None:
    repo = gitbare.repo_path(root)
    listing = gitbare.run(repo, "ls-tree", "-r", "-z", "--full-tree", package)
    tree.check_paths(listing)
    entries = tree.entries(listing)
    known = [entry for entry in entries if entry.mode in tree.FILES or entry.mode == tree.LINK]
    # Links last: then no file can be written through one.
    known.sort(key=lambda entry: entry.mode == tree.LINK)
    folders: Set[bytes] = {b""}
    for entry in entries:
        if entry.mode == tree.SUBMODULE:
            _make_folder(folder, entry.path, folders)
    known = _share(root, folder, known, folders)
    _write_all(repo, folder, known, folders)
    for path in sorted(folders, reverse=True):
        os.chmod(os.path.join(folder, path), 0o555)


def _share(root: str, folder: bytes, known: List[tree.Entry], folders: Set[bytes]) -> List[tree.Entry]:
    """Take unchanged files from the package expanded last, as hard links; what is left to write.

    A package then costs the files that changed, and inodes for those alone. A file that someone wrote to
    since it was expanded is not taken.
    """
    last = read_json(layout.expanded_path(root))
    code = os.fsencode(layout.code_path(root, str(last["package"]))) if last else b""
    if not last or not os.path.isdir(code):
        return known
    try:
        listing = gitbare.run(gitbare.repo_path(root), "ls-tree", "-r", "-z", "--full-tree", last["package"])
    except NodeError:
        return known
    old = set(tree.entries(listing))
    return [entry for entry in known if entry not in old or not _linked(code, folder, entry, folders)]


def _linked(code: bytes, folder: bytes, entry: tree.Entry, folders: Set[bytes]) -> bool:
    source = os.path.join(code, entry.path)
    try:
        found = os.lstat(source)
        if entry.mode not in tree.FILES or found.st_mtime_ns % 10**9 != _MARK_NS:
            return False
        if time.time() - found.st_mtime > _SHARED_S:
            return False
        if found.st_mode != stat.S_IFREG | tree.FILES[entry.mode]:
            return False
        _make_folder(folder, os.path.dirname(entry.path), folders)
        os.link(source, os.path.join(folder, entry.path))
    except OSError:  # gone, too many links, or a file system without any; or its answer alone was lost
        return _is_same(source, os.path.join(folder, entry.path))
    return True


def _is_same(source: bytes, path: bytes) -> bool:
    try:
        return os.path.samestat(os.lstat(source), os.lstat(path))
    except OSError:
        return False


def _write_all(repo: str, folder: bytes, known: List[tree.Entry], folders: Set[bytes]) -> None:
    # Asked by a file: git would wait for its answers to be read before it took more questions.
    with open(folder + b".names", "w+b") as names:
        os.unlink(folder + b".names")
        names.write("".join(entry.object_id + "\n" for entry in known).encode("ascii"))
        names.seek(0)
        batch = gitbare.start(repo, "cat-file", "--batch", stdin=names.fileno())
        try:
            assert batch.stdout
            for entry in known:
                _make_folder(folder, os.path.dirname(entry.path), folders)
                _write(folder, entry, batch.stdout)
        except FileExistsError as problem:
            raise NodeError(
                "two names of the package are one on this file system: %s" % tree.shown(problem.filename),
                "rename one of them",
            )
        finally:
            batch.kill()
            batch.communicate()


def _make_folder(top: bytes, path: bytes, made: Set[bytes]) -> None:
    missing: List[bytes] = []
    while path not in made:
        missing.append(path)
        path = os.path.dirname(path)
    for each in reversed(missing):
        os.mkdir(os.path.join(top, each), 0o700)
        made.add(each)


def _write(folder: bytes, entry: tree.Entry, source: IO[bytes]) -> None:
    header = source.readline().split()
    if len(header) != 3 or header[1] != b"blob":
        raise NodeError("the repository has lost %s" % tree.shown(entry.path), "git cj fsck")
    import hashlib  # the hook of a launch waits for what it loads

    size = int(header[2])
    digest = hashlib.new("sha1" if len(entry.object_id) == 40 else "sha256", b"blob %d\0" % size)
    path = os.path.join(folder, entry.path)
    if entry.mode == tree.LINK:
        target = source.read(size)
        digest.update(target)
        os.symlink(target, path)
    else:
        _copy(path, tree.FILES[entry.mode], size, source, digest.update)
    source.read(1)
    if digest.hexdigest() != entry.object_id:
        raise NodeError("the repository has a damaged %s" % tree.shown(entry.path), "git cj fsck")


def _copy(path: bytes, mode: int, size: int, source: IO[bytes], seen: Callable[[bytes], None]) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0)
    fd = os.open(path, flags, 0o600)
    try:
        while size:
            chunk = source.read(min(size, _CHUNK))
            if not chunk:
                break  # git died; the hash will not fit
            seen(chunk)
            write_all(fd, chunk)
            size -= len(chunk)
        os.fchmod(fd, mode)  # whatever the umask
        stamp = int(time.time()) * 10**9 + _MARK_NS
        os.utime(fd, ns=(stamp, stamp))
    finally:
        os.close(fd)


def _sweep(folder: str) -> None:
    """Drop what expansions left that were killed."""
    for name in os.listdir(folder):
        match = _ASIDE.match(name)
        if match and _is_over(match.group(1), int(match.group(2)), int(match.group(3)) / 1e6):
            _discard(os.path.join(folder, name))


def _is_over(machine: str, process: int, begun: float) -> bool:
    """Whether who began something is dead; of another machine's processes only the time tells."""
    if machine != os.uname().nodename:
        return time.time() - begun > _LEFT_S
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    return False


def _discard(folder: str) -> None:
    try:
        remove(folder)
    except OSError:
        pass  # another is at it too


def remove(folder: str) -> int:
    """Remove a folder with all that is read-only in it. Returns the bytes freed."""
    try:
        os.chmod(folder, 0o700)
        names = os.listdir(folder)
    except FileNotFoundError:
        return 0
    freed = 0
    for name in names:
        path = os.path.join(folder, name)
        found = os.lstat(path)
        if stat.S_ISDIR(found.st_mode):
            freed += remove(path)
        else:
            os.unlink(path)
            freed += found.st_size if found.st_nlink == 1 else 0
    os.rmdir(folder)
    return freed
