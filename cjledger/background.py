"""Work that goes on beside other work: what ``concurrent.futures`` has, without the 6 ms it takes to load."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator
from types import TracebackType
from typing import Generic, ParamSpec, Self, TypeVar

_Result = TypeVar("_Result")
_Item = TypeVar("_Item")
_Given = ParamSpec("_Given")


class Beside(Generic[_Result]):
    """A call that runs in a thread of its own. As a context it waits for the end, whatever that was."""

    def __init__(
        self, function: Callable[_Given, _Result], *args: _Given.args, **keywords: _Given.kwargs
    ) -> None:
        self._returned: list[_Result] = []
        self._raised: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(function, args, keywords), daemon=True)
        self._thread.start()

    def _run(
        self, function: Callable[..., _Result], args: tuple[object, ...], keywords: dict[str, object]
    ) -> None:
        try:
            self._returned.append(function(*args, **keywords))
        except BaseException as problem:  # whoever asks for the result is to get it
            self._raised = problem

    def result(self) -> _Result:
        """What the call returned, once it did; raises what it raised."""
        self._thread.join()
        if self._raised is not None:
            raise self._raised
        return self._returned[0]

    def leave(self) -> None:
        """Wait for the end of what computes, but not of what waits for bytes over a slow line."""
        self._thread.join(1.0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.join()


def ahead(items: Iterator[_Item]) -> Generator[_Item]:
    """The items, each made in a thread of its own while the one before is used. None is no item."""
    coming = Beside(next, items, None)
    try:
        while (item := coming.result()) is not None:
            coming = Beside(next, items, None)
            yield item
    finally:
        coming.leave()
