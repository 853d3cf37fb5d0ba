"""Workers that die, tasks that do not end, disks that are full."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from .cluster_kit import resources
from .work_kit import Bench

# Kills the worker, and whatever child is at it, before its n-th change of a file or start of a process.
KILL_AT = """
import os
worker, steps = os.getpid(), [0]
def deadly(name):
    real = getattr(os, name)
    def call(*words, **more):
        steps[0] += 1
        if steps[0] == {n}:
            os.kill(worker, 9)
            os.kill(os.getpid(), 9)
        return real(*words, **more)
    setattr(os, name, call)
for name in ("write", "pwrite", "link", "fork", "ftruncate", "fsync", "wait4", "pread"):
    deadly(name)
"""
SCRIPT = """\
import os, sys
print("task", sys.argv[2])
with open("out.txt", "w") as out:
    out.write(sys.argv[2] * 1000)
"""
MODULE = """\
def f(x):
    print("task", x)
    with open("out.txt", "w") as out:
        out.write(str(x) * 1000)
    return {"y": x}
"""


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "root")


def wait_for(bench: Bench, task: int, worker: subprocess.Popen[bytes]) -> None:
    """Return when the claim says that the task is being run and it has made its mark."""
    mark = bench.root / f"at-{task}"
    while not mark.exists():
        assert worker.poll() is None, worker.communicate()
        time.sleep(0.01)


def marking(bench: Bench, rest: str) -> str:
    return f"import os, signal, sys, time\nopen({str(bench.root)!r} + '/at-' + sys.argv[2], 'w')\n{rest}\n"


@pytest.mark.parametrize("kind", ["script", "function"])
def test_a_worker_killed_at_any_step_loses_and_doubles_nothing(tmp_path: Path, kind: str) -> None:
    files = {"main.py": SCRIPT if kind == "script" else MODULE}
    undisturbed = Bench(tmp_path / "undisturbed").package(files, kind=kind, tasks=2)
    undisturbed.work()
    step, killed = 0, True
    while killed:
        step += 1
        bench = Bench(tmp_path / f"step-{step}").package(files, kind=kind, tasks=2)
        worker = bench.start(preamble=KILL_AT.format(n=step))
        worker.communicate(timeout=30)
        killed = worker.returncode == -9
        if not killed:
            break
        records = bench.work(incarnation=2)
        assert [records[k].state for k in (1, 2)] == ["COMPLETED"] * 2
        for task in (1, 2):
            assert bench.outputs(task) == undisturbed.outputs(task)
        died = [record for _, record in bench.every_record() if record.state != "COMPLETED"]
        assert [record.note for record in died] == ["the worker died"] * len(died)
        assert len(died) <= 1
    assert step > 15


def test_a_task_that_always_kills_its_worker_is_given_up(bench: Bench) -> None:
    script = "import os, sys\nif sys.argv[2] == '1': os.kill(os.getppid(), 9)\n"
    bench.package({"main.py": script}, tasks=2)
    for incarnation in (1, 2, 3):
        assert bench.start(incarnation=incarnation).wait(timeout=20) == -9
    records = bench.work(incarnation=4)
    assert [(records[k].state, records[k].attempt) for k in (1, 2)] == [("NODE_FAIL", 3), ("COMPLETED", 1)]


def test_a_later_start_leaves_blocks_of_others_alone(bench: Bench) -> None:
    bench.package({"main.py": marking(bench, "time.sleep(60) if sys.argv[2] == '1' else None")}, tasks=2)
    worker = bench.start(element=1)
    wait_for(bench, 1, worker)
    worker.kill()
    worker.communicate()
    assert bench.work(element=2, incarnation=2) == {}


def test_a_worker_that_comes_late_leaves_what_a_further_submission_runs(bench: Bench) -> None:
    bench.package({"main.py": marking(bench, "None")}, tasks=6, block=2)
    further = bench.folder / "submissions" / "2"
    further.mkdir()
    intent = json.loads((bench.submission / "intent.json").read_text())
    (further / "intent.json").write_text(json.dumps({**intent, "tasks": "2-4", "attempt": 2}))
    assert sorted(bench.work()) == [1, 5, 6]


def test_sigterm_ends_the_task_records_it_and_leaves_the_rest(bench: Bench) -> None:
    bench.package({"main.py": marking(bench, "time.sleep(60)")}, tasks=3)
    worker = bench.start()
    wait_for(bench, 1, worker)
    worker.terminate()
    worker.communicate(timeout=20)
    assert worker.returncode == 143
    records = bench.records()
    assert {k: (r.state, r.signal) for k, r in records.items()} == {1: ("CANCELLED", 15)}
    assert not list((bench.folder / "scratch").iterdir())


@pytest.mark.parametrize("kind", ["script", "function", "command"])
def test_a_task_that_ignores_sigterm_is_killed_at_its_time_limit(bench: Bench, kind: str) -> None:
    body = "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    stay = "open('half.txt', 'w').write('half')\nprint('begun', flush=True)\ntime.sleep(60)\n"
    if kind == "function":
        inner = (body + stay).replace("\n", "\n    ")
        body, stay = f"def f(x):\n    if x == 2: return\n    {inner}", "\n"
    elif kind == "script":
        body = f"import sys\nif sys.argv[2] == '2': sys.exit()\n{body}"
    limits: dict[str, Any] = {"walltime_s": 1, "cpus": None, "alloc": []}
    command = (
        "test {x} = 2 && exit; trap '' TERM; echo begun; echo -n half > half.txt; sleep 60 & wait; sleep 60"
    )
    bench.package({"main.py": body + stay}, kind=kind, command=command, tasks=2, resources=limits)
    records = bench.work(code=1)
    assert [(records[k].state, records[k].signal) for k in (1, 2)] == [("TIMEOUT", 9), ("COMPLETED", 0)]
    assert bench.outputs(1) == {"cj:out": b"begun\n", "half.txt": b"half"}
    assert records[1].note.startswith("ended after its time limit of 1 s")


@pytest.mark.parametrize("kind", ["script", "function"])
def test_cancelled_tasks_are_ended_or_skipped(bench: Bench, kind: str) -> None:
    script = marking(bench, "time.sleep(60) if sys.argv[2] == '1' else None")
    module = f"import time\ndef f(x):\n    open({str(bench.root)!r} + '/at-%d' % x, 'w')\n"
    module += "    x > 1 or time.sleep(60)\n"
    bench.package({"main.py": script if kind == "script" else module}, kind=kind, tasks=4)
    worker = bench.start()
    wait_for(bench, 1, worker)
    (bench.submission / "cancel/t.json").write_text(json.dumps({"format": 1, "tasks": "1,3"}))
    worker.communicate(timeout=20)
    assert worker.returncode == 1
    states = [record.state for _, record in sorted(bench.records().items())]
    assert states == ["CANCELLED", "COMPLETED", "CANCELLED", "COMPLETED"]
    assert [bench.records()[k].note for k in (1, 3)] == ["cancelled while it ran", "cancelled before it ran"]


def test_processes_left_behind_are_ended(bench: Bench) -> None:
    script = """\
import os, time
for daemon in (False, True):
    if os.fork() == 0:
        if daemon:
            os.setsid()
            if os.fork():
                os._exit(0)
        open("pids", "ab", 0).write(b"%d\\n" % os.getpid())
        time.sleep(60)
while not os.path.exists("pids") or len(open("pids").read().split()) < 2:
    time.sleep(0.01)
os._exit(0)
"""
    record = bench.package({"main.py": script}).work()[1]
    assert record.note == "2 processes left behind were ended"
    for word in bench.outputs()["pids"].split():
        with pytest.raises(ProcessLookupError):
            os.kill(int(word), 0)


@pytest.mark.parametrize("deed", ["os.kill(os.getpid(), 9)", "os._exit(0)", "os._exit(74)", "sys.exit(3)"])
def test_a_function_that_ends_its_process_costs_its_own_task_only(bench: Bench, deed: str) -> None:
    module = f"import os, sys\ndef f(x):\n    open('o', 'w').write(str(x))\n    if x in (2, 3): {deed}\n"
    module += "    return {'y': x}\n"
    records = bench.package({"main.py": module}, kind="function", tasks=5).work(code=1)
    states = [records[k].state for k in range(1, 6)]
    assert states == ["COMPLETED", "FAILED", "FAILED", "COMPLETED", "COMPLETED"]
    assert bench.outputs(5) == {"cj:rows": b'{"y": 5}\n', "o": b"5"}


@pytest.mark.parametrize("deed", ["sys.stdout = None", "sys.stdout.close()", "sys.stderr = open(os.devnull)"])
def test_a_function_may_do_away_with_its_streams(bench: Bench, deed: str) -> None:
    module = f"import os, sys\ndef f(x):\n    {deed}\n    return {{'y': x}}\n"
    records = bench.package({"main.py": module}, kind="function", tasks=2).work()
    assert [records[k].state for k in (1, 2)] == ["COMPLETED"] * 2
    assert bench.outputs(2) == {"cj:rows": b'{"y": 2}\n'}


@pytest.mark.parametrize("kind", ["script", "function"])
def test_a_task_that_has_all_files_open_fails_by_its_own_error(bench: Bench, kind: str) -> None:
    leak = "import resource\nresource.setrlimit(resource.RLIMIT_NOFILE, (99, 99))\nkept = []\n"
    leak += "while True: kept.append(open('/dev/null'))\n"
    module = "def f(x):\n" + "".join(f"    {line}\n" for line in leak.splitlines())
    bench.package({"main.py": leak if kind == "script" else module}, kind=kind)
    record = bench.work(code=1)[1]
    assert (record.state, record.exit_code) == ("FAILED", 1)
    assert record.error == "OSError: [Errno 24] Too many open files: '/dev/null'"


FULL_FOR_PRINTS = """
import os, sys
class Full:
    left, worker = 3, os.getpid()
    def __init__(self, real): self.real = real
    def write(self, text): return self.real.write(text)
    def flush(self):
        if os.path.exists(%r) and Full.left and os.getpid() != Full.worker:
            Full.left -= 1
            raise OSError(28, "No space left on device")
        self.real.flush()
    def __getattr__(self, name): return getattr(self.real, name)
sys.stdout = Full(sys.stdout)
"""


def test_what_a_function_prints_waits_for_room_on_a_full_disk(bench: Bench) -> None:
    full = bench.root / "full"
    module = f"def f(x):\n    open({str(full)!r}, 'w')\n    print('task', x)\n    return {{'y': x}}\n"
    bench.package({"main.py": module}, kind="function", tasks=2)
    worker = bench.start(preamble=FULL_FOR_PRINTS % str(full))
    assert worker.wait(timeout=20) == 0
    assert {record.state for record in bench.records().values()} == {"COMPLETED"}
    assert bench.outputs(1)["cj:out"] == b"task 1\n"


@pytest.mark.parametrize("kind", ["script", "function"])
def test_no_task_is_begun_that_would_not_fit_into_the_walltime(bench: Bench, kind: str) -> None:
    files = {"main.py": "import time\ntime.sleep(2)\ndef f(x): pass\n"}
    if kind == "function":
        files = {"main.py": "import time\ndef f(x): time.sleep(2)\n"}
    asked = resources(walltime_s=4, jobs=None)
    bench.package(files, kind=kind, tasks=4, block=1, scheduler="slurm", resources=asked)
    bench.start().wait(timeout=30)
    assert len(bench.records()) == 1


def test_where_no_signal_comes_before_the_end_a_worker_ends_by_its_clock(bench: Bench) -> None:
    files = {"main.py": "import time\ndef f(x): time.sleep(60)\n"}
    asked = resources(walltime_s=4, jobs=None)
    bench.package(files, kind="function", tasks=2, block=1, scheduler="sge", resources=asked)
    began = time.monotonic()
    assert bench.start().wait(timeout=30) == 143
    assert time.monotonic() - began < 10
    assert [(record.task, record.state) for record in bench.records().values()] == [(1, "TIMEOUT")]


def test_a_function_that_forks_goes_on_once(bench: Bench) -> None:
    module = "import os\ndef f(x):\n    os.fork()\n    return {'y': x}\n"
    records = bench.package({"main.py": module}, kind="function", tasks=3).work()
    assert sorted(records) == [1, 2, 3]


def test_a_module_that_cannot_be_loaded_fails_each_task_with_its_reason(bench: Bench) -> None:
    records = bench.package({"main.py": "import nothing_like_it\n"}, kind="function", tasks=2).work(code=1)
    errors = {record.error for record in records.values()}
    assert errors == {"ModuleNotFoundError: No module named 'nothing_like_it'"}


FULL = """
import os, errno
real, begun = os.write, [0]
def write(fd, content):
    name = os.readlink('/proc/self/fd/%%d' %% fd)
    if name.endswith(%r):
        begun[0] += 1
        if begun[0] <= %d:
            real(fd, bytes(content)[:7])
            raise OSError(errno.ENOSPC, 'No space left on device')
    return real(fd, content)
os.write = write
"""


@pytest.mark.parametrize("kind", ["script", "function"])
@pytest.mark.parametrize("file", [".records", ".data"])
def test_a_full_disk_is_waited_for(bench: Bench, kind: str, file: str) -> None:
    bench.package({"main.py": SCRIPT if kind == "script" else MODULE}, kind=kind, tasks=2)
    worker = bench.start(preamble=FULL % (file, 2))
    assert worker.wait(timeout=20) == 0
    assert {record.state for record in bench.records().values()} == {"COMPLETED"}
    assert bench.outputs(2)["out.txt"] == b"2" * 1000


@pytest.mark.parametrize("kind", ["script", "function"])
def test_a_disk_that_stays_full_leaves_the_task_without_a_record(bench: Bench, kind: str) -> None:
    bench.environment["CJ_RETRY_S"] = "0.1"
    bench.package({"main.py": SCRIPT if kind == "script" else MODULE}, kind=kind, tasks=2)
    worker = bench.start(preamble=FULL % (".records", 999))
    words = worker.communicate(timeout=20)[1].decode()
    assert worker.returncode == 74
    assert "element 1 gives up" in words
    assert bench.records() == {}
    bench.work(incarnation=2)
    assert bench.outputs(1)["out.txt"] == b"1" * 1000


def test_two_elements_share_the_blocks(bench: Bench) -> None:
    both = f"all(os.path.exists({str(bench.root)!r} + '/at-' + x) for x in '17')"
    wait = f"while sys.argv[2] in ('1', '7') and not {both}:\n    time.sleep(0.01)"
    bench.package({"main.py": marking(bench, wait)}, tasks=12, block=2, elements=2)
    workers = [bench.start(element=element) for element in (1, 2)]
    assert [worker.wait(timeout=30) for worker in workers] == [0, 0]
    records = bench.records()
    assert sorted(records) == list(range(1, 13))
    assert {records[1].element, records[7].element} == {1, 2}


def test_a_stopped_worker_runs_nothing_more(bench: Bench) -> None:
    bench.package({"main.py": marking(bench, "os.kill(os.getppid(), signal.SIGTERM)")}, tasks=3, block=1)
    assert bench.start().wait(timeout=20) == 143
    assert len(bench.records()) == 1
