"""Memory and time as people and schedulers write them."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime

from cjledger.errors import CjError

_MB = {"": 1.0, "k": 1 / 1024, "m": 1.0, "g": 1024.0, "t": 1024.0**2}
_SECONDS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_LONGEST_S = 10 * 366 * 86400


def parse_memory(text: str) -> int:
    """Megabytes (binary, as Slurm counts) of ``4G``, ``1.5 GiB``, ``500M``, ``4096``; rounded up."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?|\.\d+)\s*([kmgt]?)(?:i?b)?", text.strip().lower())
    if not found or not float(found[1]):
        raise CjError(f"{text!r} is not an amount of memory", "4G, 500M or 4096 (megabytes)")
    return max(1, math.ceil(float(found[1]) * _MB[found[2]]))


def parse_walltime(text: str) -> int:
    """Seconds of ``30`` and ``30:00`` (minutes), ``48:00:00``, ``2-00:00:00``, ``2d``, ``90m``, ``1h30m``.

    Without units it is Slurm's notation, whatever the cluster's scheduler: ``M``, ``M:S``, ``H:M:S``,
    ``D-H``, ``D-H:M``, ``D-H:M:S`` (https://slurm.schedmd.com/sbatch.html#OPT_time). Only the first number
    may overflow: ``1:75:00`` may be a slip, or have its numbers in the wrong places.
    """
    seconds = _slurm(text.strip()) or _units(text.strip().lower())
    if not seconds:
        raise CjError(f"{text!r} is not a length of time", "30 (minutes), 48:00:00, 2-00:00:00, 90m or 2d")
    if seconds > _LONGEST_S:
        raise CjError(f"{text!r} is more than ten years", "48:00:00 is two days")
    return seconds


def now() -> str:
    """The time in UTC as every format has it: ``2026-01-31T12:00:00.000000Z``."""
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def not_finite(value: float) -> str:
    """The word of the formats for a number that JSON has not."""
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def check_count(option: str, count: int | None) -> None:
    """Refuse a number that counts nothing. Raises CjError."""
    if count is not None and count < 1:
        raise CjError(f"{option} {count}: less than one", f"{option} 1, or leave it out")


def _slurm(text: str) -> int | None:
    if not re.fullmatch(r"([0-9]+-)?[0-9]+(:[0-9]+){0,2}", text):
        return None
    days, dash, rest = text.rpartition("-")
    numbers = [int(part) for part in rest.split(":")]
    if any(number > 59 for number in numbers[1:]) or (dash and numbers[0] > 23):
        return None
    if dash:
        hours, minutes, seconds = [*numbers, 0, 0][:3]
    elif len(numbers) == 3:
        hours, minutes, seconds = numbers
    else:
        hours, minutes, seconds = 0, *[*numbers, 0][:2]
    return int(days or 0) * 86400 + hours * 3600 + minutes * 60 + seconds


def _units(text: str) -> int | None:
    number = r"([0-9]+(?:\.[0-9]+)?)\s*"
    units = ("d(?:ays?)?", "h(?:(?:ou)?rs?)?", "m(?:in(?:ute)?s?)?", "s(?:ec(?:ond)?s?)?")
    found = re.fullmatch("".join(rf"(?:{number}{unit}\s*)?" for unit in units), text)
    if not found:
        return None
    numbers = zip(found.groups(), _SECONDS.values(), strict=True)
    return math.ceil(sum(float(number) * seconds for number, seconds in numbers if number)) or None
