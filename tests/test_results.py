"""The results manifest: whoever wrote it, it is understood or refused by name."""

from __future__ import annotations

import json

import pytest

from cjledger.errors import CjError
from cjledger.harvest.manifest import Shard, from_bytes, to_bytes
from tests.blocks import PACKAGE, frame, harvest, record

SHARD = {"name": "0" * 64 + ".parquet", "table": "r.csv", "harvest": 1, "rows": 3, "bytes": 9, "tasks": "1-3"}
BROKEN = {"task": 1, "attempt": 1, "file": "r.csv", "why": "it is cut off"}
RULE = {"kind": "delimited", "delimiter": ",", "header": True, "columns": ["a"], "comments": False}
RESULTS = {
    "format": 1,
    "package": PACKAGE,
    "harvest": 1,
    "positions": {"1/000001-01": [5, 6]},
    "tables": {"r.csv": RULE},
    "shards": [SHARD],
    "broken": [BROKEN],
}


@pytest.mark.parametrize(
    "changes",
    [
        *(
            {"shards": [{**SHARD, name: value}]}
            for name in ("harvest", "rows", "bytes")
            for value in ("x", -1)
        ),
        *({"shards": [{**SHARD, "tasks": text}]} for text in (5, None, "x", "3-1", "1,,2", "1-99999999999")),
        {"shards": [{**SHARD, "table": None}]},
        {"shards": [{**SHARD, "table": {}}]},
        {"shards": [{**SHARD, "table": ""}]},
        {"shards": [{**SHARD, "table": "\x1b[2Jr.csv"}]},
        {"shards": [{**SHARD, "table": "\ud800.csv"}]},
        {"shards": [{**SHARD, "tasks": "1-4"}]},
        {"shards": [{**SHARD, "name": 5}]},
        {"shards": [5]},
        {"shards": 5},
        {"broken": [{**BROKEN, "task": "1"}]},
        {"broken": [{**BROKEN, "why": 5}]},
        {"broken": [{**BROKEN, "why": "\ud800"}]},
        {"broken": None},
        {"harvest": "x"},
        {"harvest": 10**30},
        {"positions": []},
        {"positions": {"1/000001-01": [-5, 5]}},
        {"positions": {"1/000001-01": [1e400, 5]}},
        {"positions": {"\x1b[2J": [0, 0]}},
        {"tables": []},
        {"tables": {"r.csv": 5}},
        {"tables": {"r.csv": {"kind": "magic"}}},
        {"tables": {"r.csv": {**RULE, "delimiter": "ab"}}},
        {"tables": {"r.csv": {**RULE, "columns": [5]}}},
        {"tables": {"r.csv": {**RULE, "columns": ["a", "a"]}}},
        {"tables": {"r.csv": {"kind": "json", "more": [[]]}}},
        {"format": "1"},
        {"format": -1},
    ],
)
def test_a_manifest_of_wrong_types_is_refused(changes: dict[str, object]) -> None:
    assert from_bytes(json.dumps(RESULTS).encode(), PACKAGE).shards == (Shard(**SHARD),)  # type: ignore[arg-type]
    with pytest.raises(CjError, match="have a manifest that cannot be read"):
        from_bytes(json.dumps({**RESULTS, **changes}).encode(), PACKAGE)


def test_a_manifest_that_is_nested_too_deep_is_refused() -> None:
    for deep in (b'{"format":1,"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}", b"[" * 100_000):
        with pytest.raises(CjError, match="have a manifest that cannot be read"):
            from_bytes(deep, PACKAGE)


def test_an_output_whose_name_no_line_could_hold_stays_a_file() -> None:
    results, _ = harvest(frame((record(1), {"a\x1b[2J.csv": b"1\n", "b.csv": b"1\n"})))
    assert results.names == ("b.csv",)
    assert from_bytes(to_bytes(results), PACKAGE) == results
