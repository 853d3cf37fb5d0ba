from __future__ import annotations

import hashlib
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from cjnode.errors import NodeError
from cjnode.supplies import datalinks
from cjnode.worker.scratch import Left, Mirror
from tests.node.cluster_kit import Site, new_site
from tests.node.conftest import HOOKS

PROGRAM = "print(open('in/reads.txt').read(), end='')\n"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return new_site(tmp_path / "site")


def data(path: Path, local: str = "in/reads.txt", **more: Any) -> dict[str, Any]:
    return {"local": local, "path": str(path), "hash": False, **more}


def kept(site: Site, package: str) -> list[dict[str, Any]]:
    """The records of a package's first submission."""
    found = sorted((site.submission(package) / "blocks").glob("*.records"))
    return [json.loads(line) for path in found for line in path.read_text().splitlines()]


def test_a_task_finds_its_data_under_the_local_name(site: Site, tmp_path: Path) -> None:
    reads = tmp_path / "reads.txt"
    reads.write_text("ACGT\n")
    package = site.package(job=None, main=PROGRAM, data=[data(reads, hash=True)])
    seen = {
        "local": "in/reads.txt",
        "path": str(reads),
        "kind": "file",
        "bytes": 5,
        "mtime": reads.stat().st_mtime,
        "sha256": hashlib.sha256(b"ACGT\n").hexdigest(),
    }
    (reply,) = site.send(package)
    assert reply["data"] == [seen]
    assert json.loads((site.submission(package) / "data.json").read_bytes())["data"] == [seen]
    site.finished(package)
    (record,) = kept(site, package)
    assert (record["state"], record["note"]) == ("COMPLETED", "")
    assert [output["path"] for output in record["outputs"]] == ["cj:out", "cj:environment"]
    assert reads.read_text() == "ACGT\n"


def test_data_that_is_missing_refuses_the_submission_by_name(site: Site, tmp_path: Path) -> None:
    package = site.package(job=None, main=PROGRAM, data=[data(tmp_path / "gone.txt")])
    (reply,) = site.send(package)
    assert reply == {
        "package": package,
        "error": f"data is missing on the cluster: {tmp_path}/gone.txt (for in/reads.txt): "
        "No such file or directory",
        "hint": "bring it there, or correct [data] in .cjledger.toml and launch again",
    }
    assert not (site.submission(package) / "intent.json").exists()
    (tmp_path / "gone.txt").write_text("late\n")
    assert site.verb("submit", {"package": package})["job"]
    site.finished(package)


def test_data_that_would_never_end_is_refused(site: Site, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    package = site.package(job=None, main=PROGRAM, data=[{**data(tmp_path / "pipe"), "hash": True}])
    (reply,) = site.send(package)
    assert "pipe (for in/reads.txt): neither a file nor a folder" in reply["error"]


def test_a_record_says_that_data_changed_since_the_submission(tmp_path: Path) -> None:
    reads, other = tmp_path / "reads.txt", tmp_path / "other"
    reads.write_text("one")
    other.mkdir()
    datalinks.require(str(tmp_path), str(tmp_path), [data(reads), data(other, "in/other")])
    assert datalinks.differences(str(tmp_path)) == []
    reads.write_text("three")
    other.rmdir()
    assert datalinks.differences(str(tmp_path)) == [
        "data in/reads.txt is not what it was at the submission",
        "data in/other: No such file or directory",
    ]


@pytest.mark.parametrize(
    "wrong",
    [
        {"local": "../x"},
        {"local": "/etc/x"},
        {"local": "a/../../x"},
        {"local": "a\nb"},
        {"local": ""},
        {"path": "relative"},
        {"path": "/x\n"},
        {"path": None},
    ],
)
def test_a_manifest_whose_data_could_escape_is_refused(
    site: Site, tmp_path: Path, wrong: dict[str, Any]
) -> None:
    (reply,) = site.send(site.package(main=PROGRAM, data=[{**data(tmp_path), **wrong}]))
    assert reply["error"] == "the manifest is wrong in: data"


def test_a_manifest_whose_environment_could_escape_is_refused(site: Site) -> None:
    fields = {"kind": "venv", "id": "x\ny", "lock": "", "python": "", "image": "", "modules": []}
    (reply,) = site.send(site.package(main=PROGRAM, environment=fields))
    assert reply["error"] == "the manifest is wrong in: environment"


def test_an_environment_that_is_not_there_refuses_the_submission(site: Site) -> None:
    fields = {"kind": "venv", "id": "0" * 16, "lock": "l", "python": "", "image": "", "modules": []}
    package = site.package(main=PROGRAM, environment=fields)
    (reply,) = site.send(package)
    assert reply["error"] == "environment 0000000000000000 (venv) is not on this cluster"
    assert reply["hint"] == f"git cj submit {package[:8]}, which builds it first"


def test_the_digest_of_a_folder_follows_names_and_contents(tmp_path: Path) -> None:
    maps, root = tmp_path / "maps", str(tmp_path / "root")
    (maps / "b").mkdir(parents=True)
    (maps / "a").write_text("1")
    (maps / "b" / "c").write_text("23")
    (maps / "broken").symlink_to("nowhere")
    told: list[dict[str, Any]] = []

    def digest() -> tuple[int | None, str | None]:
        (seen,) = datalinks.look(root, [data(maps, "maps", hash=True)], told.append)
        return seen["bytes"], seen["sha256"]

    first = digest()
    assert first[0] == 3
    assert digest() == first
    assert [fields["progress"] for fields in told] == [f"computing the SHA-256 of {maps} (3 bytes)"]
    (maps / "a").rename(maps / "d")
    assert digest()[1] != first[1]
    (maps / "d").rename(maps / "a")
    assert digest() == first


def test_the_digest_is_made_with_a_word(site: Site, tmp_path: Path) -> None:
    reads = tmp_path / "reads.txt"
    reads.write_text("ACGT\n")
    reply = site.verb("prepare", {"environment": None, "data": [data(reads, hash=True)]})
    assert reply == {"progress": f"computing the SHA-256 of {reads} (5 bytes)"}
    assert site.verb("prepare", {"data": [{"local": "../x", "path": "/x"}]})["error"]


@pytest.fixture
def mirror(tmp_path: Path) -> Mirror:
    code, far = tmp_path / "code", tmp_path / "far"
    (code / "lib").mkdir(parents=True)
    (code / "main.py").write_text("1")
    (code / "lib" / "old").write_text("in the package")
    (far / "maps").mkdir(parents=True)
    (far / "maps" / "m").write_text("map")
    (far / "old").write_text("on the cluster")
    links = {"lib/old": str(far / "old"), "deep/er/maps": str(far / "maps"), "gone": "/nowhere"}
    made = Mirror(str(code), str(tmp_path / "mirror"), (), str(tmp_path / "trash"), links)
    made.make()
    return made


def shown(mirror: Mirror) -> dict[str, str]:
    top = Path(mirror.folder)
    return {
        str(path.relative_to(top)): os.readlink(path) if path.is_symlink() else "file"
        for path in sorted(top.rglob("*"))
        if path.is_symlink() or path.is_file()
    }


def test_data_takes_the_place_of_what_the_package_has(mirror: Mirror, tmp_path: Path) -> None:
    far = tmp_path / "far"
    links = {"lib/old": f"{far}/old", "deep/er/maps": f"{far}/maps", "gone": "/nowhere", "main.py": "file"}
    assert shown(mirror) == links
    assert list(mirror.left(mirror.changed())) == []


def test_a_link_that_a_task_replaced_is_put_right(mirror: Mirror, tmp_path: Path) -> None:
    before, top = shown(mirror), Path(mirror.folder)
    (top / "lib" / "old").unlink()
    (top / "lib" / "old").write_text("mine")
    (top / "deep" / "er" / "maps").unlink()
    (top / "deep" / "new").write_text("output")
    changed = mirror.changed()
    assert set(mirror.left(changed)) == {Left("lib/old", "file"), Left("deep/new", "file")}
    mirror.restore(changed)
    assert shown(mirror) == before
    assert (tmp_path / "far" / "old").read_text() == "on the cluster"
    assert (tmp_path / "far" / "maps" / "m").read_text() == "map"


def test_old_interpreters_look_at_data_the_same(tmp_path: Path, node_python: str) -> None:
    (tmp_path / "x").write_text("1")
    wanted = [data(tmp_path / "x", "x", hash=True)]
    code = (
        "import json, sys; from cjnode.supplies import datalinks; "
        "print(json.dumps(datalinks.look(sys.argv[1], json.loads(sys.argv[2]), print)))"
    )
    done = subprocess.run(
        (node_python, "-c", code, str(tmp_path / "root"), json.dumps(wanted)),
        capture_output=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(HOOKS)},
    )
    here = datalinks.look(str(tmp_path / "root"), wanted, lambda fields: None)
    assert json.loads(done.stdout.splitlines()[-1]) == here


def test_unreadable_data_is_missing(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root reads everything")
    (tmp_path / "x").write_text("1")
    (tmp_path / "x").chmod(0)
    with pytest.raises(NodeError, match="not readable"):
        datalinks.look(str(tmp_path), [data(tmp_path / "x")], lambda fields: None)
