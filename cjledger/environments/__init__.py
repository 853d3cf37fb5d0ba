"""The program's environment on a cluster: chosen by its lock file, built there once."""

from cjledger.environments.builds import ensure, is_known, push
from cjledger.environments.choice import LOCKS, choose
from cjledger.environments.texts import requirements, sent

__all__ = [
    "LOCKS",
    "choose",
    "ensure",
    "is_known",
    "push",
    "requirements",
    "sent",
]
