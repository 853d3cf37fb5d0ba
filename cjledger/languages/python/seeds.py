"""Seeds that a program's text fixes: with these every task draws the same numbers."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from cjledger.languages.python.nests import syntax_tree

_MADE = frozenset(["default_rng", "RandomState", "Random", "SeedSequence", "PCG64", "MT19937", "Philox"])
_SEEDED = frozenset(["seed", "manual_seed", "set_seed"])


def fixed_seed(source: bytes, is_function: bool, shown: str = "<unknown>") -> tuple[int, str] | None:
    """The line and the text of the first call outside functions that seeds a generator by a number.

    What the libraries' own generators are seeded with does not reach the calls of a function: each call
    begins with its task's seed.
    """
    try:
        tree = syntax_tree(source, shown)
    except (SyntaxError, ValueError, RecursionError):
        return None
    names = _MADE if is_function else _MADE | _SEEDED
    found = [node for node in _calls(tree) if _name(node.func) in names and _is_number(node)]
    if not found:
        return None
    first = min(found, key=lambda node: node.lineno)
    return first.lineno, ast.unparse(first)


def _calls(tree: ast.Module) -> Iterator[ast.Call]:
    """The calls that loading the module makes."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Call):
            yield node
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            waiting.extend(ast.iter_child_nodes(node))


def _name(function: ast.expr) -> str:
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def _is_number(call: ast.Call) -> bool:
    given = [*call.args, *(word.value for word in call.keywords if word.arg == "seed")]
    return bool(given) and isinstance(given[0], ast.Constant) and type(given[0].value) is int
