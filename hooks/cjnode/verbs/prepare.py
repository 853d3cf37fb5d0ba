"""The verb ``prepare``: build the environment of a package, once, and tell how it goes."""

import os
import time
from typing import Any, BinaryIO, Callable, Dict, List, NamedTuple, Optional

from cjnode import processes
from cjnode.errors import NodeError
from cjnode.files import canonical, json_bytes, read_json, replace
from cjnode.package import environment, manifest
from cjnode.package.environment import NOTE, Wanted
from cjnode.records import layout
from cjnode.schedulers import priority as priorities
from cjnode.supplies import building, datalinks

LOOK_S = 0.2
TELL_S = 5.0  # between two lines on how far it is; they keep the connection from looking idle, too
# How long a builder on another machine may show no life; it shows some every 5 s.
SILENT_S = 120.0

Say = Callable[[Dict[str, Any]], None]

# What was last seen of a builder elsewhere, and when.
Sign = NamedTuple("Sign", [("mark", int), ("at", float)])


def prepare(root: str, request: Dict[str, Any], out: BinaryIO) -> None:
    """The verb: ``{"environment":{…} or null,"data":[…],"wish":{"package":…,"priority":N}}``.

    Lines ``{"progress":…}`` as it goes on, then one for the environment.
    """

    def say(fields: Dict[str, Any]) -> None:
        out.write(canonical(fields) + b"\n")
        out.flush()

    out.flush()
    fields = request.get("environment")
    data = request.get("data")
    if request.get("wish"):
        _wish(root, request["wish"])
    if data:
        if not manifest.is_data(data):
            raise NodeError("prepare: the data is wrong")
        datalinks.look(root, data, say)
    if fields is not None:
        if not isinstance(fields, dict):
            raise NodeError("prepare: the environment is no object")
        say(ensure(root, environment.wanted_from_json(fields), say))


def _wish(root: str, wish: Dict[str, Any]) -> None:
    """Keep what is asked for the submissions of a package that will come."""
    priority = wish.get("priority")
    layout.checked_package(root, wish.get("package"))
    if type(priority) is not int:
        raise NodeError("prepare: the priority is no number: %r" % (priority,))
    priorities.check(layout.scheduler(root), priority)
    os.makedirs(os.path.join(root, "wishes"), 0o700, exist_ok=True)
    replace(layout.wish_path(root, wish["package"]), json_bytes({"priority": priority}))


def ensure(root: str, wanted: Wanted, say: Say) -> Dict[str, Any]:
    """Have an environment built, by whoever is first, and wait for it; what its note says.

    Raises NodeError with the last words of a build that failed. A build goes on when the one who waits for
    it leaves.
    """
    folder = environment.folder(root, wanted.id)
    os.makedirs(folder, 0o700, exist_ok=True)
    note = _ready(folder)
    if note is not None and not building.is_stale(folder, wanted, note):
        return _answer(wanted, note, False)
    number = _join_or_start(root, folder, wanted, say)
    _wait(folder, wanted, number, say)
    note = _ready(folder)
    if note is None or building.ready(folder) < number:
        words = " ".join(
            ["environment %s was not built: its builder died." % wanted.id] + _last(folder, number)
        )
        raise NodeError(words, "run it again; the whole log is %s" % building.log_path(folder, number))
    return _answer(wanted, note, True)


def _answer(wanted: Wanted, note: Dict[str, Any], built: bool) -> Dict[str, Any]:
    return {"environment": wanted.id, "python": note.get("python"), "built": built}


def _ready(folder: str) -> Optional[Dict[str, Any]]:
    return read_json(os.path.join(folder, "ready", NOTE))


def _join_or_start(root: str, folder: str, wanted: Wanted, say: Say) -> int:
    """The number of the build to wait for: one that is going on, or a new one."""
    numbers = building.claims(folder)
    last = max(numbers or [0])
    of = wanted.lock or wanted.image
    if last and not _ended(folder, last) and _lives(folder, last, []):
        say({"progress": "another launch builds environment %s (%s of %s)" % (wanted.id, wanted.kind, of)})
        return last
    say({"progress": "building environment %s (%s of %s, first time here)" % (wanted.id, wanted.kind, of)})
    return building.start(root, folder, wanted, last + 1)


def _ended(folder: str, number: int) -> bool:
    return building.ready(folder) >= number or os.path.exists(building.failed_path(folder, number))


def _last(folder: str, number: int) -> List[str]:
    """The last line of a build's log, not too long."""
    return [line[:200] for line in building.log_tail(folder, number, 1)]


def _lives(folder: str, number: int, signs: List[Sign]) -> bool:
    """Whether a builder lives. One on another machine is watched: it touches its claim while it does.

    By our own clock: a shared file system's may be another.
    """
    path = building.claim_path(folder, number)
    fields = read_json(path)
    if fields is None:
        return False
    who = processes.from_fields(fields)
    if processes.here(who):
        return True
    if processes.identity(os.getpid()).machine == who.machine:
        return False
    mark, now = os.stat(path).st_mtime_ns, time.monotonic()
    if not signs or signs[-1].mark != mark:
        signs.append(Sign(mark, now))
    return now - signs[-1].at < SILENT_S


def _wait(folder: str, wanted: Wanted, number: int, say: Say) -> None:
    """Return when a build has ended well, or its builder is gone."""
    began = told = time.monotonic()
    signs: List[Sign] = []
    while not _ended(folder, number) and _lives(folder, number, signs):
        time.sleep(LOOK_S)
        if time.monotonic() - told >= TELL_S:
            told = time.monotonic()
            words = "".join(_last(folder, number)) or "no word yet"
            say({"progress": "environment %s, %d s: %s" % (wanted.id, told - began, words)})
    failed = read_json(building.failed_path(folder, number))
    if failed is not None:
        raise NodeError(
            "environment %s (%s of %s) could not be built: %s"
            % (wanted.id, wanted.kind, wanted.lock or wanted.image, failed["error"]),
            "mend it, then launch again; the whole log is %s" % building.log_path(folder, number),
        )
