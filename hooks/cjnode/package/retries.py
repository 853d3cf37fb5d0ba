"""When an attempt that failed is followed by another without being asked for, and what that one has. Pure."""

import math
from typing import Any, Dict, FrozenSet, Iterable, List, NamedTuple, Optional

from cjnode.vocabulary import CAUSES

MOST = 100  # of one task

# What a retry asks for, from what was not enough; ``most`` is where it ends.
Growth = NamedTuple("Growth", [("times", float), ("plus", int), ("most", Optional[int])])

Policy = NamedTuple(
    "Policy",
    [
        ("count", int),
        ("states", FrozenSet[str]),
        ("codes", FrozenSet[int]),  # 128 + n for signal n
        ("memory", Optional[Growth]),
        ("walltime", Optional[Growth]),
    ],
)

# How an attempt ended.
Ended = NamedTuple(
    "Ended", [("number", int), ("state", str), ("exit_code", Optional[int]), ("seconds", float)]
)

# The attempt that follows, and what it has.
Following = NamedTuple("Following", [("attempt", int), ("resources", Dict[str, Any])])


def policy_of(manifest: Dict[str, Any], most: Optional[Dict[str, int]] = None) -> Optional[Policy]:
    """What a manifest says of retries; None where it wants none. ``most`` is what the site has of each."""
    fields = manifest.get("retry")
    if not fields:
        return None
    return Policy(
        fields["count"],
        frozenset(each for each in fields["on"] if isinstance(each, str)),
        frozenset(each for each in fields["on"] if isinstance(each, int)),
        _growth(fields.get("memory"), (most or {}).get("memory_mb")),
        _growth(fields.get("walltime"), (most or {}).get("walltime_s")),
    )


def _growth(fields: Optional[Dict[str, Any]], most: Optional[int]) -> Optional[Growth]:
    if not fields:
        return None
    limits = [each for each in (fields.get("most"), most) if each]
    return Growth(fields["times"], fields["plus"], min(limits) if limits else None)


def is_policy(value: Any) -> bool:
    """Whether this is what a manifest may say of retries."""
    if value is None:
        return True
    if not isinstance(value, dict) or not _count(value.get("count"), MOST):
        return False
    listed = value.get("on")
    if not isinstance(listed, list) or not all(each in CAUSES or _count(each, 255) for each in listed):
        return False
    return all(_is_growth(value.get(name)) for name in ("memory", "walltime"))


def _is_growth(value: Any) -> bool:
    if value is None:
        return True
    if not isinstance(value, dict) or type(value.get("times")) not in (int, float):
        return False
    plus, most = value.get("plus"), value.get("most")
    if type(plus) is not int or not 0 <= plus < 1 << 40 or (most is not None and not _count(most, 1 << 40)):
        return False
    return bool(1 <= value["times"] <= 1000)


def _count(value: Any, most: int) -> bool:
    return type(value) is int and 0 < value <= most


def follows(policy: Policy, first: int, ended: Ended) -> bool:
    """Whether another attempt follows one that ended so; ``first`` is the attempt that was asked for."""
    if ended.state not in CAUSES or ended.number - first >= policy.count:
        return False
    return ended.state in policy.states or ended.exit_code in policy.codes


def grows(policy: Policy, state: str) -> bool:
    """Whether the attempt after one that ended so has more than it had."""
    growth = {"OUT_OF_MEMORY": policy.memory, "TIMEOUT": policy.walltime}.get(state)
    return growth is not None


def is_here(policy: Policy, scheduler: str, state: str) -> bool:
    """Whether the attempt after one that ended so is made by the same worker: only a pool can give more."""
    return scheduler == "local" or not grows(policy, state)


def after(policy: Policy, resources: Dict[str, Any], state: str) -> Optional[Dict[str, Any]]:
    """What the attempt after one that ended so has; None when there is no more to be had."""
    if not grows(policy, state):
        return resources
    name = "memory_mb" if state == "OUT_OF_MEMORY" else "walltime_s"
    growth = policy.memory if state == "OUT_OF_MEMORY" else policy.walltime
    had = resources.get(name)
    if not had or growth is None:
        return resources
    # Of 1.1 times 10 the ceiling would be 12, without the rounding.
    wanted = math.ceil(round(had * growth.times, 6)) + growth.plus
    if growth.most is not None:
        wanted = min(wanted, growth.most)
    return dict(resources, **{name: wanted}) if wanted > had else None


def wanted(
    policy: Policy, first: int, resources: Dict[str, Any], history: Iterable[Ended]
) -> Optional[Following]:
    """The attempt that follows a history, and what it has; None when none does.

    ``resources`` are what the first attempt of the history had, where each later one was made here.
    """
    found: Optional[Following] = None
    for ended in history:
        more = after(policy, resources, ended.state)
        found = None
        if follows(policy, first, ended) and more is not None:
            found = Following(ended.number + 1, more)
        resources = resources if more is None else more
    return found


def ordered(history: Iterable[Ended]) -> List[Ended]:
    """Attempts by their number; of one recorded twice the later counts."""
    newest = {ended.number: ended for ended in history}
    return [newest[number] for number in sorted(newest)]
