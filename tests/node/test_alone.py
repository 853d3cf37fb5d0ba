"""Functions whose modules keep generators or what they read of a task: each task is what it is by itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from .work_kit import Bench

HEAD = "import os, random\nfrom functools import partial\nimport numpy as np\nopen({!r}, 'a').write('.')\n"
TASKS = 5

OF_ONE_TASK = {
    "a generator with a seed": "rng = np.random.default_rng(42)\ndef f(x): return {'y': rng.random()}\n",
    "a generator without": "rng = np.random.default_rng()\ndef f(x): return {'y': rng.random()}\n",
    "the task's seed": (
        "rng = np.random.default_rng(int(os.environ['CJ_SEED']))\ndef f(x): return {'y': rng.random()}\n"
    ),
    "the task's number": "WHO = os.environ.get('CJ_TASK')\ndef f(x): return {'y': WHO}\n",
    "numpy's old kind": "rng = np.random.RandomState(3)\ndef f(x): return {'y': rng.rand()}\n",
    "python's": "rng = random.Random(3)\ndef f(x): return {'y': rng.random()}\n",
    "a method of one": "draw = np.random.default_rng(1).normal\ndef f(x): return {'y': draw()}\n",
    "a default": "def f(x, rng=np.random.default_rng(1)): return {'y': rng.random()}\n",
    "a partial": "draw = partial(np.random.default_rng(1).uniform, 2, 3)\ndef f(x): return {'y': draw()}\n",
    "an attribute": (
        "class Box:\n    rng = np.random.default_rng(1)\ndef f(x): return {'y': Box.rng.random()}\n"
    ),
    "in a list of objects": (
        "class Box:\n    def __init__(self): self.rng = np.random.default_rng(1)\n"
        "boxes = [Box()]\ndef f(x): return {'y': boxes[0].rng.random()}\n"
    ),
    "drawn while it was loaded": "NOISE = np.random.default_rng().random()\ndef f(x): return {'y': NOISE}\n",
    "made by the first call": (
        "made = []\ndef f(x):\n    made or made.append(np.random.default_rng(1))\n"
        "    return {'y': made[0].random()}\n"
    ),
    "of a neighbour": "from helper import rng\ndef f(x): return {'y': rng.random()}\n",
}
OF_ALL = {
    "drawn by the libraries": "NOISE = np.random.rand()\ndef f(x): return {'y': NOISE + np.random.rand()}\n",
    "seeded for all": (
        "np.random.seed(0)\nrandom.seed(0)\ndef f(x): return {'y': np.random.rand() + random.random()}\n"
    ),
    "the libraries' functions": (
        "from numpy.random import rand\nfrom random import gauss\n"
        "def f(x): return {'y': rand() + gauss(0, 1)}\n"
    ),
    "made by each call": "def f(x): return {'y': np.random.default_rng().random()}\n",
    "all variables copied": "here = dict(PATH=os.environ['PATH'])\ndef f(x): return {'y': x}\n",
}


def ran(bench: Bench, text: str, block: int) -> tuple[list[bytes], int]:
    """What each task returned, and how often the module was loaded."""
    loads = bench.root.parent / f"loads-{block}"
    helper = "import numpy as np\nrng = np.random.default_rng(42)\n"
    files = {"main.py": HEAD.format(str(loads)) + text, "helper.py": helper}
    records = bench.package(files, kind="function", tasks=TASKS, block=block).work()
    assert [records[task].state for task in sorted(records)] == ["COMPLETED"] * TASKS
    return [bench.outputs(task)["cj:rows"] for task in range(1, TASKS + 1)], len(loads.read_text())


@pytest.mark.parametrize("case", OF_ONE_TASK)
def test_what_is_of_one_task_is_loaded_by_each(tmp_path: Path, case: str) -> None:
    alone, _ = ran(Bench(tmp_path / "alone"), OF_ONE_TASK[case], 1)
    together, loads = ran(Bench(tmp_path / "together"), OF_ONE_TASK[case], TASKS)
    assert together == alone
    assert loads == TASKS


@pytest.mark.parametrize("case", OF_ALL)
def test_what_is_the_same_for_all_is_loaded_once(tmp_path: Path, case: str) -> None:
    alone, _ = ran(Bench(tmp_path / "alone"), OF_ALL[case], 1)
    together, loads = ran(Bench(tmp_path / "together"), OF_ALL[case], TASKS)
    assert together == alone
    assert loads == 1
    assert case == "all variables copied" or len(set(together)) == TASKS


def test_what_draws_without_a_seed_differs_from_task_to_task(tmp_path: Path) -> None:
    for case in ("a generator without", "the task's seed", "drawn while it was loaded"):
        found, _ = ran(Bench(tmp_path / case), OF_ONE_TASK[case], TASKS)
        assert len(set(found)) == TASKS
