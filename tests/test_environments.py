from __future__ import annotations

import hashlib
import subprocess
import zipfile
from pathlib import Path

import pytest

from cjledger import environments, gitrepo
from cjledger.environments.pins import EnvironmentDifference, Pin, differences, had, pins
from cjledger.errors import CjError
from cjledger.model import Cluster, Environment, Lock
from cjnode.worker.observed import observe

FREEZE = "numpy==2.1.0\nscipy==1.14.1 \\\n    --hash=sha256:00\ncolorama==0.4 ; os_name == 'nt'\n"

PYLOCK = """
lock-version = "1.0"
created-by = "pip"

[[packages]]
name = "attrs"
version = "25.1.0"
marker = "python_version >= '3.8'"
[[packages.wheels]]
url = "https://files.example.org/attrs-25.1.0-py3-none-any.whl"
hashes = {sha256 = "c75a"}
[packages.sdist]
url = "https://files.example.org/attrs-25.1.0.tar.gz"
hashes = {sha256 = "1c97"}
"""


def choose(
    folder: Path, files: dict[str, str], where: Cluster, workdir: str = "."
) -> tuple[Environment, tuple[str, ...]]:
    """The environment of a launch from a repository of these files."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    subprocess.run(("git", "init", "-q", str(folder)), check=True)
    subprocess.run(("git", "add", "-A"), cwd=folder, check=True)
    repo = gitrepo.discover(folder)
    tree = gitrepo.run(repo, "write-tree").decode().strip()
    listing = gitrepo.run(repo, "ls-tree", "-r", "-z", tree)
    return environments.choose(repo, tree, listing, where, workdir, "python3")


def lock(path: str, text: str) -> Lock:
    return Lock(path, hashlib.sha256(text.encode()).hexdigest())


def test_the_nearest_lock_file_makes_a_venv(tmp_path: Path) -> None:
    files = {"requirements.txt": "a==1\n", "sub/requirements.txt": FREEZE, "sub/deep/x.py": ""}
    found, told = choose(tmp_path, files, Cluster("c", environment="venv", modules=("m",)), "sub/deep")
    assert found == Environment(
        "venv",
        id=found.id,
        lock="sub/requirements.txt",
        files=(lock("sub/requirements.txt", FREEZE),),
        modules=("m",),
        python="python3",
    )
    assert len(found.id) == 16
    assert told == ()


def test_the_same_lock_gives_the_same_environment_and_another_one_another(tmp_path: Path) -> None:
    venv = Cluster("c", environment="venv")
    first, _ = choose(tmp_path / "a", {"requirements.txt": FREEZE, "x.py": "1"}, venv)
    again, _ = choose(tmp_path / "b", {"requirements.txt": FREEZE, "x.py": "2"}, venv)
    other, _ = choose(tmp_path / "c", {"requirements.txt": FREEZE + "\n"}, venv)
    loaded, _ = choose(
        tmp_path / "d", {"requirements.txt": FREEZE}, Cluster("c", environment="venv", modules=("gcc",))
    )
    assert first == again
    assert len({first.id, other.id, loaded.id}) == 3


def test_what_a_lock_file_includes_belongs_to_it(tmp_path: Path) -> None:
    files = {
        "sub/requirements.txt": "-r ../base.txt\n-c pins.txt\nx\n",
        "base.txt": "a==1",
        "sub/pins.txt": "",
    }
    found, told = choose(tmp_path, files, Cluster("c", environment="venv"), "sub")
    assert [file.path for file in found.files] == ["base.txt", "sub/pins.txt", "sub/requirements.txt"]
    assert told == (
        "sub/requirements.txt leaves versions open (x): "
        "python -m pip freeze > sub/requirements.txt pins them",
    )


def test_uv_needs_its_project_and_the_members_of_its_workspace(tmp_path: Path) -> None:
    files = {"uv.lock": "", "pyproject.toml": "", ".python-version": "3.12", "libs/a/pyproject.toml": ""}
    found, _ = choose(tmp_path, files, Cluster("c", environment="uv", python="/opt/python"))
    assert sorted(file.path for file in found.files) == sorted(files)
    assert found.python == "/opt/python"


@pytest.mark.parametrize(
    ("kind", "files", "words", "hint"),
    [
        ("venv", {}, "no pylock.toml, requirements.lock or requirements.txt", "pip freeze"),
        ("uv", {}, "no uv.lock", "uv lock"),
        ("uv", {"uv.lock": ""}, "no pyproject.toml beside uv.lock", "git add"),
        ("conda", {}, "no conda-lock.yml, ", "conda list --explicit"),
        ("modules", {}, "names none", "git cj avail c"),
        ("container", {}, "and no image", "image ="),
        ("venv", {"requirements.txt": "-e .\n"}, "installs ., code of the repository", "take that line out"),
        ("venv", {"requirements.txt": "./lib\n"}, "installs ./lib", "take that line out"),
        ("venv", {"requirements.txt": "-r gone.txt\n"}, "includes gone.txt", "git add -f gone.txt"),
        ("venv", {"requirements.txt": "-r ../x.txt\n"}, "outside the repository", "edit"),
        ("venv", {"pylock.toml": "x"}, "no lock file of PEP 751", "pip lock"),
        ("venv", {"pylock.toml": "[[packages]]\nname='a'\ndirectory={path='.'}\n"}, "directory", "uv"),
    ],
)
def test_a_launch_without_a_lock_is_refused_with_what_makes_one(
    tmp_path: Path, kind: str, files: dict[str, str], words: str, hint: str
) -> None:
    with pytest.raises(CjError) as refused:
        choose(tmp_path, {"x.py": "", **files}, Cluster("c", environment=kind))
    assert words in refused.value.message
    assert hint in refused.value.hint


@pytest.mark.parametrize(
    ("image", "is_good"),
    [
        ("docker://python@sha256:" + "a" * 64, True),
        ("/images/x.sif", True),
        ("~/x.sif", True),
        ("docker://python:3.12", False),
        ("python@sha256:" + "a" * 64, False),
        ("docker://x@sha256:" + "a" * 64 + " --nv", False),
        ("x.sif", False),
    ],
)
def test_an_image_names_the_same_bytes_for_ever(tmp_path: Path, image: str, is_good: bool) -> None:
    where = Cluster("c", environment="container", image=image)
    if is_good:
        assert choose(tmp_path, {"x.py": ""}, where)[0].image == image
    else:
        with pytest.raises(CjError, match="can be another one tomorrow"):
            choose(tmp_path, {"x.py": ""}, where)


def test_a_lock_of_pep_751_becomes_requirements_with_hashes() -> None:
    assert environments.requirements("pylock.toml", PYLOCK) == (
        "attrs==25.1.0 ; python_version >= '3.8' --hash=sha256:c75a --hash=sha256:1c97\n"
    )


def test_each_lock_pins_its_packages() -> None:
    uv = (
        '[[package]]\nname = "Numpy"\nversion = "2"\n'
        '[[package]]\nname = "me"\nversion = "1"\nsource = {virtual = "."}\n'
    )
    explicit = (
        "@EXPLICIT\n"
        "https://conda.anaconda.org/conda-forge/linux-64/numpy-2.1.0-py312h58c1407_1.conda#d41d8\n"
        "https://conda.anaconda.org/conda-forge/linux-64/ca-certificates-2024.8.30-hbcca054_0.tar.bz2\n"
    )
    locked = (
        "package:\n- name: numpy\n  version: 2.1.0\n  manager: conda\n"
        "- name: x\n  version: '1'\n  manager: pip\n"
    )
    for kind, lock_name, text, expected in (
        ("venv", "requirements.txt", FREEZE, [("numpy", "2.1.0"), ("scipy", "1.14.1"), ("colorama", "0.4")]),
        ("uv", "uv.lock", uv, [("numpy", "2")]),
        ("conda", "explicit.txt", explicit, [("numpy", "2.1.0"), ("ca-certificates", "2024.8.30")]),
        ("conda", "conda-lock.yml", locked, [("numpy", "2.1.0")]),
        ("container", "", "", []),
    ):
        found = pins(Environment(kind, lock=lock_name), {lock_name: text})
        assert [(name, pin.version) for name, pin in found.items()] == expected


def test_differences_are_told_package_by_package() -> None:
    locked = {"a": Pin("a", "1.0"), "b": Pin("B", "2.0"), "c": Pin("c", "3"), "win": Pin("win", "1", True)}
    found = differences(locked, {"a": "1.0", "b": "2.1", "extra-one": "9", "pip": "24"})
    assert [(each.what, each) for each in found] == [
        ("other", EnvironmentDifference("b", "2.0", "2.1")),
        ("missing", EnvironmentDifference("c", "3", None)),
        ("extra", EnvironmentDifference("extra-one", None, "9")),
    ]


@pytest.mark.parametrize(
    ("pinned", "folder"),
    [("1.0rc1", "1.0rc1"), ("1.0-rc.1", "1.0rc1"), ("2.1+cu118", "2.1+cu118"), ("2.1+cu118", "2.1_cu118")],
)
def test_versions_are_compared_as_versions(pinned: str, folder: str) -> None:
    assert differences({"a": Pin("a", pinned)}, {"a": folder}) == []


def test_a_worker_sees_its_distributions_by_their_folders_names(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for path in (
        first / "ruamel.yaml-0.18.6.dist-info",
        first / "old_one-1.0-py3.11.egg-info",
        second / "ruamel_yaml-0.1.dist-info",
        second / "typing_extensions-4.12.2.dist-info",
        second / "notes.txt",
        tmp_path / "conda-meta" / "numpy-2.1.0-py312h58c1407_1.json",
    ):
        path.mkdir(parents=True)
    seen = observe(
        {"LOADEDMODULES": "gcc/12:python/3.12", "CJ_ENVIRONMENT": "e"},
        ["", "relative", str(first), str(second), str(tmp_path / "gone.zip")],
        str(tmp_path),
    )
    assert seen["packages"] == {"old-one": "1.0", "ruamel-yaml": "0.18.6", "typing-extensions": "4.12.2"}
    assert (seen["modules"], seen["environment"]) == (["gcc/12", "python/3.12"], "e")
    assert had(Environment("conda"), seen) == {"numpy": "2.1.0"}


def wheel(folder: Path, name: str, version: str) -> None:
    """A wheel with one module."""
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        archive.writestr(f"{name}.py", f"VERSION = {version!r}\n")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
