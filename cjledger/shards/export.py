"""``.to_pandas()`` and ``.to_arrow()`` on the lazy frames that ``package.results()`` gives.

polars has them on collected frames alone; its documented way to extend a lazy frame is a namespace.
"""

from __future__ import annotations

from typing import Any

from cjledger.errors import CjError
from cjledger.shards.frames import pl


@pl.api.register_lazyframe_namespace("to_pandas")
class ToPandas:
    """Collect the rows into a pandas DataFrame; needs pandas."""

    def __init__(self, rows: pl.LazyFrame) -> None:
        self._rows = rows

    def __call__(self, **options: Any) -> Any:
        """``DataFrame.to_pandas`` of the collected rows."""
        try:
            return self._rows.collect().to_pandas(**options)
        except ModuleNotFoundError as missing:
            raise CjError(f"{missing.name} is not installed", "pip install pandas") from missing


@pl.api.register_lazyframe_namespace("to_arrow")
class ToArrow:
    """Collect the rows into an Arrow table."""

    def __init__(self, rows: pl.LazyFrame) -> None:
        self._rows = rows

    def __call__(self) -> Any:
        """``DataFrame.to_arrow`` of the collected rows."""
        return self._rows.collect().to_arrow()
