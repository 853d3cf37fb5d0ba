"""What a module does with its names: enough to know when a name surely has the value of its assignment."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator
from dataclasses import dataclass, field

# Names through which code can bind what no reader of the text can see.
_HIDDEN = frozenset(
    "exec eval globals locals vars setattr delattr builtins __builtins__ __import__".split()  # noqa: SIM905
)

# Functions that read their arguments and change none.
_READERS = frozenset(
    "len range enumerate zip reversed sorted list tuple sum min max print str repr".split()  # noqa: SIM905
)


class UncertainError(Exception):
    """The text alone does not say what a value is."""

    def __init__(self, reason: str, line: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.line = line


@dataclass
class Uses:
    """Where each name of a module is bound and read; ``lent`` where it is passed to who knows what."""

    bound: dict[str, list[ast.AST]] = field(default_factory=dict)
    lent: dict[str, list[ast.Name]] = field(default_factory=dict)
    attributes: set[str] = field(default_factory=set)  # names whose attributes are assigned


def uses(tree: ast.Module) -> Uses:
    """Collect bindings at module level (and by ``global``) and reads anywhere. Raises UncertainError."""
    found = Uses()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id in _HIDDEN:
            raise UncertainError(f"{node.id} is used", node.lineno)
        if isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names):
            raise UncertainError(f"from {node.module} import * hides what names mean", node.lineno)
        match node:
            case ast.Attribute(value=ast.Name(id=owner), ctx=ast.Store() | ast.Del()):
                found.attributes.add(owner)
    for name, place in _bindings(tree):
        found.bound.setdefault(name, []).append(place)
    for parent in ast.walk(tree):
        for child in ast.iter_child_nodes(parent):
            if isinstance(child, ast.Name) and isinstance(child.ctx, ast.Load) and not _reads(parent, child):
                found.lent.setdefault(child.id, []).append(child)
    return found


def _reads(parent: ast.AST, child: ast.Name) -> bool:
    """Whether the parent only looks at a value."""
    match parent:
        case ast.Call(func=function) if child is function:
            return True
        case ast.Call(func=ast.Name(id=name)):
            return name in _READERS
        case ast.For(iter=iterable) | ast.comprehension(iter=iterable):
            return child is iterable
        case ast.Subscript(ctx=ast.Load()) | ast.Compare() | ast.FormattedValue():
            return True
        case _:
            return False


def _bindings(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """Names that module-level code binds; inside functions only those declared global."""
    for child in ast.iter_child_nodes(node):
        match child:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield child.name, child
                inside = [each for each in ast.walk(child) if isinstance(each, ast.Global)]
                for name in {name for each in inside for name in each.names}:
                    yield name, child
                for outer in [*child.decorator_list, *_defaults(child)]:
                    yield from _bindings(ast.Expr(outer))
            case ast.Lambda():
                continue
            case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
                for walrus in ast.walk(child):
                    if isinstance(walrus, ast.NamedExpr):
                        yield walrus.target.id, walrus
            case ast.Import() | ast.ImportFrom():
                for alias in child.names:
                    yield alias.asname or alias.name.split(".")[0], child
            case ast.Assign() | ast.AnnAssign():
                targets = child.targets if isinstance(child, ast.Assign) else [child.target]
                for target in targets:
                    yield from _stored(target, child)
                if child.value is not None:
                    yield from _bindings(ast.Expr(child.value))
            case ast.Name(ctx=ast.Store() | ast.Del()):
                yield child.id, child
            case ast.ExceptHandler(name=str(name)):
                yield name, child
                yield from _bindings(child)
            case ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                yield name, child
                yield from _bindings(child)
            case ast.MatchMapping(rest=str(name)):
                yield name, child
                yield from _bindings(child)
            case _:
                yield from _bindings(child)


def _defaults(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> list[ast.expr]:
    if isinstance(node, ast.ClassDef):
        return [*node.bases, *(keyword.value for keyword in node.keywords)]
    return [*node.args.defaults, *(default for default in node.args.kw_defaults if default is not None)]


def _stored(target: ast.expr, place: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    for node in ast.walk(target):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id, place


def is_builtin(found: Uses, name: str) -> bool:
    """Whether a name means Python's own everywhere in the module."""
    return name not in found.bound and hasattr(builtins, name)
