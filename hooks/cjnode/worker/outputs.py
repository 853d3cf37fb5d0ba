"""Which of the files that a task left are its outputs, and under which names."""

import re
from typing import Dict, Iterable, List, NamedTuple, Pattern, Sequence, Set, Tuple

from cjnode.worker.scratch import Left

# More files than this from one task are a sign of a cache folder, not of results.
MOST_FILES = 20000

_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")

# An output: where it lies below the mirror, and its name, relative to the working directory.
Chosen = NamedTuple("Chosen", [("path", str), ("name", str)])


def choose(left: Iterable[Left], workdir: str, wanted: Pattern[str]) -> Tuple[List[Chosen], List[str]]:
    """The outputs among what was left, by name, and notes on what is not kept."""
    prefix = "" if workdir in ("", ".") else workdir + "/"
    chosen: List[Chosen] = []
    others: Dict[str, List[str]] = {}
    taken: Set[str] = set()
    for path, kind in left:
        if not path.startswith(prefix):
            if kind == "file":
                others.setdefault("outside the working directory", []).append(path)
            continue
        name = path[len(prefix) :]
        if not wanted.match(name):
            continue
        if kind != "file":
            what = "a symbolic link" if kind == "link" else "no regular file"
            others.setdefault(what, []).append(name)
        elif len(chosen) >= MOST_FILES:
            others.setdefault("one of more than %d files" % MOST_FILES, []).append(name)
        else:
            fit = _fit(name, taken)
            if fit != name:
                others.setdefault("a name that is no plain text", []).append(fit)
            taken.add(fit)
            chosen.append(Chosen(path, fit))
    return chosen, [_note(why, names) for why, names in others.items()]


def _fit(name: str, taken: Set[str]) -> str:
    """A name that can be printed and stored anywhere: control characters and stray bytes become ``_``."""
    fit = plain = _UNFIT.sub("_", name)
    if fit.startswith("cj:"):
        fit = plain = "_" + fit
    number = 1
    while fit in taken:
        number += 1
        fit = "%s~%d" % (plain, number)
    return fit


def _note(why: str, names: Sequence[str]) -> str:
    first = clean(names[0])[:200]
    more = " and %d more" % (len(names) - 1) if len(names) > 1 else ""
    if why.startswith("a name"):
        return "%s%s had %s and was renamed" % (first, more, why)
    return "%s%s not kept: %s" % (first, more, why)


def clean(text: str) -> str:
    """Text without what could steer a terminal or break a line."""
    return _UNFIT.sub("\ufffd", text)
