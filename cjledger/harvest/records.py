"""Frames to records: parsed at once, each output found, cut out and compared with its SHA-256."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from itertools import accumulate, chain, repeat, zip_longest
from typing import Any, NamedTuple

from cjledger.background import Beside
from cjledger.errors import CjError
from cjledger.harvest.manifest import INLINE_BYTES, RECORDS, Broken, Frame
from cjledger.shards import parquet
from cjledger.shards.frames import pl
from cjnode.vocabulary import FINAL_STATES

PART_BYTES = 8 * 1024 * 1024  # of records, parsed at once
_REACH = 2**42  # no data file is longer; one number then orders (frame, offset)
_ATTEMPTS = 2**20


class Outputs(NamedTuple):
    """All outputs of a batch in a row, field by field; ``contents`` are verified bytes, or None."""

    tasks: list[int]
    attempts: list[int]
    completed: list[bool]
    paths: list[str]
    sizes: list[int]
    contents: list[bytes | None]

    def kept(self) -> list[bytes | None]:
        """The contents that `cj:records` keeps: not those above 4 MiB, which were fetched for their rows."""
        if max(self.sizes, default=0) <= INLINE_BYTES:
            return self.contents
        pairs = zip(self.contents, self.sizes, strict=True)
        return [content if size <= INLINE_BYTES else None for content, size in pairs]


class Batch(NamedTuple):
    """What some frames hold: records (an Arrow table), their outputs, what was wrong."""

    frames: int
    records: Any
    numbers: list[int]  # which frame each record is of
    outputs: Outputs
    broken: list[Broken]
    positions: dict[str, tuple[int, int]]


def fresh(frames: Iterable[Frame], positions: Mapping[str, tuple[int, int]]) -> Iterator[Frame]:
    """The frames without what was read before, whole lines only. Raises CjError where bytes are missing."""
    read = {block: at for block, (at, _) in positions.items()}
    for frame in frames:
        at = read.get(frame.block, 0)
        if frame.records_from > at:
            raise CjError(
                f"block {frame.block} was sent from byte {frame.records_from}, {at} are read",
                "git cj harvest",
            )
        records = frame.records[at - frame.records_from : frame.records.rfind(b"\n") + 1]
        if records:
            read[frame.block] = at + len(records)
            yield Frame(frame.block, records, at, frame.data)


def read_batch(frames: Sequence[Frame], tasks: int, seen: list[pl.Series]) -> Batch:
    """Parse a batch of fresh frames; attempts in ``seen`` are left out, the new ones added to it."""
    parts = [_read_part(part, table, tasks, seen) for part, table in _parsed(_parts(frames))]
    return parts[0] if len(parts) == 1 else _joined(parts)


def _parts(frames: Sequence[Frame]) -> list[list[Frame]]:
    parts: list[list[Frame]] = [[]]
    size = 0
    for frame in frames:
        if size >= PART_BYTES:
            parts.append([])
            size = 0
        parts[-1].append(frame)
        size += len(frame.records)
    return parts


def _parsed(parts: Sequence[list[Frame]]) -> Iterator[tuple[list[Frame], Any]]:
    """Each part with its records, None where one cannot be read.

    Parsing holds no lock: the next part is parsed while its outputs are looked at here.
    """
    parsing = Beside(_parse, parts[0])
    for part, after in zip_longest(parts, parts[1:]):
        table = parsing.result()
        if after is not None:
            parsing = Beside(_parse, after)
        yield part, table


def _parse(frames: Sequence[Frame]) -> Any:
    try:
        return parquet.records_from_lines(b"".join(frame.records for frame in frames))
    except parquet.ParseError:
        return None


def _read_part(frames: Sequence[Frame], table: Any, tasks: int, seen: list[pl.Series]) -> Batch:
    broken: list[Broken] = []
    numbers = list(chain.from_iterable(repeat(i, f.records.count(b"\n")) for i, f in enumerate(frames)))
    if table is None:
        table, numbers = _line_by_line(frames, broken)
    keep = _valid(table, tasks, numbers, frames, broken)
    _drop_repeated(table, keep, seen)
    if not all(keep):
        table = parquet.select(table, keep)
        numbers = [number for number, kept in zip(numbers, keep, strict=True) if kept]
    counts, fields = parquet.split_outputs(table)
    outputs = _outputs(table, counts, fields, numbers, frames, broken)
    return Batch(len(frames), table, numbers, outputs, broken, _positions(frames, counts, fields, numbers))


def _joined(parts: Sequence[Batch]) -> Batch:
    before = accumulate((part.frames for part in parts), initial=0)
    positions: dict[str, tuple[int, int]] = {}
    for part in parts:
        positions = further(positions, part.positions)
    return Batch(
        sum(part.frames for part in parts),
        parquet.concatenate([part.records for part in parts]),
        [at + number for at, part in zip(before, parts, strict=False) for number in part.numbers],
        Outputs(*(list(chain(*fields)) for fields in zip(*(part.outputs for part in parts), strict=True))),
        [broken for part in parts for broken in part.broken],
        positions,
    )


def further(
    before: Mapping[str, tuple[int, int]], now: Mapping[str, tuple[int, int]]
) -> dict[str, tuple[int, int]]:
    """How far blocks are read, when some were read further: records and data."""
    return {
        **before,
        **{block: (at, max(data, before.get(block, (0, 0))[1])) for block, (at, data) in now.items()},
    }


def _line_by_line(frames: Sequence[Frame], broken: list[Broken]) -> tuple[Any, list[int]]:
    """The slow way, after a line that cannot be read: each on its own."""
    records: list[dict[str, Any]] = []
    numbers: list[int] = []
    for number, frame in enumerate(frames):
        at = frame.records_from
        for line in frame.records.splitlines(keepends=True):
            try:
                record = json.loads(line)
                parquet.records_from_dicts([record])
                records.append(record)
                numbers.append(number)
            except (ValueError, RecursionError) as problem:
                broken.append(_unreadable(frame, at, str(problem)))
            at += len(line)
    return parquet.records_from_dicts(records), numbers


def _unreadable(frame: Frame, at: int, why: str, task: int = 0, attempt: int = 0) -> Broken:
    return Broken(task, attempt, RECORDS, f"block {frame.block}, byte {at}: {why}")


def _valid(
    table: Any, tasks: int, numbers: Sequence[int], frames: Sequence[Frame], broken: list[Broken]
) -> list[bool]:
    """Which records name a task, an attempt, a final state and outputs that can be; the others are named."""
    rows = pl.from_arrow(table)
    assert isinstance(rows, pl.DataFrame)
    out = pl.element().struct
    good = (
        pl.col("task").is_between(1, tasks).fill_null(False)
        & pl.col("attempt").is_between(1, _ATTEMPTS).fill_null(False)
        & pl.col("state").is_in(list(FINAL_STATES)).fill_null(False)
        & pl.col("outputs")
        .list.eval(
            out.field("path").is_not_null()
            & out.field("sha256").is_not_null()
            & out.field("offset").is_between(0, _REACH - 1).fill_null(False)
            & out.field("bytes").is_between(0, _REACH).fill_null(False)
        )
        .list.all()
        .fill_null(True)
    )
    keep: list[bool] = rows.select(good.alias("good")).to_series().to_list()
    if all(keep):
        return keep
    for row, kept in enumerate(keep):
        if not kept:
            frame, task, attempt = frames[numbers[row]], rows["task"][row], rows["attempt"][row]
            broken.append(_unreadable(frame, frame.records_from, "not a record", task or 0, attempt or 0))
    return keep


def _drop_repeated(table: Any, keep: list[bool], seen: list[pl.Series]) -> None:
    """Two incarnations may both record an attempt; the first one counts."""
    rows = pl.from_arrow(table.select(["task", "attempt"]))
    assert isinstance(rows, pl.DataFrame)
    kept = rows.filter(pl.Series(keep, dtype=pl.Boolean))
    keys = kept.select((pl.col("attempt") * _REACH + pl.col("task")).alias("key")).to_series()
    if keys.n_unique() < len(keys) or any(keys.is_in(old.implode()).any() for old in seen):
        known = {key for old in seen for key in old.to_list()}
        places = (place for place, good in enumerate(keep) if good)
        for place, key in zip(places, keys.to_list(), strict=True):
            keep[place] = key not in known
            known.add(key)
    seen.append(keys)


def _outputs(
    table: Any,
    counts: Sequence[int],
    fields: Mapping[str, list[Any]],
    numbers: Sequence[int],
    frames: Sequence[Frame],
    broken: list[Broken],
) -> Outputs:
    """Each output with its task, its bytes cut out of the frames and compared with its digest."""

    def each(values: Sequence[Any]) -> list[Any]:
        return list(values) if single else list(chain.from_iterable(map(repeat, values, counts)))

    single = counts.count(1) == len(counts)
    tasks, attempts = each(table.column("task").to_pylist()), each(table.column("attempt").to_pylist())
    completed = each([state == "COMPLETED" for state in table.column("state").to_pylist()])
    contents = _cut(frames, each(numbers), fields["offset"], fields["bytes"])
    digests = [None if content is None else sha256(content).hexdigest() for content in contents]
    different = [] if digests == fields["sha256"] else range(len(digests))
    for i in different:
        if contents[i] is None:
            if fields["bytes"][i] <= INLINE_BYTES:
                broken.append(Broken(tasks[i], attempts[i], fields["path"][i], "its bytes did not come"))
        elif digests[i] != fields["sha256"][i]:
            contents[i] = None
            why = "its bytes do not have the SHA-256 of the record"
            broken.append(Broken(tasks[i], attempts[i], fields["path"][i], why))
    return Outputs(tasks, attempts, completed, fields["path"], fields["bytes"], contents)


def _cut(
    frames: Sequence[Frame], numbers: Sequence[int], offsets: Sequence[int], sizes: Sequence[int]
) -> list[bytes | None]:
    """Each output's bytes from the piece of data that holds them, None where none does."""
    pieces = [(i * _REACH + offset, data) for i, frame in enumerate(frames) for offset, data in frame.data]
    pieces.sort(key=lambda piece: piece[0])
    pieces = pieces or [(0, b"")]
    starts = pl.Series([start for start, _ in pieces], dtype=pl.Int64)
    wanted = pl.Series(numbers, dtype=pl.Int64) * _REACH + pl.Series(offsets, dtype=pl.Int64)
    index = starts.search_sorted(wanted, side="right").cast(pl.Int64) - 1
    first = wanted - starts.gather(index.clip(0))
    last = first + pl.Series(sizes, dtype=pl.Int64)
    lengths = pl.Series([len(data) for _, data in pieces], dtype=pl.Int64).gather(index.clip(0))
    places = zip(index.to_list(), first.to_list(), last.to_list(), strict=True)
    if not len(first) or bool(((first >= 0) & (last <= lengths)).all()):
        return [pieces[piece][1][start:end] for piece, start, end in places]
    contents: list[bytes | None] = []
    for (piece, start, end), length in zip(places, lengths.to_list(), strict=True):
        inside = start >= 0 and end <= length
        contents.append(pieces[max(piece, 0)][1][start:end] if inside else b"" if start == end else None)
    return contents


def _positions(
    frames: Sequence[Frame], counts: Sequence[int], fields: Mapping[str, list[Any]], numbers: Sequence[int]
) -> dict[str, tuple[int, int]]:
    """How far each block is read: to the end of its records, and of the data that they name."""
    data: dict[str, int] = {}
    for frame in frames:
        came = max((offset + len(piece) for offset, piece in frame.data), default=0)
        data[frame.block] = max(data.get(frame.block, 0), came)
    if max(fields["bytes"], default=0) <= INLINE_BYTES:
        return {frame.block: (frame.records_from + len(frame.records), data[frame.block]) for frame in frames}
    owners = chain.from_iterable(map(repeat, numbers, counts))
    for owner, offset, size in zip(owners, fields["offset"], fields["bytes"], strict=True):
        if size > INLINE_BYTES:  # left out of the frame, and read all the same
            block = frames[owner].block
            data[block] = max(data[block], offset + size)
    return {frame.block: (frame.records_from + len(frame.records), data[frame.block]) for frame in frames}
