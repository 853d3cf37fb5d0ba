"""The languages whose programs can be run by themselves, by file suffix."""

from types import ModuleType

from cjledger.languages import python

LANGUAGES: dict[str, ModuleType] = {".py": python}
