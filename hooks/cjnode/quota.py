"""Quotas, where the site has a program that tells them."""

import os
import shutil
import subprocess
from typing import Iterator, List, Optional

from cjnode import processes
from cjnode.findings import FAILURE, OK, Finding

TIMEOUT_S = 10.0


def findings(root: str) -> Iterator[Finding]:
    """What ``quota`` and, on Lustre, ``lfs quota`` say; nothing where there is neither."""
    if shutil.which("quota"):
        told = _said(["quota", "-w"])
        if told:
            yield _finding("quota", told)
    if shutil.which("lfs") and file_system(root, _mounts()) == "lustre":
        told = _said(["lfs", "quota", "-q", "-u", "%d" % os.getuid(), root])
        if told:
            yield _finding("lfs quota", told)


def over(root: str) -> str:
    """The line of a quota that is exceeded, as the site's program tells it; empty where none does."""
    return next((finding.found for finding in findings(root) if finding.state == FAILURE), "")


def _finding(name: str, told: str) -> Finding:
    over = exceeded(told)
    if over:
        return Finding(
            name, FAILURE, "over the limit: %s" % over, "git cj clean old packages, or ask the site"
        )
    return Finding(name, OK, "below the limits", "")


def exceeded(told: str) -> str:
    """The line of a report in which a number over its limit has its star; else nothing. Pure."""
    for line in told.splitlines():
        if any(word.endswith("*") and word[:-1].isdigit() for word in line.split()):
            return " ".join(line.split())
    return ""


def file_system(path: str, mounts: List[str]) -> str:
    """The type of the file system that holds a path, by lines of ``/proc/mounts``. Pure."""
    best, kind = "", ""
    for line in mounts:
        words = line.split()
        if len(words) < 3 or len(words[1]) < len(best):
            continue
        if path == words[1] or path.startswith(words[1].rstrip("/") + "/"):
            best, kind = words[1], words[2]
    return kind


def _mounts() -> List[str]:
    try:
        with open("/proc/mounts", encoding="utf-8", errors="replace") as file:
            return file.read().splitlines()
    except OSError:
        return []


def _said(argv: List[str]) -> Optional[str]:
    try:
        process = subprocess.Popen(
            argv,
            env=dict(processes.environment(), LC_ALL="C"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        return process.communicate(timeout=TIMEOUT_S)[0].decode("utf-8", "replace")
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
    except OSError:
        pass
    return None
