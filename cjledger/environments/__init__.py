"""The program's environment on a cluster: chosen by its lock file, built there once."""

from cjledger.environments.choice import LOCKS, choose
from cjledger.environments.pins import (
    EnvironmentDifference,
    Pin,
    differences,
    had,
    observed_from_bytes,
    pins,
)
from cjledger.environments.texts import requirements, sent
from cjledger.environments.there import ensure, is_known, push

__all__ = [
    "LOCKS",
    "EnvironmentDifference",
    "Pin",
    "choose",
    "differences",
    "ensure",
    "had",
    "is_known",
    "observed_from_bytes",
    "pins",
    "push",
    "requirements",
    "sent",
]
