"""One iteration of a loop nest: the program's own source, each nest loop cut to a single element."""

import ast
import hashlib
import json
import math
import re
import sys
from itertools import islice
from types import CodeType
from typing import Any, Callable, Dict, Iterable, Iterator, List, Tuple

PICK = "__cj_pick__"
SEEN = "__cj_seen__"

# Two CPUs may differ in the last bits of a power or a logarithm (NumPy uses vector instructions where
# it finds them); more than this is another value.
SAME_FLOAT = 4e-15

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_SURROGATE = re.compile("[\ud800-\udfff]")
_LONGEST_TEXT = 1000


class WrongIterationError(Exception):
    """The program did not do the iteration that the package recorded for this task."""


def recorded(value: Any) -> Any:
    """The JSON scalar that stands for a loop variable's value in the manifest.

    What JSON, UTF-8 or an environment variable cannot hold is recorded as its repr.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        text = str.__str__(value)
        return ascii(text) if "\0" in text or _SURROGATE.search(text) else text
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else repr(float(value))
    if hasattr(value, "dtype") and getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        plain = value.item()
        if isinstance(plain, (bool, int, float, str)):
            return recorded(plain)
    text = _ADDRESS.sub(" at 0x", repr(value))
    if len(text) > _LONGEST_TEXT:
        digest = hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()
        text = "%s … sha256:%s" % (text[:200], digest)
    return text


def target_names(target: ast.expr) -> List[str]:
    """The names that a loop's target binds, in order, each once."""
    names: List[str] = []
    for node in ast.walk(target):
        if isinstance(node, ast.Name) and node.id not in names:
            names.append(node.id)
    return sorted(names, key=lambda name: _first_place(target, name))


def _first_place(target: ast.expr, name: str) -> Tuple[int, int]:
    return min(
        (node.lineno, node.col_offset)
        for node in ast.walk(target)
        if isinstance(node, ast.Name) and node.id == name
    )


def nest_loops(tree: ast.Module, lines: Iterable[int]) -> List[ast.For]:
    """The ``for`` statements on the given lines, the outermost first."""
    wanted = list(lines)
    found = {node.lineno: node for node in ast.walk(tree) if isinstance(node, ast.For)}
    missing = [line for line in wanted if line not in found]
    if missing:
        raise WrongIterationError("there is no for loop on line %d" % missing[0])
    return [found[line] for line in wanted]


def put_at(place: ast.AST, node: ast.AST) -> Any:
    """Give a made node the position of one in the source, for tracebacks."""
    for child in ast.walk(node):
        ast.copy_location(child, place)
    return node


def cut(source: bytes, filename: str, lines: Iterable[int]) -> CodeType:
    """Compile a program so that its nest's loops take the elements that a Cursor chooses."""
    tree = ast.parse(source, filename)
    loops = nest_loops(tree, lines)
    names: List[str] = []
    for level, loop in enumerate(loops):
        names.extend(name for name in target_names(loop.target) if name not in names)
        picked = put_at(loop.iter, ast.parse("%s(%d, 0)" % (PICK, level), mode="eval").body)
        picked.args[1] = loop.iter
        loop.iter = picked
    words = ", ".join("%r: %s" % (name, name) for name in names)
    loops[-1].body.insert(0, put_at(loops[-1], ast.parse("%s({%s})" % (SEEN, words)).body[0]))
    code: CodeType = compile(tree, filename, "exec", dont_inherit=True)
    return code


class Cursor:
    """Chooses each loop's element for one task, and compares what was bound with what was recorded."""

    def __init__(self, lines: List[int], index: Tuple[int, ...], params: Dict[str, Any]) -> None:
        self.lines = lines
        self.index = index
        self.params = params
        self.reached = 0

    def names(self) -> Dict[str, Callable[..., Any]]:
        """What the compiled program calls."""
        return {PICK: self.pick, SEEN: self.seen}

    def pick(self, level: int, iterable: Iterable[Any]) -> Iterator[Any]:
        """The one element of a nest loop that belongs to this task."""
        position = self.index[level]
        if level == 0 and self.reached:
            raise WrongIterationError("the loop on line %d runs more than once" % self.lines[0])
        elements = list(islice(iter(iterable), position, position + 1))
        if not elements:
            raise WrongIterationError(
                "the loop on line %d has no iteration %d here: what it runs over has changed since the launch"
                % (self.lines[level], position + 1)
            )
        return iter(elements)

    def seen(self, bound: Dict[str, Any]) -> None:
        """Refuse to go on when a loop variable is not what the package recorded."""
        self.reached += 1
        for name, value in bound.items():
            here, there = recorded(value), self.params[name]
            if _same(here, there):
                continue
            if _nearly(here, there):
                sys.stderr.write(
                    "cj: note: %s is %r here and was %r at the launch: last bits only\n" % (name, here, there)
                )
                continue
            raise WrongIterationError(
                "the loop on line %d gives %s = %r here, but the package recorded %r: what it runs over "
                "depends on something that changed since the launch" % (self.lines[-1], name, here, there)
            )

    def finish(self) -> None:
        """Refuse a program that ended without doing its iteration."""
        if not self.reached:
            raise WrongIterationError(
                "the program ended before it came to the loop on line %d" % self.lines[0]
            )


def _same(here: Any, there: Any) -> bool:
    return json.dumps(here) == json.dumps(there)


def _nearly(here: Any, there: Any) -> bool:
    both = isinstance(here, float) and isinstance(there, float)
    return both and math.isclose(here, there, rel_tol=SAME_FLOAT, abs_tol=0.0)
