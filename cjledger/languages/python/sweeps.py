"""From a script's loop nest to a sweep: one task for each iteration."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from cjledger.errors import CjError
from cjledger.languages.python.evaluate import Evaluation, evaluate
from cjledger.languages.python.literal import static_growth
from cjledger.languages.python.names import UncertainError
from cjledger.languages.python.nests import Nest, check_nest, choose_nest, mentioned, parse
from cjledger.model import Block, Sweep
from cjnode.package.axes import axis_of
from cjnode.program.loops import nest_loops
from cjnode.program.survey import TooManyError, kept_names

_FEWER = "raise max_tasks under [limits] in .cjledger.toml, or loop over fewer values"

Rows = Iterator[list[Any]]


def loop_sweep(
    path: Path,
    shown: str,
    *,
    line: int | None,
    depth: int | None,
    interpreter: str,
    workdir: Path,
    search_path: Sequence[Path],
    arguments: Sequence[str],
    evaluate: bool,
    max_tasks: int,
    announce: Callable[[str], None],
    timeout_s: float = 60,
) -> tuple[Sweep, Rows | None]:
    """The sweep of a script's loop nest, and its explicit points where it needs them.

    A point is a list: the iteration numbers of the loops (itself a list), then the values by ``names``.
    ``shown`` is the path below the repository's top, as errors name it. Raises CjError for what cannot be
    counted exactly.
    """
    tree = parse(_read(path, shown), shown)
    nest = choose_nest(tree, shown, line, depth)
    loops = nest_loops(tree, nest.lines)
    check_nest(loops, shown)
    wanted = Evaluation(
        path,
        shown,
        nest.lines,
        interpreter,
        workdir,
        tuple(search_path),
        tuple(arguments),
        timeout_s,
        max_tasks,
    )
    branches = _branches(tree, loops, wanted, evaluate, announce)
    tasks = _counts(branches)[-1]
    if not tasks:
        raise CjError(
            f"{shown}: the loop nest on line {nest.line} has no iterations: an empty sweep",
            "give its loops something to run over",
        )
    if tasks > max_tasks:
        raise CjError(f"{shown}: {tasks} tasks are more than the configured maximum of {max_tasks}", _FEWER)
    return _sweep(nest, loops, branches, tasks)


def _read(path: Path, shown: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as problem:
        raise CjError(f"{shown} cannot be read: {problem.strerror}", f"ls -l {shown}") from None


def _branches(
    tree: ast.Module,
    loops: list[ast.For],
    wanted: Evaluation,
    allowed: bool,
    announce: Callable[[str], None],
) -> list[Any]:
    try:
        return static_growth(tree, loops, wanted.limit).branches
    except TooManyError:
        raise CjError(
            f"{wanted.shown}: the nest on line {wanted.lines[0]} has more than the configured maximum of "
            f"{wanted.limit} tasks",
            _FEWER,
        ) from None
    except UncertainError as problem:
        where = f"{wanted.shown}:{problem.line or wanted.lines[0]}"
        if not allowed:
            raise CjError(
                f"{where}: the text alone does not say what the loop on line {wanted.lines[0]} runs over "
                f"({problem.reason})",
                "leave out --no-eval, write the values as literals, or give them to git cj run by "
                "--sweep NAME=…",
            ) from None
        announce(
            f"{where}: {problem.reason}; running what precedes the loop on line {wanted.lines[0]}, in "
            f"{wanted.workdir} with {wanted.interpreter}"
        )
    found = evaluate(wanted)
    for level, one_shot in enumerate(found.one_shot):
        name = mentioned(loops, level) if one_shot else None
        if name:
            raise CjError(
                f"{wanted.shown}:{loops[level].lineno}: the loop runs over the iterator {name}, which its "
                "body uses too, so its iterations depend on one another",
                f"loop over list({name})",
            )
    return found.branches


def _counts(branches: list[Any]) -> list[int]:
    """How many innermost iterations each branch has; those below come before it."""
    counts: list[int] = []
    for _, rows in branches:
        counts.append(sum(counts[below] if below >= 0 else 1 for _, below in rows))
    return counts


def _sweep(nest: Nest, loops: list[ast.For], branches: list[Any], tasks: int) -> tuple[Sweep, Rows | None]:
    names = kept_names([loop.target for loop in loops])
    flat = tuple(name for level in names for name in level)
    where = {"line": nest.line, "depth": nest.depth, "lines": list(nest.lines)}
    levels = [[rows for level, rows in branches if level == wanted] for wanted in range(nest.depth)]
    if all(len(kinds) == 1 for kinds in levels):
        axes = tuple(
            axis_of(tuple(own), [tuple(values) for values, _ in rows])
            for own, (rows,) in zip(names, levels, strict=True)
        )
        return Sweep("loops", (Block(axes),), (), flat, 0, 1, where), None
    return Sweep("loops", (), (), flat, tasks, 1, where), _rows(branches, len(branches) - 1, [], [])


def _rows(branches: list[Any], branch: int, index: list[int], values: list[Any]) -> Iterator[list[Any]]:
    for position, (own, below) in enumerate(branches[branch][1]):
        here, bound = [*index, position], [*values, *own]
        if below < 0:
            yield [here, *bound]
        else:
            yield from _rows(branches, below, here, bound)
