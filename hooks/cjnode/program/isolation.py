"""Whether a function's modules keep what is of one task: then each task loads them, in its own process.

The modules of a package are loaded once for many tasks. A generator of random numbers that they keep would go
on from one task to the next, and what they read of their task would be the first one's: no task would be what
its seed makes of it by itself.
"""

import os
import random
import sys
from contextlib import contextmanager
from functools import partial
from types import BuiltinMethodType, FunctionType, MethodType, ModuleType
from typing import Any, Iterator, List

from cjnode.program import seeding

_OF_A_TASK = ("CJ_TASK", "CJ_SEED", "CJ_ATTEMPT")
_GENERATORS = ("Generator", "BitGenerator", "SeedSequence", "RandomState", "Random")
_LIBRARIES = ("numpy.random", "mtrand", "random", "torch._C")
_HOME = os.path.dirname(os.__file__)
# What stands between who asks for a variable and the question.
_BETWEEN = tuple(os.path.join(_HOME, name) for name in ("os.py", "_collections_abc.py")) + (
    "<frozen os>",
    "<frozen _collections_abc>",
)
_MOST_VALUES = 10000
_DEPTH = 3


class Modules:
    """Those of a package's tree: what they do while they are loaded, and what they hold."""

    def __init__(self, tree: str) -> None:
        self._tree = tree + os.sep
        self._is_of_one = False

    @contextmanager
    def loading(self) -> Iterator[None]:
        """Around the loading, which follows ``seeding.sow``."""
        variables: Any = type(os.environ)
        plain = variables.__getitem__

        def watched(environ: Any, name: Any) -> Any:
            if name in _OF_A_TASK and self._is_asked_here():
                self._is_of_one = True
            return plain(environ, name)

        variables.__getitem__ = watched
        try:
            yield
        finally:
            variables.__getitem__ = plain
            self._is_of_one = self._is_of_one or seeding.has_asked_for_entropy()

    def is_alone(self) -> bool:
        """Whether the modules read what is of one task, or hold a generator."""
        try:
            return self._is_of_one or any(map(_is_generator, self._held()))
        except Exception:  # what pretends to be a list, say: in a process of its own nothing can go wrong
            return True

    def _is_asked_here(self) -> bool:
        """Whether code of the package asks, and not a library that copies all variables."""
        frame: Any = sys._getframe(2)
        while frame is not None and frame.f_code.co_filename in _BETWEEN:
            frame = frame.f_back
        return frame is not None and frame.f_code.co_filename.startswith(self._tree)

    def _held(self) -> Iterator[Any]:
        """The values of the package's modules, and what is in these."""
        waiting: List[Any] = []
        for module in list(sys.modules.values()):
            if isinstance(module, ModuleType) and self._is_own(module):
                waiting += [value for name, value in vars(module).items() if name != "__builtins__"]
        seen = 0
        for _ in range(_DEPTH):
            deeper: List[Any] = []
            for value in waiting:
                seen += 1
                if seen > _MOST_VALUES:
                    return
                yield value
                deeper += _inside(value)
            waiting = deeper

    def _is_own(self, module: ModuleType) -> bool:
        file = getattr(module, "__file__", None)
        # What runs the tasks lies in the package, too, and is none of theirs.
        is_ours = isinstance(file, str) and file.startswith(self._tree)
        return is_ours and module.__name__.partition(".")[0] != "cjnode"


def _inside(value: Any) -> List[Any]:
    """What a value keeps: a container's items, a function's defaults and closure, an object's attributes."""
    if isinstance(value, (list, tuple, set, frozenset)):
        return list(value)
    if isinstance(value, dict):
        return list(value.values())
    if isinstance(value, FunctionType):
        kept = list(value.__defaults__ or ()) + list((value.__kwdefaults__ or {}).values())
        return kept + [cell.cell_contents for cell in value.__closure__ or () if _is_filled(cell)]
    if isinstance(value, partial):
        return [value.func] + list(value.args) + list(value.keywords.values())
    if isinstance(value, (MethodType, BuiltinMethodType)):
        return [value.__self__]
    if isinstance(value, ModuleType):
        return []
    try:
        # Not by the object's own ways, which may do anything.
        return list(object.__getattribute__(value, "__dict__").values())
    except AttributeError:
        return []


def _is_filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:
        return False


def _is_generator(value: Any) -> bool:
    if any(_makes_numbers(kind) for kind in type(value).__mro__):
        # Those that belong to the libraries are seeded anew for each task.
        own = (random._inst, getattr(sys.modules.get("numpy.random.mtrand"), "_rand", None))
        return not any(value is each for each in own)
    return False


def _makes_numbers(kind: Any) -> bool:
    return kind.__name__ in _GENERATORS and str(kind.__module__).startswith(_LIBRARIES)
