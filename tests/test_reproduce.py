from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from cjledger.languages.script import script
from cjledger.model import Axis, Block, Program
from cjnode.package.points import point
from cjnode.package.seeds import hash_seed, task_seed
from tests.package_kit import PYTHONS, SINGLE, by_hand, forked, grid, loops, manifest_of, package_in

# ---- the script's text ----


def test_the_packages_script_names_only_the_program_so_that_packages_share_it() -> None:
    program = Program("script", "PT.py")
    one = script(manifest_of(program, grid(x=(1, 2))))
    two = script(manifest_of(program, grid(y=(3,)), message="other", seed=1, created="later"))
    assert one == two
    text = one.decode()
    assert text.startswith("#!/usr/bin/env python3\n# Runs a task of the experiment PT.py\n")
    assert "cjnode" not in text.replace("cjnode.pyz", "")
    assert text.isascii() or "coding" not in text.split("\n")[1]


def test_no_name_of_the_joined_modules_is_defined_twice() -> None:
    text = script(manifest_of(Program("script", "PT.py"), SINGLE)).decode()
    functions = re.findall(r"^(?:def|class) (\w+)", text, re.MULTILINE)
    constants = re.findall(r"^(\w+)(?:: [^=\n]+)? = ", text, re.MULTILINE)
    assert "main" in functions
    assert "BAKED" in constants
    assert sorted(functions + constants) == sorted({*functions, *constants})


def test_hostile_names_and_messages_stay_within_the_comment() -> None:
    program = Program("script", "a\nimport os; os.abort()\n.py")
    manifest = manifest_of(
        program, SINGLE, message='x\r\nraise SystemExit(9)\n"""', author="A\x0cB\u2028C <a@b>"
    )
    for text in (script(manifest), script(manifest, point(SINGLE, 1, ""), "f" * 40)):
        head = text.decode().split("\nimport ast\n")[0]
        assert all(line.startswith("#") for line in head.strip().splitlines())
        compile(text, "x.py", "exec")


# ---- scripts ----

PROGRAM = """\
import random, sys, os, json
from pathlib import Path
print(json.dumps([sys.argv, os.getcwd(), __name__, __file__, sys.path[0], random.random(), hash("a")]))
print(sorted((k, v) for k, v in os.environ.items() if k.startswith(("CJ_", "OMP_", "PYTHONHASH"))))
"""


@pytest.mark.parametrize("python", PYTHONS)
def test_a_script_sees_what_it_would_see_when_run_by_itself(python: str, tmp_path: Path) -> None:
    program = Program("script", "sub/PT.py", workdir="sub", arguments=("--fast", "a b"))
    package, _ = package_in(tmp_path, program, grid(delta=(0.1, None), name=("x y", True)), PROGRAM)
    done = by_hand(package, "2", python=python)
    assert (done.returncode, done.stderr) == (0, "")
    seen, environment = done.stdout.splitlines()
    arguments = ["PT.py", "--fast", "a b", "--delta", "0.1", "--name", "true"]
    sub = str(tmp_path / "sub")
    assert json.loads(seen)[:5] == [arguments, sub, "__main__", f"{sub}/PT.py", sub]
    assert eval(environment) == [
        ("CJ_ATTEMPT", "1"),
        ("CJ_CLUSTER", "local"),
        ("CJ_PARAM_delta", "0.1"),
        ("CJ_PARAM_name", "true"),
        ("CJ_SEED", str(task_seed(42, 2))),
        ("CJ_TASK", "2"),
        ("CJ_TASKS", "4"),
        ("OMP_NUM_THREADS", "1"),
        ("PYTHONHASHSEED", str(hash_seed(42))),
    ]


RANDOM = """\
import random
a = random.random()
import numpy as np
print(a, random.random(), np.random.rand())
print(np.random.default_rng().random(), np.random.default_rng().random())
np.random.seed()
print(np.random.rand(), np.random.SeedSequence().entropy, np.random.RandomState().rand())
import torch
print(torch.drawn)
"""


def test_random_numbers_are_the_same_forked_and_by_hand_and_differ_between_tasks(tmp_path: Path) -> None:
    package, _ = package_in(tmp_path, Program("script", "PT.py"), grid(x=(1, 2)), RANDOM)
    (tmp_path / "torch.py").write_text("def manual_seed(seed):\n    global drawn\n    drawn = seed\n")
    assert np.random.rand() < 1  # NumPy is loaded here, and not yet in the other process
    lines = set()
    for number in (1, 2):
        code, out, err, _ = forked(package, number, tmp_path)
        assert (code, err) == (0, "")
        again = by_hand(package, str(number))
        assert again.stdout == out
        assert again.stdout.split()[-1] == str(task_seed(42, number))
        lines.update(out.split())
    assert len(lines) == 2 * 9


LOOPS = """\
if __name__ == "__main__":
    out = open("results.txt", "a")
    for i, d in enumerate("ab"):
        for j in range(3):
            out.write("%s %s %s\\n" % (i, d, j))
            if j == 2:
                1 / 0
"""
NEST = loops([3, 4], j=(0, 1, 2))._replace(
    blocks=(Block((Axis(("i", "d"), ((0, "a"), (1, "b"))), Axis(("j",), ((0,), (1,), (2,))))),),
    names=("i", "d", "j"),
)


@pytest.mark.parametrize("python", PYTHONS)
def test_a_task_of_a_loop_does_one_iteration_and_its_traceback_is_the_programs(
    python: str, tmp_path: Path
) -> None:
    package, _ = package_in(tmp_path, Program("script", "PT.py"), NEST, LOOPS)
    assert by_hand(package, "5", python=python).returncode == 0
    failed = by_hand(package, "3", python=python)
    assert failed.returncode == 1
    assert failed.stderr.splitlines()[:2] == [
        "Traceback (most recent call last):",
        f'  File "{tmp_path}/PT.py", line 7, in <module>',
    ]
    assert failed.stderr.splitlines()[-1] == "ZeroDivisionError: division by zero"
    assert (tmp_path / "results.txt").read_text() == "1 b 1\n0 a 2\n"


def test_a_loop_that_changed_since_the_launch_fails_the_task(tmp_path: Path) -> None:
    text = "import os\nfor x in [1, int(os.environ.get('N', 2))]:\n    print(x)\n"
    package, _ = package_in(tmp_path, Program("script", "PT.py"), loops([2], x=(1, 2)), text)
    assert by_hand(package, "2").stdout == "2\n"
    failed = by_hand(package, "2", N="3")
    assert (failed.returncode, failed.stdout) == (1, "")
    assert failed.stderr.startswith(
        "cj: error: the loop on line 2 gives x = 3 here, but the package recorded 2"
    )
    (tmp_path / "PT.py").write_text("raise SystemExit\nfor x in [1, 2]:\n    print(x)\n")
    failed = by_hand(package, "2")
    assert (failed.returncode, failed.stderr) == (
        1,
        "cj: error: the program ended before it came to the loop on line 2\n",
    )


ENDINGS = {
    "import sys; sys.exit()": (0, ""),
    "import sys; sys.exit(7)": (7, ""),
    "import sys; sys.exit('words')": (1, "words\n"),
    "raise KeyboardInterrupt": (130, "KeyboardInterrupt"),
    "x = 1 +": (1, "SyntaxError"),
    "import os; os._exit(3)": (3, ""),
    "import os, signal; os.kill(os.getpid(), signal.SIGKILL)": (-9, ""),
    "import sys; sys.excepthook = lambda *a: sys.stderr.write('mine'); 1/0": (1, "mine"),
}


@pytest.mark.parametrize("text", ENDINGS)
def test_exit_codes_are_the_interpreters(text: str, tmp_path: Path) -> None:
    package, _ = package_in(tmp_path, Program("script", "PT.py"), text=text)
    code, out, err, _ = forked(package, 1, tmp_path)
    alone = by_hand(package, "1")
    assert (code, alone.returncode, out) == (ENDINGS[text][0], ENDINGS[text][0], "")
    assert ENDINGS[text][1] in err
    assert alone.stderr == err


END = """\
import atexit, threading
print("first")
left_open = open("left.txt", "w")
left_open.write("whole")
atexit.register(lambda: print("handler", left_open.name))
threading.Thread(target=lambda: (done.wait(5), print("thread"))).start() if 0 else None
done = threading.Event()
threading.Thread(target=lambda: (done.wait(5), print("thread"))).start()
done.set()
"""


def test_threads_handlers_and_open_files_end_as_at_the_end_of_an_interpreter(tmp_path: Path) -> None:
    package, _ = package_in(tmp_path, Program("script", "PT.py"), text=END)
    code, out, err, _ = forked(package, 1, tmp_path)
    assert (code, sorted(out.split("\n")), err) == (0, ["", "first", "handler left.txt", "thread"], "")
    assert (tmp_path / "left.txt").read_text() == "whole"
    assert sorted(by_hand(package, "1").stdout.split("\n")) == sorted(out.split("\n"))


def test_dep_folders_are_on_the_search_path_of_the_program_and_of_its_children(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib/mine.py").write_text("NAME = 'mine'\n")
    text = "import mine, subprocess, sys\nprint(mine.NAME, flush=True)\n"
    text += "subprocess.run([sys.executable, '-c', 'import mine; print(mine.NAME)'])\n"
    package, _ = package_in(tmp_path, Program("script", "PT.py", deps=("lib",)), text=text)
    assert by_hand(package, "1").stdout == "mine\nmine\n"


def test_pickled_classes_and_forked_pools_find_the_program_as_main(tmp_path: Path) -> None:
    text = (
        "import pickle, multiprocessing\nclass A: pass\ndef double(x): return 2 * x\n"
        "if __name__ == '__main__':\n    for k in (1, 2):\n"
        "        print(type(pickle.loads(pickle.dumps(A()))) is A)\n"
        "        with multiprocessing.get_context('fork').Pool(1) as pool:\n"
        "            print(pool.map(double, [k]))\n"
    )
    package, _ = package_in(tmp_path, Program("script", "PT.py"), loops([5], k=(1, 2)), text)
    assert by_hand(package, "2").stdout == "True\n[4]\n"
