"""Words that both halves and their files share: states, schedulers, refs, and what is a package's ID."""

import re

FINAL_STATES = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "OUT_OF_MEMORY", "NODE_FAIL", "LOST")
STATES = FINAL_STATES + ("PENDING", "RUNNING", "HELD", "WAITING")

# The states that may be followed by another attempt.
CAUSES = ("FAILED", "TIMEOUT", "OUT_OF_MEMORY", "NODE_FAIL", "LOST")

SCHEDULERS = ("local", "slurm", "sge", "pbs", "torque", "lsf", "htcondor")

PACKAGES = "refs/cj/packages/"  # everywhere
INBOX = "refs/cj/inbox/"  # on a cluster: what is pushed, before it was checked
TIPS = "refs/cj/tip/"  # on a cluster: the newest package of each installation, the one that is advertised

_PACKAGE = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?\Z")


def is_package_id(text: str) -> bool:
    """Whether the text is a whole object ID: what may be joined to a path."""
    return _PACKAGE.match(text) is not None
