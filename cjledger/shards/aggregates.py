"""The aggregates of a table's columns: ``mean(pr),quantile(pr,0.9),count()``."""

from __future__ import annotations

import re
from collections.abc import Callable

from cjledger.errors import CjError
from cjledger.shards.columns import pl
from cjledger.shards.explain import among, check

_CALL = re.compile(r"\s*([a-z]+)\s*\(([^()]*)\)\s*")

_AGGREGATES: dict[str, Callable[[pl.Expr], pl.Expr]] = {
    "mean": lambda column: column.mean(),
    "std": lambda column: column.std(),
    "var": lambda column: column.var(),
    "min": lambda column: column.min(),
    "max": lambda column: column.max(),
    "sum": lambda column: column.sum(),
    "median": lambda column: column.median(),
    "count": lambda column: column.count(),
    "first": lambda column: column.first(),
}


def aggregates(text: str, rows: pl.LazyFrame) -> list[pl.Expr]:
    """The expressions over these rows, named ``mean_pr``, ``quantile_pr_0.9``, ``count``."""
    made: dict[str, pl.Expr] = {}
    at = 0
    while at < len(text):
        found = _CALL.match(text, at)
        if not found:
            raise CjError(f"not an aggregate: {text[at:].strip()!r}", '--agg "mean(pr),std(pr),count()"')
        name, expression = _aggregate(found[1], found[2].strip(), rows)
        made[name] = expression
        at = found.end()
        if at < len(text):
            if text[at] != ",":
                raise CjError(f"a comma is missing before {text[at:].strip()!r}", "--agg 'mean(pr),count()'")
            at += 1
    return [expression.alias(name) for name, expression in made.items()]


def _aggregate(function: str, inside: str, rows: pl.LazyFrame) -> tuple[str, pl.Expr]:
    known = rows.collect_schema().names()
    if function == "count" and not inside:
        return "count", pl.len()
    if function == "quantile":
        return _quantile(inside, rows)
    if function not in _AGGREGATES:
        raise CjError(f"there is no aggregate {function}()", among(function, [*_AGGREGATES, "quantile"]))
    if not inside:
        raise CjError(
            f"{function}() of which column?", f'--agg "{function}(NAME)", of one of: {", ".join(known)}'
        )
    check(inside, known)
    return f"{function}_{inside}", _fitting(function, inside, _AGGREGATES[function](pl.col(inside)), rows)


def _quantile(inside: str, rows: pl.LazyFrame) -> tuple[str, pl.Expr]:
    column, comma, level = (part.strip() for part in inside.rpartition(","))
    known = rows.collect_schema().names()
    if not comma or not column:
        name = level if level in known else "NAME"
        raise CjError("quantile() is of a column and a level", f'--agg "quantile({name},0.9)"')
    check(column, known)
    if not re.fullmatch(r"0?\.\d+|0|1|1\.0*", level):
        raise CjError(f"not a level between 0 and 1: {level!r}", f"quantile({column},0.9)")
    expression = pl.col(column).quantile(float(level), "linear")
    return f"quantile_{column}_{level}", _fitting("quantile", column, expression, rows)


def _fitting(function: str, name: str, expression: pl.Expr, rows: pl.LazyFrame) -> pl.Expr:
    """The expression, where the column's type has it: polars tells without a row."""
    kind = rows.collect_schema()[name]
    try:
        pl.DataFrame(schema={name: kind}).select(expression)
    except pl.exceptions.PolarsError as problem:
        if kind == pl.String:
            what = f"column {name!r} is text{_example(name, rows)}"
            numbers = f"""git cj query 'SELECT TRY_CAST("{name}" AS DOUBLE) AS number FROM results'"""
            hint = f'--agg "count({name}),min({name}),max({name})", or the numbers alone: {numbers}'
        else:
            what, hint = f"column {name!r} is {kind}", f'--agg "count({name})"'
        raise CjError(f"no {function}(): {what}", hint) from problem
    return expression


def _example(name: str, rows: pl.LazyFrame) -> str:
    """A value that is no number, for who thought that there are numbers alone."""
    values = pl.col(name)
    odd = values.is_not_null() & values.cast(pl.Float64, strict=False).is_null()
    try:
        found = rows.select(values.filter(odd & (values.str.strip_chars() != "")).first()).collect().item()
    except pl.exceptions.PolarsError:
        return ""
    return f", such as {found[:40]!r}" if found else ""
