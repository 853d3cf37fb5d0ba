"""What a group's remote brings from somebody who means harm: refused or left out by name; nobody is stuck."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.end_to_end.test_sync import counts, machine, number, pair, refs
from tests.shells import Shell

__all__ = ["pair"]

DEEP = '{"format":1,"x":' + "[" * 100_000 + "]" * 100_000 + "}"


def blob(shell: Shell, content: str) -> str:
    return shell.run("git", "hash-object", "-w", "--stdin", stdin=content).stdout.strip()


def commit(shell: Shell, entries: str, *parents: str, message: str = "x") -> str:
    tree = shell.run("git", "mktree", stdin=entries).stdout.strip()
    words = [word for parent in parents for word in ("-p", parent)]
    return shell.git("commit-tree", *words, "-m", message, tree)


def package_with(shell: Shell, content: str, points: str = "") -> str:
    """A package that has this for a manifest, and that for its first file of points."""
    listing = f"100644 blob {blob(shell, content)}\tpackage.json\n"
    if points:
        file = f"100644 blob {blob(shell, points)}\t00000.jsonl\n"
        listing += f"040000 tree {shell.run('git', 'mktree', stdin=file).stdout.strip()}\tpoints\n"
    folder = shell.run("git", "mktree", stdin=listing).stdout.strip()
    return commit(shell, f"040000 tree {folder}\t.cj\n")


def results_with(shell: Shell, package: str, content: str, shard: Path | None = None) -> None:
    """Exchange what a package's newest harvest says, and add a shard."""
    ref = f"refs/cj/results/{package}"
    listing = shell.git("ls-tree", f"{ref}:shards") + "\n"
    if shard is not None:
        there = shell.git("hash-object", "-w", "--no-filters", str(shard))
        listing += f"100644 blob {there}\t{shard.name}\n"
    folder = shell.run("git", "mktree", stdin=listing).stdout.strip()
    top = f"100644 blob {blob(shell, content)}\tmanifest.json\n040000 tree {folder}\tshards\n"
    shell.git("update-ref", ref, commit(shell, top, ref))


def exchanged(shell: Shell, package: str, table: str, change: Callable[[bytes], bytes]) -> str:
    """Exchange the shard of a table of three tasks, and return the new one's name."""
    said = told(shell, package)
    (old,) = (each for each in said["shards"] if each["table"] == table)
    content = change((shell.folder / ".git" / "cj" / "shards" / old["name"]).read_bytes())
    path = shell.folder / ".git" / f"{hashlib.sha256(content).hexdigest()}.parquet"
    path.write_bytes(content)
    new = {**old, "name": path.name, "bytes": len(content)}
    said["shards"] = [new if each is old else each for each in said["shards"]]
    results_with(shell, package, json.dumps(said), path)
    return path.name


def told(shell: Shell, package: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(shell.git("show", f"refs/cj/results/{package}:manifest.json"))
    return found


@pytest.mark.parametrize("content", [DEEP, "[]", '{"format":1}'])
def test_a_package_without_a_manifest_that_can_be_read_stops_nobody(
    pair: tuple[Shell, Shell], content: str
) -> None:
    mia, ben = pair
    bad = package_with(mia, content)
    mia.git("push", "-q", "origin", f"{bad}:refs/cj/packages/{bad}")
    package = ben.launch("run", "p.py", "local")
    for sent in (number(1, 0, 1), number(0, 0, 0)):
        found = counts(ben, code=1)
        assert found[:2] == (number(0, 0, 0), sent)
        assert [words.partition(" is no package: ")[0] for words in found[2]] == [
            f"refs/cj/packages/{bad} of origin"
        ]
    assert [launch["package"] for launch in ben.lines("log")] == [package]
    assert "nothing wrong" in ben.cj("fsck")


@pytest.mark.parametrize("points", ["7\n", "[1\n", "[" * 100_000 + "\n", "[1]\n"])
def test_points_that_cannot_be_read_are_refused_by_name(pair: tuple[Shell, Shell], points: str) -> None:
    mia, ben = pair
    package = mia.launch("run", "p.py", "local")
    fields = json.loads(mia.git("show", f"{package}:.cj/package.json"))
    fields["sweep"] = {**fields["sweep"], "kind": "points", "blocks": [], "names": ["x"], "explicit": 3}
    bad = package_with(mia, json.dumps({**fields, "tasks": 3}), points)
    mia.git("push", "-q", "origin", f"{bad}:refs/cj/packages/{bad}")
    ben.cj("sync")
    assert "has points that cannot be read" in ben.refused("show", f"{bad}/1-3")
    assert "has points that cannot be read" in ben.cj("fsck", code=1)


def test_results_whose_manifest_is_nested_too_deep_stop_nobody(pair: tuple[Shell, Shell]) -> None:
    mia, ben = pair
    package = mia.launch("parrun", "p.py", "local")
    mia.cj("harvest", package)
    mia.cj("sync")
    ben.cj("sync")
    rows = ben.cj("reduce", package)
    results_with(mia, package, DEEP)
    mia.git("push", "-q", "origin", f"refs/cj/results/{package}")
    for _ in range(2):
        (words,) = counts(ben, code=1)[2]
        assert "have a manifest that cannot be read" in words
    assert ben.cj("reduce", package) == rows
    assert mia.lines("log")[0]["package"] == package


def test_a_chain_with_what_is_no_entry_is_left_there(pair: tuple[Shell, Shell]) -> None:
    mia, ben = pair
    package = mia.launch("run", "p.py", "local")
    mia.cj("sync")
    ben.cj("sync")
    (chain,) = (ref for ref in refs(mia) if "/ledger/" in ref)
    last = int(mia.git("log", "-1", "--format=%(trailers:key=Cj-Sequence,valueonly)", chain))
    body = f"x\n\nCj-Event: launched\nCj-Package: \x1b[2J\nCj-Sequence: {last + 1}\n"
    body += f"Cj-Last: {package}\nCj-Data: []\n"
    mia.git("update-ref", chain, commit(mia, "", chain, message=body))
    mia.git("push", "-q", "origin", chain)
    (words,) = counts(ben, code=1)[2]
    assert words.startswith(f"the ledger of {chain.rpartition('/')[2]} on origin is left there: ")
    assert words.endswith("its Cj-Package or Cj-Last is no package ID")
    for shell in pair:  # with mia it is in the chain
        assert [launch["package"] for launch in shell.lines("log")] == [package]
        assert shell.lines("state", package)[0]["package"] == package
    assert "is not a ledger entry" in mia.cj("fsck", code=1)


@pytest.mark.parametrize("table", ["r.csv", "cj:records"])
def test_a_shard_that_is_no_table_is_left_out_by_name(pair: tuple[Shell, Shell], table: str) -> None:
    mia, ben = pair
    package = mia.launch("parrun", "p.py", "local")
    mia.cj("harvest", package)
    shard = exchanged(mia, package, table, lambda data: b"no table")
    mia.cj("sync")
    ben.cj("sync")
    label = f"shard {shard[:12]} of package {package[:12]} (table {table}"
    done = ben.run("git", "cj", "reduce", package, code=None)
    assert f"left out: {label}" in " ".join(done.stderr.split())
    assert "a bug in" not in done.stderr
    assert label in ben.cj("fsck", code=1)
    assert sum(ben.lines("state", package)[0]["counts"].values()) == (3 if table == "r.csv" else 0)


def strange(data: bytes) -> bytes:
    """Records of three tasks with times and outputs that cannot be."""
    records = pq.read_table(pa.BufferReader(data))
    outputs = records.column("outputs").to_pylist()
    for left, name in zip(outputs, ("a\0b", "\x1b[2J", None), strict=True):
        left[0]["path"] = name
    changes = {
        "started": pa.array(["yesterday", "2026-01-31T12:00:00", None]),
        "state": pa.array(["COMPLETED", "COMPLETED", "\x1b[2J"]),
        "outputs": pa.array(outputs, records.schema.field("outputs").type),
    }
    for name, values in changes.items():
        records = records.set_column(records.column_names.index(name), name, values)
    sink = io.BytesIO()
    pq.write_table(records, sink)
    return sink.getvalue()


def test_records_of_what_cannot_be_are_told_without_it(pair: tuple[Shell, Shell]) -> None:
    mia, ben = pair
    package = mia.launch("parrun", "p.py", "local")
    mia.cj("harvest", package)
    exchanged(mia, package, "cj:records", strange)
    mia.cj("sync")
    ben.cj("sync")
    assert ben.lines("state", package)[0]["counts"] == {"COMPLETED": 2}
    assert "\x1b" not in ben.cj("state", package, "--tasks")
    assert "left a file" in ben.refused("get", package)
    listed = ben.cj("ls", package)
    assert "\x1b" not in listed
    assert "\0" not in listed


def test_a_configuration_that_is_nested_too_deep_is_refused(tmp_path: Path) -> None:
    shell = machine(tmp_path, "mia")
    shell.write(".cjledger.toml", "a = " + "[" * 5000)
    assert "is nested too deep" in shell.refused("log")
