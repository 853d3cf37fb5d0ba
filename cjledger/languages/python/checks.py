"""Does a program fit its sweep: what its text says before anything is launched."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from cjledger.errors import CjError
from cjledger.languages.python.nests import parse, syntax_tree
from cjnode.package.templates import template_parts

_OPENERS = frozenset(["open", "File", "ZipFile"])
_WRITERS = frozenset(
    """savetxt save savez savez_compressed savefig savemat imsave imwrite to_csv to_parquet to_json to_excel
    to_pickle to_feather to_hdf write_csv write_parquet write_json write_ndjson write_ipc write_excel
    FileHandler""".split()  # noqa: SIM905
)
_PATH_ARGUMENTS = ("fname", "file", "path_or_buf", "path", "filename")
_PATH_WRITERS = frozenset(["write_text", "write_bytes", "touch"])


def check_syntax(source: bytes, shown: str) -> None:
    """Raise CjError naming the line where a program is not Python."""
    parse(source, shown)


def check_function(source: bytes, shown: str, function: str, names: Sequence[str]) -> None:
    """Raise CjError unless the module has the function and it accepts exactly the sweep's names."""
    tree = parse(source, shown)
    found = [node for node in _top_level(tree.body) if isinstance(node, ast.stmt) and _binds(node, function)]
    if not found:
        others = function_names(source, shown)
        known = f"it has {', '.join(others)}" if others else "it defines none"
        raise CjError(f"{shown} has no function {function} at module level ({known})", f"{shown}:FUNCTION")
    last = found[-1]
    if isinstance(last, ast.AsyncFunctionDef):
        raise CjError(
            f"{shown}:{last.lineno}: {function} is an async function", "write one that calls asyncio.run"
        )
    # A decorator may change what is accepted; only calling it tells.
    if isinstance(last, ast.FunctionDef) and not last.decorator_list:
        _check_arguments(last, shown, names)


def function_names(source: bytes, shown: str) -> list[str]:
    """The functions that a module defines at its level."""
    return [node.name for node in _top_level(parse(source, shown).body) if isinstance(node, ast.FunctionDef)]


def _top_level(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    for statement in body:
        yield statement
        if isinstance(statement, ast.If) and _is_main(statement):
            continue  # a module that is imported does not come there
        if isinstance(statement, (ast.If, ast.Try, ast.With)):
            for block in ("body", "orelse", "finalbody"):
                yield from _top_level(getattr(statement, block, []))
            for handler in getattr(statement, "handlers", []):
                yield from _top_level(handler.body)


def _is_main(statement: ast.If) -> bool:
    """Whether this is ``if __name__ == "__main__":`` without an ``else``."""
    words = {node.id for node in ast.walk(statement.test) if isinstance(node, ast.Name)}
    return words == {"__name__"} and isinstance(statement.test, ast.Compare) and not statement.orelse


def _binds(statement: ast.stmt, name: str) -> bool:
    match statement:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return statement.name == name
        case ast.Import() | ast.ImportFrom():
            return any((alias.asname or alias.name.split(".")[0]) in (name, "*") for alias in statement.names)
        case ast.Assign() | ast.AnnAssign():
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            stored = (node for target in targets for node in ast.walk(target) if isinstance(node, ast.Name))
            return any(node.id == name for node in stored)
        case _:
            return False


def _check_arguments(function: ast.FunctionDef, shown: str, names: Sequence[str]) -> None:
    arguments = function.args
    positional_only = [each.arg for each in arguments.posonlyargs]
    by_name = [each.arg for each in [*arguments.args, *arguments.kwonlyargs]]
    where = f"{shown}:{function.lineno}: {function.name}()"
    accepted = f"it has {', '.join(by_name) or 'no arguments'}"
    for name in names:
        if name in positional_only:
            raise CjError(f"{where} takes {name} by position only", "remove the / from its arguments")
        if name not in by_name and arguments.kwarg is None:
            raise CjError(
                f"{where} has no argument {name}; {accepted}", f"--sweep {(by_name or ['NAME'])[0]}=…"
            )
    positional = [*arguments.posonlyargs, *arguments.args]
    required = [each.arg for each in positional[: len(positional) - len(arguments.defaults)]]
    required += [
        each.arg
        for each, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
        if default is None
    ]
    missing = [name for name in required if name not in names]
    if missing:
        raise CjError(
            f"{where} needs {', '.join(missing)}, which the sweep does not give", f"--sweep {missing[0]}=…"
        )


def check_template(command: str, names: Sequence[str]) -> None:
    """Raise CjError for a command template that is empty, or names what the sweep does not give."""
    if not command.strip():
        raise CjError("-c: the command is empty", "git cj run -c 'echo {x}' local --sweep x=1,2")
    try:
        parts = template_parts(command)
    except ValueError as problem:
        raise CjError(f"-c: {problem}", "write {{ and }} for braces that belong to the command") from None
    for _, name in parts:
        if name is not None and name not in names:
            known = ", ".join(names) or "none"
            raise CjError(
                f"-c: the command names {{{name}}}, which is no parameter (there are: {known})",
                (f"--sweep {name}=… gives it values; " if name.isidentifier() else "")
                + f"{{{{{name}}}}} means the characters themselves",
            )


def written_names(source: bytes, shown: str = "<unknown>") -> set[str]:
    """The literal names of files that a program opens for writing or appending."""
    try:
        tree = syntax_tree(source, shown)
    except (SyntaxError, ValueError):
        return set()
    constants = _constants(tree)
    written: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            target = _written(node)
            if isinstance(target, ast.Name):
                written.update(constants.get(target.id, ()))
            elif target is not None:
                written.update(_texts(target))
    return {name for name in written if name}


def _constants(tree: ast.Module) -> dict[str, set[str]]:
    """All the literal texts that each name is ever given."""
    found: dict[str, set[str]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    found.setdefault(target.id, set()).update(_texts(node.value))
    return found


def _texts(node: ast.expr) -> set[str]:
    """A literal file name, also as ``Path("name")``."""
    match node:
        case ast.Constant(value=str(text)):
            return {text}
        case ast.Call(func=ast.Name(id="Path") | ast.Attribute(attr="Path" | "join"), args=[*parts]) if parts:
            words = [part.value for part in parts if isinstance(part, ast.Constant)]
            return {"/".join(map(str, words))} if len(words) == len(parts) else set()
        case ast.BinOp(left=left, op=ast.Div(), right=right):
            return {f"{a}/{b}" for a in _texts(left) for b in _texts(right)}
        case _:
            return set()


def _written(call: ast.Call) -> ast.expr | None:
    """The expression that names the file a call writes to."""
    words = {word.arg: word.value for word in call.keywords}
    match call.func:
        case ast.Attribute(value=owner, attr=method) if method in _PATH_WRITERS:
            return owner
        case ast.Attribute(value=owner, attr="open") if len(call.args) < 2 and "file" not in words:
            return owner if _mode(call, 0, words) else None
    name = call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")
    if name in _OPENERS:
        named = call.args[0] if call.args else words.get("file")
        return named if _mode(call, 1, words) else None
    if name in _WRITERS:
        given = [words[key] for key in _PATH_ARGUMENTS if key in words]
        return (call.args + given)[0] if call.args or given else None
    return None


def _mode(call: ast.Call, position: int, words: dict[str | None, ast.expr]) -> bool:
    """Whether the mode argument means writing."""
    mode = words.get("mode") or (call.args[position] if len(call.args) > position else None)
    if not isinstance(mode, ast.Constant) or not isinstance(mode.value, str):
        return False
    return bool(set("wax+") & set(mode.value)) and set(mode.value) <= set("rwaxbtU+")
