"""Listing a loop nest's iterations in the program's own interpreter, by running what precedes the nest.

Part of a text that runs by itself: the interpreter of the program need not know this package.
"""

import ast
import json
import os
import sys
import traceback
from types import ModuleType
from typing import Any, Dict, Iterable, Iterator, List

from cjnode.program.loops import nest_loops, put_at, recorded, target_names
from cjnode.program.seeding import sow
from cjnode.program.shelter import shelter

WATCH = "__cj_watch__"
BOUND = "__cj_bound__"
LEAVE = "__cj_leave__"


class TooManyError(Exception):
    """A nest has more iterations than are allowed; nobody waits for the rest."""


class Growth:
    """The tree of a nest's iterations, equal branches kept once.

    ``branches`` has for each kind of branch its level and its rows: the values bound, and the number of
    the branch below (-1 at the innermost level). The last branch is the whole nest.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.branches: List[List[Any]] = []
        self.known: Dict[str, int] = {}
        self.open: List[List[Any]] = []

    def enter(self) -> None:
        """A loop begins."""
        self.open.append([])

    def bound(self, values: List[Any]) -> None:
        """An iteration of the innermost open loop begins."""
        rows = self.open[-1]
        if len(rows) >= self.limit:
            raise TooManyError()
        rows.append([values, -1])

    def leave(self) -> None:
        """The innermost open loop ends."""
        rows = self.open.pop()
        level = len(self.open)
        key = json.dumps([level, rows])
        if key not in self.known:
            self.known[key] = len(self.branches)
            self.branches.append([level, rows])
        branch = self.known[key]
        if self.open:
            self.open[-1][-1][1] = branch
        else:
            self.branches.append(self.branches.pop(branch))  # nothing refers to the outermost


def kept_names(targets: List[ast.expr]) -> List[List[str]]:
    """The names each level contributes: a name that a deeper loop binds again counts there."""
    names = [target_names(target) for target in targets]
    return [
        [name for name in own if not any(name in deeper for deeper in names[level + 1 :])]
        for level, own in enumerate(names)
    ]


def watched(source: bytes, filename: str, lines: List[int]) -> Any:
    """Compile a program whose nest lists its iterations instead of running its body."""
    tree = ast.parse(source, filename)
    loops = nest_loops(tree, lines)
    names = kept_names([loop.target for loop in loops])
    for level, loop in enumerate(loops):
        watch = put_at(loop.iter, ast.parse("%s(%d, 0)" % (WATCH, level), mode="eval").body)
        watch.args[1] = loop.iter
        bound = put_at(loop, ast.parse("%s([%s])" % (BOUND, ", ".join(names[level]))).body[0])
        loop.iter = watch
        loop.body = [bound, loops[level + 1]] if level + 1 < len(loops) else [bound]
        loop.orelse = [put_at(loop, ast.parse("%s(%d)" % (LEAVE, level)).body[0])]
    return compile(tree, filename, "exec", dont_inherit=True)


class Watch:
    """What the watched program calls."""

    def __init__(self, limit: int, answer: str, levels: int) -> None:
        self.growth = Growth(limit)
        self.answer = answer
        self.one_shot = [False] * levels
        self.unordered = [False] * levels

    def names(self) -> Dict[str, Any]:
        return {WATCH: self.watch, BOUND: self.bound, LEAVE: self.leave}

    def watch(self, level: int, iterable: Iterable[Any]) -> Iterator[Any]:
        elements = iter(iterable)
        self.one_shot[level] |= elements is iterable
        if isinstance(iterable, (set, frozenset)):
            self.unordered[level] |= not all(isinstance(element, (int, float)) for element in iterable)
        self.growth.enter()
        return elements

    def bound(self, values: List[Any]) -> None:
        try:
            self.growth.bound([recorded(value) for value in values])
        except TooManyError:
            self.say({"too_many": True})

    def leave(self, level: int) -> None:
        self.growth.leave()
        if level == 0:
            flags = {"one_shot": self.one_shot, "unordered": self.unordered}
            self.say(dict(flags, branches=self.growth.branches))

    def say(self, answer: Dict[str, Any]) -> None:
        """Answer and end at once: nothing of the program runs after the nest, no handler, no flush."""
        with shelter.open(self.answer, "w", encoding="utf-8") as file:
            json.dump(answer, file)
        os._exit(0)


def survey_main(request_path: str, answer: str) -> None:
    """List the nest's iterations of a request into the file ``answer``."""
    with open(request_path, encoding="utf-8") as file:
        request = json.load(file)
    path = request["path"]
    watch = Watch(request["limit"], answer, len(request["lines"]))
    with open(path, "rb") as program:
        code = watched(program.read(), path, request["lines"])
    folders = [os.path.dirname(path)] + request["search_path"]
    sys.path[:] = folders + [entry for entry in sys.path[1:] if entry not in folders]
    sys.argv = [request["argv0"]] + request["arguments"]
    main = ModuleType("__main__")
    main.__dict__.update(__file__=path, __builtins__=__builtins__, __cached__=None, __spec__=None)
    main.__dict__.update(watch.names())
    sys.modules["__main__"] = main
    sow(request["seed"])
    shelter.protect(request["top"], os.path.dirname(answer))
    try:
        exec(code, main.__dict__)
    except SystemExit as ending:
        words = "it ended with exit code %s" % (ending.code,)
        watch.say({"failed": words, "line": _line(path), "ended": True})
    except BaseException:
        traceback.print_exc()
        kind, value = sys.exc_info()[:2]
        words = "".join(traceback.format_exception_only(kind, value)).strip().split("\n")[-1]
        watch.say({"failed": words, "line": _line(path)})
    watch.say({"failed": "it ended before it came to the loop", "line": None})


def _line(path: str) -> Any:
    """The last line of the program itself in the exception's traceback."""
    places = [place for place in traceback.extract_tb(sys.exc_info()[2]) if place[0] == path]
    return places[-1][1] if places else None
