"""Function tasks whose records a child hands to its worker, many at once."""

from __future__ import annotations

import json
import time
from pathlib import Path

from cjnode.records import blocks

from .work_kit import Bench

TASKS = 3000


def rows(bench: Bench) -> dict[int, bytes]:
    """Each task's rows by the record that counts."""
    kept = {path: path.with_suffix(".data").read_bytes() for path, _ in bench.every_record()}
    newest: dict[int, tuple[int, bytes]] = {}
    for path, record in bench.every_record():
        for output in record.outputs:
            if output.path == "cj:rows" and record.attempt >= newest.get(record.task, (0, b""))[0]:
                content = kept[path][output.offset : output.offset + output.bytes]
                newest[record.task] = (record.attempt, content)
    return {task: content for task, (_, content) in newest.items()}


def expected(task: int) -> bytes:
    return b'{"y": %d}\n' % task


def test_lines_made_quickly_are_those_of_records(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "root").package(
        {"main.py": "def f(x):\n    return {'y': x}\n"}, kind="function", tasks=20
    )
    bench.work()
    for file in (bench.submission / "blocks").glob("*.records"):
        for line in blocks.whole_lines(file.read_bytes()):
            assert blocks.record_to_line(blocks.record_from_line(line)) == line
    assert rows(bench) == {task: expected(task) for task in range(1, 21)}


def test_a_worker_killed_among_fast_tasks_loses_and_doubles_nothing(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    module = (
        f"import os\nfd = os.open({str(mark)!r}, os.O_WRONLY | os.O_CREAT | os.O_APPEND)\n"
        "def f(x):\n    os.write(fd, b'%d %s\\n' % (x, os.environ['CJ_ATTEMPT'].encode()))\n"
        "    return {'y': x}\n"
    )
    bench = Bench(tmp_path / "root").package({"main.py": module}, kind="function", tasks=TASKS, block=TASKS)
    worker = bench.start()
    while not mark.exists() or mark.stat().st_size < 2000:
        assert worker.poll() is None
        time.sleep(0.001)
    worker.kill()
    worker.communicate()
    bench.work(incarnation=2)
    # No attempt of a task ran twice, and one record of each task counts.
    ran = mark.read_text().splitlines()
    assert len(set(ran)) == len(ran)
    assert rows(bench) == {task: expected(task) for task in range(1, TASKS + 1)}


def test_what_is_too_large_for_the_memory_comes_in_its_place(tmp_path: Path) -> None:
    module = (
        "def f(x):\n"
        "    if x % 7 == 0:\n        open('large', 'wb').write(b'%d' % x * 200000)\n"
        "        print('p' * 300000)\n"
        "    if x == 9:\n        raise ValueError('nine')\n"
        "    return {'y': 'z' * 400000 if x == 8 else x}\n"
    )
    bench = Bench(tmp_path / "root").package({"main.py": module}, kind="function", tasks=60)
    records = bench.work(code=1)
    assert [task for task, record in records.items() if record.state != "COMPLETED"] == [9]
    for task in (7, 56):
        outputs = bench.outputs(task)
        assert outputs["large"] == b"%d" % task * 200000
        assert outputs["cj:out"] == b"p" * 300000 + b"\n"
        assert outputs["cj:rows"] == expected(task)
    assert json.loads(bench.outputs(8)["cj:rows"]) == {"y": "z" * 400000}
    assert bench.outputs(10) == {"cj:rows": expected(10)}
