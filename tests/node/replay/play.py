"""What the programs of a replayed scheduler share: a call is noted, checked, and answered from a recording.

The folder ``scene`` has ``<program>-<n>.json``, the n-th answer of that program (the last one repeatedly):
``{"out":…,"err":…,"code":…}``. ``calls.jsonl`` has the calls.
"""

from __future__ import annotations

import getopt
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

# A complaint is what the real program prints on stderr, with its exit code; None: the call is right.
Complaint = tuple[int, str] | None
Check = Callable[[list[str], str], Complaint]


def main(checks: dict[str, Check], program: str, scene: Path) -> int:
    """Answer one call."""
    text = sys.stdin.read() if not os.isatty(0) else ""
    call = {"program": program, "argv": sys.argv[1:], "stdin": text, "environ": sorted(os.environ)}
    with (scene / "calls.jsonl").open("a") as file:
        file.write(json.dumps(call) + "\n")
    wrong = checks[program](sys.argv[1:], text)
    if wrong:
        sys.stderr.write(wrong[1])
        return wrong[0]
    answers = sorted(scene.glob(f"{program}-*.json"))
    if not answers:
        return 0
    before = scene / f"{program}.count"
    count = int(before.read_text()) if before.exists() else 0
    before.write_text(str(count + 1))
    answer = json.loads(answers[min(count, len(answers) - 1)].read_text())
    sys.stdout.write(answer["out"])
    sys.stderr.write(answer["err"])
    return int(answer["code"])


def options(argv: list[str], known: str) -> tuple[dict[str, str], list[str]] | str:
    """Options by their letter and the words after them; what is wrong with them, in getopt's words."""
    try:
        found, words = getopt.getopt(argv, known)
    except getopt.GetoptError as problem:
        return str(problem)
    return {name[1:]: value for name, value in found}, words
