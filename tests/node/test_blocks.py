"""A block's files: exclusive claims, lines that are whole, names that cannot escape."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cjnode import files
from cjnode.records import blocks, claims
from cjnode.records.blocks import BlockId, Found, Record
from cjnode.records.claims import Claim, Current

from .conftest import HOOKS, STARTED, Root, output, record

CLAIM = Claim("cj-8ab7a5aa0123-1", 2, 1, "n1", 4711)


def test_a_claim_has_its_holder_and_eighty_bytes_for_the_current_task(tmp_path: Path) -> None:
    path = tmp_path / "000001-01.claim"
    fd = claims.create_claim(str(path), CLAIM)
    assert fd is not None
    claims.write_current(fd, 12, 1, STARTED)
    first, second, rest = path.read_bytes().split(b"\n")
    assert first == b'{"job":"cj-8ab7a5aa0123-1","element":2,"incarnation":1,"host":"n1","pid":4711}'
    assert second == b'{"task":12,"attempt":1,"started":"2026-01-31T12:00:00.000000Z"}'.ljust(79)
    assert rest == b""
    assert claims.read_claim(str(path)) == (CLAIM, Current(12, 1, STARTED))
    claims.write_current(fd, 0, 0, "")
    assert claims.read_claim(str(path)) == (CLAIM, Current(0, 0, ""))
    os.close(fd)


def test_a_million_tasks_fit_the_line_and_what_does_not_is_refused(tmp_path: Path) -> None:
    fd = claims.create_claim(str(tmp_path / "c"), CLAIM)
    assert fd is not None
    claims.write_current(fd, 10**9, 999, STARTED)
    with pytest.raises(ValueError, match="too long"):
        claims.write_current(fd, 10**9, 10**9, STARTED)
    assert claims.read_claim(str(tmp_path / "c")) == (CLAIM, Current(10**9, 999, STARTED))
    os.close(fd)


def test_one_of_many_gets_the_claim(tmp_path: Path) -> None:
    def attempt(element: int) -> int | None:
        return claims.create_claim(str(tmp_path / "c"), CLAIM._replace(element=element))

    with ThreadPoolExecutor(8) as pool:
        winners = [(element, fd) for element, fd in enumerate(pool.map(attempt, range(40))) if fd is not None]
    ((element, fd),) = winners
    os.close(fd)
    read = claims.read_claim(str(tmp_path / "c"))
    assert read is not None
    assert read[0].element == element
    assert [path.name for path in tmp_path.iterdir()] == ["c"]


@pytest.mark.parametrize("content", [b"", b"{", b"[]\n", b'{"job":"a"}\n', b"\xff\n", b"7\n"])
def test_a_claim_that_cannot_be_read_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "c").write_bytes(content)
    assert claims.read_claim(str(tmp_path / "c")) is None


def test_a_claim_whose_current_line_is_torn_still_names_its_holder(tmp_path: Path) -> None:
    (tmp_path / "c").write_bytes(files.canonical(CLAIM._asdict()) + b'\n{"task":1')
    assert claims.read_claim(str(tmp_path / "c")) == (CLAIM, Current(0, 0, ""))


def test_an_absent_claim_is_none(tmp_path: Path) -> None:
    assert claims.read_claim(str(tmp_path / "c")) is None


WORDS = st.text(max_size=20)


@given(
    st.builds(
        Record,
        st.integers(1, 10**6),
        st.integers(1, 99),
        st.sampled_from(["COMPLETED", "FAILED"]),
        st.integers(0, 255),
        st.integers(0, 64),
        WORDS,
        WORDS,
        st.floats(0, 1e9),
        WORDS,
        WORDS,
        st.integers(1, 9999),
        st.none() | st.floats(0, 1e9),
        st.none() | st.floats(0, 1e9),
        st.integers(0, 2**63 - 1),
        WORDS,
        WORDS,
        WORDS,
        st.lists(
            st.builds(
                blocks.Output,
                # What a file's name is when it is no text: bytes as surrogates.
                st.binary(max_size=9).map(os.fsdecode),
                st.integers(0, 2**40),
                st.integers(0, 2**40),
                st.just("0" * 64),
            ),
            max_size=3,
        ).map(tuple),
    )
)
def test_a_record_survives_its_line(made: Record) -> None:
    line = blocks.record_to_line(made)
    assert b"\n" not in line
    assert blocks.record_from_line(line) == made


def test_a_record_is_written_as_the_format_says(tmp_path: Path) -> None:
    fd = blocks.open_appending(str(tmp_path / "r"))
    blocks.append_record(fd, record(7, seed=123, outputs=(output("results.txt", 0, 12),)))
    blocks.append_record(fd, record(8))
    os.close(fd)
    first, _ = (tmp_path / "r").read_text().splitlines()
    assert first == (
        '{"task":7,"attempt":1,"state":"COMPLETED","exit_code":0,"signal":0,'
        '"started":"2026-01-31T12:00:00.000000Z","ended":"2026-01-31T12:00:01.250000Z","seconds":1.25,'
        '"host":"n1","job":"cj-8ab7a5aa0123-1","element":1,"max_rss_mb":34.1,"cpu_s":1.2,"seed":123,'
        '"error":"","note":"","environment":"","outputs":[{"path":"results.txt","offset":0,"bytes":12,"sha256":"%s"}]}'
        % ("0" * 64)
    )


def test_a_record_that_does_not_fit_the_disk_leaves_nothing(tmp_path: Path) -> None:
    fd = blocks.open_appending(str(tmp_path / "r"))
    blocks.append_record(fd, record(1))
    whole = (tmp_path / "r").read_bytes()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) + 100, before[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            blocks.append_record(fd, record(2))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert (tmp_path / "r").read_bytes() == whole
    blocks.append_record(fd, record(3))
    os.close(fd)
    lines = blocks.whole_lines((tmp_path / "r").read_bytes())
    assert [blocks.record_from_line(line).task for line in lines] == [1, 3]


@pytest.mark.parametrize(
    "line", [b"", b"{}", b"null", b"7", b"[]", b"\xff", b'{"task":1}', b'{"outputs":[{"path":1}]}']
)
def test_what_is_no_record_is_a_value_error(line: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        blocks.record_from_line(line)


def test_a_record_cut_anywhere_is_no_record() -> None:
    line = blocks.record_to_line(record(1, outputs=(output("a", 0, 1),)))
    for cut in range(len(line)):
        with pytest.raises(ValueError, match=r"."):
            blocks.record_from_line(line[:cut])


@given(st.integers(1, 10**6), st.integers(1, 10**6 - 1), st.integers(1, 99))
def test_a_block_id_survives_its_text(submission: int, block: int, generation: int) -> None:
    made = BlockId(submission, block, generation)
    assert blocks.parse_block_id(blocks.block_id_text(made)) == made


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "1/1-1",
        "0/000001-01",
        "../000001-01",
        "1/../../x-01",
        "1/000001-01\n",
        "1/000001-01/x",
        "/1/000001-01",
    ],
)
def test_a_block_id_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a block"):
        blocks.parse_block_id(text)


def test_blocks_are_listed_in_order_with_the_files_they_have(root: Root) -> None:
    root.submit("1-5")
    root.claim("1/000002-01", 3)
    root.append("1/000010-01", [])
    root.append("1/000001-02", [])
    root.claim("1/000001-01", 1)
    (root.submission(1) / "blocks" / ".n1-99-1.tmp").write_text("")
    (root.submission(1) / "blocks" / "000001-01.claim~").write_text("")
    assert blocks.list_blocks(str(root.submission(1)), 1) == [
        Found(BlockId(1, 1, 1), True, False, False),
        Found(BlockId(1, 1, 2), False, True, True),
        Found(BlockId(1, 2, 1), True, False, False),
        Found(BlockId(1, 10, 1), False, True, True),
    ]
    assert blocks.list_blocks(str(root.submission(2)), 2) == []


def test_submissions_are_listed_by_number(root: Root) -> None:
    assert blocks.list_submissions(str(root.folder)) == []
    for name in ("1", "10", "2", "x", "01", ".3", "0"):
        (root.folder / "submissions" / name).mkdir(parents=True)
    assert blocks.list_submissions(str(root.folder)) == [1, 2, 10]


PROGRAM = """
import json, os, sys
from cjnode.records import blocks, claims
folder = sys.argv[1]
claim = claims.Claim("j", 1, 1, "h", 5)
fd = claims.create_claim(folder + "/c", claim)
assert claims.create_claim(folder + "/c", claim) is None
claims.write_current(fd, 3, 2, "2026-01-31T12:00:00.000000Z")
out = blocks.Output(os.fsdecode(b"\\xff.txt"), 0, 1, "0")
words = ("\\u00fc", "", "e")
record = blocks.Record(1, 1, "FAILED", 1, 0, "", "", 0.5, "h", "j", 1, None, 0.1, 7, *words, (out,))
records = blocks.open_appending(folder + "/r")
blocks.append_record(records, record)
with open(folder + "/r", "rb") as file:
    (line,) = blocks.whole_lines(file.read())
assert blocks.record_from_line(line) == record
"""


def test_every_interpreter_of_the_node_half_writes_the_same(tmp_path: Path, node_python: str) -> None:
    subprocess.run(
        (node_python, "-c", PROGRAM, str(tmp_path)), check=True, env={**os.environ, "PYTHONPATH": str(HOOKS)}
    )
    read = claims.read_claim(str(tmp_path / "c"))
    assert read == (Claim("j", 1, 1, "h", 5), Current(3, 2, STARTED))
    assert json.loads((tmp_path / "r").read_bytes())["outputs"][0]["path"] == "\udcff.txt"
