"""What runs again by itself when it failed, as people write it: causes, and how much more it is given."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Iterable
from typing import Any

from cjledger.errors import CjError, nearest
from cjledger.model import Cluster, Growth, Resources, Retry
from cjledger.quantities import parse_memory, parse_walltime
from cjnode.vocabulary import CAUSES

MOST = 100  # of one task
_LARGEST_TIMES = 1000.0


def parse_causes(words: Iterable[str | int]) -> tuple[str | int, ...]:
    """States and exit codes, 128 + n for signal n; in the order of ``CAUSES``, codes last."""
    found = {_cause(str(word).strip()) for word in words}
    states = [state for state in CAUSES if state in found]
    return (*states, *sorted(code for code in found if isinstance(code, int)))


def _cause(word: str) -> str | int:
    if word.isdecimal():
        if not 1 <= int(word) <= 255:
            raise CjError(f"{word} is no exit code of a failure", "1 to 255; 128 + n for signal n: 137")
        return int(word)
    if word.upper() in CAUSES:
        return word.upper()
    if word.upper() == "CANCELLED":
        raise CjError("what was cancelled does not run again by itself", "git cj retry does that")
    close = nearest(word.upper(), CAUSES)
    if word.upper() in signal.Signals.__members__:
        close = str(128 + signal.Signals[word.upper()])
    meant = f" (did you mean {close}?)" if close else ""
    raise CjError(f"{word!r} is no cause of a retry{meant}", f"{', '.join(CAUSES)}, or exit codes: 137")


def parse_memory_growth(text: str) -> Growth:
    """Of ``2x`` or ``+4G``."""
    return _growth(text, parse_memory, "+4G")


def parse_walltime_growth(text: str) -> Growth:
    """Of ``1.5x`` or ``+1h``."""
    return _growth(text, parse_walltime, "+1h")


def _growth(text: str, parse: Callable[[str], int], example: str) -> Growth:
    text = text.strip()
    if text.startswith("+"):
        return Growth(1.0, parse(text[1:]))
    times = re.fullmatch(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)[xX]", text)
    if not times or not 1 < float(times[1]) <= _LARGEST_TIMES:
        raise CjError(f"{text!r} is no growth", f"2x, 1.5x or {example}")
    return Growth(float(times[1]), 0)


def choose(
    where: Cluster,
    resources: Resources,
    count: int | None,
    on: str | Iterable[str | int] | None,
    grow_memory: str | None,
    grow_walltime: str | None,
) -> Retry | None:
    """What a launch wants: what was typed goes over the cluster's own. Raises CjError."""
    own = where.retry
    if count is None:
        count = own.count
    _check_count(count)
    typed = {"--retry-on": on, "--grow-mem": grow_memory, "--grow-time": grow_walltime}
    if not count:
        for option, value in typed.items():
            if value:
                raise CjError(f"{option} without --retries", f"--retries 3 {option} {value}")
        return None
    words = on.split(",") if isinstance(on, str) else on
    causes = (parse_causes(words) if words else own.on) or CAUSES
    memory = parse_memory_growth(grow_memory) if grow_memory else own.memory
    walltime = parse_walltime_growth(grow_walltime) if grow_walltime else own.walltime
    if memory:
        _check_growth("--grow-mem", "OUT_OF_MEMORY", causes, resources.memory_mb, "--mem 4G")
        memory = memory._replace(most=where.max_memory_mb)
    if walltime:
        _check_growth("--grow-time", "TIMEOUT", causes, resources.walltime_s, "--time 1h")
        walltime = walltime._replace(most=where.max_walltime_s)
    return Retry(count, causes, memory, walltime)


def _check_count(count: int) -> int:
    if not 0 <= count <= MOST:
        raise CjError(f"{count} retries: 0 to {MOST} can be", "--retries 3")
    return count


def _check_growth(
    option: str, cause: str, causes: tuple[str | int, ...], asked: int | None, example: str
) -> None:
    if cause not in causes:
        raise CjError(f"{option}: {cause} is not among the causes of a retry", f"--retry-on …,{cause}")
    if not asked:
        raise CjError(f"{option}: growing from what?", f"{example} {option} …, or the configuration says it")


def _read(parse: Callable[[Any], Any], kind: type, words: str) -> Callable[[Any], Any]:
    """A reader of the configuration's values, which raises ValueError."""

    def read(value: Any) -> Any:
        if type(value) is not kind or not (value or kind is int):
            raise ValueError(f"must be {words}")
        try:
            return parse(value)
        except CjError as problem:
            raise ValueError(problem.message) from None

    return read


# The configuration's table ``retry``: a reader for each key.
SCHEMA: dict[str, Callable[[Any], Any]] = {
    "count": _read(_check_count, int, f"a whole number, 0 to {MOST}"),
    "on": _read(parse_causes, list, 'a list of states and exit codes, such as ["TIMEOUT", 137]'),
    "grow_memory": _read(parse_memory_growth, str, 'a text, such as "2x" or "+4G"'),
    "grow_walltime": _read(parse_walltime_growth, str, 'a text, such as "1.5x" or "+1h"'),
}
