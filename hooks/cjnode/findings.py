"""What a look at one point of a cluster says."""

from typing import NamedTuple

OK, WARNING, FAILURE = "ok", "warning", "failure"

Finding = NamedTuple("Finding", [("check", str), ("state", str), ("found", str), ("advice", str)])
