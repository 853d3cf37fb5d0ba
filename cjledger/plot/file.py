"""A chart as a PNG or SVG file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from cjledger.errors import CjError
from cjledger.plot.chart import Chart


def save(picture: Chart, path: Path) -> None:
    """Draw into a PNG or SVG file, the same bytes for the same chart. Needs matplotlib."""
    suffix = path.suffix.lower()
    if suffix not in (".png", ".svg"):
        raise CjError(f"{path.name} is neither .png nor .svg", f"-o {path.stem}.png")
    try:  # an extra that a laptop may lack: nothing else imports it
        import matplotlib
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as problem:
        raise CjError(
            "matplotlib draws the files, and it is not installed", "pip install 'cjledger[plot]'"
        ) from problem
    with matplotlib.rc_context({"svg.hashsalt": "cjledger", "svg.fonttype": "path"}):
        figure = Figure(figsize=(6.4, 4.8), layout="constrained")
        FigureCanvasAgg(figure)
        _draw(picture, figure)
        about = {"Date": None} if suffix == ".svg" else {"Software": "cjledger"}
        temporary = path.with_name(f".{path.name}.new")
        try:
            figure.savefig(temporary, format=suffix[1:], dpi=150, metadata={**about, "Title": picture.title})
            temporary.replace(path)
        except OSError as problem:
            temporary.unlink(missing_ok=True)
            raise CjError(f"cannot write {path}: {problem.strerror}", "-o another/place.png") from problem


def _draw(picture: Chart, figure: Any) -> None:
    axes = figure.add_subplot()
    drawing: dict[str, Callable[[Any, Chart], Any]] = {"heat": _mesh, "points": _dots, "lines": _lines}
    colored = drawing[picture.kind](axes, picture)
    if colored is not None:
        figure.colorbar(colored, ax=axes, label=_plain(picture.color))
    elif any(one.label for one in picture.series):
        axes.legend(fontsize="small")
    axes.set_title(_plain(picture.title), fontsize="medium")
    axes.set_xlabel(_plain(picture.x.name))
    axes.set_ylabel(_plain(picture.y.name))
    if picture.x.words:
        axes.set_xticks(range(len(picture.x.words)), [_plain(word) for word in picture.x.words])
    if picture.y.words:
        axes.set_yticks(range(len(picture.y.words)), [_plain(word) for word in picture.y.words])


def _plain(text: str) -> str:
    """A dollar sign would start a formula."""
    return text.replace("$", r"\$")


def _mesh(axes: Any, picture: Chart) -> Any:
    xs, ys = sorted(set(picture.x.values)), sorted(set(picture.y.values))
    return axes.pcolormesh(xs, ys, picture.cells, shading="nearest", cmap="viridis")


def _dots(axes: Any, picture: Chart) -> Any:
    for one in picture.series:
        xs, ys = [p[0] for p in one.points], [p[1] for p in one.points]
        if picture.levels:
            return axes.scatter(xs, ys, c=picture.levels, s=14, cmap="viridis")
        axes.scatter(xs, ys, s=14, label=_plain(one.label) or None)
    return None


def _lines(axes: Any, picture: Chart) -> None:
    for one in picture.series:
        xs, ys = [p[0] for p in one.points], [p[1] for p in one.points]
        axes.plot(xs, ys, marker="o", markersize=3, label=_plain(one.label) or None)
