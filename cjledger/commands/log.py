"""Log: every launch in this repository, newest first, read from the ledger alone."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from cjledger import ledger
from cjledger.commands import others
from cjledger.commands.state import last_known, package_ids
from cjledger.errors import CjError
from cjledger.ledger import Entry
from cjledger.project import Project, Target
from cjledger.quantities import check_count


@dataclass(frozen=True)
class Launch:
    """One line of the log; ``counts`` is None where the state was never asked.

    ``submitted`` says whether a ledger here tells that its cluster took it.
    """

    package_id: str
    date: str
    author: str
    agent: str
    cluster: str
    program: str
    tasks: int
    counts: dict[str, int] | None
    message: str
    forgotten: bool
    submitted: bool
    then: str | None = None  # the package that runs after it
    after: tuple[str, ...] = ()  # packages it waited for, each with its condition: ``8ab7…:ok``


def log(
    project: Project,
    *,
    limit: int | None = 20,
    package_id: str | None = None,
    program: str | None = None,
    cluster: str | None = None,
    since: str | None = None,
    until: str | None = None,
) -> list[Launch]:
    """The launches that fit, newest first."""
    check_count("-n", limit)
    wanted = _Wanted(package_id, _pattern(program), cluster, _moment(since), _moment(until))
    here = set(package_ids(project))
    told = ledger.all_entries(project.repo)
    sent = {entry.package_id for entry in told if entry.event in ("submitted", "retried")}
    launched = (entry for entry in told if entry.event == "launched" and wanted.takes(entry))
    return [
        _launch(project, entry, forgotten=entry.package_id not in here, submitted=entry.package_id in sent)
        for entry in itertools.islice(launched, limit)
    ]


def unfinished(project: Project) -> list[Target]:
    """Packages launched here that are not known to be final, newest first."""
    here = set(package_ids(project))
    found = []
    told = ledger.all_entries(project.repo)
    sent = {entry.package_id for entry in told if others.is_there(entry)}
    for entry in told:
        if entry.event == "cancelled" and entry.data.get("why") and entry.package_id not in sent:
            here.discard(entry.package_id)  # it was never sent, and newer entries come first
        if entry.event != "launched" or entry.package_id not in here:
            continue
        known = last_known(project, entry.package_id)
        if not (known and known.final):
            found.append(Target(entry.package_id))
    return found


class _Wanted(NamedTuple):
    """Which launches are listed; None where that does not matter."""

    package_id: str | None
    pattern: re.Pattern[str] | None
    cluster: str | None
    first: datetime | None
    last: datetime | None

    def takes(self, entry: Entry) -> bool:
        """Whether the launch that an entry tells of fits."""
        when = datetime.fromisoformat(entry.data["created"])
        return (
            self.package_id in (None, entry.package_id)
            and self.cluster in (None, entry.data["cluster"])
            and (self.pattern is None or self.pattern.search(entry.data["program"]) is not None)
            and (self.first is None or when >= self.first)
            and (self.last is None or when <= self.last)
        )


def _launch(project: Project, entry: Entry, *, forgotten: bool, submitted: bool) -> Launch:
    data = entry.data
    known = last_known(project, entry.package_id)
    return Launch(
        package_id=entry.package_id,
        date=data["created"],
        author=data["author"],
        agent=entry.agent,
        cluster=data["cluster"],
        program=data["program"],
        tasks=data["tasks"],
        counts=known.counts if known else None,
        message=data["message"],
        forgotten=forgotten,
        submitted=submitted,
        then=data.get("then"),
        after=tuple(str(each) for each in data.get("after", ())),
    )


def _pattern(text: str | None) -> re.Pattern[str] | None:
    try:
        return re.compile(text) if text else None
    except re.error as problem:
        raise CjError(
            f"--program {text!r} is not a regular expression: {problem}", "--program 'PT.*'"
        ) from None


def _moment(text: str | None) -> datetime | None:
    """A date, a date and time, or an age (``2h``, ``3d``, ``1w``); local time where no zone is given."""
    if text is None:
        return None
    age = re.fullmatch(r"(\d+)\s*([mhdw])", text)
    if age:
        seconds = int(age[1]) * {"m": 60, "h": 3600, "d": 86400, "w": 604800}[age[2]]
        return datetime.fromtimestamp(datetime.now().timestamp() - seconds).astimezone()
    try:
        return datetime.fromisoformat(text).astimezone()
    except ValueError:
        raise CjError(
            f"{text!r} is not a date: 2026-01-31, 2026-01-31T12:00, or an age such as 3d", "--since 2w"
        ) from None
