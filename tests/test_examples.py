"""The examples do what their READMEs say."""

import csv
import importlib.util
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import polars as pl
import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"
PHASE = EXAMPLES / "phase_transition"
SVD = EXAMPLES / "svd"
COMMANDS = EXAMPLES / "commands"


def load(path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Import an example as Python would from its own folder."""
    monkeypatch.syspath_prepend(str(path.parent))
    specification = importlib.util.spec_from_file_location(path.stem, path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    monkeypatch.setitem(sys.modules, path.stem, module)
    specification.loader.exec_module(module)
    return module


def python(*words: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    one_thread = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [sys.executable, *words], cwd=cwd, env={**os.environ, **one_thread}, capture_output=True, text=True
    )


def repository(folder: Path) -> Path:
    subprocess.run(["git", "init", "--quiet", "-b", "main", str(folder)], check=True)
    return folder


def typed(command: str, cwd: Path) -> str:
    """Standard output of a shell command with ``git cj`` on PATH."""
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    done = subprocess.run(
        ["sh", "-c", command], cwd=cwd, env={**os.environ, "PATH": path}, capture_output=True, text=True
    )
    assert done.returncode == 0, f"$ {command}\n{done.stdout}{done.stderr}"
    return done.stdout


def commands_of(readme: Path) -> list[str]:
    """The indented lines of a README: what a person types."""
    return [
        line.strip() for line in readme.read_text(encoding="utf-8").splitlines() if line.startswith("    ")
    ]


def phase_transition_in(folder: Path, changes: dict[str, str]) -> Path:
    """A copy of the example with some of its constants smaller."""
    shutil.copytree(PHASE, folder, ignore=shutil.ignore_patterns("__pycache__", "results.txt"))
    text = (folder / "PT.py").read_text()
    for old, new in changes.items():
        assert text.count(old) == 1
        text = text.replace(old, new)
    (folder / "PT.py").write_text(text)
    return folder


# Amelunxen, Lotz, McCoy and Tropp, "Living on the edge" (2014), give the same curve as the sparsity whose
# descent cone has statistical dimension delta: another route to the numbers of theory.py.
def statistical_dimension(sparsity: float) -> float:
    def risk(t: float) -> float:
        tail = math.erfc(t / math.sqrt(2))
        density = math.sqrt(2 / math.pi) * math.exp(-t * t / 2)
        return sparsity * (1 + t * t) + (1 - sparsity) * ((1 + t * t) * tail - t * density)

    return min(risk(step / 1000) for step in range(6000))


@pytest.mark.parametrize("delta", [0.05, 0.1, 0.3, 0.5, 0.7, 0.9, 0.95])
def test_the_curve_agrees_with_the_statistical_dimension_of_the_l1_cone(
    delta: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    theory: Any = load(PHASE / "theory.py", monkeypatch)
    assert statistical_dimension(theory.boundary(delta) * delta) == pytest.approx(delta, abs=1e-5)


def test_the_crossing_of_a_step_is_the_step(monkeypatch: pytest.MonkeyPatch) -> None:
    theory: Any = load(PHASE / "theory.py", monkeypatch)
    rates = [(epsilon / 50, float(epsilon / 50 < 0.31)) for epsilon in range(1, 50)]
    assert theory.crossing(rates) == pytest.approx(0.31)


def test_the_phase_transition_has_441_points(tmp_path: Path) -> None:
    folder = phase_transition_in(tmp_path / "pt", {"N = 100": "N = 10", "TRIALS = 20": "TRIALS = 1"})
    done = python("PT.py", cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    with (folder / "results.txt").open(newline="") as results:
        rows = list(csv.DictReader(results))
    assert [(float(row["delta"]), float(row["epsilon"])) for row in rows] == [
        (delta / 10, epsilon / 50) for delta in range(1, 10) for epsilon in range(1, 50)
    ]


def test_the_measured_transition_lies_on_the_curve(tmp_path: Path) -> None:
    fewer = {"np.arange(1, 10) / 10": "[0.2, 0.5, 0.8]", "TRIALS = 20": "TRIALS = 5\nnp.random.seed(1)"}
    folder = phase_transition_in(tmp_path / "pt", fewer)
    assert python("PT.py", cwd=folder).returncode == 0
    compared = python("compare.py", "results.txt", "--picture", "map.png", cwd=folder)
    assert compared.returncode == 0, compared.stdout + compared.stderr
    assert "within the tolerance of 0.05" in compared.stdout
    assert (folder / "map.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_the_whole_measured_transition_lies_on_the_curve(tmp_path: Path) -> None:
    folder = phase_transition_in(tmp_path / "pt", {"TRIALS = 20": "TRIALS = 20\nnp.random.seed(1)"})
    assert python("PT.py", cwd=folder).returncode == 0
    compared = python("compare.py", "results.txt", cwd=folder)
    assert compared.returncode == 0, compared.stdout + compared.stderr


def test_a_transition_elsewhere_is_refused(tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    rows = [f"0.5,{epsilon / 50},{float(epsilon < 30)}" for epsilon in range(1, 50)]
    table.write_text("\n".join(["delta,epsilon,pr", *rows]) + "\n")
    compared = python(str(PHASE / "compare.py"), str(table), cwd=tmp_path)
    assert compared.returncode == 1
    assert "BEYOND the tolerance" in compared.stdout


def test_a_full_block_is_a_row_of_1004_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    block: Any = load(SVD / "block.py", monkeypatch)
    row = block.block(3)
    assert list(row) == ["nrow", "ncol", "seed", "alignment", *(f"v{i}" for i in range(1, 1001))]
    assert (row["nrow"], row["ncol"], row["seed"]) == (1000, 1000, 3)
    assert row["alignment"] == pytest.approx(math.sqrt(1 - 1 / block.STRENGTH**2), abs=0.05)
    assert np.linalg.norm([row[f"v{i}"] for i in range(1, 1001)]) == pytest.approx(1)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_the_blocks_together_find_the_direction(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    block: Any = load(SVD / "block.py", monkeypatch)
    rows = pl.DataFrame([{"cj_task": k, **block.block(k, rows=60, columns=60)} for k in range(1, 31)])
    table = tmp_path / f"blocks.{suffix}"
    if suffix == "csv":
        rows.write_csv(table)
    else:
        rows.write_parquet(table)
    done = python(str(SVD / "finish.py"), str(table), "-o", "direction.csv", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    figures = dict(line.rsplit(maxsplit=1) for line in done.stdout.splitlines())
    assert figures["blocks"] == "30"
    assert float(figures["alignment of one block"]) < 0.92
    assert float(figures["alignment of all"]) > 0.98
    found = np.loadtxt(tmp_path / "direction.csv", skiprows=1)
    assert abs(found @ block.direction(60)) == pytest.approx(float(figures["alignment of all"]), abs=1e-4)


def test_the_phase_transition_is_441_tasks_of_git_cj(tmp_path: Path) -> None:
    folder = phase_transition_in(tmp_path / "pt", {"N = 100": "N = 10", "TRIALS = 20": "TRIALS = 1"})
    repository(folder)
    for command in commands_of(PHASE / "README.md")[1:3]:
        typed(command, folder)
    table = pl.read_csv(folder / "table.csv")
    assert table.columns[3:] == ["delta", "epsilon", "n", "k", "trials", "pr"]
    expected = [(delta / 10, epsilon / 50) for delta in range(1, 10) for epsilon in range(1, 50)]
    assert table.select("delta", "epsilon").rows() == expected
    assert table["cj_task"].to_list() == list(range(1, 442))
    assert not (folder / "results.txt").exists()


def test_the_small_blocks_run_as_their_readme_says(tmp_path: Path) -> None:
    folder = repository(shutil.copytree(SVD, tmp_path / "svd"))
    launch, reduce, finish = commands_of(SVD / "README.md")[:3]
    typed(launch, folder)
    typed(reduce, folder)
    table = pl.read_parquet(folder / "blocks.parquet")
    own = ["nrow", "ncol", "seed", "alignment", *(f"v{i}" for i in range(1, 101))]
    assert table.columns[-104:] == own
    assert table["index"].to_list() == table["seed"].to_list() == list(range(1, 41))
    figures = dict(line.rsplit(maxsplit=1) for line in typed(finish, folder).splitlines())
    assert figures["blocks"] == "40"
    assert float(figures["alignment of all"]) > 0.99


def test_the_command_template_runs_as_its_readme_says(tmp_path: Path) -> None:
    folder = repository(shutil.copytree(COMMANDS, tmp_path / "commands"))
    launch, reduce = commands_of(COMMANDS / "README.md")
    typed(launch, folder)
    rows = list(csv.DictReader(typed(reduce, folder).splitlines()))
    with (COMMANDS / "points.csv").open(newline="") as points:
        expected = [{**point, **summary_of(point)} for point in csv.DictReader(points)]
    assert [{name: row[name] for name in expected[0]} for row in rows] == expected


def summary_of(point: dict[str, str]) -> dict[str, str]:
    temperatures = pl.read_csv(COMMANDS / "data" / f"{point['station']}.csv")["temperature"].to_numpy()
    return {
        "days": str(len(temperatures)),
        "median": f"{np.median(temperatures):.2f}".rstrip("0").rstrip("."),
        "above": str((temperatures > float(point["limit"])).sum()),
    }
