"""Why Slurm lets a job wait, in plain words: the reasons of squeue(1) and of the resource limits page."""

import re

REASONS = {
    "None": "the scheduler has not looked at it yet",
    "Priority": "other jobs are before it in the queue",
    "Resources": "it is next: it waits for free nodes, processors or memory",
    "JobArrayTaskLimit": "as many of its elements run as --jobs lets",
    "BeginTime": "it was put back into the queue and starts again within minutes",
    "JobHeldUser": "held: git cj release",
    "JobHeldAdmin": "held by the administrators: ask them",
    "JobHoldMaxRequeue": "it was started again too often and is held: git cj release",
    "launch_failed_requeued_held": "a node could not start it; it is held: git cj release",
    "Dependency": "it waits for another job",
    "DependencyNeverSatisfied": "it waits for a job that failed and will never start: git cj cancel",
    "Licenses": "it waits for a licence",
    "Reservation": "it waits for its reservation",
    "ReservationDeleted": "its reservation is gone: git cj cancel, and launch without it",
    "ReqNodeNotAvail": "nodes that it asks for are down, drained or reserved, often for maintenance",
    "NodeDown": "a node that it needs is down",
    "PartitionDown": "its partition takes jobs but starts none now",
    "PartitionInactive": "its partition starts no jobs now",
    "PartitionNodeLimit": "it asks for more nodes than its partition lets: git cj cancel, then ask for fewer",
    "PartitionTimeLimit": "it asks for more time than its partition lets: git cj cancel, then ask for less",
    "PartitionConfig": "its partition cannot give what it asks for: git cj cancel, then launch it otherwise",
    "BadConstraints": "no node has what it asks for: git cj cancel, then launch it otherwise",
    "InvalidAccount": "its account is not valid: git cj cancel, then launch with another alloc",
    "InvalidQOS": "its quality of service is not valid: git cj cancel, then launch with another alloc",
    "QOSNotAllowed": "its quality of service is not for there: git cj cancel, then launch with another alloc",
    "JobLaunchFailure": "a node could not start it",
    "Prolog": "the node is being prepared",
    "Cleaning": "it was put back into the queue and its first run is cleaned up",
    "SchedDefer": "the scheduler is too busy to look at it",
    "FrontEndDown": "no front end is there to run it",
    "NonZeroExitCode": "it ended with an exit code other than 0",
    "TimeLimit": "it ran into its time limit",
    "OutOfMemory": "it ran out of memory",
    "Preempted": "a job with a higher priority took its place",
}

_LIMIT = re.compile(r"(QOS|Assoc)(Grp|Max)(\w+)\Z")
_OWNERS = {"Grp": "all jobs together", "Max": "your jobs"}
_THINGS = (
    ("Submit", "are as many there as"),
    ("JobsPerUser", "run as many as"),
    ("Jobs", "run as many as"),
    ("Wall", "have used as much time as"),
    ("Minutes", "have used or hold as much as"),
    ("Min", "have used or hold as much as"),
    ("GRES", "hold as many graphics processors or other devices as"),
    ("Cpu", "hold as many processors as"),
    ("CPU", "hold as many processors as"),
    ("Node", "hold as many nodes as"),
    ("Mem", "hold as much memory as"),
)


def explain(reason: str) -> str:
    """A reason in plain words; Slurm's own where there are none for it."""
    word = re.split(r"[,:( ]", reason.strip("()"), maxsplit=1)[0]
    if word in REASONS:
        return REASONS[word]
    found = _LIMIT.match(word)
    if not found:
        return reason
    lets = "the quality of service" if found.group(1) == "QOS" else "your account"
    for part, what in _THINGS:
        if part in found.group(3):
            return "%s %s %s lets (%s)" % (_OWNERS[found.group(2)], what, lets, word)
    return "a limit of %s (%s)" % (lets, word)
