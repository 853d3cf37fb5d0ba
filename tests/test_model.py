"""The manifest as a laptop reads it: whoever wrote it, it is understood or refused by name."""

from __future__ import annotations

import contextlib
import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest

from cjledger.errors import CjError
from cjledger.model import Manifest, Program, Resources, manifest_from_bytes, manifest_to_bytes
from cjledger.package import default_subject, readme
from tests.package_kit import grid, manifest_of

PACKAGE = "a" * 40


def whole() -> dict[str, Any]:
    """A manifest's fields, as they are written."""
    found: dict[str, Any] = json.loads(manifest_to_bytes(written()))
    return found


def written() -> Manifest:
    return manifest_of(Program("script", "PT.py"), grid(x=(1, 2, 3), y=("a", 0.5)))._replace(
        resources=Resources(cpus=2)
    )


def read(fields: Any) -> Manifest:
    content = fields if isinstance(fields, bytes) else json.dumps(fields).encode()
    return manifest_from_bytes(content, PACKAGE)


def test_what_is_written_is_read() -> None:
    assert read(whole()) == written()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"format":1,"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"format":' + b"9" * 5000 + b"}",
        b'{"format":"1"}',
        b'{"format":null}',
    ],
)
def test_what_is_no_manifest_is_refused(content: bytes) -> None:
    with pytest.raises(CjError, match="has a manifest that cannot be read"):
        read(content)


def test_a_newer_format_says_how_to_read_it() -> None:
    with pytest.raises(CjError, match="newer than this program's") as caught:
        read({**whole(), "format": 99})
    assert caught.value.hint == "pip install --upgrade cjledger"


def test_a_refusal_names_all_fields_that_are_wrong() -> None:
    with pytest.raises(CjError, match="the manifest is wrong in: tasks, cluster, message"):
        read({**whole(), "tasks": "3", "cluster": {}, "message": 5})


@pytest.mark.parametrize("value", [None, True, -1, 10**30, 1.5, "", "\x1b[2J\n", "\ud800", [], {}, [[]], [5]])
def test_whatever_stands_in_a_manifest_is_understood_or_refused(value: object) -> None:
    for place in places(whole()):
        fields = whole()
        inner: Any = fields
        for key in place[:-1]:
            inner = inner[key]
        inner[place[-1]] = copy.deepcopy(value)
        with contextlib.suppress(CjError):
            found = read(fields)
            assert manifest_to_bytes(found).decode()
            assert readme(found, "x").decode()
            assert default_subject(found)


def places(value: object, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to each value inside a JSON value."""
    inside: list[tuple[Any, object]] = []
    if isinstance(value, dict):
        inside = list(value.items())
    elif isinstance(value, list):
        inside = list(enumerate(value))
    for key, each in inside:
        yield (*above, key)
        yield from places(each, (*above, key))
