from __future__ import annotations

import pytest

from cjledger.errors import CjError
from cjledger.languages import LANGUAGES
from cjledger.languages.python import check_function, check_syntax, check_template, written_names

MODULE = b"""\
import numpy as np
from elsewhere import borrowed
from functools import cache, partial

def fit(x, y=2, *, z=3): ...
def open_ended(x, **more): ...
def positional(x, /, y): ...
@cache
def decorated(n): ...
async def later(x): ...
double = partial(fit, 1)
if np:
    def guarded(x): ...
class Model:
    def method(self): ...
"""


def refused(function: str, *names: str) -> str:
    with pytest.raises(CjError) as caught:
        check_function(MODULE, "lab/model.py", function, names)
    assert caught.value.hint
    return caught.value.message


@pytest.mark.parametrize(
    ("function", "names"),
    [
        ("fit", ["x"]),
        ("fit", ["x", "y", "z"]),
        ("open_ended", ["x", "anything"]),
        ("decorated", ["whatever"]),
        ("borrowed", ["whatever"]),
        ("double", ["y"]),
        ("guarded", ["x"]),
        ("Model", []),
    ],
)
def test_functions_that_accept_the_sweep_pass(function: str, names: list[str]) -> None:
    check_function(MODULE, "model.py", function, names)


def test_functions_that_do_not_accept_the_sweep_are_refused_by_line() -> None:
    assert refused("fit", "x", "w") == "lab/model.py:5: fit() has no argument w; it has x, y, z"
    assert refused("fit", "y") == "lab/model.py:5: fit() needs x, which the sweep does not give"
    assert refused("positional", "x", "y") == "lab/model.py:7: positional() takes x by position only"
    assert refused("later", "x") == "lab/model.py:10: later is an async function"
    assert refused("method").startswith("lab/model.py has no function method at module level (it has fit, ")


def test_the_last_definition_counts() -> None:
    check_function(b"def f(x): ...\ndef f(y): ...\n", "m.py", "f", ["y"])
    with pytest.raises(CjError, match=r"m\.py:2: f"):
        check_function(b"def f(x): ...\ndef f(y): ...\n", "m.py", "f", ["x"])


def test_syntax_errors_name_line_and_text() -> None:
    check_syntax(b"x = 1\n", "PT.py")
    with pytest.raises(CjError, match=r"^PT\.py:2: .*: y = = 2$"):
        check_syntax(b"x = 1\ny = = 2\n", "PT.py")
    with pytest.raises(CjError, match=r"^PT\.py"):
        check_syntax(b"x = 1\0\n", "PT.py")
    with pytest.raises(CjError, match=r"^PT\.py.*"):
        check_syntax(b"# coding: klingon\n", "PT.py")


def test_templates_may_name_parameters_only() -> None:
    check_template("echo {x} {{y}} ${HOME} {cj_repeat}", ["x", "cj_repeat"])
    with pytest.raises(CjError, match="the command is empty"):
        check_template(" ", ["x"])
    with pytest.raises(CjError, match=r"names \{z\}, which is no parameter \(there are: x, y\)"):
        check_template("echo {z}", ["x", "y"])
    with pytest.raises(CjError, match="a single } in the command"):
        check_template("echo }", ["x"])


WRITES = """\
open("a.txt", "w")
open("b.txt", mode="a+")
open("read.txt")
open("read2.txt", "rb")
io.open(file="c.txt", mode="x")
Path("d.txt").open("w")
Path("read3.txt").open()
(Path("out") / "e.txt").write_text("")
pathlib.Path("out", "f.txt").write_bytes(b"")
np.savetxt("g.txt", x)
np.save(file="h.npy", arr=x)
frame.to_csv("i.csv")
frame.to_csv(path_or_buf="j.csv")
NAME = "k.txt"
with open(NAME, "a") as f: pass
RESULTS = Path("l.txt")
RESULTS.write_text("")
RESULTS.open("a")
open(os.path.join("out", "m.txt"), "w")
open(unknown, "w")
plt.savefig("n.png")
print(x, file=open("o.txt", "w"))
str.open("w")
"""


def test_files_that_a_program_writes_are_known_by_name() -> None:
    assert written_names(WRITES.encode()) == {
        *(f"{letter}.txt" for letter in "abcdgklo"),
        *(f"out/{letter}.txt" for letter in "efm"),
        *("h.npy", "i.csv", "j.csv", "n.png"),
    }
    assert written_names(b"not python (") == set()


def test_languages_are_told_by_suffix() -> None:
    assert list(LANGUAGES) == [".py"]
