"""Build an environment: a detached process that outlives whoever asked, one generation after another.

``ROOT/environments/<id>/<platform>/`` holds claim-<k>.json (who builds generation k, create-only, touched
while it does), <k>/ (built where it will be used: neither a virtual environment nor a conda one survives a
move), <k>.files/, <k>.sh, <k>.log, <k>.failed.json, and ``ready``, a link to the generation that is whole.
"""

import os
import re
import shutil
import subprocess
import sys
import time
from typing import Any, Dict, List, Optional

from cjnode import processes
from cjnode.files import create_json, json_bytes, now, replace
from cjnode.package import environment
from cjnode.package.environment import NOTE, Wanted
from cjnode.schedulers import commands, pool

BEAT_S = 5.0
TAIL_LINES = 12

_CLAIM = re.compile(r"claim-([0-9]+)\.json\Z")
# An interpreter that is gone, or was replaced by another version, leaves an environment that cannot be used.
_VERSION = "import platform; print(platform.python_version())"


def claim_path(folder: str, number: int) -> str:
    """Who builds a generation."""
    return os.path.join(folder, "claim-%d.json" % number)


def failed_path(folder: str, number: int) -> str:
    """Why a generation was not built."""
    return os.path.join(folder, "%d.failed.json" % number)


def log_path(folder: str, number: int) -> str:
    """What the builders said."""
    return os.path.join(folder, "%d.log" % number)


def claims(folder: str) -> List[int]:
    """The generations that were begun."""
    return [int(match.group(1)) for match in map(_CLAIM.match, os.listdir(folder)) if match]


def ready(folder: str) -> int:
    """The generation that is whole; 0 when there is none."""
    try:
        return int(os.readlink(os.path.join(folder, "ready")))
    except (OSError, ValueError):
        return 0


def log_tail(folder: str, number: int, lines: int) -> List[str]:
    """The last lines of a build's log that say anything."""
    try:
        with open(log_path(folder, number), "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - 8000))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return []
    # Programs that draw their progress end a line with a carriage return.
    return [line.rstrip() for line in re.split(r"[\r\n]", text) if line.strip()][-lines:]


def start(root: str, folder: str, wanted: Wanted, number: int) -> int:
    """Start a builder that this process is no parent of, and wait until someone has claimed the generation.

    Two who start the same one at once get one builder.
    """
    reader, writer = os.pipe()
    first = os.fork()
    if first == 0:
        os._exit(_detach(root, folder, wanted, number, writer))
    os.close(writer)
    os.waitpid(first, 0)
    with os.fdopen(reader, "rb") as answer:
        answer.read()
    return number


def _detach(root: str, folder: str, wanted: Wanted, number: int, writer: int) -> int:
    try:
        os.setsid()
        if os.fork():
            return 0
        pool.own_files(log_path(folder, number), writer)
        mine = create_json(claim_path(folder, number), processes.identity(os.getpid())._asdict())
        os.close(writer)
        if mine:
            build(root, folder, wanted, number)
    except BaseException:  # nobody above could tell
        sys.excepthook(*sys.exc_info())
        sys.stderr.flush()
        return 1
    return 0


def build(root: str, folder: str, wanted: Wanted, number: int) -> None:
    """Build a generation whose claim is ours, and link to it when it is whole."""
    target, began = os.path.join(folder, "%d" % number), time.monotonic()
    try:
        _write_files(folder, wanted, number, environment.build_script(wanted, root, target))
        code = _run(root, folder, number)
        version = _python_version(target) if code == 0 else ""
        problem = "" if version or (code == 0 and wanted.kind == "conda") else "it ended with %d" % code
    except OSError as failure:
        version, problem = "", str(failure)
    if problem:
        _give_up(folder, number, target, problem)
        return
    note: Dict[str, Any] = {
        "environment": wanted.id,
        "kind": wanted.kind,
        "lock": wanted.lock,
        "image": wanted.image,
        "image_mark": _image_mark(target),
        "modules": list(wanted.modules),
        "python": version,
        "built": now(),
        "seconds": round(time.monotonic() - began, 3),
    }
    replace(os.path.join(target, NOTE), json_bytes(note))
    aside = os.path.join(folder, "ready.%d.tmp" % number)
    if os.path.lexists(aside):
        os.unlink(aside)
    os.symlink("%d" % number, aside)
    os.rename(aside, os.path.join(folder, "ready"))
    _sweep(folder, number)


def _write_files(folder: str, wanted: Wanted, number: int, script: str) -> None:
    files = os.path.join(folder, "%d.files" % number)
    os.makedirs(files, 0o700)
    for name, text in wanted.files.items():
        path = os.path.join(files, name)
        os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
        with open(path, "w", encoding="utf-8", newline="") as file:
            file.write(text)
    replace(os.path.join(folder, "%d.sh" % number), script.encode("utf-8", "surrogateescape"))


def _run(root: str, folder: str, number: int) -> int:
    kept = commands.environment(root)
    # The person's own language: messages are for them.
    process = subprocess.Popen(
        ["/bin/sh", os.path.join(folder, "%d.sh" % number)],
        cwd=os.path.join(folder, "%d.files" % number),
        env=kept,
        stdin=subprocess.DEVNULL,
    )
    while True:
        try:
            return process.wait(timeout=BEAT_S)
        except subprocess.TimeoutExpired:
            os.utime(claim_path(folder, number))


def _python_version(target: str, said: Optional[int] = None) -> str:
    """What the environment's interpreter says it is; empty when it does not run, and then the log has why."""
    try:
        process = subprocess.Popen(
            [os.path.join(target, "bin", "python"), "-I", "-c", _VERSION],
            env=processes.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=said,
        )
    except OSError as problem:
        if said is None:
            sys.stderr.write("cj: error: %s\n" % problem)
        return ""
    out = process.communicate()[0].decode("utf-8", "replace").strip()
    return out if process.returncode == 0 else ""


def _image_mark(target: str) -> List[int]:
    """What would differ if the image behind a link was another."""
    try:
        found = os.stat(os.path.join(target, "image.sif"))
    except OSError:
        return []
    return [found.st_size, found.st_mtime_ns]


def is_stale(folder: str, wanted: Wanted, note: Dict[str, Any]) -> bool:
    """Whether an environment that was built cannot be used any more as it was."""
    target = os.path.realpath(os.path.join(folder, "ready"))
    if wanted.kind == "container":
        return _image_mark(target) != note.get("image_mark")
    return bool(note.get("python")) and _python_version(target, subprocess.DEVNULL) != note["python"]


def _give_up(folder: str, number: int, target: str, problem: str) -> None:
    said = log_tail(folder, number, TAIL_LINES)
    shutil.rmtree(target, ignore_errors=True)
    create_json(failed_path(folder, number), {"error": "\n".join(said) or problem, "at": now()})


def _sweep(folder: str, number: int) -> None:
    """Drop what builders left that were killed here; what an earlier link led to may be in use."""
    for earlier in claims(folder):
        whole = os.path.exists(os.path.join(folder, "%d" % earlier, NOTE))
        if earlier < number and not whole:
            shutil.rmtree(os.path.join(folder, "%d" % earlier), ignore_errors=True)
