"""PBS's programs: they take what those of OpenPBS 23.06 take (GETOPT_ARGS in its src/cmds/*.c), no more."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from tests.node.replay.play import Check, Complaint, options

USAGE = "usage: {program} …\n"
OPTIONS = {
    "qsub": "a:A:c:C:e:fhIj:J:k:l:m:M:N:o:p:q:r:R:S:u:v:VW:XzP:",
    "qstat": "ainpqrstwxu:fGHJMQEBW:T1F:D:",
    "qselect": "a:A:c:h:HJl:N:p:q:r:s:t:Tu:xP:",
    "qdel": "W:x",
    "qhold": "h:",
    "qrls": "h:",
}
JOB = re.compile(r"[0-9]+(\[[0-9]*\])?(\.\S+)?")


def check_qsub(argv: list[str], stdin: str) -> Complaint:
    parsed = options(argv, OPTIONS["qsub"])
    if isinstance(parsed, str):
        return 2, f"qsub: {parsed}\n" + USAGE.format(program="qsub")
    found, words = parsed
    if len(words) != 1 or not Path(words[0]).is_file():
        return 2, f"qsub: script file:: No such file or directory\n{words}"
    for line in Path(words[0]).read_text().split("\n"):
        if line.startswith("#PBS "):
            more = options(shlex.split(line[5:]), OPTIONS["qsub"])
            if isinstance(more, str) or more[1]:
                return 2, f"qsub: directive error: {line[5:]} \n"
            wrong = _values({**found, **more[0]})
            if wrong:
                return wrong
    return _values(found)


def _values(found: dict[str, str]) -> Complaint:
    rules = {
        # chk_Jrange: the second must be the larger.
        "J": r"([0-9]+)-([0-9]+)(:[0-9]+)?(%[0-9]+)?",
        "N": r"[A-Za-z_][A-Za-z0-9_.+-]{0,229}",
        "j": r"oe|eo|n",
        "r": r"y|n",
        "p": r"-?[0-9]{1,3}|-?10[01][0-9]|-?102[0-3]|-1024",
        "W": r"depend=afterany(:[0-9]+(\[\])?\.\w+)+",
        "S": r"/\S+",
        "l": r"walltime=[0-9]+:[0-5][0-9]:[0-5][0-9]|place=(scatter|pack|free|excl)(:\w+)?"
        r"|select=[0-9]+(:[a-z_]+=[A-Za-z0-9]+)*|[a-z_]+=\S+",
    }
    for option, rule in rules.items():
        if option in found and not re.fullmatch(rule, found[option]):
            return 2, f"qsub: illegal -{option} value\n"
    if "J" in found:
        first, last = re.split(r"[-:%]", found["J"])[:2]
        if int(first) >= int(last):
            return 2, "qsub: illegal -J value\n"
        if found.get("r") == "n":
            return 2, "qsub:  cannot submit non-rerunable Array Job\n"
    return None


def check_qstat(argv: list[str], stdin: str) -> Complaint:
    parsed = options(argv, OPTIONS["qstat"])
    if isinstance(parsed, str):
        return 2, f"qstat: {parsed}\n" + USAGE.format(program="qstat")
    found, words = parsed
    if "w" in found and "F" in found:
        return 2, "qstat: option w cannot be used with -F\n"
    if "B" in found:
        return None
    bad = [word for word in words if not JOB.fullmatch(word)]
    return (2, f"qstat: illegally formed job identifier: {bad[0]}\n") if bad else None


def _jobs(program: str) -> Check:
    def check(argv: list[str], stdin: str) -> Complaint:
        parsed = options(argv, OPTIONS[program])
        if isinstance(parsed, str) or not parsed[1]:
            return 2, USAGE.format(program=program)
        bad = [word for word in parsed[1] if not JOB.fullmatch(word)]
        return (2, f"{program}: illegally formed job identifier: {bad[0]}\n") if bad else None

    return check


def check_qselect(argv: list[str], stdin: str) -> Complaint:
    parsed = options(argv, OPTIONS["qselect"])
    return (2, USAGE.format(program="qselect")) if isinstance(parsed, str) or parsed[1] else None


CHECKS: dict[str, Check] = {
    "qsub": check_qsub,
    "qstat": check_qstat,
    "qselect": check_qselect,
    "qdel": _jobs("qdel"),
    "qhold": _jobs("qhold"),
    "qrls": _jobs("qrls"),
}
