"""Who put, or could put, their own files in the place of ours: hooks, owners and modes."""

import grp
import os
import pwd
import stat
from typing import List, NamedTuple

from cjnode.errors import NodeError
from cjnode.repository import gitbare

OURS = "cjledger hook"  # every hook of ours has these words in its first lines
NOT_OURS = "is not cjledger's hook"

Fault = NamedTuple("Fault", [("error", str), ("hint", str), ("is_own", bool)])


def faults(root: str, with_parents: bool) -> List[Fault]:
    """What is wrong with the root and, if asked, with the folders above it."""
    found = []
    own = os.stat(root)
    if own.st_uid != os.getuid():
        found.append(
            Fault("%s belongs to another user (uid %d)" % (root, own.st_uid), "choose another root", True)
        )
    elif own.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        found.append(Fault("others can write to %s" % root, "chmod go-w %s" % root, True))
    path = os.path.dirname(root)
    while with_parents:
        above = os.stat(path)
        if is_open(above.st_mode, _is_private(above.st_gid)):
            hint = "chmod go-w %s, or choose another root" % path
            found.append(Fault("others can write to %s and so replace what is in it" % path, hint, False))
        if path == os.path.dirname(path):
            break
        path = os.path.dirname(path)
    return found


def refuse_foreign_hooks(root: str) -> None:
    """Raise NodeError when a hook of the repository is not ours."""
    for folder in (os.path.join(root, "hooks"), os.path.join(gitbare.repo_path(root), "hooks")):
        for name in os.listdir(folder) if os.path.isdir(folder) else ():
            if name.endswith((".sample", ".tmp")):
                continue
            path = os.path.join(folder, name)
            with open(path, "rb") as file:
                ours = OURS.encode("ascii") in file.read(500)
            if not ours:
                raise NodeError("%s %s" % (path, NOT_OURS), "move it away, then git cj init")


def is_open(mode: int, group_is_private: bool) -> bool:
    """Whether others may rename what lies in a folder of that mode. Pure.

    The sticky bit, as ``/tmp`` has it, keeps them from it.
    """
    if mode & stat.S_ISVTX:
        return False
    return bool(mode & stat.S_IWOTH) or bool(mode & stat.S_IWGRP and not group_is_private)


def _is_private(gid: int) -> bool:
    """Whether a group has nobody in it but this user, as where each user has a group of their own."""
    try:
        user = pwd.getpwuid(os.getuid())
        group = grp.getgrgid(gid)
    except KeyError:
        return False
    return (
        group.gr_gid == user.pw_gid and group.gr_name == user.pw_name and set(group.gr_mem) <= {user.pw_name}
    )
