"""Shards in git and beside it: written whole, found damaged, restored, refused by name."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cjledger import gitrepo
from cjledger.errors import CjError
from cjledger.gitrepo import RefMove, Repo, discover
from cjledger.harvest import store
from cjledger.harvest.check import verify
from cjledger.harvest.manifest import RECORDS, Frame, Results, Shard
from cjledger.query import table
from cjledger.shards import foreign, parquet
from cjledger.shards.frames import from_values, pl, supertype, typed, unite
from tests.blocks import PACKAGE, frame, harvest, manifest, record


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    folder = tmp_path / "project é"
    folder.mkdir()
    subprocess.run(("git", "init", "-q"), cwd=folder, check=True)
    return discover(folder)


def news(task: int) -> Frame:
    return frame((record(task), {"r.csv": b"%d\n" % task}), block=f"1/00000{task}-01")


def kept(
    repo: Repo, package: str, tip: str | None, results: Results, shards: Sequence[tuple[Shard, bytes]]
) -> bool:
    """Commit a harvest and move the results to it, unless another one was first."""
    commit = store.commit(repo, package, tip, results, shards)
    return gitrepo.move_refs(repo, [RefMove(store.results_ref(package), commit, tip or repo.zero)], "harvest")


def harvest_into(repo: Repo, *frames: Frame) -> Results:
    tip, before = store.load(repo, PACKAGE)
    results, shards = harvest(*frames, before=before)
    assert kept(repo, PACKAGE, tip, results, shards)
    return results


def test_what_is_stored_is_loaded(repo: Repo) -> None:
    assert store.load(repo, PACKAGE) == (None, Results(PACKAGE))
    first = harvest_into(repo, news(1))
    second = harvest_into(repo, news(2))
    tip, loaded = store.load(repo, PACKAGE)
    assert loaded == second
    assert loaded.shards[:2] == first.shards
    assert gitrepo.text(repo, "rev-list", "--count", tip or "") == "2"
    listing = gitrepo.text(repo, "ls-tree", "-r", "--name-only", tip or "").splitlines()
    assert listing == ["manifest.json", *sorted(f"shards/{shard.name}" for shard in second.shards)]
    assert verify(repo, PACKAGE, loaded) == []
    gitrepo.run(repo, "fsck", "--strict", "--no-dangling")


def test_each_shard_is_named_by_the_sha256_of_its_bytes_in_git_and_as_a_copy(repo: Repo) -> None:
    results = harvest_into(repo, news(1))
    for shard in results.shards:
        copy = store.shard_path(repo, shard).read_bytes()
        kept = gitrepo.run(repo, "cat-file", "-p", f"{store.results_ref(PACKAGE)}:shards/{shard.name}")
        assert copy == kept
        assert hashlib.sha256(copy).hexdigest() + ".parquet" == shard.name


def test_a_commit_moves_no_ref(repo: Repo) -> None:
    results, shards = harvest(news(1))
    commit = store.commit(repo, PACKAGE, None, results, shards)
    assert gitrepo.ref_value(repo, store.results_ref(PACKAGE)) is None
    assert gitrepo.text(repo, "cat-file", "-t", commit) == "commit"


def test_line_end_rules_and_missing_identity_do_not_matter(
    repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    gitrepo.run(repo, "config", "core.autocrlf", "true")
    gitrepo.run(repo, "config", "user.useConfigOnly", "true")
    (repo.top / ".gitattributes").write_text("* text=auto eol=crlf\n")
    results = harvest_into(repo, news(1))
    assert verify(repo, PACKAGE, results) == []


def test_a_shard_over_the_limit_stays_beside_the_repository(
    repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    results, shards = harvest(news(1))
    large = replace(shards[0][0], bytes=store.BLOB_BYTES + 1)
    commit = store.commit(repo, PACKAGE, None, results, [(large, shards[0][1]), shards[1]])
    listing = gitrepo.text(repo, "ls-tree", "--name-only", commit, "shards/").splitlines()
    assert listing == [f"shards/{shards[1][0].name}"]
    assert store.shard_path(repo, large).exists()


def test_a_clone_without_copies_restores_them_from_git(repo: Repo) -> None:
    results = harvest_into(repo, news(1))
    tip, _ = store.load(repo, PACKAGE)
    for shard in results.shards:
        store.shard_path(repo, shard).unlink()
    assert verify(repo, PACKAGE, results) == []
    paths, problems = store.readable(repo, PACKAGE, tip, results.shards)
    assert (set(paths), problems) == (set(results.shards), [])
    assert all(path.exists() for path in paths.values())


def _flip(data: bytes) -> bytes:
    return data[:40] + bytes([data[40] ^ 4]) + data[41:]


DAMAGES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "flip": (_flip, "its bytes have changed"),
    "truncated": (lambda data: data[:-9], "bytes, not"),
    "empty": (lambda data: b"", "0 bytes, not"),
    "longer": (lambda data: data + b"x", "bytes, not"),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_f19_a_damaged_copy_is_named_and_restored_and_others_are_read(repo: Repo, kind: str) -> None:
    results = harvest_into(repo, news(1))
    results = harvest_into(repo, news(2))
    tip, _ = store.load(repo, PACKAGE)
    change, why = DAMAGES[kind]
    hurt = results.of("r.csv")[0]
    path = store.shard_path(repo, hurt)
    path.write_bytes(change(path.read_bytes()))
    found = verify(repo, PACKAGE, results)
    assert len(found) == 1
    assert hurt.name[:12] in found[0]
    assert why in found[0]
    paths, problems = store.readable(repo, PACKAGE, None, results.shards)  # without git to restore from
    assert [why in problem and hurt.name[:12] in problem for problem in problems] == [True]
    rows = table([paths[s] for s in results.of("r.csv") if s in paths]).collect()
    assert rows["cj_task"].to_list() == [2]
    assert store.readable(repo, PACKAGE, tip, results.shards)[1] == []
    assert verify(repo, PACKAGE, results) == []


def _retree(repo: Repo, entries: dict[str, str]) -> None:
    """Put other shards into the tip's tree, as a hand or a bad merge would."""
    ref = store.results_ref(PACKAGE)
    blob = gitrepo.text(repo, "rev-parse", f"{ref}:manifest.json")
    lines = "".join(f"100644 blob {entries[name]}\t{name}\n" for name in sorted(entries))
    folder = gitrepo.run(repo, "mktree", stdin=lines.encode()).decode().strip()
    top = f"100644 blob {blob}\tmanifest.json\n040000 tree {folder}\tshards\n"
    tree = gitrepo.run(repo, "mktree", stdin=top.encode()).decode().strip()
    commit = gitrepo.text(repo, "commit-tree", "-m", "by hand", tree)
    gitrepo.run(repo, "update-ref", ref, commit)


def _entries(repo: Repo) -> dict[str, str]:
    lines = gitrepo.text(repo, "ls-tree", f"{store.results_ref(PACKAGE)}:shards").splitlines()
    return {line.split("\t")[1]: line.split()[2] for line in lines}


def test_f19_missing_extra_and_swapped_shards_in_git_are_named(repo: Repo) -> None:
    harvest_into(repo, news(1))
    results = harvest_into(repo, news(2))
    entries = _entries(repo)
    one, two = (shard.name for shard in results.of("r.csv"))
    _retree(repo, {name: blob for name, blob in entries.items() if name != one})
    assert [
        f"shard {one[:12]}" in p and "not in the results' tree" in p for p in verify(repo, PACKAGE, results)
    ] == [True]
    _retree(repo, {**entries, "x.parquet": entries[one]})
    assert verify(repo, PACKAGE, results) == [
        f"results of package {PACKAGE[:12]}: x.parquet is in the tree and not in the manifest"
    ]
    _retree(repo, {**entries, one: entries[two], two: entries[one]})
    swapped = verify(repo, PACKAGE, results)
    assert [p.endswith("its bytes in git are not those of its name") for p in swapped] == [True, True]
    tip, _ = store.load(repo, PACKAGE)
    store.shard_path(repo, results.of("r.csv")[0]).unlink()
    paths, problems = store.readable(repo, PACKAGE, tip, results.of("r.csv"))
    assert list(paths) == [results.of("r.csv")[1]]
    assert [one[:12] in problem for problem in problems] == [True]


def test_a_damaged_manifest_is_refused_with_the_next_command(repo: Repo) -> None:
    blob = gitrepo.run(repo, "hash-object", "-w", "--stdin", stdin=b"{").decode().strip()
    tree = gitrepo.run(repo, "mktree", stdin=f"100644 blob {blob}\tmanifest.json\n".encode()).decode().strip()
    commit = gitrepo.text(repo, "commit-tree", "-m", "x", tree)
    gitrepo.run(repo, "update-ref", store.results_ref(PACKAGE), commit)
    with pytest.raises(CjError) as caught:
        store.load(repo, PACKAGE)
    assert caught.value.hint.startswith("git cj fsck")


def test_page_checksums_find_a_flip_in_a_shard(tmp_path: Path) -> None:
    _, shards = harvest(frame(*((record(t), {"r.csv": b"%d\n" % t}) for t in range(1, 10))))
    data = bytearray(next(data for shard, data in shards if shard.table == "r.csv"))
    page = data.index(b"\x28\xb5\x2f\xfd")  # zstd's magic number
    data[page + 9] ^= 1
    (tmp_path / "a.parquet").write_bytes(data)
    with pytest.raises(parquet.ParseError):
        parquet.check(tmp_path / "a.parquet")


def test_a_points_file_is_read_in_batches_by_name_and_row(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1, 2], "b": ["x", None]}), tmp_path / "p.parquet")
    names, rows = foreign.read_parquet_rows(tmp_path / "p.parquet")
    assert (names, list(rows)) == (["a", "b"], [[1, "x"], [2, None]])
    (tmp_path / "bad.parquet").write_bytes(b"PAR1")
    with pytest.raises(CjError, match="not a Parquet file"):
        foreign.read_parquet_rows(tmp_path / "bad.parquet")


@pytest.mark.parametrize(
    ("types", "united"),
    [
        ([pl.Int64(), pl.Null()], pl.Int64()),
        ([pl.Int32(), pl.Int64()], pl.Int64()),
        ([pl.Int64(), pl.Float32()], pl.Float64()),
        ([pl.Float64(), pl.String()], pl.String()),
        ([pl.Boolean(), pl.Boolean()], pl.Boolean()),
        ([pl.Boolean(), pl.Int64()], pl.String()),
        ([], pl.Null()),
    ],
)
def test_types_are_united_by_the_stated_rules(types: list[pl.DataType], united: pl.DataType) -> None:
    assert supertype(types) == united


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["1", " 2", "+3", None], [1, 2, 3, None]),
        (["1", "2.5", "1e3", "nan", "-inf"], [1.0, 2.5, 1000.0, float("nan"), float("-inf")]),
        (["1", "x "], ["1", "x "]),
        (["007", "8"], [7, 8]),
        (["9223372036854775808", "18446744073709551615", None], [2**63, 2**64 - 1, None]),
        (["9007199254740992", "1.5"], [2.0**53, 1.5]),
        (["9007199254740993", "1.5"], ["9007199254740993", "1.5"]),
        (["9223372036854775809", "-1"], ["9223372036854775809", "-1"]),
        (["9223372036854775808", "-0"], [2**63, 0]),
        (["100000000000000000000"], [1e20]),
        (["100000000000000000001"], ["100000000000000000001"]),
        (["1e400", "1"], ["1e400", "1"]),
        ([None, None], [None, None]),
    ],
)
def test_text_cells_become_numbers_when_all_are(cells: list[str | None], values: list[object]) -> None:
    assert repr(typed(pl.Series(cells, dtype=pl.String)).to_list()) == repr(values)


def test_values_of_json_become_columns() -> None:
    assert from_values("a", [1, 2.5, None]).to_list() == [1.0, 2.5, None]
    assert from_values("a", [1, "x", [1], {"b": None}, True]).to_list() == [
        "1",
        "x",
        "[1]",
        '{"b": null}',
        "true",
    ]
    assert from_values("a", [1.0, "x", 1e-7, float("-inf")]).to_list() == ["1", "x", "1e-7", "-Infinity"]
    assert from_values("a", ["\ud800"]).to_list() == ["?"]


@pytest.mark.parametrize(
    ("values", "kept", "kind"),
    [
        ([2**64 - 1, 0, None], [2**64 - 1, 0, None], pl.UInt64),
        ([2**63, -1], [float(2**63), -1.0], pl.Float64),
        ([2**63 + 1, -1], ["9223372036854775809", "-1"], pl.String),
        ([2**70, 1], [2.0**70, 1.0], pl.Float64),
        ([2**64 + 1, 1], ["18446744073709551617", "1"], pl.String),
        ([10**400, 1.5], ["1" + "0" * 400, "1.5"], pl.String),
        ([2**53, 0.5], [2.0**53, 0.5], pl.Float64),
        ([2**53 + 1, 0.5, 2.0], ["9007199254740993", "0.5", "2"], pl.String),
    ],
)
def test_no_whole_number_changes_by_what_it_stands_among(
    values: list[Any], kept: list[Any], kind: pl.DataType
) -> None:
    column = from_values("a", values)
    assert (column.to_list(), column.dtype) == (kept, kind)


WHOLE = st.lists(st.integers(-(2**63), 2**64 - 1), max_size=3).map(lambda values: from_values("a", values))


@given(st.lists(st.one_of(WHOLE, st.just(pl.Series("a", [0.5, None]))), min_size=1, max_size=4))
@settings(max_examples=150, deadline=None)
def test_numbers_that_are_united_are_what_they_were(columns: list[pl.Series]) -> None:
    united = unite([column.to_frame() for column in columns])["a"]
    before = [value for column in columns for value in column.to_list()]
    assert [None if value is None else Fraction(value) for value in united.to_list()] == [
        None if value is None else Fraction(value) for value in before
    ]


def test_shards_that_tell_nothing_of_their_cells_are_united_by_their_types(tmp_path: Path) -> None:
    columns: list[list[Any]] = [[1, 2**53 + 1], [0.5, 2.0], ["007"]]
    paths = [tmp_path / f"{place}.parquet" for place in range(3)]
    for task, (path, values) in enumerate(zip(paths, columns, strict=True), 1):
        keys = {"cj_package": [PACKAGE], "cj_task": [task], "cj_attempt": [1]}
        pl.DataFrame(keys).join(pl.DataFrame({"a": values}), how="cross").write_parquet(path)
    assert table(paths[:1]).collect()["a"].to_list() == [1, 2**53 + 1]
    assert table(paths[:2]).collect()["a"].to_list() == ["1", "9007199254740993", "0.5", "2"]
    assert table(paths[1:]).collect()["a"].to_list() == ["0.5", "2", "007"]


def test_the_same_records_give_a_shard_of_the_same_name() -> None:
    names = {tuple(shard.name for shard, _ in harvest(news(1))[1]) for _ in range(3)}
    assert len(names) == 1


def test_no_shard_holds_a_pickle_or_an_extension_type() -> None:
    _, shards = harvest(frame((record(1), {"r.csv": b"1\n", "x.pkl": b"\x80\x04."})), given=manifest())
    for _, data in shards:
        schema = pq.read_schema(io.BytesIO(data))
        assert not any(isinstance(field.type, pa.BaseExtensionType) for field in schema)
    assert [shard.table for shard, _ in shards] == [RECORDS, "r.csv"]


def test_shards_of_a_results_are_found_by_table() -> None:
    shards = tuple(
        Shard(f"{n:064x}.parquet", name, 1, 1, 1, "1") for n, name in enumerate(["b", RECORDS, "a", "b"])
    )
    results = Results(PACKAGE, shards=shards)
    assert results.of("b") == (shards[0], shards[3])
    assert results.names == ("a", "b")
