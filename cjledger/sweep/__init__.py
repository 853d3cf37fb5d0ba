"""The parameter space of a launch: from what a person typed to a sweep."""

from cjledger.sweep.blocks import from_block, from_blocks, from_blocks_file, from_specs, single
from cjledger.sweep.spec import is_sampled
from cjledger.sweep.table import explicit, from_rows, read_commands, read_points

__all__ = [
    "explicit",
    "from_block",
    "from_blocks",
    "from_blocks_file",
    "from_rows",
    "from_specs",
    "is_sampled",
    "read_commands",
    "read_points",
    "single",
]
