"""Finding the loop nest of a script, and refusing what cannot be cut into tasks."""

from __future__ import annotations

import ast
import functools
import shlex
from collections.abc import Iterator
from typing import NamedTuple

from cjledger.errors import CjError
from cjnode.program.loops import target_names

_CHANGING = frozenset(
    """append extend insert remove pop clear sort reverse update add discard setdefault popitem popleft
    appendleft extendleft rotate close send throw read readline readlines
    seek resize fill itemset __next__ __setitem__ __delitem__""".split()  # noqa: SIM905
)


class Nest(NamedTuple):
    """Loops each of which is the only statement of the one around it, by their lines."""

    line: int
    depth: int
    lines: tuple[int, ...]
    names: tuple[tuple[str, ...], ...]  # the loop variables of each level


@functools.lru_cache(maxsize=2)
def syntax_tree(source: bytes | str, shown: str = "<unknown>") -> ast.Module:
    """The syntax tree of a program, which nobody may change: a launch asks for it several times."""
    return ast.parse(source, shown)


def parse(source: bytes | str, shown: str) -> ast.Module:
    """The syntax tree of a program. Raises CjError naming the line that is not Python."""
    try:
        return syntax_tree(source, shown)
    except SyntaxError as problem:
        text = (problem.text or "").strip()
        where = f"{shown}:{problem.lineno}" if problem.lineno else shown
        raise CjError(
            f"{where}: {problem.msg}" + (f": {text}" if text else ""),
            f"python -m py_compile {shlex.quote(shown)}",
        ) from None
    except (ValueError, RecursionError, MemoryError) as problem:
        raise CjError(
            f"{shown} cannot be read as Python: {problem}", f"python {shlex.quote(shown)}"
        ) from None


def find_nests(tree: ast.Module) -> list[Nest]:
    """All loop nests at module level, also those inside ``with``, ``if`` and ``try``, by line."""
    return [_nest(loop) for loop in _loops(tree.body)]


def _loops(body: list[ast.stmt]) -> Iterator[ast.For]:
    """The outermost ``for`` statements that the module itself runs, in the order of the text."""
    for statement in body:
        if isinstance(statement, ast.For):
            yield statement
        else:
            for block in _blocks(statement):
                yield from _loops(block)


def _blocks(statement: ast.stmt) -> list[list[ast.stmt]]:
    match statement:
        case ast.If():
            return [statement.body, statement.orelse]
        case ast.With():
            return [statement.body]
        case ast.Try() | ast.TryStar():
            handlers = [handler.body for handler in statement.handlers]
            return [statement.body, *handlers, statement.orelse, statement.finalbody]
        case ast.Match():
            return [case.body for case in statement.cases]
        case _:
            return []


def _nest(loop: ast.For) -> Nest:
    loops = [loop]
    while len(loops[-1].body) == 1 and isinstance(loops[-1].body[0], ast.For):
        loops.append(loops[-1].body[0])
    return Nest(
        loop.lineno,
        len(loops),
        tuple(each.lineno for each in loops),
        tuple(tuple(target_names(each.target)) for each in loops),
    )


def choose_nest(tree: ast.Module, shown: str, line: int | None, depth: int | None) -> Nest:
    """The nest a person means. Raises CjError when there is none, or more than one and no line."""
    nests = find_nests(tree)
    if not nests:
        raise _no_nest(tree, shown)
    if line is None and len(nests) > 1:
        raise CjError(
            f"{shown} has {len(nests)} loop nests: {_listed(nests)}", f"--line {nests[0].line} picks one"
        )
    chosen = [nest for nest in nests if line in (None, nest.line)]
    if not chosen:
        around = [nest for nest in nests if line in nest.lines]
        inner = f"line {line} is an inner loop of the nest on line {around[0].line}" if around else ""
        raise CjError(
            f"{shown}: {inner or f'no loop nest begins on line {line}; there are: {_listed(nests)}'}",
            f"--line {(around or nests)[0].line}",
        )
    nest = chosen[0]
    if depth is not None and not 1 <= depth <= nest.depth:
        loops = "1 loop" if nest.depth == 1 else f"{nest.depth} loops"
        raise CjError(
            f"{shown}: the nest on line {nest.line} has {loops}, not {depth}",
            f"--depth {nest.depth}{' or less' * (nest.depth > 1)}; "
            "every loop must be the only statement of the one around it",
        )
    deep = depth or nest.depth
    return Nest(nest.line, deep, nest.lines[:deep], nest.names[:deep])


def _listed(nests: list[Nest]) -> str:
    return "; ".join(
        f"line {nest.line} ({', '.join(name for level in nest.names for name in level)})" for nest in nests
    )


def _no_nest(tree: ast.Module, shown: str) -> CjError:
    """Say where loops are that cannot be taken, and the way out."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            inner = [each for each in ast.walk(node) if isinstance(each, (ast.For, ast.AsyncFor))]
            if inner:
                return CjError(
                    f"{shown} has no loop nest at module level; the one on line {inner[0].lineno} is inside "
                    f"the function {node.name}",
                    "move it to module level (or under if __name__ == '__main__':), or git cj run "
                    f"{shown}:FUNCTION … --sweep NAME=…",
                )
    for kind, words in ((ast.While, "a while loop"), (ast.AsyncFor, "an async for loop"), (ast.For, "")):
        for node in ast.walk(tree):
            if isinstance(node, kind):
                where = words or "a for loop inside something else that is not if, with or try"
                return CjError(
                    f"{shown}:{node.lineno}: {where}, whose iterations cannot be counted without running it",
                    "write it as a for loop at module level, or give the values with "
                    f"git cj run {shown} … --sweep NAME=…",
                )
    return CjError(
        f"{shown} has no for loop at module level",
        f"git cj run {shown} … runs it as one task; --sweep NAME=… gives it values",
    )


def check_nest(loops: list[ast.For], shown: str) -> None:
    """Refuse a nest whose iterations depend on one another, or whose targets are no names."""
    for loop in loops:
        for node in ast.walk(loop.target):
            if isinstance(node, (ast.Attribute, ast.Subscript)):
                raise CjError(
                    f"{shown}:{loop.lineno}: the loop assigns to {ast.unparse(node)}, which is not a name",
                    "loop over a plain variable and assign in the loop's body",
                )
        taken = [name for name in target_names(loop.target) if name.startswith(("cj_", "__cj_"))]
        if taken:
            raise CjError(
                f"{shown}:{loop.lineno}: names beginning with cj_ are reserved, such as {taken[0]}",
                "rename the loop variable",
            )
    for line in _breaks(loops[-1].body):
        raise CjError(
            f"{shown}:{line}: break ends the loop on line {loops[-1].lineno} early, so its iterations depend "
            "on one another",
            "replace break by a condition in the body, or take fewer loops with --depth",
        )
    _check_changes(loops, shown)


def _breaks(body: list[ast.stmt]) -> Iterator[int]:
    """The lines of ``break`` statements that belong to the loop with this body."""
    for statement in body:
        if isinstance(statement, ast.Break):
            yield statement.lineno
        elif isinstance(statement, (ast.For, ast.While, ast.AsyncFor)):
            yield from _breaks(statement.orelse)
        else:
            for block in [*_blocks(statement), getattr(statement, "body", [])]:
                if not isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                    yield from _breaks(block)


def _check_changes(loops: list[ast.For], shown: str) -> None:
    bound = {name for loop in loops for name in target_names(loop.target)}
    for level, loop in enumerate(loops):
        read = {node.id for node in ast.walk(loop.iter) if isinstance(node, ast.Name)} - bound
        for statement in loops[-1].body:
            for node in ast.walk(statement):
                name = _changed(node, inner=level > 0)
                if name in read:
                    line = getattr(node, "lineno", loop.lineno)
                    raise CjError(
                        f"{shown}:{line}: the loop on line {loop.lineno} runs "
                        f"over {name}, which its body changes, so its iterations depend on one another",
                        "loop over a copy that is made before the loop",
                    )


def _changed(node: ast.AST, inner: bool) -> str | None:
    """The name whose value a piece of the body changes, where it does."""
    match node:
        case ast.Name(id=name, ctx=ast.Store()) if inner:
            return name  # the inner loop's iterable is evaluated again
        case ast.AugAssign(target=ast.Name(id=name)) | ast.Name(id=name, ctx=ast.Del()):
            return name
        case ast.Subscript(value=value, ctx=ast.Store() | ast.Del()):
            return _base(value)
        case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr=method)) if method in _CHANGING:
            return name
        case ast.Call(func=ast.Name(id="next"), args=[ast.Name(id=name), *_]):
            return name
        case _:
            return None


def _base(node: ast.expr) -> str | None:
    while isinstance(node, (ast.Subscript, ast.Attribute)):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None


def mentioned(loops: list[ast.For], level: int) -> str | None:
    """The plain name a loop runs over, when its body mentions it (and so may advance an iterator)."""
    iterable = loops[level].iter
    if not isinstance(iterable, ast.Name):
        return None
    for statement in loops[-1].body:
        for node in ast.walk(statement):
            if isinstance(node, ast.Name) and node.id == iterable.id:
                return iterable.id
    return None
