from __future__ import annotations

import threading

import pytest

from cjledger.beside import Beside


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
