"""One element on a real package: every kind of program, every kind of end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .conftest import PYTHONS
from .work_kit import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "root")


@pytest.fixture(params=PYTHONS, ids=["this python", "python 3.6"][: len(PYTHONS)])
def any_bench(tmp_path: Path, request: pytest.FixtureRequest) -> Bench:
    return Bench(tmp_path / "root", request.param)


def test_a_script_runs_once_for_each_task(any_bench: Bench) -> None:
    script = "import sys\nprint('x is', sys.argv[2])\nopen('out.txt', 'w').write(sys.argv[2] * 2)\n"
    records = any_bench.package({"main.py": script}, tasks=3, block=2).work()
    assert [(k, r.state, r.attempt, r.exit_code) for k, r in sorted(records.items())] == [
        (k, "COMPLETED", 1, 0) for k in (1, 2, 3)
    ]
    assert any_bench.outputs(3) == {"cj:out": b"x is 3\n", "out.txt": b"33"}
    assert sorted(path.name for path in (any_bench.submission / "blocks").iterdir()) == [
        f"00000{block}-01.{kind}" for block in (1, 2) for kind in ("claim", "data", "records")
    ]


def test_a_function_is_called_for_each_task(any_bench: Bench) -> None:
    module = "import random\ndef f(x):\n    print('at', x)\n    return {'y': x * x, 'r': random.random()}\n"
    records = any_bench.package({"main.py": module}, kind="function", tasks=300, block=100).work()
    assert {record.state for record in records.values()} == {"COMPLETED"}
    assert len(records) == 300
    found = any_bench.outputs(250)
    assert found["cj:out"] == b"at 250\n"
    assert json.loads(found["cj:rows"])["y"] == 62500


def test_a_command_runs_in_a_shell(any_bench: Bench) -> None:
    command = "echo {x} $CJ_TASK $CJ_PARAM_x > out-{x}; cat; exit $(( {x} - 1 ))"
    records = any_bench.package({}, kind="command", command=command, tasks=2).work(code=1)
    assert [records[k].state for k in (1, 2)] == ["COMPLETED", "FAILED"]
    assert records[2].exit_code == 1
    assert any_bench.outputs(2) == {"out-2": b"2 2 2\n"}
