"""The door to rich: progress that redraws itself on a terminal, plain lines anywhere else."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol, TextIO, TypeVar

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from cjledger.render.figures import duration
from cjledger.render.lines import counts_words, ended, progress_line
from cjledger.render.spread import spread_words

_PLAIN_STEP = 0.05  # of the tasks, between two plain lines
_PLAIN_PAUSE_S = 60.0


class Seen(Protocol):
    """A package's state at one moment."""

    @property
    def tasks(self) -> int:
        """How many tasks the package has."""

    @property
    def counts(self) -> Mapping[str, int]:
        """How many tasks are in each state."""


SeenT = TypeVar("SeenT", bound=Seen)


class Pace:
    """Tasks a second since the first look."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._first: tuple[float, int] | None = None

    def rate(self, done: int) -> float | None:
        """The rate up to now; None until a task has ended while looking."""
        now = self._clock()
        if self._first is None:
            self._first = (now, done)
        began, before = self._first
        return (done - before) / (now - began) if done > before and now > began else None


def watch(
    seen: Iterable[SeenT],
    out: TextIO,
    *,
    title: str = "",
    terminal: bool,
    colour: bool = True,
    width: int = 80,
    clock: Callable[[], float] = time.monotonic,
) -> SeenT | None:
    """Show each state as it comes until there is no further one; returns the last."""
    pace = Pace(clock)
    if not terminal:
        return _plainly(seen, out, pace, width, clock)
    last: SeenT | None = None
    console = Console(
        file=out,
        force_terminal=True,
        no_color=not colour,
        color_system="standard" if colour else None,
        width=width,
        highlight=False,
        markup=False,
    )
    with Live(console=console, refresh_per_second=8, transient=False) as live, _one_interrupt():
        for last in seen:
            drawing = _drawing(title, last.tasks, last.counts, pace.rate(ended(last.counts)), width)
            words = spread_words(getattr(last, "spread", {}))
            workers = getattr(last, "workers", 0)
            if workers:
                drawing.add_row(Text(f"{workers} worker{'s' if workers > 1 else ''} at it"))
            if words:
                drawing.add_row(Text(words, overflow="ellipsis", no_wrap=True))
            live.update(drawing)
    return last


@contextmanager
def _one_interrupt() -> Iterator[None]:
    """Git passes on an interrupt that came already: the second would leave the terminal without a cursor."""
    try:
        yield
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        raise


def _drawing(title: str, tasks: int, counts: Mapping[str, int], rate: float | None, width: int) -> Table:
    done = ended(counts)
    grid = Table.grid(padding=(0, 2))
    figures = f"{done}/{tasks}  {100 * done // max(tasks, 1)} %"
    if rate:
        figures += f"  {rate:.1f}/s"
        if done < tasks:
            figures += f"  {duration((tasks - done) / rate)} left"
    bar = ProgressBar(total=max(tasks, 1), completed=done, width=max(10, min(40, width - len(figures) - 4)))
    grid.add_row(bar, Text(figures))
    whole = Table.grid()
    if title:
        whole.add_row(Text(title, overflow="ellipsis", no_wrap=True))
    whole.add_row(grid)
    whole.add_row(Text.from_ansi(counts_words(counts, colour=True), overflow="ellipsis", no_wrap=True))
    return whole


def _plainly(
    seen: Iterable[SeenT], out: TextIO, pace: Pace, width: int, clock: Callable[[], float]
) -> SeenT | None:
    last: SeenT | None = None
    shown: str | None = None
    at, done_then = 0.0, 0
    for last in seen:
        done, now = ended(last.counts), clock()
        line = progress_line(last.tasks, last.counts, pace.rate(done), width)
        step = done - done_then >= max(1, _PLAIN_STEP * last.tasks)
        if shown is None or step or now - at >= _PLAIN_PAUSE_S:
            print(line, file=out, flush=True)
            shown, at, done_then = line, now, done
    if last is not None and ended(last.counts) != done_then:
        print(
            progress_line(last.tasks, last.counts, pace.rate(ended(last.counts)), width), file=out, flush=True
        )
    return last
