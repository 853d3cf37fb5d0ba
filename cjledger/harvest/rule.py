"""How delimited text is read: decided once for a table, from all files of its first harvest.

Delimiter: that of the suffix (`.csv` comma, `.tsv` tab) if it occurs in most first lines; else the first of
tab, comma, semicolon and bar that splits all first lines (failing that, most) into the same number of
fields, more than one; else runs of blanks. A broken file must not decide how the others are read: those
with another number of fields than most have no say in the header. Header: no field of a first line is a
number (`inf` and `nan` are names there, unless all are such), and all first lines are equal (some task must
have a second line unless a delimiter other than blanks is there) or each has a number in the line below it;
or most first lines are equal, without a number, and most of these have one in the line below. Lines that
begin with `#` are comments in `.txt` and `.dat`. Blank lines are no rows.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any

from cjledger.shards.frames import NULLS

csv.field_size_limit(2**31 - 1)

NUMBER = re.compile(
    r"\s*[+-]?(\d+\.?\d*([eEdD][+-]?\d+)?|\.\d+([eEdD][+-]?\d+)?|inf|infinity|nan)\s*\Z", re.I | re.A
)
_DIGIT = re.compile("[0-9]")
_WORD = re.compile(r'"((?:[^"]|"")*)"|(\S+)')
_BY_SUFFIX = {".csv": ",", ".tsv": "\t"}
_SAMPLE = 200


@dataclass(frozen=True)
class Rule:
    """How the files of one table are read; ``columns`` are those of the first harvest."""

    delimiter: str
    header: bool
    columns: tuple[str, ...]
    comments: bool = False

    def to_json(self) -> dict[str, Any]:
        """The table's entry in the results manifest."""
        own = {"delimiter": self.delimiter, "header": self.header, "columns": list(self.columns)}
        return {"kind": "delimited", **own, "comments": self.comments}


def rule_from_json(entry: Mapping[str, Any]) -> Rule:
    """Read the table's entry in the results manifest."""
    return Rule(entry["delimiter"], entry["header"], tuple(entry["columns"]), entry.get("comments", False))


class RaggedError(ValueError):
    """A file that does not fit its table."""


def decide(suffix: str, files: Sequence[bytes]) -> Rule | None:
    """The rule of a table from all its first files; None when none can be read, or most are no tables."""
    comments = suffix in (".txt", ".dat")
    firsts = _first_lines(files, comments)
    if not firsts:
        return None
    delimiter = _delimiter(suffix, firsts)
    widths = _widths(firsts, delimiter)
    width, _ = Counter(widths).most_common(1)[0]
    common = Counter(line for line, own in zip(firsts, widths, strict=True) if own == width)
    header = _is_header(common, files, delimiter, comments)
    names = split(common.most_common(1)[0][0], delimiter)
    rule = Rule(delimiter, header, names_of(names) if header else _numbered(width), comments)
    if comments and _mostly_ragged(files, rule):
        return None
    return rule


def _first_lines(files: Sequence[bytes], comments: bool) -> list[str]:
    """The first row of each file that has one, at once when all are tidy."""
    first = files[0].partition(b"\n")[0] + b"\n"
    same = all(map(bytes.startswith, files, repeat(first)))  # one line then stands for all
    joined = b"\n".join([file.partition(b"\n")[0] for file in (files[:1] if same else files) if file])
    tidy = not any(mark in joined for mark in (b"\0", b"\r", b"\n\n", b"\xef\xbb\xbf"))
    if tidy and joined.strip() and joined[:1] != b"\n" and not (comments and b"#" in joined):
        try:
            lines = joined.decode().split("\n")
        except UnicodeDecodeError:
            lines = []
        if lines and lines[-1] and not any(map(str.isspace, lines)):
            return lines
    return [head[0] for head in (_head(file, comments) for file in files) if head]


def _head(file: bytes, comments: bool) -> tuple[str, ...]:
    """Up to two first lines that are rows; nothing when the file is binary."""
    found: list[str] = []
    at = 0
    while at < len(file) and len(found) < 2:
        end = file.find(b"\n", at)
        end = len(file) if end < 0 else end
        try:
            line = file[at:end].decode("utf-8-sig" if at == 0 else "utf-8").rstrip("\r")
        except UnicodeDecodeError:
            return ()
        if "\0" in line:
            return ()
        if line.strip() and not (comments and line.lstrip().startswith("#")):
            found.append(line)
        at = end + 1
    return tuple(found)


def _delimiter(suffix: str, firsts: Sequence[str]) -> str:
    own = _BY_SUFFIX.get(suffix)
    if own and 2 * sum(own in line for line in firsts) > len(firsts):
        return own
    counted = [
        (delimiter, *Counter(_widths(firsts, delimiter)).most_common(1)[0])
        for delimiter in "\t,;|"
        if any(delimiter in line for line in firsts)
    ]
    for enough in (len(firsts), len(firsts) // 2 + 1):
        for delimiter, width, count in counted:
            if width > 1 and count >= enough:
                return delimiter
    return own or " "


def _widths(lines: Sequence[str], delimiter: str) -> list[int]:
    if delimiter != " " and not any('"' in line for line in lines):
        return [line.count(delimiter) + 1 for line in lines]
    return [len(split(line, delimiter)) for line in lines]


def split(line: str, delimiter: str) -> list[str]:
    """The fields of one line."""
    if delimiter == " ":
        return [
            bare if bare else quoted.replace('""', '"')
            for quoted, bare in (found.groups(default="") for found in _WORD.finditer(line))
        ]
    try:
        return next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error:  # a carriage return in the middle: the strict reader will name the line
        return line.split(delimiter)


def _is_header(firsts: Counter[str], files: Sequence[bytes], delimiter: str, comments: bool) -> bool:
    """Whether the first lines, which have one number of fields, name columns."""

    def has_number(line: str) -> bool:
        return not may_name(split(line, delimiter))

    top, count = firsts.most_common(1)[0]
    is_most = 2 * count > firsts.total()
    if has_number(top) or (not is_most and any(map(has_number, firsts))):
        return False
    heads = (head for head in (_head(file, comments) for file in files) if head and head[0] in firsts)
    if len(firsts) == 1:
        # A lone line of words is a result; `a,b` is names of columns that have no rows yet.
        names = delimiter != " " and len(split(top, delimiter)) > 1
        return names or any(len(head) == 2 for head in heads)
    if is_most:
        below = [head[1] for head in heads if head[0] == top and len(head) == 2]
        return 2 * sum(map(has_number, below)) > len(below)
    return all(len(head) == 2 and has_number(head[1]) for head in heads)


def may_name(fields: Sequence[str]) -> bool:
    """Whether a line may be the names of columns: no number, but `inf` and `nan` among names."""
    numbers = [field for field in fields if NUMBER.match(field)]
    return len(numbers) < len(fields) and not any(map(_DIGIT.search, numbers))


def names_of(fields: Sequence[str]) -> tuple[str, ...]:
    """Column names: stripped, made up where empty, numbered where repeated."""
    names: list[str] = []
    for position, field in enumerate(fields, 1):
        name = base = field.strip() or f"column_{position}"
        again = 2
        while name in names:
            name, again = f"{base}_{again}", again + 1
        names.append(name)
    return tuple(names)


def _numbered(width: int) -> tuple[str, ...]:
    return tuple(f"column_{position}" for position in range(1, width + 1))


def _mostly_ragged(files: Sequence[bytes], rule: Rule) -> bool:
    sample = files[:: max(1, len(files) // _SAMPLE)]
    ragged = 0
    for file in sample:
        try:
            read_alone(file, rule)
        except RaggedError:
            ragged += 1
    return ragged * 2 > len(sample)


def read_alone(file: bytes, rule: Rule) -> tuple[tuple[str, ...], list[list[str | None]]]:
    """One file by the strict reader. Raises RaggedError with the line that does not fit."""
    try:
        text = file.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        line = file.count(b"\n", 0, problem.start) + 1
        raise RaggedError(f"line {line}: not UTF-8 text (byte {problem.start})") from problem
    if "\0" in text:
        raise RaggedError(f"line {text.count(chr(10), 0, text.index(chr(0))) + 1}: binary data")
    names: tuple[str, ...] | None = None if rule.header else rule.columns
    rows: list[list[str | None]] = []
    for line, fields in _lines(text, rule):
        if names is None:
            if not may_name(fields):
                raise RaggedError(f"line {line}: a row where the other tasks have the names of columns")
            names = names_of(fields)
        elif len(fields) != len(names):
            raise RaggedError(f"line {line}: {len(fields)} field{'s' * (len(fields) != 1)}, not {len(names)}")
        else:
            rows.append([None if field in NULLS else field for field in fields])
    return names or rule.columns, rows


def _lines(text: str, rule: Rule) -> Iterator[tuple[int, list[str]]]:
    if rule.delimiter == " ":
        for number, line in enumerate(text.split("\n"), 1):
            if line.strip() and not (rule.comments and line.lstrip().startswith("#")):
                yield number, split(line, " ")
        return
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=rule.delimiter, strict=True)
    while True:
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as problem:
            raise RaggedError(f"line {reader.line_num}: {problem}") from problem
        blank = not fields or (len(fields) == 1 and not fields[0].strip() and len(rule.columns) > 1)
        if not blank and not (rule.comments and fields[0].lstrip().startswith("#")):
            yield reader.line_num, fields
