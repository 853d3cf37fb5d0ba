from __future__ import annotations

import ast
import json
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cjledger.errors import CjError
from cjledger.languages.python import Nest
from cjledger.languages.python.nests import find_nests
from cjledger.languages.python.sweeps import loop_sweep
from cjledger.model import Sweep
from cjledger.sweep import explicit
from cjnode.package.points import count, points
from cjnode.program.loops import Cursor, WrongIterationError, cut, recorded
from tests.loop_programs import CERTAIN, REFUSED, RUN
from tests.node.cluster_kit import wait_for
from tests.package_kit import OLD_PYTHON


def sweep_of(folder: Path, source: str | bytes, **options: Any) -> tuple[Sweep, list[str]]:
    """The sweep of a program's nest, its points written below the folder, and what was announced."""
    path = folder / "PT.py"
    path.write_bytes(source if isinstance(source, bytes) else source.encode())
    said: list[str] = []
    given: dict[str, Any] = {
        "line": None,
        "depth": None,
        "interpreter": sys.executable,
        "workdir": folder,
        "search_path": [],
        "arguments": [],
        "evaluate": True,
        "max_tasks": 1000,
        "announce": said.append,
        **options,
    }
    swept, rows = loop_sweep(path, "PT.py", **given)
    if rows is not None:
        for name, content in explicit(swept.names, rows, 1)[1]:
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(content)
    return swept, said


def tasks_of(folder: Path, swept: Sweep) -> list[dict[str, Any]]:
    return [point.params for point in points(swept, range(1, count(swept) + 1), str(folder))]


def refused(folder: Path, source: str | bytes, **options: Any) -> str:
    with pytest.raises(CjError) as caught:
        sweep_of(folder, source, **options)
    assert caught.value.hint
    return caught.value.message


def test_a_script_that_ends_before_its_loop_says_why_and_is_tried_with_its_arguments(tmp_path: Path) -> None:
    source = (
        "import argparse\nparser = argparse.ArgumentParser()\nparser.add_argument('--bar', type=int)\n"
        "given = parser.parse_args()\nfor x in range(given.bar):\n    pass\n"
    )
    with pytest.raises(CjError) as caught:
        sweep_of(tmp_path, source, arguments=["--foo", "4"])
    words = "it ended with exit code 2: PT.py: error: unrecognized arguments: --foo 4"
    assert f"PT.py:4: {words} (running" in caught.value.message
    assert f"try {sys.executable} PT.py --foo 4, or write" in caught.value.hint
    assert "give them to git cj run by --sweep NAME=… or --points FILE" in caught.value.hint


def printed_by_tasks(folder: Path, swept: Sweep, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What each task prints, run one after another in this process."""
    assert swept.loops is not None
    path = folder / "PT.py"
    code = cut(path.read_bytes(), str(path), swept.loops["lines"])
    out = []
    capsys.readouterr()
    for point in points(swept, range(1, count(swept) + 1), str(folder)):
        cursor = Cursor(swept.loops["lines"], point.index, point.params)
        exec(code, {"__name__": "__main__", **cursor.names()})
        cursor.finish()
        out.append(capsys.readouterr().out)
    return out


# ---- what is counted ----


@pytest.mark.parametrize("name", [*CERTAIN, *RUN])
def test_tasks_together_do_exactly_what_the_program_does_alone(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    source = {**CERTAIN, **RUN}[name]
    swept, said = sweep_of(tmp_path, source)
    alone = subprocess.run((sys.executable, "PT.py"), capture_output=True, text=True, check=True).stdout
    together = printed_by_tasks(tmp_path, swept, capsys)
    if name == "else":
        together = [together[0].replace("else\n", ""), together[1]]
    assert "".join(together) == alone
    assert bool(said) == (name in RUN)


def test_a_rectangular_nest_is_stored_as_its_axes(tmp_path: Path) -> None:
    swept, _ = sweep_of(
        tmp_path, "for i, d in enumerate([0.1, 0.2]):\n    for e in 'xy':\n        print(i)\n"
    )
    assert [(axis.names, axis.values) for axis in swept.blocks[0].axes] == [
        (("i", "d"), ((0, 0.1), (1, 0.2))),
        (("e",), (("x",), ("y",))),
    ]
    assert swept.kind == "loops"
    assert swept.loops == {"line": 1, "depth": 2, "lines": [1, 2]}
    assert swept.names == ("i", "d", "e")


def test_a_dependent_nest_is_stored_as_points_with_their_iterations(tmp_path: Path) -> None:
    swept, _ = sweep_of(tmp_path, "for i in range(3):\n    for j in range(i):\n        print(i)\n")
    assert (swept.blocks, swept.explicit) == ((), 3)
    lines = (tmp_path / "points/00000.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [[[1, 0], 1, 0], [[2, 0], 2, 0], [[2, 1], 2, 1]]


def test_many_dependent_points_are_listed(tmp_path: Path) -> None:
    swept, _ = sweep_of(
        tmp_path, "for i in range(150):\n    for j in range(i):\n        print(i)\n", max_tasks=20_000
    )
    assert count(swept) == 150 * 149 // 2
    assert tasks_of(tmp_path, swept)[-1] == {"i": 149, "j": 148}


def test_depth_takes_fewer_loops_and_line_picks_a_nest(tmp_path: Path) -> None:
    source = (
        "for i in range(2):\n    for j in range(3):\n        print(i)\nfor k in range(5):\n    print(k)\n"
    )
    assert count(sweep_of(tmp_path, source, line=1)[0]) == 6
    assert count(sweep_of(tmp_path, source, line=1, depth=1)[0]) == 2
    assert count(sweep_of(tmp_path, source, line=4)[0]) == 5


def test_encodings_line_ends_and_byte_order_marks_do_no_harm(tmp_path: Path) -> None:
    latin = "# -*- coding: latin-1 -*-\r\nfor c in 'äö':\r\n    print(c)\r\n".encode("latin-1")
    assert tasks_of(tmp_path, sweep_of(tmp_path, latin)[0]) == [{"c": "ä"}, {"c": "ö"}]
    marked = b"\xef\xbb\xbf" + "for c in 'äö':\n    print(c)\n".encode()
    assert tasks_of(tmp_path, sweep_of(tmp_path, marked)[0]) == [{"c": "ä"}, {"c": "ö"}]


def test_nests_are_found_inside_with_if_and_try() -> None:
    source = (
        "def f():\n    for x in y: pass\n"
        "with a:\n    for i in x:\n        for j, (k, l) in y:\n"
        "            for m in z:\n                pass\n            n = 1\n"
        "try:\n    pass\nexcept E:\n    for o in x: pass\n"
    )
    assert find_nests(ast.parse(source)) == [
        Nest(4, 2, (4, 5), (("i",), ("j", "k", "l"))),
        Nest(12, 1, (12,), (("o",),)),
    ]


# ---- what is refused ----


@pytest.mark.parametrize("words", REFUSED)
def test_what_cannot_be_counted_is_refused_by_line(words: str, tmp_path: Path) -> None:
    assert words in refused(tmp_path, REFUSED[words])


def test_a_wrong_line_or_depth_is_refused(tmp_path: Path) -> None:
    source = "for i in range(2):\n    for j in range(3):\n        pass\n"
    assert "line 2 is an inner loop of the nest on line 1" in refused(tmp_path, source, line=2)
    assert "no loop nest begins on line 7" in refused(tmp_path, source, line=7)
    assert "has 2 loops, not 3" in refused(tmp_path, source, depth=3)
    assert "has 1 loop, not 2" in refused(tmp_path, "for i in range(2):\n    pass\n", depth=2)


def test_a_break_is_no_matter_for_the_loops_that_are_not_cut(tmp_path: Path) -> None:
    source = "for i in range(2):\n    for j in range(3):\n        break\n"
    assert "PT.py:3: break" in refused(tmp_path, source)
    assert count(sweep_of(tmp_path, source, depth=1)[0]) == 2


def test_no_eval_says_what_is_not_literal(tmp_path: Path) -> None:
    message = refused(tmp_path, "n = int(input())\nfor i in range(n):\n    pass\n", evaluate=False)
    assert message.startswith("PT.py:1: ")
    assert "input() is not known" in message


def test_slow_preparation_is_ended_with_all_its_processes(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    pids = tmp_path_factory.mktemp("outside") / "pids"
    pids.touch()
    source = (
        "import subprocess\nsleeper = subprocess.Popen(['sleep', '1000'])\n"
        f"with open({str(pids)!r}, 'a') as file:\n    file.write('%d ' % sleeper.pid)\n"
        "sleeper.wait()\nfor i in map(int, '12'):\n    pass\n"
    )
    assert "took longer than 2 s" in refused(tmp_path, source, timeout_s=2)
    for pid in pids.read_text().split():
        wait_for(partial(has_ended, Path("/proc", pid, "stat")))


def has_ended(stat: Path) -> bool:
    """Whether a process is gone, or waits to be."""
    try:
        return stat.read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_listing_the_loops_changes_no_file(tmp_path: Path) -> None:
    (tmp_path / "results.txt").write_text("precious\n")
    (tmp_path / "helper.py").write_text("N = 2\n")
    source = (
        "import os, pathlib, shutil, helper\n"
        "log = open('results.txt', 'w')\nlog.write('gone')\n"
        "os.makedirs('out/deep', exist_ok=True)\n"
        "pathlib.Path('new.txt').write_text('1 2 3')\n"
        "open('new.txt', 'a').write(' 4')\n"
        "pathlib.Path('touched').touch()\nos.close(os.open('results.txt', os.O_WRONLY | os.O_TRUNC))\n"
        "os.remove('helper.py')\nshutil.rmtree('points', ignore_errors=True)\n"
        "for x in open('new.txt').read().split():\n    pass\n"
    )
    swept, said = sweep_of(tmp_path, source)
    assert [task["x"] for task in tasks_of(tmp_path, swept)] == ["1", "2", "3", "4"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["PT.py", "helper.py", "results.txt"]
    assert (tmp_path / "results.txt").read_text() == "precious\n"
    assert len(said) == 1


def test_the_program_sees_its_arguments_and_search_path(tmp_path: Path) -> None:
    lib = tmp_path / "lib"
    lib.mkdir()
    (lib / "sizes.py").write_text("N = 2\n")
    source = "import sys, sizes\nfor x in sys.argv * sizes.N:\n    pass\n"
    swept, _ = sweep_of(tmp_path, source, search_path=[lib], arguments=["--fast"])
    assert [task["x"] for task in tasks_of(tmp_path, swept)] == ["PT.py", "--fast"] * 2


@pytest.mark.skipif(not OLD_PYTHON.exists(), reason="no Python 3.6")
def test_the_programs_interpreter_may_be_an_old_one(tmp_path: Path) -> None:
    source = "import sys\nfor x in sys.version_info[:2]:\n    for y in range(x):\n        pass\n"
    swept, _ = sweep_of(tmp_path, source, interpreter=str(OLD_PYTHON))
    assert [task["x"] for task in tasks_of(tmp_path, swept)] == [3] * 3 + [6] * 6


def test_a_missing_interpreter_is_named(tmp_path: Path) -> None:
    source = "for x in map(int, '12'):\n    pass\n"
    assert "/nowhere/python does not start" in refused(tmp_path, source, interpreter="/nowhere/python")


# ---- one iteration ----


def cursor_run(source: str, lines: list[int], index: tuple[int, ...], params: dict[str, Any]) -> Cursor:
    cursor = Cursor(lines, index, params)
    exec(cut(source.encode(), "PT.py", lines), {**cursor.names()})
    cursor.finish()
    return cursor


def test_another_value_than_the_recorded_one_stops_the_task() -> None:
    with pytest.raises(WrongIterationError, match=r"line 1 gives x = 2 here, but the package recorded 3"):
        cursor_run("for x in [1, 2]:\n    pass\n", [1], (1,), {"x": 3})
    with pytest.raises(WrongIterationError, match="has no iteration 4 here"):
        cursor_run("for x in [1, 2]:\n    pass\n", [1], (3,), {"x": 3})
    with pytest.raises(WrongIterationError, match="ended before it came to the loop on line 2"):
        cursor_run("if 0:\n  for x in [1, 2]:\n    pass\n", [2], (0,), {"x": 1})
    with pytest.raises(WrongIterationError, match=r"gives x = 1 here, but the package recorded 1\.0"):
        cursor_run("for x in [1, 2]:\n    pass\n", [1], (0,), {"x": 1.0})


def test_a_value_that_differs_in_the_last_bit_is_taken_with_a_note(
    capsys: pytest.CaptureFixture[str],
) -> None:
    cursor_run("for x in [0.1 + 0.2]:\n    pass\n", [1], (0,), {"x": 0.3})
    assert "last bits only" in capsys.readouterr().err


def test_tracebacks_keep_the_programs_lines() -> None:
    source = "n = 2\nfor i in range(n):\n    a = 1\n    1 / 0\n"
    with pytest.raises(ZeroDivisionError) as caught:
        cursor_run(source, [2], (0,), {"i": 0})
    assert caught.traceback[-1].lineno + 1 == 4


def test_only_the_chosen_element_is_drawn_from_an_iterator() -> None:
    source = "drawn = []\ndef g():\n    for k in range(9):\n        drawn.append(k)\n        yield k\n"
    cursor = Cursor([6], (2,), {"x": 2})
    names: dict[str, Any] = {**cursor.names()}
    exec(cut((source + "for x in g():\n    pass\n").encode(), "PT.py", [6]), names)
    assert names["drawn"] == [0, 1, 2]


@given(st.none() | st.booleans() | st.integers() | st.floats() | st.text())
def test_json_scalars_are_recorded_as_they_are(value: Any) -> None:
    json.dumps(recorded(value), ensure_ascii=False, allow_nan=False).encode()
    assert recorded(value) == value or recorded(value) in (repr(value), ascii(value))


def test_other_values_are_recorded_by_their_repr_without_addresses() -> None:
    assert recorded((1, "a")) == "(1, 'a')"
    assert recorded(object()) == "<object object at 0x>"
    assert (recorded(np.float32(0.5)), recorded(np.int8(3)), recorded(np.str_("a"))) == (0.5, 3, "a")
    assert (recorded(np.nan), recorded(-np.inf), recorded("a\0\udc80")) == ("nan", "-inf", r"'a\x00\udc80'")
    assert recorded(list(range(10_000))).startswith("[0, 1, 2")
    assert len(recorded(list(range(10_000)))) < 300
