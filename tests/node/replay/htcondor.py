"""HTCondor's programs: they take the options and submit commands that its manual lists, among them ours."""

from __future__ import annotations

import re
import shlex

from tests.node.replay.play import Check, Complaint

# Submit commands to the rule of their values: htcondor-jdl of the manual.
COMMANDS = {
    "universe": r"vanilla",
    "batch_name": r"[\w.-]+",
    "executable": r"/\S+",
    "transfer_executable": r"true|false",
    "arguments": r'"[^"]*(""[^"]*)*"',
    "environment": r'"(\w+=[^\s"]*)( \w+=[^\s"]*)*"',
    "getenv": r"true|false",
    "should_transfer_files": r"YES|NO|IF_NEEDED",
    "notification": r"always|complete|error|never",
    "request_cpus": r"[1-9][0-9]*",
    "request_memory": r"[1-9][0-9]*([KMGT]B?)?",
    "request_gpus": r"[1-9][0-9]*",
    "allowed_execute_duration": r"[1-9][0-9]*",
    "periodic_remove": r"[\w\s=&|()<>+-]+",
    "max_materialize": r"[1-9][0-9]*",
    "priority": r"-?[0-9]+",
    "requirements": r".+",
}
ATTRIBUTES = {
    "ClusterId",
    "ProcId",
    "JobStatus",
    "HoldReason",
    "HoldReasonCode",
    "LastHoldReasonCode",
    "JobMaterializeNextProcId",
    "TotalSubmitProcs",
    "ExitCode",
    "ExitBySignal",
    "ExitSignal",
    "RemoveReason",
    "ResidentSetSize",
}


def check_submit(argv: list[str], stdin: str) -> Complaint:
    if argv != ["-terse"]:
        return 1, f"ERROR: invalid command-line argument {argv}\n"
    lines = stdin.split("\n")
    for number, line in enumerate(lines, 1):
        if not line or re.fullmatch(r'\+[A-Za-z]\w* = ("[^"]*"|[0-9]+|true|false)', line):
            continue
        if re.fullmatch(r"queue [1-9][0-9]*", line):
            return None if not any(lines[number:]) else (1, "ERROR: commands after queue\n")
        key, _, value = line.partition(" = ")
        rule = COMMANDS.get(key)
        if rule is None or not re.fullmatch(rule, value):
            return 1, f"\nERROR: Failed to parse command file (line {number}).\n"
        if key == "arguments" and len(shlex.split(value[1:-1].replace("''", ""))) != 1:
            return 1, "ERROR: Failed to parse arguments: Unbalanced quote\n"
    return 1, "ERROR: No 'queue' commands found\n"


def _query(program: str, options: dict[str, str | None]) -> Check:
    def check(argv: list[str], stdin: str) -> Complaint:
        rest = list(argv)
        while rest and rest[0].startswith("-"):
            option = rest.pop(0)
            if option not in options:
                return 1, f"Error: unrecognized argument {option}\n"
            rule = options[option]
            value = rest.pop(0) if rule and rest else ""
            if rule and not re.fullmatch(rule, value):
                return 1, f"Error: Argument {option} requires another: {value}\n"
            if option == "-attributes" and set(value.split(",")) - ATTRIBUTES:
                return 1, f"{program}: no such attribute in {value}\n"
        bad = [word for word in rest if not re.fullmatch(r"[0-9]+(\.[0-9]+)?", word)]
        return (1, f"Error: {bad[0]} is no job\n") if bad else None

    return check


EXPRESSION = r'\w+ == ("[^"]*"|[0-9]+)( && \w+ == ("[^"]*"|[0-9]+))*'
ASK: dict[str, str | None] = {"-json": None, "-attributes": r"\w+(,\w+)*", "-constraint": EXPRESSION}
ACT: dict[str, str | None] = {"-constraint": EXPRESSION}


def check_config_val(argv: list[str], stdin: str) -> Complaint:
    return None if len(argv) == 1 and argv[0].isupper() else (1, "condor_config_val: usage\n")


CHECKS: dict[str, Check] = {
    "condor_submit": check_submit,
    "condor_q": _query("condor_q", ASK),
    "condor_history": _query("condor_history", {**ASK, "-scanlimit": "[0-9]+", "-limit": "[0-9]+"}),
    "condor_rm": _query("condor_rm", ACT),
    "condor_hold": _query("condor_hold", ACT),
    "condor_release": _query("condor_release", ACT),
    "condor_config_val": check_config_val,
}
