"""Memory and time in every common notation."""

from __future__ import annotations

import pytest

from cjledger.errors import CjError
from cjledger.quantities import parse_memory, parse_walltime


@pytest.mark.parametrize(
    ("text", "mb"),
    [
        ("4G", 4096),
        ("4g", 4096),
        ("4GB", 4096),
        ("4 GiB", 4096),
        ("1.5G", 1536),
        ("500M", 500),
        ("4096", 4096),
        ("1T", 1048576),
        ("1K", 1),
        ("1025K", 2),
        (" 2G ", 2048),
    ],
)
def test_memory_is_megabytes_rounded_up(text: str, mb: int) -> None:
    assert parse_memory(text) == mb


@pytest.mark.parametrize("text", ["", "G", "0", "0G", "-1G", "4P", "4 G 3", "1e3", "4,5G", "nan"])
def test_what_is_no_memory_is_refused(text: str) -> None:
    with pytest.raises(CjError, match="is not an amount of memory"):
        parse_memory(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30", 1800),
        ("30:00", 1800),
        ("0:45", 45),
        ("48:00:00", 172800),
        ("2-00:00:00", 172800),
        ("2-12", 216000),
        ("2-0", 172800),
        ("2-12:30:15", 217815),
        ("90:30", 5430),
        ("100:00:00", 360000),
        ("00:10:00", 600),
        ("2-12:30", 217800),
        ("2d", 172800),
        ("90m", 5400),
        ("1h30m", 5400),
        ("1d 2h 3m 4s", 93784),
        ("1.5h", 5400),
        ("45s", 45),
        ("90 min", 5400),
        ("2 days", 172800),
        ("1 hour 30 minutes", 5400),
        ("2hrs", 7200),
        ("10 secs", 10),
        ("2D", 172800),
        (" 30 ", 1800),
    ],
)
def test_walltime_is_seconds(text: str, seconds: int) -> None:
    assert parse_walltime(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "0:00",
        "0-0",
        "-5",
        "m",
        "1m1h",
        "1h30",
        "1:2:3:4",
        "1-2-3",
        "1-",
        "2 weeks",
        "1e9",
        "1:75:00",
        "1:00:60",
        "30:90",
        "2-24:00:00",
        "2-12:60",
        "30:00m",
        "1,5h",
        "infinite",
        "UNLIMITED",
    ],
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(CjError, match="is not a length of time"):
        parse_walltime(text)


def test_more_than_ten_years_is_a_slip_of_the_pen() -> None:
    with pytest.raises(CjError, match="more than ten years"):
        parse_walltime("999999999")
