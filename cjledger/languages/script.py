"""The reproduction script: the node half's modules that run a task, joined into one readable file."""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cjnode

# In the order of their imports.
_MODULES = ("points", "seeds", "templates", "loops", "rows", "seeding", "reproduce", "running", "byhand")


def script_path(program_name: str, kind: str) -> str:
    """Where the script lies in the package: ``.cj/reproduce_PT.py``."""
    stem = "command" if kind == "command" else Path(program_name).stem
    return f".cj/reproduce_{stem}.py"


def script(
    program_name: str, manifest: bytes, baked: Mapping[str, Any] | None = None, package_id: str = ""
) -> bytes:
    """The text of a package's script, or of the script of one task (``baked``: its task, params, seed).

    ``manifest`` is the package's ``.cj/package.json``, as it is there.
    """
    words = json.loads(manifest)
    task = None
    if baked is not None:
        digest = hashlib.sha256(manifest).hexdigest()
        task = {"package": package_id, "manifest_sha256": digest, **baked}
    parts = [_head(program_name, words, task), *_imports(), f"BAKED = {_literal(task)}", ""]
    parts += [_body(name) for name in _MODULES]
    parts += ["", "", 'if __name__ == "__main__":', "    sys.exit(main(sys.argv[1:]))", ""]
    return "\n".join(parts).encode()


def joined(*modules: str) -> str:
    """Modules of the node half as one Python text that imports the standard library only."""
    return "\n".join([*_imports(modules), *(_body(name) for name in modules), ""])


def _literal(task: Mapping[str, Any] | None) -> str:
    if task is None:
        return "None"
    lines = [f"    {key!r}: {value!r}," for key, value in task.items()]
    return "\n".join(["{", *lines, "}"])


def _line(text: str) -> str:
    """Text that a comment can hold: one line, printable."""
    return "".join(c if c.isprintable() else " " for c in text)


def _head(program_name: str, manifest: Mapping[str, Any], task: Mapping[str, Any] | None) -> str:
    name = Path(script_path(program_name, manifest["program"]["kind"])).name
    lines = [
        "#!/usr/bin/env python3",
        f"# Runs a task of the experiment {_line(program_name)!r} again, with the same parameters and random",
        "# seeds. It needs Python 3.6 or newer, what the program itself needs, and the files of the",
        "# experiment's package (a git commit); neither cjledger nor a cluster.",
        "#",
        f"#   launched  {manifest['created']} by {_line(manifest['author'])}",
        f"#   message   {_line(manifest['message'])}",
        f"#   tasks     {manifest['tasks']}",
    ]
    if task is None:
        lines += ["#", f"#   python .cj/{name} 7        runs task 7 here", f"#   python .cj/{name} --list"]
    else:
        params = ", ".join(f"{key} = {value!r}" for key, value in task["params"].items())
        lines += [
            f"#   package   {task['package']}",
            f"#   this      task {task['task']}: {_line(params) or 'no parameters'}",
            f"#   seed      {task['seed']}",
            "#",
            "# Run it without arguments in the package's files, or anywhere in the git repository that holds",
            "# the package; then it writes them into a temporary folder first.",
        ]
    return "\n".join([*lines, ""])


def _source(name: str) -> tuple[str, ast.Module]:
    text = (Path(cjnode.__file__).parent / f"{name}.py").read_text(encoding="utf-8")
    return text, ast.parse(text)


def _imports(modules: tuple[str, ...] = _MODULES) -> list[str]:
    """The standard library imports of all modules, each once."""
    plain: set[str] = set()
    named: dict[str, set[str]] = {}
    for name in modules:
        for node in _source(name)[1].body:
            if isinstance(node, ast.Import):
                plain.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.module.startswith("cjnode"):
                named.setdefault(node.module, set()).update(alias.name for alias in node.names)
    froms = [f"from {module} import {', '.join(sorted(names))}" for module, names in sorted(named.items())]
    return [*(f"import {name}" for name in sorted(plain)), *froms, ""]


def _body(name: str) -> str:
    """A module without its docstring (which becomes a comment), its imports and its placeholder."""
    text, tree = _source(name)
    lines = text.split("\n")
    dropped: set[int] = set()
    title = ast.get_docstring(tree) or name
    for node in tree.body:
        docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        placeholder = isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "BAKED"
        if docstring or placeholder or isinstance(node, (ast.Import, ast.ImportFrom)):
            dropped.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    kept = "\n".join(line for number, line in enumerate(lines, 1) if number not in dropped).strip("\n")
    heading = "\n".join(f"# {line}".rstrip() for line in title.split("\n"))
    return f"\n\n# ---- {name} ----\n{heading}\n\n{kept}"
