"""A local-first reproducibility ledger with git-native packages.

``import cjledger as cj`` gives ``cj.launch``, ``cj.packages`` and ``cj.find``; they are loaded when
first used, so that the command line starts fast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cjledger.api import CjError, Package, Result, find, launch, packages

__version__ = "0.1.0"
__all__ = ["CjError", "Package", "Result", "__version__", "find", "launch", "packages"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from cjledger import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
