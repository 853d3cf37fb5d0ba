from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from cjledger.background import Beside, ahead


def test_work_beside_gives_what_it_returns_or_raises() -> None:
    def divide(over: int, by: int) -> float:
        return over / by

    assert Beside(divide, 6, by=3).result() == 2
    failed = Beside(divide, 6, 0)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            failed.result()


def test_a_context_waits_for_the_end_and_raises_nothing_of_it() -> None:
    begin, ended = threading.Event(), []

    def work() -> None:
        begin.wait()
        ended.append(1)
        raise ValueError

    with Beside(work):
        assert not ended
        begin.set()
    assert ended


def test_items_come_in_order_one_ahead_and_an_error_where_it_was_raised() -> None:
    made: list[int] = []

    def items() -> Iterator[int]:
        for number in range(1, 4):
            made.append(number)
            yield number
        raise ValueError("no fourth")

    coming = ahead(items())
    for number in range(1, 4):
        assert next(coming) == number
        assert len(made) <= number + 1
    with pytest.raises(ValueError, match="no fourth"):
        next(coming)
    assert list(ahead(iter([]))) == []


def test_who_leaves_early_does_not_wait_for_what_never_comes() -> None:
    never = threading.Event()

    def items() -> Iterator[int]:
        yield 1
        never.wait(60)
        yield 2

    coming = ahead(items())
    assert next(coming) == 1
    coming.close()
    assert not never.is_set()
