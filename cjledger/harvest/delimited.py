"""Delimited text to rows: all files of a table parsed as one, halved where that fails, alone at last."""

from __future__ import annotations

import csv
import io
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise, repeat

from cjledger.harvest.parsed import Parsed
from cjledger.harvest.rule import RaggedError, Rule, may_name, names_of, read_alone, split
from cjledger.shards.columns import gives_back
from cjledger.shards.frames import NULLS, pl, typed, unite

_ALONE = 64  # fewer files than this are read one by one rather than halved again
_BOM = b"\xef\xbb\xbf"


def parse(files: Sequence[bytes], rule: Rule) -> Parsed:
    """All files' rows under one typing. A file that does not fit costs its own rows only."""
    clean = _tidy(files, rule)
    groups: dict[bytes, list[int]] = {}
    head = clean[0].partition(b"\n")[0] if rule.header else b""
    if not rule.header or all(map(bytes.startswith, clean, repeat(head + b"\n"))):
        groups[head] = list(range(len(files)))
    else:
        for index, file in enumerate(clean):
            groups.setdefault(file.partition(b"\n")[0], []).append(index)
    counts = [0] * len(files)
    bad: list[tuple[int, str]] = []
    pieces: list[tuple[list[int], pl.DataFrame]] = []
    for head, members in groups.items():
        pieces.extend(_halves(clean, files, members, head, rule, counts, bad))
    rows, cells = _typed(_in_order(pieces, counts))
    return Parsed(rows, counts, sorted(bad), cells)


def _tidy(files: Sequence[bytes], rule: Rule) -> Sequence[bytes]:
    """The files with newlines as line ends and at the end, without blank lines and comments."""
    joined = b"".join(files)
    marks = (b"\r", b"\n\n", _BOM, *((b"#",) if rule.comments else ()))
    if joined[:1] == b"\n" or any(mark in joined for mark in marks):
        return [_plain(file, rule) for file in files]
    if not all(map(bytes.endswith, files, repeat(b"\n"))):
        return [file if not file or file[-1:] == b"\n" else file + b"\n" for file in files]
    return files


def _plain(file: bytes, rule: Rule) -> bytes:
    if file.startswith(_BOM):
        file = file[3:]
    if b'"' in file:  # a cell may hold line ends: the strict reader knows
        return file if file.endswith(b"\n") else file + b"\n"
    file = file.replace(b"\r\n", b"\n")
    if b"\n\n" in file or file.startswith(b"\n") or (rule.comments and b"#" in file):
        lines = (line for line in file.split(b"\n") if line.strip())
        file = b"\n".join(x for x in lines if not (rule.comments and x.lstrip().startswith(b"#")))
    return file if not file or file.endswith(b"\n") else file + b"\n"


def _halves(
    clean: Sequence[bytes],
    files: Sequence[bytes],
    members: list[int],
    head: bytes,
    rule: Rule,
    counts: list[int],
    bad: list[tuple[int, str]],
) -> Iterator[tuple[list[int], pl.DataFrame]]:
    """Parse files together; when that fails, each half; when few are left, each file alone."""
    together = _together([clean[index] for index in members], head, rule)
    if together is not None:
        rows, lines = together
        for index, count in zip(members, lines, strict=True):
            counts[index] = count
        yield members, rows
    elif len(members) > _ALONE:
        middle = len(members) // 2
        yield from _halves(clean, files, members[:middle], head, rule, counts, bad)
        yield from _halves(clean, files, members[middle:], head, rule, counts, bad)
    else:
        yield from _each(files, members, rule, counts, bad)


def _together(files: Sequence[bytes], head: bytes, rule: Rule) -> tuple[pl.DataFrame, list[int]] | None:
    """The files' rows as text cells and how many each has; None unless every count is certain."""
    skip = len(head) + 1 if rule.header else 0
    bodies = [file[skip:] for file in files] if skip else files
    joined = b"".join(bodies)
    if b"\0" in joined or b"\r" in joined or head.count(b'"') % 2 or not _decodes(head + joined):
        return None
    names = _header_names(head, rule)
    if names is None:
        return None
    lines = list(map(bytes.count, bodies, repeat(b"\n")))
    if b'"' in joined:
        alone = rule.delimiter == " " or (rule.comments and b"#" in joined)
        return None if alone else _quoted(joined.decode(), lines, names, rule)
    if rule.delimiter == " ":
        joined = _single_blanks(joined)
    total = sum(lines)
    if joined.count(rule.delimiter.encode()) != total * (len(names) - 1) or b"\n\n" in joined:
        return None
    if not total:
        return pl.DataFrame(schema=dict.fromkeys(names, pl.String)), lines
    try:
        rows = pl.read_csv(
            joined,
            has_header=False,
            separator=rule.delimiter,
            quote_char=None,
            schema=dict.fromkeys(names, pl.String),
            null_values=list(NULLS),
        )
    except pl.exceptions.PolarsError:
        return None
    return (rows, lines) if rows.height == total else None


def _quoted(
    text: str, lines: Sequence[int], names: Sequence[str], rule: Rule
) -> tuple[pl.DataFrame, list[int]] | None:
    """As `_together` where cells are quoted: a row may take several lines, but ends where its file does."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=rule.delimiter, strict=True)
    rows: list[list[str]] = []
    ends = [0]
    try:
        for row in reader:
            rows.append(row)
            ends.append(reader.line_num)
    except csv.Error:
        return None
    if any(len(row) != len(names) for row in rows):
        return None
    last = [bisect_right(ends, line) - 1 for line in accumulate(lines)]
    if any(ends[row] != line for row, line in zip(last, accumulate(lines), strict=True)):
        return None
    cells = pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String), orient="row")
    cells = cells.with_columns(pl.when(~pl.all().is_in(list(NULLS))).then(pl.all()))
    return cells, [end - start for start, end in pairwise([0, *last])]


def _decodes(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _single_blanks(data: bytes) -> bytes:
    """Runs of blanks as one, none at a line's ends; replacing is 20 times faster than a pattern."""
    data = data.replace(b"\t", b" ")
    while b"  " in data:
        data = data.replace(b"  ", b" ")
    return data.replace(b"\n ", b"\n").replace(b" \n", b"\n").lstrip(b" ")


def _header_names(head: bytes, rule: Rule) -> tuple[str, ...] | None:
    """The columns of files that begin with this line; None when it is no header."""
    if not rule.header:
        return rule.columns
    fields = split(head.decode(), rule.delimiter) if head else []
    if head and not may_name(fields):
        return None
    return names_of(fields) if head else rule.columns


def _each(
    files: Sequence[bytes], members: Sequence[int], rule: Rule, counts: list[int], bad: list[tuple[int, str]]
) -> Iterator[tuple[list[int], pl.DataFrame]]:
    for index in members:
        try:
            names, rows = read_alone(files[index], rule)
        except RaggedError as problem:
            bad.append((index, str(problem)))
            continue
        counts[index] = len(rows)
        yield [index], pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String), orient="row")


def _in_order(pieces: list[tuple[list[int], pl.DataFrame]], counts: Sequence[int]) -> pl.DataFrame:
    """One frame of all pieces, its rows in the order of the files."""
    if len(pieces) == 1:
        return pieces[0][1]
    rows = unite([frame for _, frame in pieces])
    if not rows.height:
        return rows
    owners = [index for members, _ in pieces for index in members for _ in range(counts[index])]
    order = sorted(range(len(owners)), key=owners.__getitem__)  # stable: rows of a file keep their order
    return rows if owners == sorted(owners) else rows[order]


def _typed(rows: pl.DataFrame) -> tuple[pl.DataFrame, dict[str, pl.Series]]:
    """The rows by what they are, and each column of numbers as it is kept."""
    texts = [column.cast(pl.String) for column in rows.get_columns()]
    columns = [typed(text) for text in texts]
    cells = {
        column.name: column if gives_back(column, text) else text
        for column, text in zip(columns, texts, strict=True)
        if column.dtype != pl.String
    }
    return pl.DataFrame(columns), cells
