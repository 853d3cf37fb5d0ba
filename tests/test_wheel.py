"""What `pip install .` gives."""

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

TOP = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    words = [
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(folder),
        str(TOP),
    ]
    subprocess.run([sys.executable, *words], check=True)
    (built,) = folder.glob("cjledger-*.whl")
    return built


def test_the_wheel_holds_both_halves_the_hooks_and_the_man_page(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    sources = {
        str(path.relative_to(root))
        for root, package in ((TOP, "cjledger"), (TOP / "hooks", "cjnode"))
        for path in (root / package).rglob("*.py")
    }
    assert sources <= names
    assert {"cjnode/hooks/post-receive", "cjnode/hooks/pre-receive"} <= names
    assert any(name.endswith(".data/data/share/man/man1/git-cj.1") for name in names)


def test_an_installed_wheel_answers_as_git_cj(wheel: Path, tmp_path: Path) -> None:
    place = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(place)], check=True)
    # The libraries are those of this environment: nothing is downloaded.
    (site,) = place.glob("lib/python*/site-packages")
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    words = ["-m", "pip", "--python", str(place / "bin" / "python"), "install", "--quiet", "--no-deps"]
    subprocess.run([sys.executable, *words, "--ignore-installed", str(wheel)], check=True)
    assert (place / "share/man/man1/git-cj.1").is_file()
    path = os.pathsep.join((str(place / "bin"), os.environ["PATH"]))
    done = subprocess.run(
        ["git", "cj", "-h"], cwd=tmp_path, env={**os.environ, "PATH": path}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "parrun" in done.stdout
