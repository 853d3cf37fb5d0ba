"""Python programs: their loops, functions and files, read from their text."""

from cjledger.languages.python.checks import (
    check_function,
    check_syntax,
    check_template,
    function_names,
    written_names,
)
from cjledger.languages.python.nests import Nest
from cjledger.languages.python.seeds import fixed_seed

__all__ = [
    "Nest",
    "check_function",
    "check_syntax",
    "check_template",
    "fixed_seed",
    "function_names",
    "written_names",
]
