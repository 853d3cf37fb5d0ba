"""Plot: a package's rows as a picture, in the terminal or in a file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cjledger import query as questions
from cjledger.commands import tables
from cjledger.plot.chart import chart
from cjledger.plot.file import save
from cjledger.plot.terminal import in_terminal
from cjledger.project import Project, Target


@dataclass(frozen=True)
class Drawn:
    """A picture: its text for a terminal, or the file it went to."""

    points: int
    path: str | None
    text: str


def plot(
    project: Project,
    target: Target,
    *,
    x: str,
    y: str,
    color: str | None,
    by: str | None,
    file: str | None,
    columns: Sequence[str],
    out: Path | None,
    width: int,
    colour: bool,
    announce: Callable[[str], None],
) -> Drawn:
    """Draw ``y`` over ``x``: a map with ``color``, a line for each value of ``by``, else points."""
    rows = questions.reduce(tables.frame(project, [target], file, announce), columns=columns)
    names = [name for name in (x, y, color, by) if name]
    values = questions.columns(rows, names)
    picture = chart(values, x, y, color or "", by or "", f"package {target.short}")
    count = len(values[x])
    if out is None:
        return Drawn(count, None, in_terminal(picture, width, colour))
    path = project.cwd / out
    save(picture, path)
    return Drawn(count, str(path), f"{count} rows drawn to {out}")
