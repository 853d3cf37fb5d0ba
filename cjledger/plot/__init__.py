"""Pictures of a table, as text for a terminal or as a PNG or SVG file."""

from cjledger.plot.chart import Chart, chart
from cjledger.plot.file import save
from cjledger.plot.terminal import in_terminal

__all__ = ["Chart", "chart", "in_terminal", "save"]
