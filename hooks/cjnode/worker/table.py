"""The table that a package's tasks left, as JSON lines: what a program that runs after them reads.

A line a row: ``cj_package``, ``cj_task``, ``cj_attempt``, ``cj_state``, the parameters, then what the row has
of its own. A task that left no rows has one line without any. Which the tasks' rows are: those that functions
returned, or those of the named file. Numbers that are not finite are `NaN`, `Infinity` and `-Infinity`, as
Python's `json` reads and writes them: so come the words of functions' rows, and `nan` or `inf` in delimited
text, where the column has no other text.
"""

import csv
import io
import json
import os
import re
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Set, Tuple

from cjnode.jobs.submissions import cancelled_tasks
from cjnode.package.points import parse_tasks, points
from cjnode.program import reproduce
from cjnode.records import blocks, layout
from cjnode.status import family

ROWS = "cj:rows"

# The newest attempt of a task, and where its rows lie.
Newest = NamedTuple(
    "Newest", [("attempt", int), ("state", str), ("data", str), ("offset", int), ("bytes", int)]
)

Row = Dict[str, Any]
Rows = Iterator[Tuple[Row, Row]]  # what is known of a task, and a row that it left

_NOT_FINITE = re.compile(r"\s*[+-]?(nan|inf|infinity)\s*\Z", re.I)


def write(root: str, then_of: Dict[str, Any], path: str) -> None:
    """Write the table of a package, what extends it and what is linked to it, in the packages' order."""
    aside = "%s.%d.tmp" % (path, os.getpid())
    table = then_of.get("table")
    is_word = _word_of(table)
    words = set()  # type: Set[str]
    others = set()  # type: Set[str]
    with _open(aside, "w") as out:
        for package in family.members(root, then_of["package"]):
            for known, own in _rows_of(root, package, None, table):
                row = _joined(known, own)
                for name, value in row.items():
                    if isinstance(value, str):
                        (words if name not in known and is_word(value) else others).add(name)
                out.write(_line(row))
    if words - others:
        _put_numbers(aside, words - others)
    os.rename(aside, path)


def _open(path: str, mode: str) -> Any:
    return open(path, mode, encoding="utf-8", errors="surrogateescape", newline="\n")


def _line(row: Row) -> str:
    return json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n"


def _word_of(table: Optional[str]) -> Callable[[str], bool]:
    """What tells the words for numbers that are not finite, in a table of that name."""
    if table is None:
        return {"NaN", "Infinity", "-Infinity"}.__contains__
    if _READERS.get(_suffix(table), _delimited) in (_json, _json_lines):
        return lambda text: False  # its own text is text
    return lambda text: _NOT_FINITE.match(text) is not None


def _put_numbers(path: str, names: Set[str]) -> None:
    """Put numbers for the words in these columns, which have no other text."""
    aside = path + ".2"
    with _open(path, "r") as lines, _open(aside, "w") as out:
        for line in lines:
            row = json.loads(line)
            for name in names & row.keys():
                if isinstance(row[name], str):
                    row[name] = float(row[name])
            out.write(_line(row))
    os.rename(aside, path)


def _rows_of(root: str, package: str, tasks: Optional[Sequence[int]], table: Optional[str]) -> Rows:
    fields = layout.read_manifest(root, package)
    if fields is None:
        return  # removed from this cluster
    if tasks is None:
        for link in fields.get("linked") or []:
            for row in _rows_of(root, link["package"], parse_tasks(link["tasks"]), table):
                yield row
    found = reproduce.load(os.path.join(layout.code_path(root, package), ".cj"), package)
    newest, cancelled = _newest(root, package, table or ROWS)
    for point in points(found.sweep, tasks or range(1, found.tasks + 1), found.folder):
        known = newest.get(point.task)
        state = "CANCELLED" if point.task in cancelled else "LOST"
        about = {"cj_package": package, "cj_task": point.task, "cj_attempt": None, "cj_state": state}
        if known is not None:
            about.update(cj_attempt=known.attempt, cj_state=known.state)
        for own in _read(known, table) or [{}]:
            yield dict(about, **point.params), own


def _joined(known: Row, row: Row) -> Row:
    """A row after what is known of its task; a column of its own with a name that is taken is renamed."""
    line = dict(known)
    for name, value in row.items():
        if name not in line:
            line[name] = value
        elif line[name] != value:
            line[name + "_output"] = value
    return line


def _newest(root: str, package: str, output: str) -> Tuple[Dict[int, Newest], Set[int]]:
    """The newest attempt of each task, and the tasks that were cancelled."""
    found: Dict[int, Newest] = {}
    cancelled: Set[int] = set()
    folder = layout.checked_package(root, package)
    for number in blocks.list_submissions(folder):
        path = blocks.submission_folder(folder, number)
        cancelled |= cancelled_tasks(path)
        for each in blocks.list_blocks(path, number):
            if each.records:
                _take(found, path, each.id, output)
    return found, cancelled


def _take(found: Dict[int, Newest], path: str, block: blocks.BlockId, output: str) -> None:
    data = blocks.block_path(path, block.block, block.generation, "data")
    with open(blocks.block_path(path, block.block, block.generation, "records"), "rb") as file:
        for line in blocks.whole_lines(file.read()):
            try:
                record = blocks.record_from_line(line)
            except ValueError:
                continue
            known = found.get(record.task)
            if known is None or record.attempt >= known.attempt:
                rows = [each for each in record.outputs if each.path == output]
                at = rows[-1] if rows and record.state == "COMPLETED" else None
                found[record.task] = Newest(
                    record.attempt, record.state, data, at.offset if at else 0, at.bytes if at else 0
                )


def _read(known: Optional[Newest], table: Optional[str]) -> List[Row]:
    """A task's rows; none where there are none, or they cannot be read as a table."""
    if known is None or not known.bytes:
        return []
    with open(known.data, "rb") as file:
        file.seek(known.offset)
        text = file.read(known.bytes).decode("utf-8", "replace")
    try:
        return _READERS.get(".jsonl" if table is None else _suffix(table), _delimited)(text)
    except (ValueError, csv.Error):
        return []


def _suffix(table: str) -> str:
    return os.path.splitext(table)[1].lower()


def _json_lines(text: str) -> List[Row]:
    return [_row(json.loads(line)) for line in text.splitlines() if line.strip()]


def _json(text: str) -> List[Row]:
    value = json.loads(text)
    return [_row(each) for each in (value if isinstance(value, list) else [value])]


def _row(value: Any) -> Row:
    return value if isinstance(value, dict) else {"value": value}


def _delimited(text: str) -> List[Row]:
    """Lines of fields: by the first mark that the first line has, else by blanks."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    mark = next((each for each in "\t,;|" if lines and each in lines[0]), None)
    if mark is None:
        return _named([line.split() for line in lines])
    return _named(list(csv.reader(lines, delimiter=mark)))


def _csv(text: str) -> List[Row]:
    return _named([row for row in csv.reader(io.StringIO(text)) if row])


def _tsv(text: str) -> List[Row]:
    return _named([row for row in csv.reader(io.StringIO(text), delimiter="\t") if row])


def _named(cells: List[List[str]]) -> List[Row]:
    """Rows of cells; a first one without any number names them, else they are ``column_1`` and so on."""
    if not cells:
        return []
    names = ["column_%d" % number for number in range(1, max(map(len, cells)) + 1)]
    if _may_name(cells[0]):
        names, cells = [cell.strip() for cell in cells[0]], cells[1:]
    return [dict(zip(names, map(_value, row))) for row in cells]


def _may_name(cells: List[str]) -> bool:
    """Whether there is no number among them; `inf` and `nan` are names unless all are such."""
    if any(isinstance(_value(cell), (int, float)) for cell in cells):
        return False
    return not all(_NOT_FINITE.match(cell) for cell in cells)


def _value(cell: str) -> Any:
    """A cell as the number it is, as None where it is missing, else as its text."""
    text = cell.strip()
    if text in ("", "NA", "N/A", "null", "NULL", "None"):
        return None
    try:
        return int(text)
    except ValueError:
        pass
    try:
        number = float(text)
    except ValueError:
        return text
    return number if number - number == 0 else text  # a name, or a number where all of its column are


_READERS: Dict[str, Callable[[str], List[Row]]] = {
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".json": _json,
    ".csv": _csv,
    ".tsv": _tsv,
}
