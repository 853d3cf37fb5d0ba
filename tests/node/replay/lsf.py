"""LSF's programs: they take the options that the command reference of LSF 10.1 lists, among them ours."""

from __future__ import annotations

import re
import shlex

from tests.node.replay.play import Check, Complaint

# Option to the rule of its value; None: it has none.
BSUB: dict[str, str | None] = {
    "-J": r"[A-Za-z0-9_.-]{1,4094}(\[[1-9][0-9]*(-[1-9][0-9]*(:[1-9][0-9]*)?)?\](%[1-9][0-9]*)?)?",
    "-o": r"\S+",
    "-e": r"\S+",
    "-n": r"[1-9][0-9]*(,[1-9][0-9]*)?",
    "-R": r"(\s*(span\[(hosts=1|ptile=[1-9][0-9]*)\]|rusage\[[a-z]+=[0-9]+([KMGT]B)?(/(host|task|job))?\]"
    r"|select\[[^\]]+\]))+\s*",
    "-M": r"[1-9][0-9]*([KMGT]B?)?!?",
    "-W": r"([0-9]+:)?[0-9]+",
    "-gpu": r"-|num=[1-9][0-9]*(/(host|task))?(:\w+=\S+)*",
    "-q": r"\S+",
    "-P": r"\S+",
    "-G": r"\S+",
    "-env": r".+",
    "-sp": r"[1-9][0-9]*",
    "-w": r"ended\([1-9][0-9]*\)( && ended\([1-9][0-9]*\))*",
    "-rn": None,
    "-r": None,
}
BJOBS: dict[str, str | None] = {
    "-a": None,
    "-json": None,
    "-noheader": None,
    "-J": r"\S+",
    "-o": r"[a-z_]+( [a-z_]+)*( delimiter='.')?",
}
FIELDS = {"jobid", "jobindex", "stat", "exit_code", "exit_reason", "pend_reason", "job_name", "max_mem"}
JOB = re.compile(r"[1-9][0-9]*(\[[0-9,:-]+\])?")


def _given(
    program: str, argv: list[str], known: dict[str, str | None]
) -> tuple[dict[str, str], list[str]] | Complaint:
    found: dict[str, str] = {}
    rest = list(argv)
    while rest and rest[0].startswith("-"):
        option = rest.pop(0)
        if option not in known:
            return 255, f"{program}: illegal option -- {option.lstrip('-')}\nUsage: {program} …\n"
        rule = known[option]
        value = "" if rule is None else (rest.pop(0) if rest else "")
        if rule is not None and not re.fullmatch(rule, value):
            return 255, f"{value}: Bad argument for option {option}. Job not submitted.\n"
        found[option] = value
    return found, rest


def check_bsub(argv: list[str], stdin: str) -> Complaint:
    given = _given("bsub", argv, BSUB)
    if given is None or isinstance(given[0], int):
        return given
    if given[1] or not stdin.startswith("#!/bin/sh\n"):
        return 255, "Empty job. Job not submitted.\n"
    for line in stdin.split("\n"):
        if line.startswith("#BSUB"):
            more = _given("bsub", shlex.split(line[5:]), BSUB)
            if more is None or isinstance(more[0], int) or more[1]:
                return 255, f"{line[6:]}: Illegal option. Job not submitted.\n"
    return None


def check_bjobs(argv: list[str], stdin: str) -> Complaint:
    given = _given("bjobs", argv, BJOBS)
    if given is None or isinstance(given[0], int):
        return given
    found, words = given
    assert isinstance(found, dict)
    if "-json" in found and ("-noheader" in found or "-o" not in found):
        return 255, "bjobs: -json cannot be used with -noheader, or without -o\n"
    fields = set(found.get("-o", "").split(" delimiter")[0].split())
    if fields - FIELDS:
        return 255, f"Unknown field name: {sorted(fields - FIELDS)[0]}\n"
    bad = [word for word in words if not JOB.fullmatch(word)]
    return (255, f"{bad[0]}: Illegal job ID.\n") if bad else None


def _words(program: str, options: dict[str, str | None], rule: str, least: int = 1) -> Check:
    def check(argv: list[str], stdin: str) -> Complaint:
        given = _given(program, argv, options)
        if given is None or isinstance(given[0], int):
            return given
        words = [str(word) for word in given[1]]
        if len(words) < least or not all(re.fullmatch(rule, word) for word in words):
            return 255, f"{program}: bad argument: {words}\n"
        return None

    return check


CHECKS: dict[str, Check] = {
    "bsub": check_bsub,
    "bjobs": check_bjobs,
    "bkill": _words("bkill", {"-r": None}, JOB.pattern),
    "bstop": _words("bstop", {}, JOB.pattern),
    "bresume": _words("bresume", {}, JOB.pattern),
    "bhist": _words(
        "bhist", {"-a": None, "-w": None, "-l": None, "-J": r"\S+", "-n": r"[0-9]+"}, JOB.pattern, 0
    ),
    "bparams": _words("bparams", {"-l": None, "-a": None}, r"\S+", 0),
    "busers": _words("busers", {"-w": None}, r"\S+", 0),
}
