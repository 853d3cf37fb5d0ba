"""The axes of a sweep's blocks: short ones as they are listed, long ones in little memory."""

from array import array
from typing import Any, Dict, Iterator, NamedTuple, Sequence, Tuple, Union

MANIFEST_FORMAT = 2  # the newest that is read; one without a range for an axis is written as 1
LONG_AXIS = 1000
LARGEST_TASK = 1 << 24  # a typing error in a range must not fill the memory


class Column(Sequence[Tuple[Any, ...]]):
    """The values of a long axis of plain numbers, one a position, in the memory of the numbers alone.

    A worker is forked for every block, and a fork takes as long as the memory is large: of a million values
    in an axis a tuple each is 200 MB and 6 ms.
    """

    def __init__(self, numbers: Union["range", "array[float]"]) -> None:
        self.numbers = numbers

    def __len__(self) -> int:
        return len(self.numbers)

    def __iter__(self) -> Iterator[Tuple[Any, ...]]:
        return zip(self.numbers)

    def __getitem__(self, index: Any) -> Any:
        found = self.numbers[index]
        return Column(found) if isinstance(index, slice) else (found,)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Column) and self.numbers == other.numbers

    def __hash__(self) -> int:
        return hash((len(self), self[0]))


Axis = NamedTuple("Axis", [("names", Tuple[str, ...]), ("values", Sequence[Tuple[Any, ...]])])

Block = NamedTuple("Block", [("axes", Tuple[Axis, ...])])


def axis_of(names: Tuple[str, ...], rows: Sequence[Sequence[Any]]) -> Axis:
    """The axis that binds these names at each position to the values of its row."""
    if len(names) == 1 and len(rows) >= LONG_AXIS:
        return plain_axis(names[0], [value for (value,) in rows])
    return Axis(names, tuple(map(tuple, rows)))


def plain_axis(name: str, values: Sequence[Any]) -> Axis:
    """The axis of one parameter."""
    numbers = _numbers(values) if len(values) >= LONG_AXIS else None
    return Axis((name,), tuple(zip(values)) if numbers is None else Column(numbers))


def _numbers(values: Sequence[Any]) -> Union["range", "array[float]", None]:
    """Values that fit into little memory, in that form; None for others."""
    if isinstance(values, range):
        return values
    kinds = set(map(type, values))
    if kinds == {float}:
        return array("d", values)
    if kinds == {int} and values[0] != values[1]:
        step = values[1] - values[0]
        steps = range(values[0], values[0] + step * len(values), step)
        if all(map(int.__eq__, steps, values)):
            return steps
    return None


def axis_from_json(data: Dict[str, Any]) -> Axis:
    """Read an axis of the manifest's ``sweep``. Raises KeyError, TypeError or ValueError."""
    names = tuple(data["names"])
    if "range" in data:
        first, step, count = data["range"]
        if not all(type(number) is int for number in (first, step, count)) or not step or len(names) != 1:
            raise ValueError("not a range: %r" % (data["range"],))
        if not 0 < count <= LARGEST_TASK:
            raise ValueError("not a range of so many tasks: %d" % count)
        return plain_axis(names[0], range(first, first + step * count, step))
    return axis_of(names, data["values"])


def axis_to_json(axis: Axis) -> Dict[str, Any]:
    """The axis as the manifest has it: a long range as its first number, its step and how many there are."""
    names = list(axis.names)
    numbers = axis.values.numbers if isinstance(axis.values, Column) else None
    if isinstance(numbers, range):
        return {"names": names, "range": [numbers.start, numbers.step, len(numbers)]}
    return {"names": names, "values": [list(row) for row in axis.values]}
