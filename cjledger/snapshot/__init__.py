"""The working copy as a git tree, at one instant, without touching anything of the person's."""

from cjledger.snapshot.gates import Limits
from cjledger.snapshot.locks import locks
from cjledger.snapshot.take import Begun, Wanted, begin, take

__all__ = ["Begun", "Limits", "Wanted", "begin", "locks", "take"]
