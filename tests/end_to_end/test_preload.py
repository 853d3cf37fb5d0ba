"""Tasks that are forked from a worker with their modules: the very results of tasks that import them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.shells import Shell

PROGRAM = """
import sys
open({seen!r}, "a").write("numpy" in sys.modules and "loaded " or "not ")
import random
import numpy
from numpy.linalg import svd

x = int(sys.argv[2])
noise = numpy.random.rand(40, 40) + numpy.random.default_rng(x).normal(size=(40, 40))
print(x, random.random(), sorted(map(hash, ("a", "b", "c"))), list({{"p", "q", "r", "s"}}))
print([value.hex() for value in svd(noise)[1].tolist()], numpy.exp(noise).sum().hex())
"""


def results(shell: Shell, package: str) -> list[str]:
    return [shell.cj("show", f"{package}/{task}", "--out") for task in range(1, 9)]


def test_results_are_the_same_with_modules_loaded_before_after_and_by_hand(
    shell: Shell, tmp_path: Path
) -> None:
    found, seen = [], []
    for words in ((), ("--no-preload",), ("--preload", "numpy, numpy.linalg")):
        mark = tmp_path / "seen"
        mark.write_text("")
        shell.write("p.py", PROGRAM.format(seen=str(mark)))
        package = shell.launch("run", "p.py", "local", "--sweep", "x=1:8", "--seed", "5", *words)
        found.append(results(shell, package))
        seen.append(set(mark.read_text().split()))
    assert seen == [{"loaded"}, {"not"}, {"loaded"}]
    assert found[0] == found[1] == found[2]
    assert len(set(found[0])) == 8
    assert shell.lines("show", package)[0]["preload"] == ["numpy", "numpy.linalg"]
    shell.cj("checkout", package, str(tmp_path / "there"))
    by_hand = (sys.executable, str(tmp_path / "there/.cj/reproduce_p.py"), "3")
    assert subprocess.run(by_hand, capture_output=True, text=True).stdout == found[0][2]


def test_what_cannot_be_loaded_before_is_told_and_costs_nothing(shell: Shell) -> None:
    shell.write("p.py", "print(7)\n")
    package = shell.launch("run", "p.py", "local", "--sweep", "x=1:2", "--preload", "no_such_module")
    assert shell.cj("show", f"{package}/2", "--out") == "7\n"
    log = shell.folder / f".git/cj/local/packages/{package}/submissions/1/element-1.log"
    assert "no_such_module is not preloaded" in log.read_text()


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("--preload", "numpy;os"), 1, "'numpy;os' is not a module's name"),
        (("--preload", "numpy", "--no-preload"), 2, "exclude one another"),
    ],
)
def test_what_to_load_before_is_checked(shell: Shell, words: tuple[str, ...], code: int, told: str) -> None:
    shell.write("p.py", "print(7)\n")
    assert told in shell.refused("run", "p.py", "local", *words, code=code)
    assert shell.git("for-each-ref", "refs/cj") == ""
