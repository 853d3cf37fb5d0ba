"""What every launch begins with, begun before the command line is understood: git takes its time."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from cjledger import gitrepo
from cjledger.background import Beside
from cjledger.gitrepo import Repo

if TYPE_CHECKING:
    from cjledger.snapshot import Begun

# With these words nothing is launched.
_LOOKS_ONLY = frozenset(("-h", "--help", "--dry-run"))


class Ahead(NamedTuple):
    """What a launch starts from: the program's own words, and a look at the working copy under way."""

    arguments: tuple[str, ...]  # what followed ``--``
    begun: Beside[tuple[Repo, Begun]] | None


@contextmanager
def ahead(words: Sequence[str], arguments: tuple[str, ...]) -> Iterator[Ahead]:
    """Look at the working copy while the rest of us loads, a third of a launch's time.

    Nothing but a private folder is written, and it goes again. What goes wrong, the result tells.
    """
    if _LOOKS_ONLY.intersection(words):
        yield Ahead(arguments, None)
        return
    with ExitStack() as stack, Beside(gitrepo.discover, Path(os.getcwd())) as found:
        # Here, because a thread's imports would wait for those of the others.
        from cjledger.snapshot import begin

        with Beside(_begin, stack, found, begin) as begun:
            yield Ahead(arguments, begun)


def _begin(
    stack: ExitStack, found: Beside[Repo], begin: Callable[[Repo], AbstractContextManager[Begun]]
) -> tuple[Repo, Begun]:
    repo = found.result()
    return repo, stack.enter_context(begin(repo))
