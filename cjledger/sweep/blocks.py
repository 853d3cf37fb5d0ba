"""Grids: one block from ``--sweep``, several with a stop list from a file."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cjledger.errors import CjError, nearest
from cjledger.model import Axis, Block, Sweep
from cjledger.sweep.spec import EXAMPLE, Scalar, SpecError, check_names, parse_values
from cjnode.package.axes import LARGEST_TASK, plain_axis
from cjnode.package.points import block_size

_KEYS = ("blocks", "stop_list")
_RIGHT_FILE = 'a file like: [[blocks]] newline delta = "0.1:0.1:0.9" newline method = ["a", "b"]'


def single(repeat: int) -> Sweep:
    """One point without parameters."""
    return Sweep("single", (), (), (), 0, _repeat(repeat), None)


def from_specs(specs: Sequence[str], repeat: int) -> Sweep:
    """The product of ``NAME=SPEC`` axes in the order given, the last one fastest."""
    axes = []
    for spec in specs:
        name, equals, text = spec.partition("=")
        if not equals:
            raise CjError(f"--sweep {spec}: there is no =", EXAMPLE)
        axes.append((name.strip(), _parsed(text, f"--sweep {spec}", f"--sweep {name}=")))
    return _grid([axes], (), repeat, "--sweep")


def from_block(block: Mapping[str, Any], repeat: int) -> Sweep:
    """The product of one block given from Python: a name to its values or a specification."""
    return from_blocks([block], [], repeat, "sweep")


def from_blocks(
    blocks: Sequence[Mapping[str, Any]], stop_list: Sequence[Mapping[str, Any]], repeat: int, origin: str
) -> Sweep:
    """The union of blocks, a point of two of them once, without the exact points of the stop list."""
    named = []
    for number, block in enumerate(blocks, 1):
        where = f"{origin}: block {number}" if len(blocks) > 1 else origin
        if not isinstance(block, Mapping) or not block:
            raise CjError(f"{where} is not a table of names and values", _RIGHT_FILE)
        named.append([(str(name), values_of(given, f"{where}: {name}")) for name, given in block.items()])
    return _grid(named, stop_list, repeat, origin)


def from_blocks_file(path: Path, repeat: int) -> Sweep:
    """Read a JSON or TOML file of blocks: ``blocks``, and ``stop_list`` with points to leave out."""
    data = _load(path)
    if isinstance(data, list):
        data = {"blocks": data}
    if not isinstance(data, dict):
        raise CjError(f"{path}: a file of blocks is a table with the key blocks", _RIGHT_FILE)
    for key in data:
        if key not in _KEYS:
            near = nearest(key, _KEYS, 0.0)
            raise CjError(f"{path}: there is no key {key}; did you mean {near}?", _RIGHT_FILE)
    blocks, stop_list = data.get("blocks", []), data.get("stop_list", [])
    if not isinstance(blocks, list) or not isinstance(stop_list, list):
        raise CjError(f"{path}: blocks and stop_list are lists of tables", _RIGHT_FILE)
    return from_blocks(blocks, stop_list, repeat, str(path))


def _load(path: Path) -> Any:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as problem:
        reason = problem.strerror if isinstance(problem, OSError) else "it is not UTF-8"
        raise CjError(f"{path} cannot be read: {reason}", "name a .json or .toml file") from problem
    try:
        if path.suffix.lower() == ".toml":
            import tomllib

            return tomllib.loads(text)
        if path.suffix.lower() == ".json":
            return json.loads(text, object_pairs_hook=unique_keys)
    except (ValueError, RecursionError) as problem:
        raise CjError(f"{path}: {problem}", _RIGHT_FILE) from problem
    raise CjError(f"{path} is neither .json nor .toml", "give the file one of these suffixes")


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object whose names are distinct. Raises ValueError; json alone would keep the last."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(n for n in names if names.count(n) > 1)} is given twice")
    return found


def _parsed(text: str, origin: str, before: str) -> Sequence[Scalar]:
    try:
        return parse_values(text)
    except SpecError as problem:
        option, blank, word = before.partition(" ")
        right = problem.hint(word, option) if blank else problem.hint(before)
        raise CjError(f"{origin}: {problem}", right) from problem


def values_of(given: Any, origin: str) -> Sequence[Scalar]:
    """The values of an axis of a table, a specification of them included. Raises CjError."""
    given = _plain(given)
    if isinstance(given, str):
        return _parsed(given, origin, "")
    if isinstance(given, range) and given:
        if (given[-1] - given[0]) // given.step >= LARGEST_TASK:  # len() of such a range may overflow
            raise CjError(f"{origin} has more values than any package has tasks", EXAMPLE)
        return given
    values = list(given) if isinstance(given, list | tuple | range) else [given]
    if not values:
        raise CjError(f"{origin} has no values", EXAMPLE)
    return [check_value(value, origin) for value in values]


def _plain(value: Any) -> Any:
    # NumPy's arrays and numbers have it; what it returns is Python's own.
    convert = getattr(value, "tolist", None)
    return convert() if callable(convert) else value


def check_value(value: Any, origin: str) -> Scalar:
    """A value that JSON and a command line can carry. Raises CjError for any other."""
    value = _plain(value)
    if value is not None and not isinstance(value, bool | int | float | str):
        raise CjError(
            f"{origin}: a {type(value).__name__} is no value of a parameter",
            "use numbers, texts, true, false or null",
        )
    if isinstance(value, float) and not math.isfinite(value):
        raise CjError(f"{origin}: {value} is not a finite number", "leave it out, or write it as text")
    if isinstance(value, str) and "\0" in value:
        raise CjError(f"{origin}: {value!r} holds a NUL, which no command line can", "leave it out")
    if isinstance(value, str) and not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as problem:
            raise CjError(f"{origin}: {value!r} is not text", "write it in UTF-8") from problem
    plain: Scalar = value
    return plain


def _repeat(repeat: int) -> int:
    if repeat < 1:
        raise CjError(f"--repeat {repeat}: there is nothing to run", "--repeat 10")
    return repeat


def _grid(
    blocks: Sequence[Sequence[tuple[str, Sequence[Scalar]]]],
    stop_list: Sequence[Mapping[str, Any]],
    repeat: int,
    origin: str,
) -> Sweep:
    for block in blocks:
        check_names([name for name, _ in block], origin)
    made = tuple(Block(tuple(plain_axis(name, values) for name, values in block)) for block in blocks)
    names = tuple(dict.fromkeys(name for block in blocks for name, _ in block))
    removed = tuple(sorted({*_removed(made, stop_list, origin), *_overlaps(made)}))
    if sum(map(block_size, made)) == len(removed):
        raise CjError(f"{origin}: the sweep is empty", EXAMPLE)
    return Sweep("grid", made, removed, names, 0, _repeat(repeat), None)


def _key(value: Any) -> tuple[bool, Any]:
    """Equal for equal numbers, but true is not 1."""
    return isinstance(value, bool), value


def _removed(blocks: Sequence[Block], stop_list: Sequence[Mapping[str, Any]], origin: str) -> set[int]:
    """The positions of exact points in the union of blocks, by arithmetic on the axes."""
    if not stop_list:
        return set()
    places = [[_places(axis) for axis in block.axes] for block in blocks]
    removed: set[int] = set()
    for number, point in enumerate(stop_list, 1):
        where = f"{origin}: stop_list {number}"
        if not isinstance(point, Mapping):
            raise CjError(f"{where} is not a table of names and values", "{delta = 0.1, epsilon = 0.2}")
        wanted = {str(name): _key(check_value(value, where)) for name, value in point.items()}
        start, found = 0, False
        for block, axes in zip(blocks, places, strict=True):
            if {axis.names[0] for axis in block.axes} == set(wanted):
                positions = _positions(block, axes, wanted)
                found = found or bool(positions)
                removed.update(start + position for position in positions)
            start += block_size(block)
        if not found:
            # Left unsaid, a number that is off by its last digit would run after all.
            raise CjError(
                f"{where} is no point of the blocks: {dict(point)}", "write every parameter exactly"
            )
    return removed


def _overlaps(blocks: Sequence[Block]) -> set[int]:
    """The positions of points that an earlier block has, by arithmetic on the axes."""
    if len(blocks) < 2:
        return set()
    places = [{axis.names[0]: _places(axis) for axis in block.axes} for block in blocks]
    overlaps: set[int] = set()
    start = 0
    for number, block in enumerate(blocks):
        for earlier in places[:number]:
            if earlier.keys() != places[number].keys():
                continue
            here = [
                [at for at, (value,) in enumerate(axis.values) if _key(value) in earlier[axis.names[0]]]
                for axis in block.axes
            ]
            # A block with more points than any package has is refused for that, without listing them.
            if math.prod(map(len, here)) <= LARGEST_TASK:
                overlaps.update(start + position for position in _grid_positions(block, here))
        start += block_size(block)
    return overlaps


def _places(axis: Axis) -> dict[tuple[bool, Any], list[int]]:
    places: dict[tuple[bool, Any], list[int]] = {}
    for position, (value,) in enumerate(axis.values):
        places.setdefault(_key(value), []).append(position)
    return places


def _positions(
    block: Block,
    places: Sequence[Mapping[tuple[bool, Any], list[int]]],
    wanted: Mapping[str, tuple[bool, Any]],
) -> list[int]:
    here = [at.get(wanted[axis.names[0]], []) for axis, at in zip(block.axes, places, strict=True)]
    return _grid_positions(block, here)


def _grid_positions(block: Block, here: Sequence[Sequence[int]]) -> list[int]:
    """Where the product of some places on each axis lies in a block."""
    positions = []
    for indices in itertools.product(*here):
        position = 0
        for axis, index in zip(block.axes, indices, strict=True):
            position = position * len(axis.values) + index
        positions.append(position)
    return positions
