"""Distributions in a line of 80 columns: least, a bar for each range, most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_BARS = " ▁▂▃▄▅▆▇█"
_NAMES = {"seconds": "s a task", "max_rss_mb": "MB"}


def spread_words(spread: Mapping[str, Any]) -> str:
    """``0.01 ▁▃█▅▁ 9.1 s a task  30 █▁ 41 MB``; empty when nothing has ended."""
    found = [
        f"{figures['low']:.3g} {bars(figures['counts'])} {figures['high']:.3g} {_NAMES[name]}"
        for name, figures in spread.items()
        if name in _NAMES
    ]
    return "  ".join(found)


def bars(counts: Sequence[int]) -> str:
    """A bar for each count, the tallest for the largest; what is not 0 is seen."""
    most = max(counts, default=0) or 1
    return "".join(_BARS[-(-count * (len(_BARS) - 1) // most)] for count in counts)
