"""Replies of a cluster that says anything: each is understood or refused in words, and never a bug."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cjledger.cluster import replies
from cjledger.cluster.transport import frames, most_bytes
from cjledger.errors import CjError

PACKAGE = "8ab7a5aa0123" + "0" * 28
ESCAPES = "\x1b[2J\x1b]0;owned\x07\x9b31m\u202e\ud800\n"
LINE: dict[str, Any] = {
    "package": PACKAGE,
    "tasks": 3,
    "counts": {"RUNNING": 3, "FAILED": 0},
    "final": False,
    "jobs": ["7"],
    "seconds": [1.5, 3],
    "reasons": {"the partition is full": 2},
    "problems": [],
}
TASK: dict[str, Any] = {"task": 1, "state": "RUNNING", "exit_code": None, "max_rss_mb": 1.5, "host": "n1"}


def framed(*lines: bytes) -> io.BytesIO:
    return io.BytesIO(b"\ncj 0 begin \n" + b"".join(line + b"\n" for line in lines) + b"cj 0 end\n")


@pytest.mark.parametrize(
    "line",
    [
        b"[]",
        b"7",
        b"null",
        b"{",
        b"\xff\xfe",
        b"[" * 200_000,
        b'{"job":' + b"9" * 5000 + b"}",
        b'{"bytes":-5}',
        b'{"bytes":1.5}',
        b'{"bytes":true}',
        b'{"bytes":"5"}',
        b'{"bytes":1152921504606846976}',
        b'{"records":[0,-1],"data":[[0,1]]}',
        b'{"records":["0","4"],"data":[]}',
        b'{"records":[0,1,2],"data":[]}',
        b'{"records":[0,0],"data":[[1,-1],[0,1]]}',
    ],
)
def test_f25_a_line_that_cannot_be_is_refused(line: bytes) -> None:
    with pytest.raises(CjError, match="the cluster's reply"):
        list(frames(framed(line), "0"))


def test_f25_no_more_is_read_than_was_asked_for() -> None:
    most = most_bytes("fetch", {"package": PACKAGE, "items": [["1/000001-01", 0, 4], ["1/000001-01", 9, 7]]})
    assert most == 11
    assert next(frames(framed(b'{"bytes":7}\n1234567{}'), "0", most=most)).payload == b"1234567"
    with pytest.raises(CjError, match="sends 12 bytes, where at most 11 are taken"):
        list(frames(framed(b'{"bytes":8}\n12345678{"bytes":4}'), "0", most=most))


def test_f25_a_pull_of_more_than_this_machine_holds_is_refused() -> None:
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    most = most_bytes("pull", {"package": PACKAGE, "positions": {}, "limit": 1 << 20})
    assert 1 << 20 <= most <= memory // 4
    head = json.dumps({"block": "1/000001-01", "records": [0, 1], "data": [[0, memory]]}).encode()
    with pytest.raises(CjError, match=r"sends \d+ bytes, where at most"):
        list(frames(framed(head), "0", most=most))
    assert most_bytes("fetch", {"items": [["1/000001-01", 0, 1 << 50]]}) == memory // 4
    assert most_bytes("state", {"packages": [PACKAGE]}) == 0


def test_f25_noise_and_replies_have_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    transport = importlib.import_module(
        "cjledger.cluster.transport"
    )  # the package has a function of that name
    monkeypatch.setattr(transport, "_MOST_NOISE", 1000)
    monkeypatch.setattr(transport, "_MOST_LINES", 1000)
    with pytest.raises(CjError, match="prints without end"):
        list(frames(io.BytesIO(b"Welcome!\n" * 200), "0"))
    with pytest.raises(CjError, match="has no end"):
        list(frames(framed(*[b'{"progress":"on and on"}'] * 100), "0"))


def test_an_honest_line_is_read() -> None:
    assert replies.package_fields(LINE, PACKAGE, 3) == {
        "counts": {"RUNNING": 3},
        "final": False,
        "jobs": ("7",),
        "seconds": (1.5, 3),
        "problems": (),
        "reasons": {"the partition is full": 2},
        "submissions": 0,
    }
    unknown = dict.fromkeys(("job", "started", "ended", "error", "note", "attempt", "exit_code"))
    assert replies.task_fields(TASK, 3) == {**unknown, **TASK}


@pytest.mark.parametrize(
    "changes",
    [
        {"package": "0123456789" * 4},
        {"package": "../../../../evil"},
        {"package": None},
        {"counts": {"RUNNING": "3"}},
        {"counts": [3]},
        {"counts": {"RUNNING": -3}},
        {"counts": {"RUNNING": 4}},
        {"counts": {ESCAPES: 1}},
        {"final": "yes"},
        {"jobs": None},
        {"jobs": [1, 2]},
        {"seconds": None},
        {"seconds": [float("nan"), 1]},
        {"seconds": [float("inf"), 1]},
        {"problems": [{}]},
        {"reasons": {"a": "b"}},
    ],
    ids=repr,
)
def test_f25_a_package_s_line_of_wrong_fields_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(CjError, match="the cluster's reply cannot be read"):
        replies.package_fields({**LINE, **changes}, PACKAGE, 3)


@pytest.mark.parametrize(
    "changes",
    [
        {"task": "1"},
        {"task": 0},
        {"task": 4},
        {"task": True},
        {"state": "OWNED"},
        {"state": None},
        {"host": 7},
        {"exit_code": "0"},
        {"max_rss_mb": "x"},
        {"max_rss_mb": float("nan")},
    ],
    ids=repr,
)
def test_f25_a_task_s_line_of_wrong_fields_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(CjError, match="the cluster's reply cannot be read"):
        replies.task_fields({**TASK, **changes}, 3)


@pytest.mark.parametrize(
    ("read", "value"),
    [
        (replies.named_texts, {"git": 2}),
        (replies.named_texts, ["git"]),
        (replies.counts, {"RUNNING": "9"}),
        (replies.counts, {"RUNNING": -9}),
        (replies.counts, None),
        (replies.limits, {"array": 1.5}),
        (replies.limits, "none"),
    ],
)
def test_f25_names_and_values_of_another_type_are_refused(
    read: Callable[[dict[str, Any], str], Any], value: object
) -> None:
    with pytest.raises(CjError, match="cannot be read"):
        read({"name": value}, "name")


def test_f25_names_have_no_characters_that_a_terminal_obeys() -> None:
    shown = "?[2J?]0;owned??31m?? "
    assert replies.named_texts({"name": {ESCAPES: ESCAPES}}, "name") == {shown: shown}
    assert replies.limits({"name": {ESCAPES: None}}, "name") == {shown: None}
    for package in (ESCAPES, "8" * 39, "../../etc"):
        with pytest.raises(CjError, match="no package ID"):
            replies.package_id({"package": package})


def test_f25_texts_have_no_characters_that_a_terminal_obeys() -> None:
    found = replies.package_fields({**LINE, "jobs": [ESCAPES], "reasons": {ESCAPES: 1}}, PACKAGE, 3)
    shown = "?[2J?]0;owned??31m?? "
    assert (found["jobs"], found["reasons"]) == ((shown,), {shown: 1})
    assert replies.text({"job": ESCAPES}, "job") == shown


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from([*LINE, *TASK, "bytes"]), inner),
    max_leaves=20,
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from([*LINE, *TASK]), JSON))
def test_f25_any_fields_are_understood_or_refused(changes: dict[str, Any]) -> None:
    for read in (
        lambda: replies.package_fields({**LINE, **changes}, PACKAGE, 3),
        lambda: replies.task_fields({**TASK, **changes}, 3),
        lambda: list(frames(framed(json.dumps(changes).encode()), "0")),
    ):
        with contextlib.suppress(CjError):
            read()
