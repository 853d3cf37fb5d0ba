"""Pictures in a terminal and as files."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cjledger.errors import CjError
from cjledger.plot import chart, in_terminal, save

GRID: dict[str, list[Any]] = {
    "delta": [i / 10 for i in range(1, 10) for _ in range(49)],
    "epsilon": [j / 50 for _ in range(9) for j in range(1, 50)],
    "pr": [1 / (1 + math.exp(30 * (j / 50 - i / 12))) for i in range(1, 10) for j in range(1, 50)],
}


def test_a_grid_with_a_colour_is_a_heat_map() -> None:
    picture = chart(GRID, "delta", "epsilon", "pr", title="PT.py 8ab7a5aa0123")
    assert picture.kind == "heat"
    assert (len(picture.cells), len(picture.cells[0])) == (49, 9)
    text = in_terminal(picture)
    assert "PT.py 8ab7a5aa0123" in text
    assert "delta" in text
    assert "epsilon" in text
    assert max(map(len, text.splitlines())) <= 80
    body = [line.split("|")[1] for line in text.splitlines() if line.count("|") == 2]
    assert body[0].strip() == ""
    assert set(body[-1][20:]) == {"@"}


def test_a_large_grid_is_averaged_into_what_fits() -> None:
    columns: dict[str, list[Any]] = {
        "x": [i for i in range(200) for _ in range(100)],
        "y": [j for _ in range(200) for j in range(100)],
        "c": [i + j for i in range(200) for j in range(100)],
    }
    lines = in_terminal(chart(columns, "x", "y", "c")).splitlines()
    assert max(map(len, lines)) <= 80
    assert len(lines) < 35


def test_replicates_in_a_cell_are_averaged_and_empty_cells_marked() -> None:
    columns: dict[str, list[Any]] = {"x": [1, 1, 2, 1], "y": [1, 1, 1, 2], "c": [0.0, 1.0, 3.0, 4.0]}
    picture = chart(columns, "x", "y", "c")
    assert picture.cells[0] == (0.5, 3.0)
    assert math.isnan(picture.cells[1][1])
    assert "????" in in_terminal(picture)


def test_points_that_are_no_grid_are_scattered_with_a_marker_for_each_range() -> None:
    columns: dict[str, list[Any]] = {"x": [1, 2, 3, 5], "y": [2, 1, 4, 9], "c": [1, 2, 3, 4]}
    picture = chart(columns, "x", "y", "c")
    assert picture.kind == "points"
    assert "c 3.4 to 4" in in_terminal(picture)


def test_lines_are_drawn_for_each_value_of_by_sorted_by_x() -> None:
    columns: dict[str, list[Any]] = {"x": [3, 1, 2, 1], "y": [1, 2, 3, 4], "k": ["b", "a", "a", "b"]}
    picture = chart(columns, "x", "y", by="k", title="T")
    assert [(s.label, s.points) for s in picture.series] == [
        ("k = a", ((1.0, 2.0), (2.0, 3.0))),
        ("k = b", ((1.0, 4.0), (3.0, 1.0))),
    ]
    text = in_terminal(picture)
    assert "o k = a  x k = b" in text
    assert max(map(len, text.splitlines())) <= 80


def test_words_on_an_axis_are_its_ticks() -> None:
    columns: dict[str, list[Any]] = {"solver": ["sgd", "adam", "sgd"], "loss": [1.0, 2.0, 3.0]}
    picture = chart(columns, "solver", "loss")
    assert picture.x.words == ("sgd", "adam")
    assert "adam" in in_terminal(picture)


@pytest.mark.parametrize("blank", ["", " ", " " * 12 + "late"])
def test_a_word_without_a_letter_is_a_tick_too(blank: str) -> None:
    columns: dict[str, list[Any]] = {"x": [1, 2, 3], "y": [blank, "z", blank]}
    assert repr(blank[:12]) in in_terminal(chart(columns, "x", "y"))
    assert "z" in in_terminal(chart(columns, "y", "x"))
    assert in_terminal(chart(columns, "x", "x", by="y"))


def test_what_plotext_remarks_is_not_printed(capfd: pytest.CaptureFixture[str]) -> None:
    columns: dict[str, list[Any]] = {"x": [0, 1], "y": [2**60, 2**60 + 1], "k": ["a", "b"]}
    assert "k = a" in in_terminal(chart(columns, "x", "y", "k"))
    assert capfd.readouterr() == ("", "")


def test_a_pipe_gets_no_escape_codes_and_words_cannot_smuggle_any() -> None:
    columns: dict[str, list[Any]] = {
        "x": ["\x1b[31mred", "b\n"],
        "y": [1, 2],
        "c": [1, 2],
        "k": ["\x07", "q"],
    }
    for picture in (
        chart(columns, "x", "y"),
        chart(columns, "x", "y", by="k"),
        chart(columns, "x", "y", "k"),
    ):
        text = in_terminal(picture)
        assert "\x1b" not in text
        assert "\x07" not in text
    assert "\x1b[48" in in_terminal(chart(GRID, "delta", "epsilon", "pr"), color=True)


def test_rows_with_missing_or_infinite_values_are_left_out() -> None:
    columns: dict[str, list[Any]] = {"x": [1, None, 3, 4], "y": [1.0, 2.0, math.nan, math.inf]}
    assert chart(columns, "x", "y").series[0].points == ((1.0, 1.0),)
    with pytest.raises(CjError, match="no row has values in x, y"):
        chart({"x": [None], "y": [1]}, "x", "y")


@pytest.mark.parametrize("value", [5.0, 0.0, -1.0])
def test_one_value_everywhere_can_be_drawn(value: float) -> None:
    columns: dict[str, list[Any]] = {"x": [1, 1, 2, 2], "y": [1, 2, 1, 2], "c": [value] * 4}
    assert "c: " in in_terminal(chart(columns, "x", "y", "c"))
    assert in_terminal(chart({"x": [1], "y": [value]}, "x", "y"))


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_files_are_written_and_the_same_for_the_same_chart(tmp_path: Path, suffix: str) -> None:
    words: dict[str, list[Any]] = {"k": ["a$b", "c$"] * 2, "y": [1, 2, 3, 4], "c": [1, 3, 2, 9.5]}
    pictures = {
        "heat": chart(GRID, "delta", "epsilon", "pr", title="8ab7"),
        "lines": chart(GRID, "epsilon", "pr", by="delta"),
        "words": chart(words, "k", "y"),
        "points": chart(words, "y", "c", "c"),
    }
    begins = b"\x89PNG" if suffix == ".png" else b"<?xml"
    for name, picture in pictures.items():
        path = tmp_path / f"{name}{suffix}"
        save(picture, path)
        first = path.read_bytes()
        save(picture, path)
        assert first.startswith(begins)
        assert path.read_bytes() == first
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(f"{name}{suffix}" for name in pictures)


def test_another_suffix_and_a_folder_that_is_not_there_are_refused(tmp_path: Path) -> None:
    picture = chart({"x": [1], "y": [1]}, "x", "y")
    with pytest.raises(CjError, match=r"neither \.png nor \.svg"):
        save(picture, tmp_path / "x.gif")
    with pytest.raises(CjError, match="cannot write"):
        save(picture, tmp_path / "no" / "x.png")


def test_text_in_a_terminal_needs_no_matplotlib_and_files_say_how_to_get_it(tmp_path: Path) -> None:
    code = """
import sys
sys.modules["matplotlib"] = None
from pathlib import Path
from cjledger.errors import CjError
from cjledger.plot import chart, in_terminal, save
picture = chart({"x": [1, 2], "y": [1, 2]}, "x", "y")
in_terminal(picture)
try:
    save(picture, Path("x.png"))
except CjError as problem:
    print(problem.hint)
"""
    done = subprocess.run(
        (sys.executable, "-c", code), cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == "pip install 'cjledger[plot]'\n"
