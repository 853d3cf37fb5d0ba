"""Evaluating a nest's iterables from the text alone, where the text is certain about their values."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from typing import Any

from cjledger.languages.python.names import UncertainError, Uses, is_builtin, uses
from cjledger.languages.python.numeric import ARRAYS, NpFloat, NpInt, Vector, numpy_arithmetic
from cjledger.languages.python.plain import BUILTINS, OneShot, arithmetic, product
from cjnode.program.loops import recorded
from cjnode.program.survey import Growth, kept_names

_OPERATORS = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.FloorDiv: "//",
    ast.Mod: "%",
    ast.Pow: "**",
}


def static_growth(tree: ast.Module, loops: list[ast.For], limit: int) -> Growth:
    """The nest's iterations. Raises UncertainError when only running the program can tell."""
    found = uses(tree)
    chain = _chain(tree.body, loops[0])
    evaluator = _Evaluator(found, _certain(found, chain, loops))
    growth = Growth(limit)
    names = kept_names([loop.target for loop in loops])
    try:
        _grow(evaluator, loops, names, growth, 0)
    except UncertainError as problem:
        raise UncertainError(problem.reason, problem.line or loops[0].lineno) from None
    except (ArithmeticError, TypeError, ValueError, LookupError, AttributeError, RecursionError) as problem:
        raise UncertainError(f"{type(problem).__name__}: {problem}", loops[0].lineno) from None
    return growth


def _grow(
    evaluator: _Evaluator, loops: list[ast.For], names: list[list[str]], growth: Growth, level: int
) -> None:
    loop = loops[level]
    growth.enter()
    for element in evaluator.elements(loop.iter):
        evaluator.bind(loop.target, element)
        growth.bound([recorded(evaluator.variables[name]) for name in names[level]])
        if level + 1 < len(loops):
            _grow(evaluator, loops, names, growth, level + 1)
    growth.leave()


def _chain(body: list[ast.stmt], loop: ast.For) -> list[ast.stmt]:
    """The statements that surely run before the loop, in order. Raises UncertainError."""
    before: list[ast.stmt] = []
    for statement in body:
        if statement is loop:
            return before
        if any(node is loop for node in ast.walk(statement)):
            return [*before, *_chain(_only_block(statement), loop)]
        _check_flow(statement)
        before.append(statement)
    raise UncertainError("the loop does not surely run", loop.lineno)


def _only_block(statement: ast.stmt) -> list[ast.stmt]:
    """The block that is entered for certain."""
    match statement:
        case ast.With():
            return statement.body
        case ast.Try():
            return statement.body
        case ast.If(
            test=ast.Compare(
                left=ast.Name(id="__name__"), ops=[ast.Eq()], comparators=[ast.Constant(value="__main__")]
            )
        ):
            return statement.body
        case _:
            raise UncertainError("the loop is inside a condition", statement.lineno)


def _check_flow(statement: ast.stmt) -> None:
    """Refuse what may end the program before the loop."""
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return
    for node in ast.walk(statement):
        match node:
            case ast.Raise():
                raise UncertainError("an exception may end the program before the loop", node.lineno)
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)) if name in (
                "exit",
                "_exit",
                "quit",
                "abort",
            ):
                raise UncertainError(f"{name}() may end the program before the loop", node.lineno)


def _certain(found: Uses, chain: list[ast.stmt], loops: list[ast.For]) -> dict[str, tuple[ast.AST, ast.expr]]:
    """The assignments and imports that give a name its only value."""
    own = {id(node) for loop in loops for node in ast.walk(loop.iter)}
    body = {id(node) for statement in loops[-1].body for node in ast.walk(statement)}
    certain: dict[str, tuple[ast.AST, ast.expr]] = {}
    for statement in chain:
        for name, value in _assigned(statement):
            if found.bound.get(name) != [statement]:
                continue
            lent = [each for each in found.lent.get(name, []) if id(each) not in own | body]
            if (lent or name in found.attributes) and not _unchangeable(value):
                continue
            certain[name] = (statement, value)
    return certain


def _unchangeable(value: ast.expr) -> bool:
    """Whether a value cannot be changed in place by whoever gets it."""
    if isinstance(value, (ast.Constant, ast.Attribute, ast.UnaryOp)):
        return True
    if isinstance(value, ast.Tuple):
        return all(_unchangeable(each) for each in value.elts)
    return isinstance(value, ast.BinOp) and _unchangeable(value.left) and _unchangeable(value.right)


def _assigned(statement: ast.stmt) -> Iterator[tuple[str, ast.expr]]:
    match statement:
        case ast.Assign(targets=[ast.Name(id=name)], value=value):
            yield name, value
        case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
            yield name, value
        case ast.Assign(targets=[ast.Tuple(elts=targets)], value=ast.Tuple(elts=values)):
            if len(targets) == len(values):
                for target, value in zip(targets, values, strict=True):
                    if isinstance(target, ast.Name):
                        yield target.id, value
        case ast.Import() | ast.ImportFrom():
            module = statement.module if isinstance(statement, ast.ImportFrom) else None
            for alias in statement.names:
                dotted = f"{module}.{alias.name}" if module else alias.name
                if "." not in alias.name:
                    yield alias.asname or alias.name, ast.Attribute(ast.Name("import"), dotted)


class _Evaluator:
    """Values of expressions, given the loop variables bound so far."""

    def __init__(self, found: Uses, certain: dict[str, tuple[ast.AST, ast.expr]]) -> None:
        self.found = found
        self.certain = certain
        self.variables: dict[str, Any] = {}
        self.known: dict[str, Any] = {}

    def bind(self, target: ast.expr, value: Any) -> None:
        """Bind a loop's target as Python does."""
        if isinstance(target, ast.Name):
            self.variables[target.id] = value
            return
        parts = target.elts if isinstance(target, (ast.Tuple, ast.List)) else []
        values = list(value) if isinstance(value, (list, tuple, str, range)) else []
        if not parts or len(parts) != len(values) or any(isinstance(each, ast.Starred) for each in parts):
            raise UncertainError(f"{ast.unparse(target)} does not fit", target.lineno)
        for part, each in zip(parts, values, strict=True):
            self.bind(part, each)

    def elements(self, node: ast.expr) -> Any:
        """What a loop over an expression goes through."""
        value = self.value(node)
        if isinstance(value, (list, tuple, str, range)):
            return value
        raise UncertainError(f"{ast.unparse(node)} is not a list", node.lineno)

    def value(self, node: ast.expr) -> Any:
        """The value of an expression. Raises UncertainError."""
        match node:
            case ast.Constant(value=bool() | int() | float() | str() | None as value):
                return value
            case ast.List(elts=parts) | ast.Tuple(elts=parts):
                values = [self.value(part) for part in parts]
                return values if isinstance(node, ast.List) else tuple(values)
            case ast.Name(id=name):
                return self._named(name, node)
            case ast.UnaryOp(op=ast.USub() | ast.UAdd() as sign, operand=operand):
                return self._signed(sign, operand)
            case ast.BinOp(left=left, op=operation, right=right) if type(operation) in _OPERATORS:
                return arithmetic(_OPERATORS[type(operation)], self.value(left), self.value(right))
            case ast.Subscript(value=whole, slice=ast.Constant(value=int() as index)):
                values = self.value(whole)
                if type(values) in (list, tuple, str, range):
                    return values[index]
            case ast.Call(func=function, args=arguments, keywords=words):
                if not any(isinstance(each, ast.Starred) for each in arguments):
                    return self._called(function, arguments, words)
        raise UncertainError(f"{ast.unparse(node)} is not a literal", node.lineno)

    def _signed(self, sign: ast.unaryop, operand: ast.expr) -> Any:
        value = self.value(operand)
        if isinstance(value, (Vector, NpInt, NpFloat)):
            return numpy_arithmetic("*", value, -1 if isinstance(sign, ast.USub) else 1)
        return -value if isinstance(sign, ast.USub) else +value

    def _named(self, name: str, node: ast.expr) -> Any:
        if name in self.variables:
            return self.variables[name]
        if name not in self.known:
            if name not in self.certain:
                raise UncertainError(f"the text does not fix the value of {name}", node.lineno)
            statement, value = self.certain[name]
            del self.certain[name]  # a name that needs itself is not certain
            if isinstance(statement, (ast.Import, ast.ImportFrom)):
                raise UncertainError(f"{name} is imported", node.lineno)
            self.known[name] = self.value(value)
        if isinstance(self.known[name], OneShot):
            raise UncertainError(f"{name} is an iterator", node.lineno)
        return self.known[name]

    def _called(self, function: ast.expr, arguments: list[ast.expr], words: list[ast.keyword]) -> Any:
        call = self._function(function)
        given = {word.arg: self.value(word.value) for word in words if word.arg}
        if len(given) != len(words):
            raise UncertainError("** in a call", function.lineno)
        return call(*(self.value(argument) for argument in arguments), **given)

    def _function(self, node: ast.expr) -> Callable[..., Any]:
        """The known function that an expression names for certain."""
        if isinstance(node, ast.Name) and is_builtin(self.found, node.id) and node.id in BUILTINS:
            return BUILTINS[node.id]
        dotted = self._imported(node)
        module, _, name = (dotted or "").rpartition(".")
        if module == "itertools" and name == "product":
            return product
        if module == "numpy" and name in ARRAYS:
            return ARRAYS[name]
        raise UncertainError(f"{ast.unparse(node)}() is not known", node.lineno)

    def _imported(self, node: ast.expr) -> str | None:
        """The dotted name that an expression has by an import."""
        match node:
            case ast.Name(id=name) if name in self.certain and name not in self.variables:
                statement, value = self.certain[name]
                if isinstance(statement, (ast.Import, ast.ImportFrom)) and isinstance(value, ast.Attribute):
                    return value.attr
            case ast.Attribute(value=ast.Name() as owner, attr=attribute):
                if owner.id not in self.found.attributes:
                    module = self._imported(owner)
                    return f"{module}.{attribute}" if module else None
        return None
