"""Pushes to a cluster: what is taken in, and what is refused with nothing run and nothing left."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cjnode.errors import NodeError
from cjnode.package import manifest as node_manifest
from cjnode.repository import tree

from .cluster_kit import Site, manifest, new_site, resources

PROGRAM = manifest()["program"]
SWEEP = manifest()["sweep"]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return new_site(tmp_path)


def nothing_happened(site: Site) -> bool:
    return site.refs() == {} and not os.listdir(site.root / "packages") and site.tally() == []


def test_a_pushed_package_gets_its_ref_and_runs(tmp_path: Path, node_python: str) -> None:
    site = new_site(tmp_path / "site", node_python)
    package = site.package()
    job = f"cj-{package[:12]}-1"
    assert site.send(package) == [{"package": package, "submission": 1, "job": job}]
    assert site.refs() == {f"refs/cj/packages/{package}": package, "refs/cj/tip/mia-1": package}
    assert site.finished(package) == {"1": 0}
    assert site.tally() == [f"1 1 1 {job}"]
    assert json.loads((site.root / "packages" / package / "package.json").read_bytes()) == manifest()


def test_a_sha256_package_is_received(tmp_path: Path) -> None:
    site = new_site(tmp_path / "site", hash_name="sha256")
    package = site.package()
    assert len(package) == 64
    assert site.send(package)[0]["job"] == f"cj-{package[:12]}-1"
    assert site.finished(package) == {"1": 0}


def test_a_package_pushed_again_is_not_submitted_again(site: Site) -> None:
    package = site.package()
    first = site.send(package)
    assert site.send(package) == first
    site.finished(package)
    assert len(site.tally()) == 1


def test_several_packages_in_one_push_are_each_answered(site: Site) -> None:
    packages = [site.package(seed=seed) for seed in (1, 2)]
    done = site.push(*(f"{package}:refs/cj/inbox/{package}" for package in packages))
    assert done.stderr.count(b'remote: cj {"package"') == 2
    for package in packages:
        site.finished(package)
    assert len(site.tally()) == 2


def test_old_packages_are_not_advertised(site: Site) -> None:
    for seed in range(3):
        package = site.package(seed=seed)
        site.send(package)
        site.finished(package)
    done = site.push(
        f"{package}:refs/cj/inbox/x", options=("--dry-run",), variables={"GIT_TRACE_PACKET": "1"}
    )
    advertised = [line for line in done.stderr.decode().splitlines() if "push< " in line and "refs/" in line]
    assert [line.split("refs/")[1].split("\\0")[0] for line in advertised] == ["cj/tip/mia-1"]


@pytest.mark.parametrize(
    "ref",
    [
        "refs/heads/main",
        "refs/cj/packages/{}",
        "refs/cj/tip/mia-1",
        "refs/cj/inbox/" + "0" * 39 + "1",
        "refs/cj/inbox/x",
        "refs/cj/inbox/{}/x",
        "refs/cj/inbox/{}x",
    ],
)
def test_any_other_ref_is_refused(site: Site, ref: str) -> None:
    package = site.package()
    done = site.push(f"{package}:{ref.format(package)}")
    assert done.returncode != 0
    assert nothing_happened(site)


def test_packages_can_be_neither_moved_nor_deleted(site: Site) -> None:
    package, other = site.package(), site.package(seed=8)
    site.send(package)
    site.finished(package)
    before = site.refs()
    for refspec in (f":refs/cj/packages/{package}", ":refs/cj/tip/mia-1", f"+{other}:refs/cj/tip/mia-1"):
        assert site.push(refspec).returncode != 0
        assert site.push(refspec, options=("--force",)).returncode != 0
    assert site.push(options=("--mirror",)).returncode != 0
    assert site.refs() == before


@pytest.mark.parametrize("kind", ["blob", "tree", "tag"])
def test_only_commits_are_packages(site: Site, kind: str) -> None:
    package = site.package()
    if kind == "blob":
        pushed = site.blob("no commit")
    elif kind == "tree":
        pushed = site.git("rev-parse", package + "^{tree}")
    else:
        text = f"object {package}\ntype commit\ntag x\ntagger Mia <m@x> 1 +0000\n\nx\n"
        pushed = site.git("hash-object", "-t", "tag", "-w", "--stdin", stdin=text.encode())
    (answer,) = site.send(pushed)
    assert f"no commit but a {kind}" in answer["error"]
    assert nothing_happened(site)


def test_a_commit_without_manifest_is_no_package(site: Site) -> None:
    commit = site.commit(site.tree([("100644", b"main.py", site.blob("x"))]))
    (answer,) = site.send(commit)
    assert "has no manifest" in answer["error"]
    assert nothing_happened(site)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"{", "is not JSON"),
        (b"\xff\xfe", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"[]", "no format number"),
        (b'{"format":"1"}', "no format number"),
        (b'{"format":3}', "newer"),
        (b'{"format":1}', "wrong in: program, sweep, tasks, seed"),
    ],
)
def test_a_manifest_that_cannot_be_read_is_refused(site: Site, content: bytes, words: str) -> None:
    (answer,) = site.send(site.package(package_json=content))
    assert words in answer["error"]
    assert nothing_happened(site)


def test_an_oversized_manifest_is_refused_unread(site: Site) -> None:
    (answer,) = site.send(site.package(package_json=b" " * (node_manifest.LIMIT + 1)))
    assert f"at most {node_manifest.LIMIT} are accepted" in answer["error"]
    assert nothing_happened(site)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"agent": "../../x"}, "agent"),
        ({"agent": "x\nupdate refs/heads/x"}, "agent"),
        ({"tasks": 0}, "tasks"),
        ({"tasks": True}, "tasks"),
        ({"tasks": 10**30}, "tasks"),
        ({"scheduler": "local\x1b[2J"}, "scheduler"),
        ({"python": ""}, "python"),
        ({"setup": "rm -rf /"}, "setup"),
        ({"resources": resources(jobs=-1)}, "resources"),
        ({"resources": resources(jobs="9")}, "resources"),
        ({"program": {**PROGRAM, "path": "../x"}}, "program"),
        ({"program": {**PROGRAM, "path": "/x"}}, "program"),
        ({"program": {**PROGRAM, "workdir": "a/../.."}}, "program"),
        ({"program": {**PROGRAM, "deps": ["/etc"]}}, "program"),
        ({"program": {**PROGRAM, "kind": "virus"}}, "program"),
        ({"program": {"kind": "script"}}, "program"),
        ({"resources": {}}, "resources"),
        ({"sweep": {"kind": "grid"}}, "sweep"),
        ({"sweep": {**SWEEP, "kind": "$(id)"}}, "sweep"),
        ({"sweep": {**SWEEP, "names": ["x\ny"]}}, "sweep"),
        ({"sweep": {**SWEEP, "names": [7]}}, "sweep"),
        ({"tasks": 1 << 40, "sweep": {**SWEEP, "repeat": 1 << 40}}, "tasks"),
        ({"cluster": "\ud800"}, "cluster"),
        ({"sweep": {**SWEEP, "repeat": -1}}, "sweep"),
        ({"sweep": {**SWEEP, "repeat": "x"}}, "sweep"),
        ({"sweep": {**SWEEP, "explicit": 1.0}}, "sweep"),
        ({"sweep": {**SWEEP, "removed": [1, 0]}}, "sweep"),
        ({"sweep": {**SWEEP, "removed": [7]}}, "sweep"),
        ({"sweep": {**SWEEP, "loops": [1]}}, "sweep"),
        ({"sweep": {**SWEEP, "blocks": [{"axes": [{"names": ["x", "y"], "values": [[1]]}]}]}}, "sweep"),
        ({"sweep": {**SWEEP, "blocks": [{"axes": [{"names": ["x"], "values": [[[]]]}]}]}}, "sweep"),
        ({"tasks": 10**12, "sweep": {**SWEEP, "blocks": [], "explicit": 10**12}}, "tasks"),
        ({"program": {**PROGRAM, "path": None}}, "program"),
        ({"program": {**PROGRAM, "language": 5}}, "program"),
        ({"program": {**PROGRAM, "path": "\ud800.py"}}, "program"),
        ({"message": 5}, "message"),
        ({"message": "\ud800"}, "message"),
        ({"author": None}, "author"),
        ({"created": "2026-01-31T12:00:00.000000Z\nrm -rf /"}, "created"),
        ({"created": "yesterday"}, "created"),
        ({"head": 5}, "head"),
        ({"branch": {}}, "branch"),
        ({"dirty": [{"path": 5, "change": "x"}]}, "dirty"),
        ({"report": [5]}, "report"),
        ({"locks": [{"path": 5, "sha256": 6}]}, "locks"),
        ({"version": "1\x1b[2J"}, "version"),
        ({"code": "../x"}, "code"),
        ({"then": {"path": 5, "table": None}}, "then"),
        ({"linked": [{"package": "0" * 40, "tasks": 5}]}, "linked"),
        ({"linked": [{"package": "0" * 40, "tasks": "1-99999999999"}]}, "linked"),
        ({"linked": [{"package": "x", "tasks": "1"}]}, "linked"),
        ({"data": [{"local": "d", "path": "/x", "hash": "no"}]}, "data"),
        ({"max_jobs": 0}, "max_jobs"),
    ],
)
def test_a_manifest_of_wrong_types_names_the_field(changes: dict[str, object], field: str) -> None:
    fields = {**manifest(), **changes}
    with pytest.raises(NodeError, match=f"wrong in: {field}"):
        node_manifest.parse(json.dumps(fields).encode())


@pytest.mark.parametrize("value", [None, True, -1, 0, 10**30, 1.5, "", "../x", "a\nb", "\0", [], {}, [[]]])
def test_f25_whatever_stands_in_a_manifest_is_understood_or_refused(value: object) -> None:
    whole = {**manifest(tasks=2), "data": [{"local": "d", "path": "/x", "hash": False}], "max_jobs": 4}
    for place in places(whole):
        fields = copy.deepcopy(whole)
        inner: Any = fields
        for key in place[:-1]:
            inner = inner[key]
        inner[place[-1]] = value
        with contextlib.suppress(NodeError):
            node_manifest.parse(json.dumps(fields).encode())


def places(value: object, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to each value inside a JSON value."""
    inside: Iterable[tuple[Any, object]] = ()
    if isinstance(value, dict):
        inside = value.items()
    elif isinstance(value, list):
        inside = enumerate(value)
    for key, each in inside:
        yield (*above, key)
        yield from places(each, (*above, key))


def test_f25_a_push_that_is_too_large_is_refused_and_leaves_nothing(site: Site) -> None:
    read = ("git", f"--git-dir={site.repo}", "config", "--int", "receive.maxInputSize")
    assert subprocess.run(read, capture_output=True).stdout == b"%d\n" % (8 << 30)
    subprocess.run((*read[:2], "config", "receive.maxInputSize", "100000"), check=True)
    package = site.package(("100644", b"large", site.blob(os.urandom(200_000))))
    done = site.push(f"{package}:refs/cj/inbox/{package}")
    assert done.returncode != 0
    assert b"exceeds maximum allowed size" in done.stderr
    assert nothing_happened(site)


def test_a_count_that_the_sweep_does_not_have_is_refused() -> None:
    fields = {**manifest(tasks=3), "tasks": 4}
    with pytest.raises(NodeError, match=r"tasks \(4, the sweep has 3\)"):
        node_manifest.parse(json.dumps(fields).encode())


def test_a_package_for_another_scheduler_is_refused_by_name(site: Site) -> None:
    package = site.package(scheduler="loadleveler")
    (answer,) = site.send(package)
    assert answer == {
        "package": package,
        "error": f"package {package[:12]} was made for the scheduler loadleveler, and this cluster has local",
        "hint": 'set scheduler = "local" for this cluster in .cjledger.toml, then launch again',
    }


@pytest.mark.parametrize(
    ("target", "inside"),
    [
        (b"main.py", True),
        (b"./sub/../main.py", True),
        (b"..", False),
        (b"../main.py", False),
        (b"sub/../../x", False),
        (b"/etc/passwd", False),
    ],
)
def test_a_link_that_leaves_the_tree_is_refused(site: Site, target: bytes, inside: bool) -> None:
    (answer,) = site.send(site.package(("120000", b"link", site.blob(target))))
    assert ("error" not in answer) == inside
    if inside:
        site.finished(answer["package"])
    else:
        assert "leads out of the package" in answer["error"]
        assert nothing_happened(site)


def test_a_link_that_climbs_out_of_another_link_is_refused() -> None:
    with pytest.raises(NodeError, match="climbs out"):
        tree.check_links({b"a/b/c": b"../../d/e", b"x": b"a/b/c/../../.."})
    tree.check_links({b"a/b": b"../x/y", b"x/z": b"./y/../w"})


@pytest.mark.parametrize(
    "name", [b".git", b".GIT", b"..", b".", b"git~1", b"x/y", b"", b"\x1b[2Jx", b"x\x07", b"\x7f"]
)
def test_a_path_that_escapes_or_hides_is_refused(site: Site, name: bytes) -> None:
    """Names that git's own check lets through are met by ours; refused either way."""
    inner = site.tree([("100644", name, site.blob("x"))])
    done = site.send(site.package(("40000", b"sub", inner)))
    assert done == [] or "refused" in done[0]["error"]
    assert nothing_happened(site)
    if name == b"x/y":  # in a listing it looks like a file in a folder, which it then becomes
        return
    with pytest.raises(NodeError, match="refused"):
        tree.check_paths(b"100644 blob " + b"0" * 40 + b"\tsub/" + name + b"\0")


@pytest.mark.parametrize(
    "name", [b"with\nnewline", b"tab\there", b"-dash", b".gitignore", b"a..b", b"...", b"\xff"]
)
def test_a_strange_but_legal_name_is_accepted(site: Site, name: bytes) -> None:
    package = site.package(("100644", name, site.blob("here")))
    assert "error" not in site.send(package)[0]
    site.finished(package)
    code = os.fsencode(site.root / "packages" / package / "code")
    with open(os.path.join(code, name), "rb") as file:
        assert file.read() == b"here"


def test_the_jobs_output_does_not_keep_the_push_waiting(site: Site) -> None:
    """The pool closes what it inherits: a job that waits for a later push lets this one return."""
    gate = site.root / "gate"
    os.mkfifo(gate)
    package = site.package(job=f"cat '{gate}'\n" + "exit 0\n")
    assert site.send(package)[0]["package"] == package
    gate.write_text("go\n")
    assert site.finished(package) == {"1": 0}
