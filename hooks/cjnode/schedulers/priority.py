"""What ``--priority`` may be: higher goes first, 0 is what everybody has who asks for nothing. Pure."""

from cjnode.errors import NodeError

# PBS and Torque take -1024 to 1023, Grid Engine -1023 to 1024 (qsub(1B), submit(1)): one range for all.
LOWEST, HIGHEST = -1000, 1000

# Why a common user may ask for no more than others have.
_ONLY_LOWER = {
    "slurm": "Slurm lets only its operators raise a job's priority (--nice, --priority of sbatch)",
    "sge": "Grid Engine lets only its managers raise a job's priority (-p of qsub)",
}


def check(scheduler: str, priority: int) -> None:
    """Refuse a priority that the scheduler would not grant. Raises NodeError."""
    if not LOWEST <= priority <= HIGHEST:
        raise NodeError(
            "priority %d: it is a number from %d to %d, the higher the earlier" % (priority, LOWEST, HIGHEST),
            "--priority -100",
        )
    if priority > 0 and scheduler in _ONLY_LOWER:
        raise NodeError(
            "priority %d: %s" % (priority, _ONLY_LOWER[scheduler]),
            "launch what can wait with --priority -100: the others go before it",
        )
