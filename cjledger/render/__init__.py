"""Values to text for people and programs: pure functions, nothing is printed here.

``cjledger.render.live`` is apart: it draws on a terminal, with rich, and is imported only for that.
"""

from cjledger.render.figures import duration, moment, number, size
from cjledger.render.lines import counts_words, json_line, launch_line, paint, progress_line, state_line
from cjledger.render.plain import plain, plain_lines
from cjledger.render.tables import lay, table, wrap
from cjledger.render.widths import fit

__all__ = [
    "counts_words",
    "duration",
    "fit",
    "json_line",
    "launch_line",
    "lay",
    "moment",
    "number",
    "paint",
    "plain",
    "plain_lines",
    "progress_line",
    "size",
    "state_line",
    "table",
    "wrap",
]
