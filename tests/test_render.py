"""Values to text: harmless, fitting, canonical."""

from __future__ import annotations

import io
import json
import os
import sys
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cjledger import render
from cjledger.render import live
from cjledger.render.spread import spread_words
from cjledger.render.widths import columns_of


@pytest.mark.parametrize(
    ("foreign", "shown"),
    [
        ("plain text", "plain text"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b[38;5;196m\x1b[8mhidden", "hidden"),
        ("\x9b2Jcleared", "cleared"),
        ("\x1b]0;title\x07name", "name"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b]0;never ended", "]0;never ended"),
        ("\x1bPdevice\x1b\\x", "x"),
        ("a\rb\nc\td", "a b c d"),
        ("user\u202egpj.exe", "usergpj.exe"),
        ("zero\u200bwidth\ufeff", "zerowidth"),
        ("tag\U000e0041", "tag"),
        ("half\udcff", "half\ufffd"),
        ("bell\x07\x00nul\x7f", "bellnul"),
        ("Größe 日本 🙂", "Größe 日本 🙂"),
    ],
)
def test_a_foreign_string_becomes_one_harmless_line(foreign: str, shown: str) -> None:
    assert render.plain(foreign) == shown


def test_text_of_several_lines_keeps_its_lines() -> None:
    assert render.plain_lines("a\tb\r\n\x1b[1mc\x1b[0m\r\nd\re") == "a\tb\nc\nde"


def test_no_character_that_acts_on_a_terminal_is_left() -> None:
    """Every character of the categories that format or control, as this Python's Unicode has them."""
    everything = "".join(
        chr(code)
        for code in range(sys.maxunicode + 1)
        if unicodedata.category(chr(code)) in ("Cc", "Cf", "Cs")
    )
    left = {hex(ord(char)) for char in render.plain(everything)} - {hex(ord(" ")), hex(0xFFFD)}
    assert left == set()


@given(st.text())
def test_plain_text_is_plain_whatever_came_in(foreign: str) -> None:
    shown = render.plain(foreign)
    assert "\n" not in shown
    assert not any(unicodedata.category(char) in ("Cc", "Cf", "Cs") for char in shown)
    assert render.plain(shown) == shown


@given(
    st.integers(1, 30).flatmap(
        lambda count: st.lists(
            st.lists(
                st.one_of(st.none(), st.text(max_size=60), st.integers(), st.floats()),
                min_size=count,
                max_size=count,
            ),
            max_size=4,
        )
    ),
    st.integers(40, 120),
)
def test_a_table_always_fits(rows: list[list[object]], width: int) -> None:
    count = len(rows[0]) if rows else 3
    for line in render.table([f"column {n}" for n in range(count)], rows, width).split("\n"):
        assert columns_of(line) <= width


def test_a_table_cuts_long_cells_and_sets_figures_right() -> None:
    shown = render.table(
        ["task", "state", "x", "note"], [[1, "FAILED", 0.5, "n" * 60], [20, "LOST", None, ""]], 40
    )
    assert shown.splitlines() == [
        "task  state     x  note",
        "   1  FAILED  0.5  nnnnnnnnnnnnnnnnnnnn…",
        "  20  LOST",
    ]


def test_a_table_of_a_thousand_columns_says_what_it_leaves_out() -> None:
    shown = render.table([f"v{n}" for n in range(1004)], [[0.123456789] * 1004], 80).splitlines()
    assert shown[0].endswith("…996 more")
    assert all(len(line) <= 80 for line in shown)


def test_without_a_width_nothing_is_cut_or_rounded() -> None:
    names = [f"column_{n}" for n in range(40)]
    shown = render.lay(names, [["n" * 200, 12345678.9, 0.1 + 0.2, 2**60, None, True, *[7.0] * 34]], None)
    head, row = shown.text.splitlines()
    assert shown.left_out == 0
    assert head.split() == names
    assert row.split() == ["n" * 200, "12345678.9", "0.30000000000000004", str(2**60), "true", *["7.0"] * 34]
    assert render.lay(names, [[1] * 40], 80).left_out == 31


def test_a_wide_character_takes_two_columns() -> None:
    assert columns_of("日本a") == 5
    assert render.fit("日本日本", 5) == "日本…"
    assert render.fit("abc", 3) == "abc"
    assert render.fit("abcd", 3) == "ab…"
    assert render.fit("abc", 0) == ""


def test_only_a_terminal_gets_colours() -> None:
    rows = [[1, "FAILED"]]
    assert "\x1b" not in render.table(["task", "state"], rows)
    assert "\x1b[31mFAILED\x1b[0m" in render.table(["task", "state"], rows, colour=True)


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1500, "1.5 kB"),
        (20_000_000, "20 MB"),
        (999_999, "1.0 MB"),
        (5e12, "5.0 TB"),
        (5e15, "5000 TB"),
    ],
)
def test_sizes_are_short(count: float, shown: str) -> None:
    assert render.size(count) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.007, "7 ms"),
        (1.25, "1.2 s"),
        (12.3, "12 s"),
        (59.9, "1 min"),
        (185, "3 min 5 s"),
        (3600, "1 h"),
        (7800, "2 h 10 min"),
        (86399, "23 h 59 min"),
        (273600, "3 d 4 h"),
        (-5, "0 ms"),
    ],
)
def test_durations_are_short(seconds: float, shown: str) -> None:
    assert render.duration(seconds) == shown


def test_times_are_local(monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    monkeypatch.setenv("TZ", "Etc/GMT-2")
    time.tzset()
    try:
        assert render.moment("2026-01-31T12:00:00.000000Z") == "2026-01-31 14:00"
    finally:
        monkeypatch.delenv("TZ")
        time.tzset()
    assert render.moment("\x1b[1mnever") == "never"
    assert render.moment(None) == ""


def test_a_state_line_counts_by_state_in_the_order_people_care_for() -> None:
    counts = {"PENDING": 3, "FAILED": 1, "COMPLETED": 437, "STRANGE\x1b": 1, "LOST": 0}
    assert render.state_line("8ab7a5aa0123" + "0" * 28, "local", "PT.py", 442, counts) == (
        "8ab7a5aa0123  local  PT.py  442 tasks:\n    437 COMPLETED, 1 FAILED, 3 PENDING, 1 STRANGE"
    )
    assert render.counts_words(None) == "not asked yet"


def test_progress_has_a_bar_a_rate_and_the_time_left() -> None:
    counts = {"COMPLETED": 200, "FAILED": 20, "RUNNING": 221}
    assert render.progress_line(441, counts, 12.5, 120) == (
        f"[{'#' * 14}{'.' * 16}]  220/441  49 %  200 COMPLETED, 20 FAILED, 221 RUNNING  12.5/s  18 s left"
    )
    assert render.progress_line(0, {}, None) == "[##############################]  0/0  100 %  "


@given(
    st.dictionaries(
        st.sampled_from(["COMPLETED", "FAILED", "RUNNING", "PENDING", "OUT_OF_MEMORY"]), st.integers(0, 10**6)
    ),
    st.one_of(st.none(), st.floats(0.001, 1e6)),
    st.integers(40, 120),
)
def test_a_progress_line_always_fits(counts: dict[str, int], rate: float | None, width: int) -> None:
    assert len(render.progress_line(sum(counts.values()), counts, rate, width)) <= width


@dataclass(frozen=True)
class _Value:
    path: Path
    parts: tuple[float, ...] = ()


def test_json_is_compact_canonical_and_harmless() -> None:
    value = {"b": 1, "a": [True, None, 0.1], "text": "ü\x1b\x9b\u202e\udcff\x7f\U000e0041"}
    line = render.json_line(value)
    assert line == ('{"b":1,"a":[true,null,0.1],"text":"ü\\u001b\\u009b\\u202e\\udcff\\u007f\\udb40\\udc41"}')
    assert json.loads(line) == value


def test_json_writes_numbers_that_are_none_as_words() -> None:
    value = [float("nan"), float("inf"), {"x": -float("inf")}, _Value(Path("a"), (float("nan"),))]
    assert render.json_line(value) == '["NaN","Infinity",{"x":"-Infinity"},{"path":"a","parts":["NaN"]}]'


_JSON = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
)


@settings(max_examples=50)
@given(st.recursive(_JSON, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=6))
def test_json_gives_back_what_went_in_on_one_line(value: object) -> None:
    line = render.json_line(value)
    assert render.plain(line) == line
    assert json.loads(line) == value


@dataclass(frozen=True)
class _Seen:
    tasks: int
    counts: dict[str, int] = field(default_factory=dict)


def _run(done: int) -> _Seen:
    return _Seen(100, {"COMPLETED": done, "PENDING": 100 - done})


def test_a_distribution_is_a_line_of_bars() -> None:
    seconds = {"low": 0.01, "middle": 1.0, "high": 9.123, "counts": [0, 1, 8, 4, 100]}
    memory = {"low": 30.0, "middle": 30.0, "high": 30.0, "counts": [3]}
    words = spread_words({"seconds": seconds, "max_rss_mb": memory})
    assert words == "0.01  ▁▁▁█ 9.12 s a task  30 █ 30 MB"
    assert spread_words({}) == ""


def test_without_a_terminal_progress_is_a_line_now_and_then() -> None:
    ticks = iter(range(1000))
    out = io.StringIO()
    last = live.watch(
        (_run(done) for done in range(101)), out, terminal=False, clock=lambda: next(ticks) / 10
    )
    lines = out.getvalue().splitlines()
    assert last == _run(100)
    assert 20 <= len(lines) <= 22
    assert "0/100" in lines[0]
    assert "100/100  100 %  100 COMPLETED" in lines[-1]
    assert "\x1b" not in out.getvalue()


def test_a_watch_that_ends_between_two_lines_shows_its_end() -> None:
    out = io.StringIO()
    live.watch(iter([_run(0), _run(96), _run(97)]), out, terminal=False, clock=lambda: 0.0)
    assert "97/100" in out.getvalue().splitlines()[-1]


def test_on_a_terminal_progress_redraws_itself() -> None:
    out = io.StringIO()
    ticks = iter(range(1000))
    seen = [_run(0), _run(50), _run(100)]
    assert (
        live.watch(iter(seen), out, title="8ab7", terminal=True, clock=lambda: float(next(ticks))) == seen[-1]
    )
    assert "8ab7" in out.getvalue()
    assert "100/100" in out.getvalue()
    assert "\x1b[" in out.getvalue()


def test_a_watch_without_colours_has_none() -> None:
    out = io.StringIO()
    live.watch(iter([_run(50)]), out, terminal=True, colour=False, clock=lambda: 0.0)
    assert "\x1b[3" not in out.getvalue().replace("\x1b[?", "")


def test_a_watch_of_nothing_is_nothing() -> None:
    assert live.watch(iter([]), io.StringIO(), terminal=False) is None


def test_the_pure_half_does_not_import_rich() -> None:
    code = "import sys, cjledger.render; sys.exit('rich' in sys.modules)"
    assert os.spawnv(os.P_WAIT, sys.executable, [sys.executable, "-c", code]) == 0
