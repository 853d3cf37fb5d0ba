"""Import a script's libraries once, so that the tasks forked afterwards have them already."""

import ast
import gc
import importlib
import importlib.util
import os
import select
import signal
import sys
from typing import Iterator, List, Optional, Sequence, Set

from cjnode.program.reproduce import Package, dep_folders
from cjnode.program.running import program_code

# Importing these does more than to load them: it starts MPI, joins a cluster, prints, opens a browser.
_NEVER = {
    "mpi4py",
    "ray",
    "dask",
    "distributed",
    "jax",
    "tensorflow",
    "torch",
    "cupy",
    "polars",
    "antigravity",
}
_MOST_FILES = 200
_LIMIT_S = 60

# For fewer tasks than this an element does not import twice.
WORTH_TASKS = 4


def prepare(package: Package, tasks: int) -> None:
    """Make forked tasks of a Python script start quickly; whatever fails here, the tasks will tell."""
    program = package.manifest["program"]
    if program["language"] == "python" and program["kind"] == "script":
        load(package, tasks)
        try:
            program_code(package)
        except (Exception, RecursionError):
            pass
    gc.collect()
    if hasattr(gc, "freeze"):
        # A task's own collections need not look at, and thereby copy, what the worker has.
        gc.freeze()


def load(package: Package, tasks: int) -> None:
    """Import the libraries of a program so many of whose tasks are to be forked from here."""
    wanted = package.manifest.get("preload")
    names = wanted or []
    if wanted is None and tasks >= WORTH_TASKS:
        names = _libraries(package)
    harmless = _harmless(names) if names else []
    for name in harmless:
        _import(name)
    for name in sorted(set(wanted or []).difference(harmless)):
        # Each task may still import it: forking from a process with threads is what cannot be.
        sys.stderr.write("cj: note: %s is not preloaded: it fails, or starts threads\n" % name)


def _libraries(package: Package) -> List[str]:
    """The modules that the script and the package's own modules import, without the package's own."""
    path = os.path.join(package.tree, package.manifest["program"]["path"])
    folders = [os.path.dirname(path)] + dep_folders(package, package.tree)
    waiting: List[str] = [path]
    seen: Set[str] = set()
    found: List[str] = []
    while waiting and len(seen) < _MOST_FILES:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        for name in _imported(path):
            own = list(_own_files(name, folders))
            waiting.extend(own)
            if not own and name.partition(".")[0] not in _NEVER and name not in found:
                found.append(name)
    return found


def _imported(path: str) -> Iterator[str]:
    """The modules named by import statements outside functions and classes."""
    try:
        with open(path, "rb") as file:
            waiting: List[ast.AST] = [ast.parse(file.read())]
    except (OSError, SyntaxError, ValueError, RecursionError):
        return
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.module and not node.level:
                yield node.module
                yield from ("%s.%s" % (node.module, alias.name) for alias in node.names if alias.name != "*")
        elif not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
            waiting.extend(ast.iter_child_nodes(node))


def _own_files(name: str, folders: Sequence[str]) -> Iterator[str]:
    """The package's files that a module's name stands for."""
    for folder in folders:
        base = os.path.join(folder, *name.split("."))
        top = os.path.join(folder, name.partition(".")[0])
        for file in (base + ".py", os.path.join(base, "__init__.py"), top + ".py", top):
            if os.path.exists(file):
                yield file if os.path.isfile(file) else os.path.join(file, "__init__.py")


def _harmless(names: List[str]) -> List[str]:
    """Those that a child could import without an error, a crash, a pause or a thread of their own."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        try:
            _try_all(names, writer)
        finally:
            os._exit(0)
    os.close(writer)
    answer = b""
    with os.fdopen(reader, "rb", 0) as source:
        while select.select([source], [], [], _LIMIT_S)[0]:
            chunk = source.read(65536)
            if not chunk:
                break
            answer += chunk
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    good = set(answer.split(b"\n")[:-1])
    return [name for name in names if name.encode("utf-8") in good]


def _try_all(names: List[str], writer: int) -> None:
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    threads = _threads()
    for name in names:
        if _import(name) and _threads() == threads:
            os.write(writer, name.encode("utf-8") + b"\n")
        threads = _threads()


def _import(name: str) -> bool:
    try:
        parent = name.rpartition(".")[0]
        # `from a import b` need not mean a module a.b.
        if parent and parent in sys.modules and importlib.util.find_spec(name) is None:
            return False
        importlib.import_module(name)
    except BaseException:  # a module may do anything, sys.exit() included
        return False
    return True


def _threads() -> Optional[int]:
    try:
        return len(os.listdir("/proc/self/task"))
    except OSError:
        return None
