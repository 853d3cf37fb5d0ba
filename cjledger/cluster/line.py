"""What carries the protocol to a cluster that is elsewhere: a way to run commands there, and to push."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import IO, Protocol

from cjledger.cluster.outbox import Pushed
from cjledger.errors import CjError
from cjledger.gitrepo import Repo
from cjledger.model import Cluster
from cjnode.host.owners import OURS

# What takes a push in there, followed by the repository's path, in every login shell: git's own program,
# once each hook that it would run is seen to be ours. `submit`, asked next, says which one is not.
RECEIVE = (
    'sh -c \'for f in "${0%repo.git}hooks"/* "$0"/hooks/*; do '
    'case $f in *.sample|*.tmp) continue ;; esac; [ -e "$f" ] || continue; '
    f'grep -q "{OURS}" "$f" || exit 1; done; exec git-receive-pack "$0"\''
)


class LostLineError(CjError):
    """The connection ended, or was turned away for now: worth another try."""


class BusyLineError(LostLineError):
    """The host allows no more sessions just now: worth another try soon."""


@dataclass(frozen=True)
class Ended:
    """How a remote command ended, and the last of what it said on standard error."""

    returncode: int
    words: str


class Running(Protocol):
    """A command that runs over there."""

    @property
    def stdout(self) -> IO[bytes]:
        """What it writes, as it comes."""

    def ended(self) -> Ended:
        """Wait for its end. Raises LostLineError or CjError when the connection is what ended."""


class Line(Protocol):
    """A way to run commands on a cluster. Making one connects to nothing."""

    @property
    def cluster(self) -> Cluster:
        """Where it leads."""

    def run(self, command: str, stdin: bytes) -> AbstractContextManager[Running]:
        """Run a command in the person's home there; it is ended when the block is left.

        Raises CjError when there is no way to get there, LostLineError when there may be one soon.
        """

    def push(self, repo: Repo, package_id: str, path: str) -> Pushed:
        """Push a package to the repository at ``path``, absolute or relative to the home."""

    def open(self) -> bool:
        """Log in, asking the person if need be. True when that was needed."""

    def close(self) -> bool:
        """End the connection that is kept. True when there was one."""

    def shell(self) -> int:
        """Give the person a shell there on this terminal; its exit code."""
