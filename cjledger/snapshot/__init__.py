"""The working copy as a git tree, at one instant, without touching anything of the person's."""

from cjledger.snapshot.gates import Limits
from cjledger.snapshot.locks import locks
from cjledger.snapshot.take import take

__all__ = ["Limits", "locks", "take"]
