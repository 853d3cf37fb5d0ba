"""How a worker without work finds that there will be none."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from cjnode.jobs.submissions import read_submission
from cjnode.records import blocks, claims
from cjnode.records.asks import Asks
from cjnode.records.board import Board, Free
from cjnode.worker import idling
from cjnode.worker.idling import Idle

from .work_kit import Bench

BLOCKS = 300


@pytest.fixture
def done(tmp_path: Path) -> Bench:
    """A package of many blocks that were all run, without the note that they were."""
    bench = Bench(tmp_path / "root")
    bench.package({"main.py": "def f(x):\n    return {'y': x}\n"}, kind="function", tasks=BLOCKS, block=1)
    bench.work()
    (bench.submission / "exhausted").unlink(missing_ok=True)
    return bench


def look_until_the_end(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The claims that were read until the worker gave up."""
    read: list[str] = []

    def read_claim(path: str) -> object:
        read.append(path)
        return original(path)

    original = claims.read_claim
    monkeypatch.setattr(claims, "read_claim", read_claim)
    submission = read_submission(str(bench.folder), 1)
    board = Board(submission.path, submission.partition)
    board.look()
    idle = Idle(submission, board, Asks(submission.path, 2, "2-1-1", 2), 2, set())
    while idle.wait(lambda: False):
        idle.look()
        assert len(read) <= 2 * BLOCKS
    idle.end()
    return read


@pytest.mark.parametrize("at_a_time", [50, 1000])
def test_every_claim_is_read_once_however_many_at_a_time(
    done: Bench, monkeypatch: pytest.MonkeyPatch, at_a_time: int
) -> None:
    monkeypatch.setattr(idling, "CLAIMS_A_LOOK", at_a_time)
    read = look_until_the_end(done, monkeypatch)
    assert len(read) == len(set(read)) == BLOCKS
    assert (done.submission / "exhausted").exists()


def test_a_holder_that_has_not_let_go_yet_keeps_the_idle_waiting(
    done: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idling, "CLAIMS_A_LOOK", BLOCKS)
    path = blocks.block_path(str(done.submission), 7, 1, "claim")
    with open(path, "r+b") as file:  # it brings its records to the disk, and may leave something
        claims.write_current(file.fileno(), 0, 0, "")
    submission = read_submission(str(done.folder), 1)
    board = Board(submission.path, submission.partition)
    board.look()
    idle = Idle(submission, board, Asks(submission.path, 2, "2-1-1", 2), 2, set())
    assert idle.wait(lambda: False)
    assert not (done.submission / "exhausted").exists()


def test_a_claim_is_ours_though_the_name_beside_it_could_not_be_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unlink(path: str) -> None:
        raise OSError(errno.EIO, "Input/output error", path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", unlink)
        fd = claims.create_claim(str(tmp_path / "000001-01.claim"), claims.Claim("j", 1, 1, "h", 1))
    assert fd is not None
    os.close(fd)


def test_what_was_let_go_while_the_claims_were_read_is_not_overlooked(
    done: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idling, "CLAIMS_A_LOOK", BLOCKS)
    submission = read_submission(str(done.folder), 1)
    board = Board(submission.path, submission.partition)
    board.look()
    idle = Idle(submission, board, Asks(submission.path, 2, "2-1-1", 2), 2, set())
    Path(blocks.block_path(submission.path, 7, 2, "given")).touch()
    assert idle.wait(lambda: False)
    assert not (done.submission / "exhausted").exists()
    found = idle.look()
    assert found is not None
    assert Free(found.block, found.generation) == Free(7, 2)
