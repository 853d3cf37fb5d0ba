"""The reproduction script: the node half's modules that run a task, joined into one readable file."""

from __future__ import annotations

import hashlib
import re
import shlex
from pathlib import Path

import cjnode
from cjledger.model import Manifest, Point, Program, manifest_to_bytes
from cjnode.package.seeds import task_seed

# In the order of their imports.
_MODULES = (
    "package.axes",
    "package.points",
    "package.seeds",
    "package.templates",
    "program.loops",
    "program.rows",
    "program.seeding",
    "program.reproduce",
    "program.running",
    "program.commandline",
)
_IMPORT = re.compile(r"^(?:from|import) ([\w.]+)(?: import (\([^)]*\)|[^\n]*))?\n", re.MULTILINE)
_PLACEHOLDER = re.compile(r"^BAKED: .*\n", re.MULTILINE)


def file_name(program: Program) -> str:
    """What the package's script is called: ``reproduce_PT.py``."""
    return f"reproduce_{Path(program.path or 'command').stem}.py"


def script(manifest: Manifest, baked: Point | None = None, package_id: str = "") -> bytes:
    """The text of a package's script, or of one that runs the task ``baked`` of the package by itself."""
    task = "None"
    if baked is not None:
        digest = hashlib.sha256(manifest_to_bytes(manifest)).hexdigest()
        task = f'{{"package": "{package_id}", "manifest_sha256": "{digest}", "task": {baked.task}}}'
    head = _head(manifest) if baked is None else _baked_head(manifest, baked, package_id)
    parts = [*head, "", *_imports(_MODULES), f"BAKED = {task}", *(_body(name) for name in _MODULES)]
    parts += ["", "", 'if __name__ == "__main__":', "    sys.exit(main(sys.argv[1:]))", ""]
    return "\n".join(parts).encode()


def joined(*modules: str) -> str:
    """Modules of the node half as one Python text that imports the standard library only."""
    return "\n".join([*_imports(modules), *(_body(name) for name in modules), ""])


def _line(text: str) -> str:
    """Text that a comment can hold: one line, printable."""
    return "".join(c if c.isprintable() else " " for c in text)


def _head(manifest: Manifest) -> list[str]:
    """Names nothing but the program, so that all its packages share one git object."""
    name = _line(shlex.quote(file_name(manifest.program)))
    return [
        *_title(manifest),
        "#",
        f"#   python .cj/{name} 7       runs task 7 in the files around this script",
        f"#   python .cj/{name} --list  all tasks",
    ]


def _title(manifest: Manifest) -> list[str]:
    return [
        "#!/usr/bin/env python3",
        f"# Runs a task of the experiment {_line(manifest.program.name)}",
        "# again, with the same parameters and random seeds. It needs Python 3.6 or newer, what the program",
        "# itself needs, and the files of the experiment's package (a git commit), not cjledger.",
    ]


def _baked_head(manifest: Manifest, point: Point, package_id: str) -> list[str]:
    params = ", ".join(f"{key} = {value!r}" for key, value in point.params.items())
    return [
        *_title(manifest),
        "#",
        f"#   package   {package_id}",
        f"#   launched  {manifest.created} by {_line(manifest.author)}",
        f"#   message   {_line(manifest.message)}",
        f"#   task      {point.task} of {manifest.tasks}: {_line(params) or 'no parameters'}",
        *_environment(manifest),
        f"#   seed      {task_seed(manifest.seed, point.task)}",
        "#",
        "# Run it without arguments in the package's files, or anywhere in the git repository that holds the",
        "# package: then it writes them into a temporary folder first.",
    ]


def _environment(manifest: Manifest) -> list[str]:
    """Where the task ran, for whoever has to make the same again."""
    kind, source = manifest.environment.kind, manifest.environment.lock or manifest.environment.image
    lines = [f"#   runs in   {kind} of {_line(source)}"] if source else []
    if manifest.environment.modules:
        lines.append(f"#   modules   {_line(' '.join(manifest.environment.modules))}")
    return lines + [
        f"#   data      {_line(data.local)} is {_line(data.path)} there" for data in manifest.data
    ]


def _source(name: str) -> str:
    path = Path(cjnode.__file__).parent / (name.replace(".", "/") + ".py")
    return path.read_text(encoding="utf-8")


def _imports(modules: tuple[str, ...]) -> list[str]:
    """The standard library imports of all modules, each once."""
    plain: set[str] = set()
    named: dict[str, set[str]] = {}
    for name in modules:
        for module, names in _IMPORT.findall(_source(name)):
            if not names:
                plain.add(module)
            elif not module.startswith("cjnode"):
                named.setdefault(module, set()).update(re.findall(r"\w+", names))
    froms = [f"from {module} import {', '.join(sorted(names))}" for module, names in sorted(named.items())]
    return [*(f"import {name}" for name in sorted(plain)), *froms, ""]


def _body(name: str) -> str:
    """A module without its docstring (which becomes a comment), its imports and its placeholder.

    By patterns that hold for these modules, because parsing them would cost every launch 40 ms.
    """
    _, title, text = _source(name).split('"""', 2)
    title = "\n".join(f"# {line}".rstrip() for line in title.strip().split("\n"))
    kept = _PLACEHOLDER.sub("", _IMPORT.sub("", text)).strip("\n")
    return f"\n\n# ---- {name} ----\n{title}\n\n{kept}"
