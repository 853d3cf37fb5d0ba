"""From what a person typed of a sweep, in any of its ways, to the sweep."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cjledger import sweep
from cjledger.errors import CjError, UsageError
from cjledger.model import Program, Sweep
from cjledger.project import Project

if TYPE_CHECKING:
    from cjledger.commands.request import LaunchRequest

_PIECE = 1 << 16


def sweep_of(
    project: Project,
    request: LaunchRequest,
    program: Program,
    interpreter: str,
    seed: int,
    announce: Callable[[str], None],
) -> tuple[Sweep, Iterable[tuple[str, bytes]] | None]:
    """The sweep that a person asks for, and its files below ``.cj``; None where there are no files.

    ``seed`` is the package's root seed: draws follow from it. ``interpreter`` is asked for the values of
    loops that the program's text does not tell. Raises CjError for an empty or ambiguous sweep.
    """
    ways = (request.sweep, request.block, request.points, request.rows, request.blocks, request.commands)
    if sum(way not in (None, ()) for way in (*ways, request.loops or None)) > 1:
        raise UsageError(
            "--sweep, --points, --blocks, --commands and parrun exclude one another", "give one of them"
        )
    sampled = any(sweep.is_sampled(spec) for spec in (*request.sweep, *_typed(request)))
    if not sampled and (request.samples is not None or request.design != "random"):
        word = "--design" if request.samples is None else "--samples"
        raise UsageError(f"{word} goes with a distribution", "--sweep 'x=uniform(0,1)' --samples 100")
    if request.points is not None:
        return _read_points(project, request)
    if request.commands is not None:
        return sweep.explicit(*sweep.read_commands(project.cwd / request.commands), request.repeat)
    if request.rows is not None:
        return sweep.from_rows(request.rows, request.repeat)
    if request.blocks is not None:
        return sweep.from_blocks_file(project.cwd / request.blocks, request.repeat), None
    if sampled:
        return _sampled(request, seed, project.config.limits.max_tasks)
    if request.block is not None:
        return sweep.from_block(request.block, request.repeat), None
    if request.sweep:
        return sweep.from_specs(request.sweep, request.repeat), None
    if request.loops:
        return _loops(project, request, program, interpreter, announce)
    return sweep.single(request.repeat), None


def check_tasks(tasks: int, max_tasks: int) -> None:
    """Refuse more tasks than the configuration allows. Raises CjError."""
    if tasks > max_tasks:
        raise CjError(
            f"{tasks} tasks are more than the configured maximum of {max_tasks}",
            "raise max_tasks under [limits] in .cjledger.toml, or sweep fewer values",
        )


def _typed(request: LaunchRequest) -> list[str]:
    """The specifications among the axes that Python gave, as they would be typed."""
    return [f"{name}={given}" for name, given in (request.block or {}).items() if isinstance(given, str)]


def _sampled(request: LaunchRequest, seed: int, max_tasks: int) -> tuple[Sweep, list[tuple[str, bytes]]]:
    # Loaded when it is needed: what it takes to draw costs 8 ms.
    from cjledger.sweep.sampling import EXAMPLE, from_samples

    if request.samples is None:
        raise UsageError("a distribution needs a number of samples", EXAMPLE)
    # Before they are drawn: that takes time and memory.
    check_tasks(request.samples * request.repeat, max_tasks)
    axes: list[str | tuple[str, Any]] = [*request.sweep, *(request.block or {}).items()]
    return from_samples(axes, request.samples, request.design, seed, request.repeat)


def _read_points(
    project: Project, request: LaunchRequest
) -> tuple[Sweep, Iterable[tuple[str, bytes]] | None]:
    assert request.points is not None
    given = project.cwd / request.points
    is_stream = str(request.points) == "-"
    if not is_stream and not given.is_fifo():
        return sweep.explicit(*sweep.read_points(given), request.repeat)
    with tempfile.TemporaryDirectory() as folder:
        # A file first: a stream of any length is not held in memory, and what fails has read it to its end.
        kept = Path(folder, "standard-input")
        stream = nullcontext(sys.stdin.buffer) if is_stream else given.open("rb")
        with kept.open("wb") as file, stream as source:
            shutil.copyfileobj(source, file, _PIECE)
        path = kept.rename(kept.with_suffix(_suffix(kept)))
        try:
            return sweep.explicit(*sweep.read_points(path), request.repeat)
        except CjError as problem:
            # The file is gone when a person reads this.
            told = (words.replace(str(path), "standard input") for words in (problem.message, problem.hint))
            raise CjError(*told) from problem


def _suffix(path: Path) -> str:
    """What kind of points a file without a suffix holds, by its beginning."""
    with path.open("rb") as file:
        content = file.read(_PIECE)
    if content.startswith(b"PAR1"):
        return ".parquet"
    start = content.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    header = content.partition(b"\n")[0]
    return {b"{": ".jsonl", b"[": ".json"}.get(start, ".tsv" if b"\t" in header else ".csv")


def _loops(
    project: Project,
    request: LaunchRequest,
    program: Program,
    interpreter: str,
    announce: Callable[[str], None],
) -> tuple[Sweep, Iterable[tuple[str, bytes]] | None]:
    from cjledger.languages.python.sweeps import loop_sweep  # what evaluates Python costs 3 ms

    swept, rows = loop_sweep(
        project.repo.top / (program.path or ""),
        program.path or "",
        line=request.line,
        depth=request.depth,
        interpreter=interpreter,
        workdir=project.repo.top / program.workdir,
        search_path=[(project.cwd / dep).resolve() for dep in request.dep],
        arguments=program.arguments,
        evaluate=request.evaluate,
        max_tasks=project.config.limits.max_tasks,
        announce=announce,
    )
    swept = swept._replace(repeat=request.repeat)
    return swept, None if rows is None else sweep.explicit(swept.names, rows, 1)[1]
