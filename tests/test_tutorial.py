"""The console blocks of the documents are typed in order; what they show must appear."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

TOP = Path(__file__).parent.parent


@dataclass(frozen=True)
class Step:
    """One command and the lines shown under it; ``…`` stands for anything."""

    line: int
    command: str
    shown: tuple[str, ...]

    @property
    def fails(self) -> bool:
        if "--wait" in self.command and any("FAILED" in line for line in self.shown):
            return True  # told by its exit status
        return any(line.startswith("error:") for line in self.shown)


def steps(text: str) -> Iterator[Step]:
    """The commands of all console blocks: ``$ `` starts one, a here-document belongs to it."""
    for block in re.finditer(r"^```console\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        start = text.count("\n", 0, block.start()) + 2
        lines = block[1].splitlines()
        starts = [number for number, line in enumerate(lines) if line.startswith("$ ")]
        for number, end in zip(starts, [*starts[1:], len(lines)], strict=True):
            words, shown = [lines[number][2:]], lines[number + 1 : end]
            if words[0].endswith("<<'EOF'"):
                here = shown.index("EOF") + 1
                words, shown = words + shown[:here], shown[here:]
            yield Step(start + number, "\n".join(words), tuple(line for line in shown if line.strip()))


def pattern(line: str) -> str:
    """What matches a shown line: spaces are any white space, ``…`` is anything."""
    parts = [r"\s+".join(re.escape(word) for word in part.split()) for part in line.split("…")]
    return r".*".join(parts)


def missing(shown: tuple[str, ...], output: str) -> str | None:
    """The first shown line that the output lacks at or after the place of the line before it."""
    at = 0
    for line in shown:
        found = re.compile(pattern(line)).search(output, at)
        if found is None:
            return line
        at = found.end()
    return None


def test_a_shown_line_must_appear_after_the_one_before_it() -> None:
    assert missing(("tasks 9", "id …f"), "tasks   9\nid 12af\n") is None
    assert missing(("id …", "tasks 9"), "tasks 9\nid 12af\n") == "tasks 9"
    assert missing(("a (b)",), "a b") == "a (b)"


def test_a_here_document_belongs_to_its_command() -> None:
    text = "x\n```console\n$ cat > a <<'EOF'\n$ 1\nEOF\n$ cat a\n$ 1\n```\n"
    with pytest.raises(ValueError, match="not in list"):
        list(steps(text))
    assert list(steps(text.replace("$ 1", "1"))) == [
        Step(3, "cat > a <<'EOF'\n1\nEOF", ()),
        Step(6, "cat a", ("1",)),
    ]


@pytest.mark.parametrize("name", ["README.md", "docs/tutorial.md", "docs/python.md"])
def test_what_the_document_shows_happens(name: str, tmp_path: Path) -> None:
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    environment = {**os.environ, "PATH": path, "COLUMNS": "120", "TERM": "dumb", "SOURCE": str(TOP)}
    where = tmp_path / "where"
    folder = str(tmp_path)
    found = list(steps((TOP / name).read_text(encoding="utf-8")))
    assert found
    for step in found:
        script = f"trap 'pwd > \"{where}\"' EXIT\n{step.command}\n"
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
        )
        told = f"{name}:{step.line}: $ {step.command}\n{done.stdout}"
        assert (done.returncode != 0) == step.fails, told
        lacking = missing(step.shown, done.stdout)
        assert lacking is None, f"{told}\nlacks: {lacking}"
        folder = where.read_text().strip()
