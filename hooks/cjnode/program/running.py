"""Running a Python program's task in this process, as the interpreter would run it by itself."""

import atexit
import contextlib
import gc
import importlib
import importlib.util
import inspect
import os
import sys
import threading
import traceback
from types import CodeType, ModuleType, TracebackType
from typing import Any, Callable, ContextManager, Dict, List, Optional, Tuple

from cjnode.package.seeds import task_seed
from cjnode.program.loops import Cursor, WrongIterationError, cut
from cjnode.program.reproduce import Package, Task, dep_folders, program_arguments, working_directory
from cjnode.program.rows import rows_of, rows_to_bytes
from cjnode.program.seeding import sow, sow_again

_CODE: Dict[Tuple[str, Tuple[int, ...]], CodeType] = {}
_FUNCTIONS: Dict[Tuple[str, str], Callable[..., Any]] = {}
_MAINS: List[ModuleType] = []


def program_code(package: Package) -> CodeType:
    """The compiled script, its nest's loops cut when the sweep is one of loops; kept for later tasks."""
    path = os.path.join(package.tree, package.manifest["program"]["path"])
    loops = package.sweep.loops if package.sweep.kind == "loops" else None
    lines = tuple(loops["lines"]) if loops else ()
    if (path, lines) not in _CODE:
        with open(path, "rb") as file:
            source = file.read()
        _CODE[path, lines] = cut(source, path, lines) if lines else compile(source, path, "exec", 0, True)
    return _CODE[path, lines]


def run_here(
    package: Package, task: Task, code_root: str, loading: Optional[ContextManager[None]] = None
) -> bytes:
    """Run a script's or function's task in this process; the current directory is the task's.

    ``loading`` is entered while a function's modules are loaded. Returns the rows of a function as JSON lines
    (nothing for a script). Raises what the program raises.
    """
    program = package.manifest["program"]
    # A function's module is loaded once a process, so it comes from where all tasks see the same files.
    root = package.tree if program["kind"] == "function" else code_root
    path = os.path.join(root, program["path"])
    sys.argv = [os.path.relpath(path, working_directory(package, root))] + program_arguments(package, task)
    folders = [os.path.dirname(path)] + dep_folders(package, root)
    # The worker was started by `python -c`, which puts "" there; a script is not.
    ours = folders + [package.folder, ""]
    sys.path[:] = folders + [entry for entry in sys.path if entry not in ours]
    if program["kind"] == "function":
        return _run_function(package, task, path, loading)
    _run_script(package, task, path)
    return b""


def _run_script(package: Package, task: Task, path: str) -> None:
    code = program_code(package)
    sow(task.seed)
    main = ModuleType("__main__")
    main.__dict__.update(__file__=path, __builtins__=__builtins__, __cached__=None, __spec__=None)
    _MAINS.append(main)
    sys.modules["__main__"] = main
    cursor = None
    if package.sweep.kind == "loops" and package.sweep.loops:
        cursor = Cursor(list(package.sweep.loops["lines"]), task.index, task.params)
        main.__dict__.update(cursor.names())
    try:
        exec(code, main.__dict__)
    except SystemExit as ending:
        if cursor and ending.code in (None, 0):
            cursor.finish()
        raise
    if cursor:
        cursor.finish()


def _run_function(package: Package, task: Task, path: str, loading: Optional[ContextManager[None]]) -> bytes:
    # What all tasks load in common is drawn alike in all of them.
    sow(task.seed, task_seed(package.manifest["seed"], 0))
    with loading or contextlib.ExitStack():
        function = _function(package, path)
    arguments = {name: value for name, value in task.params.items() if name in package.sweep.names}
    try:
        inspect.signature(function).bind(**arguments)
    except TypeError as problem:
        name = package.manifest["program"]["function"]
        given = ", ".join(arguments) or "nothing"
        raise TypeError(
            "%s() does not accept what the sweep gives (%s): %s" % (name, given, problem)
        ) from None
    except ValueError:
        pass  # a function written in C may have no signature
    sow_again()
    return rows_to_bytes(rows_of(function(**arguments)))


def again(package: Package) -> Callable[[Task], bytes]:
    """What runs a function's tasks after the first in this process: what is the same for all is done here."""
    path = os.path.join(package.tree, package.manifest["program"]["path"])
    function = _function(package, path)
    names = frozenset(package.sweep.names)

    def run(task: Task) -> bytes:
        arguments = task.params
        if not names.issuperset(arguments):
            arguments = {name: value for name, value in arguments.items() if name in names}
        sow(task.seed)
        return rows_to_bytes(rows_of(function(**arguments)))

    return run


def _function(package: Package, path: str) -> Callable[..., Any]:
    """The function, its module loaded once a process, with the seeds of ``sow``."""
    name = package.manifest["program"]["function"]
    if (path, name) not in _FUNCTIONS:
        module = _load_module(path)
        _FUNCTIONS[path, name] = getattr(module, name)
    return _FUNCTIONS[path, name]


def _load_module(path: str) -> ModuleType:
    """The module of a file; as part of its package where folders have ``__init__.py``."""
    folder, file = os.path.split(path)
    parts = [os.path.splitext(file)[0]]
    while os.path.exists(os.path.join(folder, "__init__.py")):
        folder, package = os.path.split(folder)
        parts.insert(0, package)
    if len(parts) > 1:
        sys.path.insert(0, folder)
        return importlib.import_module(".".join(parts))
    spec = importlib.util.spec_from_file_location(parts[0], path)
    if spec is None or spec.loader is None:
        raise ImportError("%s is not a Python module" % path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[parts[0]] = module
    spec.loader.exec_module(module)
    return module


def run_to_exit(
    package: Package,
    task: Task,
    code_root: str,
    keep_rows: Callable[[bytes], None],
    keep_trace: Callable[[Optional[TracebackType]], None],
) -> int:
    """Run a task to the end of its process: traceback, waiting threads, exit handlers, open files.

    Returns the exit code that the interpreter would have; the caller ends the process with it.
    """
    code = 0
    try:
        rows = run_here(package, task, code_root)
        if package.manifest["program"]["kind"] == "function":
            keep_rows(rows)
    except SystemExit as ending:
        code = exit_code(ending)
    except KeyboardInterrupt:
        _report(package, code_root)
        code = 130
    except BaseException as problem:
        _report(package, code_root)
        keep_trace(problem.__traceback__)
        code = 1
    return _finish() or code


def exit_code(ending: SystemExit) -> int:
    """The exit code that the interpreter would end with; a message goes to standard error."""
    if ending.code is None:
        return 0
    if isinstance(ending.code, int):
        return ending.code & 0xFF
    sys.stderr.write("%s\n" % (ending.code,))
    return 1


def _report(package: Package, code_root: str) -> None:
    """Print the exception as the interpreter does, from the program's first line on."""
    kind, value, trace = sys.exc_info()
    assert kind is not None
    assert value is not None
    if isinstance(value, WrongIterationError):
        sys.stderr.write("cj: error: %s\n" % value)
        return
    theirs = (package.tree + os.sep, code_root + os.sep)
    inner = trace
    while inner is not None:
        place = inner.tb_frame.f_code.co_filename
        if place.startswith(theirs) and not place.startswith(package.folder + os.sep):
            break
        inner = inner.tb_next
    try:
        sys.excepthook(kind, value.with_traceback(inner), inner)
    except BaseException:
        traceback.print_exc()


def _finish() -> int:
    """Do what the interpreter does at its end; a forked child that calls os._exit would skip it."""
    code = 0
    try:
        for thread in threading.enumerate():
            if thread is not threading.current_thread() and not thread.daemon:
                thread.join()
        run_handlers: Callable[[], None] = atexit._run_exitfuncs
        run_handlers()
    except BaseException:
        traceback.print_exc()
    sys.last_type = sys.last_value = sys.last_traceback = None
    while _MAINS:
        _MAINS.pop().__dict__.clear()
    gc.collect()  # closes files that the program left open, which writes what they hold
    streams: List[Any] = [sys.stdout, sys.stderr]
    for stream in streams:
        try:
            stream.flush()
        except (OSError, ValueError):
            code = 120
    return code
