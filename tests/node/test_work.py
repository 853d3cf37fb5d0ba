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


HOSTILE = {
    "deletes its own directory": "import os, shutil\nshutil.rmtree(os.getcwd(), ignore_errors=True)\n",
    "moves its directory away": "import os\nos.system('chmod 700 ..; mv $PWD ../gone')\n",
    "takes every permission": "import os\nos.mkdir('d')\nopen('d/f','w').write('1')\n"
    "os.chmod('d',0)\nos.chmod('.',0)\n",
    "leaves 3,000 files": "import os\nos.makedirs('a/b')\nfor k in range(3000): open('a/b/%d' % k, 'w')\n",
    "leaves a huge sparse file": "open('huge', 'w').truncate(3 << 30)\n",
    "nests 1,500 folders": "import os\nfor k in range(1500):\n    os.mkdir('d'); os.chdir('d')\n",
    "replaces the package's links": "import os\nos.remove('data/in.txt')\n"
    "open('data/in.txt','w').write('no')\n"
    "os.remove('data/two.txt')\nos.symlink('/etc/passwd', 'data/two.txt')\n",
    "leaves odd things": "import os, socket\nos.mkfifo('pipe')\nos.symlink('/', 'link')\n"
    "s = socket.socket(socket.AF_UNIX); s.bind('sock')\nos.link('main.py', 'hard')\n",
    "leaves names that are no text": "open('a\\nb', 'w').write('1')\nopen(b'\\xff\\xfe', 'w').write('2')\n"
    "open('\\x1b[31m', 'w').write('3')\nopen('cj:out', 'w').write('4')\n",
    "prints binary rubbish": "import os\nos.write(1, bytes(range(256)) * 9)\n"
    "os.write(2, bytes(range(256)))\n",
    "exits without a word": "",
}
PLAIN = """\
print(open('data/in.txt').read(), end='')
print(open('data/two.txt').read(), end='')
open('out.txt', 'w').write('ok')
"""
DATA = {"data/in.txt": "input\n", "data/two.txt": "two\n"}


@pytest.mark.parametrize("deed", HOSTILE)
def test_a_task_that_does_harm_does_not_hurt_the_next(bench: Bench, deed: str) -> None:
    script = f"import sys\nif sys.argv[2] == '1':\n    exec({HOSTILE[deed]!r})\nelse:\n    exec({PLAIN!r})\n"
    records = bench.package({"main.py": script, **DATA}, tasks=2).work()
    assert [records[k].state for k in (1, 2)] == ["COMPLETED", "COMPLETED"]
    assert bench.outputs(2) == {"cj:out": b"input\ntwo\n", "out.txt": b"ok"}
    assert (bench.folder / "code/data/in.txt").read_text() == "input\n"
    for text in records[1].note, *(output.path for output in records[1].outputs):
        assert text.isprintable()


def test_outputs_of_a_task_are_files_that_match(bench: Bench) -> None:
    script = "import os\nos.makedirs('r/s')\n"
    script += "for n in ('a.csv', 'b.tmp', 'r/c.csv', 'r/s/d.csv'): open(n, 'w').write(n)\n"
    bench.package(
        {"sub/main.py": script}, path="sub/main.py", workdir="sub", outputs=["*.csv", "r/**/d.*"]
    ).work()
    assert bench.outputs() == {"a.csv": b"a.csv", "r/s/d.csv": b"r/s/d.csv"}


def test_names_that_are_no_text_are_made_fit(bench: Bench) -> None:
    bench.package({"main.py": HOSTILE["leaves names that are no text"]}).work()
    assert bench.outputs() == {"_cj:out": b"4", "__": b"2", "_[31m": b"3", "a_b": b"1"}
    assert "renamed" in bench.records()[1].note


def test_what_is_no_regular_file_is_told_and_not_kept(bench: Bench) -> None:
    bench.package({"main.py": HOSTILE["leaves odd things"]}).work()
    note = bench.records()[1].note
    assert "link not kept: a symbolic link" in note
    assert "pipe and 1 more not kept: no regular file" in note


def test_the_code_of_a_package_cannot_be_written_to(bench: Bench) -> None:
    script = "open('results.txt', 'a').write('more')\n"
    record = bench.package({"main.py": script, "results.txt": "old"}).work(code=1)[1]
    assert record.state == "FAILED"
    assert record.error == "PermissionError: [Errno 13] Permission denied: 'results.txt'"
    assert "results.txt is a file of the package" in record.note
    assert "--out" in record.note
    assert (bench.folder / "code/results.txt").read_text() == "old"


def test_a_command_cannot_write_to_the_code_either(bench: Bench) -> None:
    command = "echo more >> results.txt"
    record = bench.package({"results.txt": "old"}, kind="command", command=command).work(code=1)[1]
    assert record.state == "FAILED"
    assert "results.txt is a file of the package" in record.note
    assert (bench.folder / "code/results.txt").read_text() == "old"


def test_a_file_above_the_top_cannot_be_written(bench: Bench) -> None:
    record = bench.package({"main.py": "open('../lost.txt', 'w')\n"}).work(code=1)[1]
    assert record.error == "PermissionError: [Errno 13] Permission denied: '../lost.txt'"


def test_an_unlinked_file_is_not_there_and_becomes_an_output(bench: Bench) -> None:
    script = "open('results.txt', 'a').write('new')\n"
    bench.package({"main.py": script, "results.txt": "old"}, unlinked=["results.txt"]).work()
    assert bench.outputs() == {"results.txt": b"new"}


def test_a_hundred_megabytes_are_shortened(bench: Bench) -> None:
    script = "import sys\nfor k in range(100): sys.stdout.write(chr(97 + k % 26) * 999999 + '\\n')\n"
    record = bench.package({"main.py": script}).work()[1]
    out = bench.outputs()["cj:out"]
    assert record.note == f"out shortened by {100_000_000 - (16 << 20)} bytes"
    assert 16 << 20 < len(out) < (16 << 20) + 100
    assert out[: 1 << 10] == b"a" * (1 << 10)
    assert b"\n[cj: 83222784 bytes are left out here]\n" in out


ENDS = {
    "raise ValueError('no\\x1b[31m way')": (1, 0, "ValueError: no\ufffd[31m way"),
    "import sys; sys.exit('text')": (1, 0, "text"),
    "import sys; sys.exit(7)": (7, 0, ""),
    "import os; os._exit(9)": (9, 0, ""),
    "import os; os.kill(os.getpid(), 9)": (137, 9, ""),
    "import ctypes; ctypes.string_at(0)": (139, 11, ""),
    "import sys; sys.stderr.write('a\\n\\nlast words\\n\\n'); sys.exit(3)": (3, 0, "last words"),
    "f(": (1, 0, "SyntaxError: '(' was never closed"),
}


@pytest.mark.parametrize("source", ENDS)
def test_a_script_that_fails_is_recorded_as_it_ended(bench: Bench, source: str) -> None:
    record = bench.package({"main.py": source + "\n"}).work(code=1)[1]
    assert (record.state, (record.exit_code, record.signal, record.error)) == ("FAILED", ENDS[source])


def test_exit_handlers_threads_and_processes_of_a_script_run_to_their_end(bench: Bench) -> None:
    script = """\
import atexit, multiprocessing, threading
atexit.register(print, "handler")
def late():
    print("thread")
def double(x):
    return 2 * x
if __name__ == "__main__":
    with multiprocessing.get_context("fork").Pool(2) as pool:
        print(pool.map(double, [1, 2]))
    threading.Timer(0.05, late).start()
    file = open("left-open.txt", "w")
    file.write("flushed")
"""
    record = bench.package({"main.py": script}).work()[1]
    assert (record.state, record.note) == ("COMPLETED", "")
    found = bench.outputs()
    assert found["cj:out"] == b"[2, 4]\nthread\nhandler\n"
    assert found["left-open.txt"] == b"flushed"


def test_a_script_sees_no_input_and_its_own_variables(bench: Bench) -> None:
    script = """\
import os, sys
print(sys.stdin.read() == "", os.environ["CJ_TASK"], os.environ["CJ_NAME"], os.environ["OMP_NUM_THREADS"])
print(os.environ["CJ_JOB_ID"], os.path.isfile(os.environ["CJ_SUBMIT_DIR"] + "/main.py"), __name__)
"""
    bench.package({"main.py": script}, tasks=2).work()
    assert bench.outputs(2)["cj:out"] == b"True 2 cj-8ab7a5aa0123-1 1\ncj-8ab7a5aa0123-1 True __main__\n"


def test_hashes_are_those_of_the_package_in_forked_tasks(bench: Bench) -> None:
    script = "import os, subprocess, sys\nprint(hash('x'))\nsys.stdout.flush()\n"
    script += "subprocess.run([sys.executable, '-c', \"print(hash('x'))\"])\n"
    bench.environment["PYTHONHASHSEED"] = "5"
    bench.package({"main.py": script}).work()
    first, second = bench.outputs()["cj:out"].split()
    assert first == second
