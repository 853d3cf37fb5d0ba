"""What a parser of outputs makes of many files at once."""

from __future__ import annotations

from dataclasses import dataclass

from cjledger.shards.frames import pl


@dataclass(frozen=True)
class Parsed:
    """Rows of many files in order: the own columns, rows of each file, and the files that are broken."""

    rows: pl.DataFrame
    counts: list[int]
    bad: list[tuple[int, str]]
