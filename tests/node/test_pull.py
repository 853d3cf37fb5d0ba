"""Verbs ``pull`` and ``fetch``: every whole record once, the bytes its outputs need, nothing torn."""

from __future__ import annotations

import io
import json
import os
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cjnode.errors import NodeError
from cjnode.records import blocks
from cjnode.records.blocks import Record
from cjnode.verbs import pull

from .conftest import PACKAGE, Root, call, output, record

MIB = 1 << 20


@dataclass
class Laptop:
    """What a laptop has of a package: the records, and the data by block and offset."""

    positions: dict[str, list[int]] = field(default_factory=dict)
    records: dict[str, bytes] = field(default_factory=dict)
    data: dict[tuple[str, int], bytes] = field(default_factory=dict)

    def take(self, reply: bytes) -> bool:
        """Read a reply; True when there is more."""
        source = io.BytesIO(reply)
        while True:
            frame = json.loads(source.readline())
            if frame.get("done"):
                assert source.read() == b""
                return bool(frame["more"])
            name, (start, size) = frame["block"], frame["records"]
            known = self.records.setdefault(name, b"")
            assert start == len(known)
            self.records[name] = known + source.read(size)
            assert self.records[name].endswith(b"\n")
            end = self.positions.get(name, [0, 0])[1]
            for offset, length in frame["data"]:
                self.data[name, offset] = source.read(length)
                end = offset + length
            self.positions[name] = [len(self.records[name]), end]

    def pull(self, root: Root, limit: int = 1 << 26) -> bool:
        out = io.BytesIO()
        request = {"package": PACKAGE, "positions": self.positions, "limit": limit}
        pull.pull(str(root.path), request, out)
        return self.take(out.getvalue())

    def outputs(self) -> dict[str, bytes | None]:
        """Each output by its path; None for one whose bytes did not come."""
        found: dict[str, bytes | None] = {}
        for name, lines in self.records.items():
            for line in lines.splitlines():
                for made in blocks.record_from_line(line).outputs:
                    found[made.path] = self._bytes(name, made.offset, made.bytes)
        return found

    def _bytes(self, block: str, offset: int, size: int) -> bytes | None:
        if not size:
            return b""
        for (name, start), content in self.data.items():
            if name == block and start <= offset and offset + size <= start + len(content):
                return content[offset - start : offset - start + size]
        return None


def wrote(root: Root, block: str, task: int, contents: dict[str, bytes]) -> None:
    """Append a task's outputs and its record, as a runner does."""
    path = root.file(block, "data")
    offset = path.stat().st_size if path.exists() else 0
    made = []
    for name, content in contents.items():
        made.append(output(name, offset, len(content)))
        offset += len(content)
    root.append(block, [record(task, outputs=tuple(made))], b"".join(contents.values()))


def test_what_is_new_comes_once(root: Root) -> None:
    root.submit("1-5")
    laptop = Laptop()
    wrote(root, "1/000001-01", 1, {"a": b"first", "b": b""})
    assert not laptop.pull(root)
    wrote(root, "1/000001-01", 2, {"c": b"second"})
    wrote(root, "1/000002-01", 3, {})
    assert not laptop.pull(root)
    assert laptop.outputs() == {"a": b"first", "b": b"", "c": b"second"}
    assert laptop.records["1/000002-01"].count(b"\n") == 1
    again = Laptop(positions=laptop.positions)
    assert not again.pull(root)
    assert again == Laptop(positions=laptop.positions)


def test_it_answers_in_every_interpreter_of_the_node_half(root: Root, node_python: str) -> None:
    root.submit("1-5")
    wrote(root, "1/000001-01", 1, {"a": b"\n\x00 cj n0 end\n", "b": b"x" * (5 * MIB), "c": b"last"})
    laptop = Laptop()
    request: dict[str, Any] = {"package": PACKAGE, "positions": {}, "limit": 1 << 26}
    assert not laptop.take(call(node_python, root.path, "pull", request))
    assert laptop.outputs() == {"a": b"\n\x00 cj n0 end\n", "b": None, "c": b"last"}
    request = {"package": PACKAGE, "items": [["1/000001-01", 13, 5 * MIB], ["1/000001-01", 13 + 5 * MIB, 99]]}
    source = io.BytesIO(call(node_python, root.path, "fetch", request))
    assert json.loads(source.readline()) == {"bytes": 5 * MIB}
    assert source.read(5 * MIB) == b"x" * (5 * MIB)
    assert source.read() == b'{"bytes":4}\nlast'


def test_half_a_record_stays_until_it_is_whole(root: Root) -> None:
    root.submit("1-5")
    wrote(root, "1/000001-01", 1, {"a": b"1"})
    wrote(root, "1/000001-01", 2, {"b": b"2"})
    path = root.file("1/000001-01", "records")
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    laptop = Laptop()
    assert not laptop.pull(root)
    assert laptop.outputs() == {"a": b"1"}
    path.write_bytes(whole)
    assert not laptop.pull(root)
    assert laptop.outputs() == {"a": b"1", "b": b"2"}


def test_data_without_a_record_does_not_travel(root: Root) -> None:
    root.submit("1-5")
    root.append("1/000001-01", [], b"left by a runner that was killed")
    wrote(root, "1/000001-01", 1, {"a": b"1"})
    root.append("1/000001-01", [], b"being written now")
    laptop = Laptop()
    laptop.pull(root)
    assert list(laptop.data.values()) == [b"1"]


@pytest.mark.parametrize("cut", [0, 3, 7])
def test_data_cut_short_brings_what_is_there(root: Root, cut: int) -> None:
    root.submit("1-5")
    wrote(root, "1/000001-01", 1, {"a": b"abcde"})
    wrote(root, "1/000001-01", 2, {"b": b"fghij"})
    os.truncate(root.file("1/000001-01", "data"), cut)
    laptop = Laptop()
    assert not laptop.pull(root)
    assert laptop.outputs() == {"a": b"abcde" if cut > 4 else None, "b": None}
    assert b"".join(laptop.data.values()) == b"abcdefghij"[:cut]


def test_records_without_a_data_file_come_alone(root: Root) -> None:
    root.submit("1-5")
    wrote(root, "1/000001-01", 1, {"a": b"abcde"})
    root.file("1/000001-01", "data").unlink()
    laptop = Laptop()
    assert not laptop.pull(root)
    assert laptop.outputs() == {"a": None}


def test_records_cut_short_behind_the_position_bring_nothing(root: Root) -> None:
    root.submit("1-5")
    wrote(root, "1/000001-01", 1, {"a": b"abcde"})
    laptop = Laptop()
    laptop.pull(root)
    os.truncate(root.file("1/000001-01", "records"), 10)
    again = Laptop(positions=laptop.positions)
    assert not again.pull(root)
    assert again.records == {}


HOSTILE: list[list[Any]] = [
    [{"offset": -5, "bytes": 5}],
    [{"offset": 0, "bytes": -1}],
    [{"offset": 0, "bytes": 1 << 60}],
    [{"offset": 1 << 60, "bytes": 1}],
    [{"offset": "0", "bytes": 5}],
    [{"offset": 0.5, "bytes": True}],
    [{}],
    [7],
    [None],
]


@pytest.mark.parametrize("outputs", HOSTILE)
def test_outputs_that_make_no_sense_never_stop_a_pull(root: Root, outputs: list[Any]) -> None:
    root.submit("1-5")
    wrote(root, "1/000001-01", 1, {"a": b"abcde"})
    with root.file("1/000001-01", "records").open("ab") as file:
        file.write(json.dumps({"task": 2, "outputs": outputs}).encode() + b"\n")
        file.write(b"\x00rubbish\n[]\nnull\n")
    wrote(root, "1/000001-01", 3, {"c": b"fghij"})
    sent = Laptop()
    assert not sent.pull(root)
    assert sent.records["1/000001-01"] == root.file("1/000001-01", "records").read_bytes()
    assert b"abcdefghij".startswith(next(iter(sent.data.values())))


def test_a_position_from_elsewhere_is_no_trouble(root: Root) -> None:
    root.submit("1-5")
    wrote(root, "1/000001-01", 1, {"a": b"abcde"})
    out = io.BytesIO()
    positions = {"1/000001-01": [-7, 0], "9/000001-01": [5, 5], "../..": [1, 1]}
    pull.pull(str(root.path), {"package": PACKAGE, "positions": positions}, out)
    assert out.getvalue().endswith(b'{"done":true,"more":false}\n')


def test_every_pull_brings_something_however_small_the_limit(root: Root) -> None:
    root.submit("1-5")
    for task in range(1, 6):
        wrote(root, f"1/{(task + 1) // 2:06}-01", task, {f"t{task}": b"x" * 1000})
    laptop, pulls = Laptop(), 1
    while laptop.pull(root, limit=1):
        pulls += 1
    assert pulls == 5
    assert laptop.outputs() == {f"t{task}": b"x" * 1000 for task in range(1, 6)}


def test_a_file_cut_short_while_it_is_sent_keeps_the_frame(root: Root) -> None:
    root.submit("1-5")
    wrote(root, "1/000001-01", 1, {"a": b"abcde"})
    out = io.BytesIO()
    pull._copy(str(root.file("1/000001-01", "data")), 3, 5, out)
    assert out.getvalue() == b"de\0\0\0"


SIZES = st.lists(
    st.tuples(st.integers(1, 3), st.lists(st.sampled_from([0, 1, 50, 3000]), max_size=3)), max_size=12
)


@given(SIZES, st.lists(st.integers(1, 6000), min_size=1, max_size=4))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_pulling_piecewise_is_pulling_once(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[tuple[int, list[int]]], limits: list[int]
) -> None:
    root = Root(tmp_path_factory.mktemp("r"))
    root.folder.mkdir(parents=True)
    root.submit("1-12", block=4)
    piecewise = Laptop()
    expected: dict[str, bytes | None] = {}
    for task, (block, lengths) in enumerate(sizes, 1):
        contents = {f"{task}-{k}": bytes([65 + k]) * n for k, n in enumerate(lengths)}
        wrote(root, f"1/{block:06}-01", task, contents)
        expected.update(contents)
        piecewise.pull(root, limits[task % len(limits)])
    while piecewise.pull(root, limits[0]):
        pass
    once = Laptop()
    once.pull(root)
    assert piecewise.records == once.records
    assert piecewise.outputs() == once.outputs() == expected


def test_large_outputs_stay_while_their_neighbours_come(root: Root) -> None:
    root.submit("1-5")
    path = root.file("1/000001-01", "data")
    path.write_bytes(b"")
    os.truncate(path, 30 * MIB)
    made: list[Record] = [
        record(1, outputs=(output("a", 0, MIB), output("large", MIB, 5 * MIB))),
        record(2, outputs=(output("b", 6 * MIB, 4 * MIB), output("c", 10 * MIB, 4 * MIB))),
        record(3, outputs=(output("larger", 14 * MIB, 16 * MIB),)),
    ]
    root.append("1/000001-01", made)
    laptop = Laptop()
    assert not laptop.pull(root)
    assert {name: size for (_, name), size in ((k, len(v)) for k, v in laptop.data.items())} == {
        0: MIB,
        6 * MIB: 8 * MIB,
    }


def test_a_package_that_is_not_here_is_refused(root: Root) -> None:
    for verb in (pull.pull, pull.fetch):
        for package in ("f" * 40, "../..", None):
            with pytest.raises(NodeError):
                verb(str(root.path), {"package": package, "items": []}, io.BytesIO())


@pytest.mark.parametrize(
    "items", [[["../../x-01", 0, 1]], [["1/000001-01", "x", 1]], [[1, 2]], ["a"], [None]]
)
def test_items_of_another_form_are_refused(root: Root, items: list[Any]) -> None:
    with pytest.raises(NodeError):
        pull.fetch(str(root.path), {"package": PACKAGE, "items": items}, io.BytesIO())


def test_what_is_not_there_is_fetched_as_nothing(root: Root) -> None:
    root.submit("1-5")
    wrote(root, "1/000001-01", 1, {"a": b"abcde"})
    items = [["1/000001-01", 3, 10], ["1/000001-01", 99, 1], ["1/000001-01", -3, 2], ["7/000001-01", 0, 2]]
    out = io.BytesIO()
    pull.fetch(str(root.path), {"package": PACKAGE, "items": items}, out)
    assert out.getvalue() == b'{"bytes":2}\nde{"bytes":0}\n{"bytes":0}\n{"bytes":0}\n'
