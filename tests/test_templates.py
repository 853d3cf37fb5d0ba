from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cjledger.model import Program
from cjnode.package.templates import fill
from cjnode.program.reproduce import command, task
from tests.package_kit import by_hand, grid, package_in


def test_a_command_is_run_by_the_shell_with_its_values(tmp_path: Path) -> None:
    program = Program(
        "command", command='echo {x} "$CJ_TASK" \'{y}\' {{z}} ${{HOME:+h}} "$1"', arguments=("a b",)
    )
    package, _ = package_in(tmp_path, program, grid(x=("$(exit 3) *", 2), y=("it's", "b")))
    done = by_hand(package, "1")
    assert (done.returncode, done.stdout) == (0, "$(exit 3) * 1 it's {z} h a b\n")
    assert command(package, task(package, 4))[:2] == ["/bin/sh", "-c"]


PLACES = [
    "printf %s {x}",
    'printf %s "{x}"',
    "printf %s '{x}'",
    'printf %s "a$(printf %s "{x}")"',
    'printf %s "a$(printf %s {x})"',
    "printf %s \\\\{x}",
]


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=12), st.sampled_from(PLACES))
def test_no_value_is_read_by_the_shell_as_anything_but_itself(value: str, place: str) -> None:
    done = subprocess.run(("/bin/sh", "-c", fill(place, {"x": value})), capture_output=True, check=True)
    prefix = "a" if "a$(" in place else "\\" if "\\" in place else ""
    expected = value.rstrip("\n") if "$(" in place else value
    assert done.stdout == (prefix + expected).encode()
    assert done.stderr == b""


def test_templates_that_cannot_be_filled_safely_are_refused() -> None:
    hostile = {"x": "$(reboot)"}
    for template in ("echo `ls {x}`", "cat <<E\n{x}\nE", "echo # {x}", "echo {y}", "echo { x", "echo \\{x}"):
        with pytest.raises(ValueError, match=r"\w"):
            fill(template, hostile)
    assert fill("echo `ls {x}` # {x}", {"x": 0.5}) == "echo `ls 0.5` # 0.5"
    assert fill("awk '{{print $1}}' ${{x}}", hostile) == "awk '{print $1}' ${x}"
