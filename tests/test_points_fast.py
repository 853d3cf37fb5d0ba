"""Points that are numbers and nothing else are read many at once, and mean what they mean one by one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cjledger import sweep
from cjledger.errors import CjError
from cjledger.sweep.spec import SpecError, scalar

CELLS = st.one_of(
    st.integers(-(10**20), 10**20).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.sampled_from(
        ["", "007", "1.", ".5", "+3", "-0", "1e400", "1E5", "x", "2024-01-02", "1,5", "true", "9" * 301]
    ),
)


@given(cells=st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=6), end=st.sampled_from(["\n", "\r\n"]))
def test_a_row_means_the_same_read_with_others_and_alone(
    tmp_path_factory: pytest.TempPathFactory, cells: list[tuple[str, str]], end: str
) -> None:
    path = tmp_path_factory.mktemp("points") / "p.tsv"
    path.write_bytes(end.join(["a\tb", *("\t".join(row) for row in cells)]).encode())
    try:
        expected = [[scalar(cell) if cell else None for cell in row] for row in cells]
    except SpecError:
        with pytest.raises(CjError):
            list(sweep.read_points(path)[1])
        return
    found = list(sweep.read_points(path)[1])
    assert json.dumps(found) == json.dumps(expected)


@pytest.mark.parametrize(
    "text", ["a\n1\r2\n", "a,b\n1,2\n\n3,4\n", "\n\na\n1\n", "a\n" + "1\n" * 10_001 + "x\n"]
)
def test_odd_files_of_numbers_are_read_as_csv_says(tmp_path: Path, text: str) -> None:
    (tmp_path / "p.csv").write_bytes(text.encode())
    _, rows = sweep.read_points(tmp_path / "p.csv")
    lines = [line for line in text.replace("\r", "\n").split("\n") if line][1:]
    assert list(rows) == [[scalar(cell) for cell in line.split(",")] for line in lines]


def test_the_line_of_a_wrong_row_is_named_after_many_that_are_right(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("a\n" + "1\n" * 10_005 + "1,2\n")
    with pytest.raises(CjError, match=r"line 10007: 2 values where 1 are named"):
        list(sweep.read_points(tmp_path / "p.csv")[1])


def test_lines_of_a_points_file_are_each_as_written_alone() -> None:
    rows: list[list[Any]] = [[1, 0.1, "],["], [None, True, '"'], [2, 1e300, "[]"]]
    for some in (rows, [row[:2] for row in rows]):
        _, files = sweep.explicit(["a", "b", "c"][: len(some[0])], some, 1)
        expected = "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in some)
        assert list(files) == [("points/00000.jsonl", expected.encode())]
