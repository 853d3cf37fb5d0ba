"""Torque's programs: they take what the manual pages of Torque 6.1 (section 1B) say, no more."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from tests.node.replay.play import Check, Complaint, options

QSUB = "a:A:b:c:C:d:D:e:E:fF:hIj:k:K:l:L:m:M:nN:o:p:P:q:r:S:t:T:u:v:VwW:xXz"
JOB = re.compile(r"[0-9]+(\[[0-9]*\])?(\.\S+)?")
RULES = {
    "t": r"[0-9]+-[0-9]+(%[0-9]+)?",
    "N": r"[A-Za-z]\S{0,229}",
    "j": r"oe|eo|n",
    "r": r"y|n",
    "p": r"-?[0-9]{1,3}|-?10[01][0-9]|-?102[0-3]|-1024",
    # qsub(1B): arrays have dependencies of their own.
    "W": r"depend=(afteranyarray(:[0-9]+\[\]\.\w+)+,?)?(afterany(:[0-9]+(\.\w+)?)+)?",
    "S": r"/\S+",
    "l": r"walltime=[0-9]+:[0-5][0-9]:[0-5][0-9]|nodes=[0-9]+:ppn=[0-9]+(:gpus=[0-9]+)?|mem=[0-9]+mb",
}


def check_qsub(argv: list[str], stdin: str) -> Complaint:
    parsed = options(argv, QSUB)
    if isinstance(parsed, str) or len(parsed[1]) != 1:
        return 2, f"usage: qsub …\n{parsed}"
    script = Path(parsed[1][0])
    if not script.is_file():
        return 1, f"qsub: script file '{script}' cannot be loaded - No such file or directory\n"
    given = [parsed[0]]
    for line in script.read_text().split("\n"):
        if line.startswith("#PBS "):
            more = options(shlex.split(line[5:]), QSUB)
            if isinstance(more, str) or more[1]:
                return 2, f"qsub: directive error: {line[5:]}\n"
            given.append(more[0])
    for found in given:
        for option, rule in RULES.items():
            if option in found and not re.fullmatch(rule, found[option]):
                return 1, f"qsub: illegal -{option} value\n"
    return None


def check_qstat(argv: list[str], stdin: str) -> Complaint:
    parsed = options(argv, "aBeEfGilmMnqQrRstu:W:x1")
    if isinstance(parsed, str):
        return 2, "usage: qstat …\n"
    bad = [word for word in parsed[1] if not JOB.fullmatch(word)]
    return (170, f"qstat: Unknown queue destination {bad[0]}\n") if bad else None


def _one(program: str) -> Check:
    def check(argv: list[str], stdin: str) -> Complaint:
        wrong = len(argv) != 1 or not JOB.fullmatch(argv[0])
        return (2, f"usage: {program} …\n") if wrong else None

    return check


CHECKS: dict[str, Check] = {
    "qsub": check_qsub,
    "qstat": check_qstat,
    "qdel": _one("qdel"),
    "qhold": _one("qhold"),
    "qrls": _one("qrls"),
}
