"""What polars refuses, in the words of the tables that a person asked."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from cjledger.errors import CjError, nearest

# What polars goes on to say is for who programs with it.
_ADVICE = re.compile(r"(?:[.;] (?:it's|if|try|consider)\b.*)", re.IGNORECASE)


def check(name: str, known: Sequence[str]) -> None:
    """Refuse a column that is not there."""
    if name not in known:
        raise CjError(f"there is no column {name!r}", among(name, known))


def among(name: str, known: Sequence[str]) -> str:
    """The hint for a name that is not known: the nearest, and all there are."""
    near = nearest(name, known)
    return f"{f'did you mean {near}? There' if near else 'there'} are: {', '.join(known)}"


def explained(
    problem: Exception,
    known: Sequence[str],
    what: str = "",
    tables: Mapping[str, Sequence[str]] | None = None,
) -> CjError:
    """The refusal of an expression or a query; ``known`` are all columns, ``tables`` those of each table."""
    words = str(problem).split("\n")[0]
    asked = f" (in: {what})" if what else ""
    tables = tables or {}
    missing = _missing(words, known, tables)
    if missing:
        name, there = missing
        having = [_quoted(table) for table, columns in tables.items() if name in columns]
        elsewhere = f"{' and '.join(having)} {'has' if len(having) == 1 else 'have'} it; " if having else ""
        return CjError(f"there is no column {name!r}{asked}", elsewhere + among(name, there))
    relation = re.search(r"relation '([^']*)' was not found", words)
    if relation:
        hint = among(relation[1], [_quoted(table) for table in tables])
        return CjError(f"there is no table {relation[1]!r}{asked}", hint)
    twice = re.search(r"duplicate output name '([^']*)'", words)
    if twice:
        hint = f'give one of them another name: … AS "{twice[1]}_2"'
        return CjError(f"two columns of the answer are called {twice[1]!r}{asked}", hint)
    return CjError(f"{_ADVICE.sub('', words)}{asked}", f"columns: {', '.join(known)}")


def _missing(
    words: str, known: Sequence[str], tables: Mapping[str, Sequence[str]]
) -> tuple[str, Sequence[str]] | None:
    """The column that is not there, and those of what was asked for it."""
    found = re.search(r'unable to find column "([^"]*)"(?:; valid columns: \[(.*)\])?', words)
    if found:
        there = [name for name in known if f'"{name}"' in found[2]] if found[2] else known
        return found[1], there or known
    found = re.search(r"no column named '([^']*)' found in table '([^']*)'", words)
    return (found[1], tables.get(found[2], known)) if found else None


def _quoted(table: str) -> str:
    return table if table.isidentifier() else f'"{table}"'
