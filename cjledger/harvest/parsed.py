"""What a parser of outputs makes of many files at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cjledger.shards.frames import pl


@dataclass(frozen=True)
class Parsed:
    """Rows of many files in order: the own columns, rows of each file, and the files that are broken.

    ``cells`` are the columns of delimited text that are numbers, as they are kept: these numbers, or the text
    of their cells where that is another.
    """

    rows: pl.DataFrame
    counts: list[int]
    bad: list[tuple[int, str]]
    cells: Mapping[str, pl.Series] = field(default_factory=dict)
