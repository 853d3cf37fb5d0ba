"""The first contact with a cluster: find its Python, bring the node half, say precisely what is missing.

One command, the same for every cluster and of characters that no shell rewrites; all else comes on its
standard input: a line of shell, a line of Python, and the node half's bytes.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from typing import Any

from cjledger.cluster import arrival
from cjledger.errors import CjError
from cjledger.model import Cluster

# csh, tcsh and fish read this as sh does: no newline, no exclamation mark, nothing to expand outside quotes.
COMMAND = "sh -c 'IFS= read -r line && eval \"$line\"'"

PYTHONS = (
    *(
        "python3",
        "python3.13",
        "python3.12",
        "python3.11",
        "python3.10",
        "python3.9",
        "python3.8",
        "python3.7",
    ),
    *("python3.6", "/usr/bin/python3", "/usr/local/bin/python3", "/usr/libexec/platform-python"),
)
_PROGRAM = re.compile(r"[A-Za-z0-9._/+][A-Za-z0-9._/+-]*")


def plain_program(name: str | None) -> str | None:
    """A program's name if every shell takes it for what it is."""
    return name if name and _PROGRAM.fullmatch(name) else None


def payload(node: bytes, request: Mapping[str, Any], root: str, python: str | None, nonce: str) -> bytes:
    """What the command reads."""
    given = plain_program(python)
    candidates = " ".join((*((given,) if given else ()), *PYTHONS))
    absent = json.dumps(
        {
            "error": "there is no Python 3.6 or newer on the cluster",
            "hint": 'name one: python = "/path/to/python3" for this cluster in .cjledger.toml',
        }
    )
    # "import" reads standard input in no shell: the node half stays there for Python.
    test = shlex.quote("import sys; sys.exit(sys.version_info < (3, 6))")
    start = shlex.quote("import json, sys; exec(json.loads(sys.stdin.buffer.readline().decode()))")
    shell = (
        f"umask 077; for p in {candidates}; do "
        f'if command -v "$p" >/dev/null 2>&1 && "$p" -I -S -c {test} </dev/null >/dev/null 2>&1; then '
        f'exec "$p" -I -S -c {start} {root} {nonce}; fi; done; '
        f"printf '\\ncj {nonce} begin\\n%s\\ncj {nonce} end\\n' {shlex.quote(absent)}; exit 1"
    )
    header = {"bytes": len(node), "request": dict(request)}
    lines = (shell, json.dumps(arrival.PROGRAM), json.dumps(header))
    return "".join(f"{line}\n" for line in lines).encode() + node


def diagnosis(where: Cluster, returncode: int, words: str) -> CjError:
    """Why nothing of ours ran over there."""
    told = words.strip()[-500:]
    if "restricted" in told:
        return CjError(
            f"the login shell on {where.name} is a restricted one: {told}",
            "ask its administrators for an ordinary shell",
        )
    if "Disk quota" in told or "No space" in told:
        return CjError(f"{where.name} has no space left: {told}", "free some space there, then try again")
    said = f": {told}" if told else f" (exit {returncode})"
    return CjError(f"{where.name} does not run what it is sent{said}", f"git cj connect {where.name}")
