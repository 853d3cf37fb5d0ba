"""Run a scheduler's programs: where the site has them, in English, for a limited time."""

import os
import subprocess
from typing import Dict, List, NamedTuple, Optional

from cjnode import gitbare
from cjnode.errors import NodeError
from cjnode.files import read_json

TIMEOUT_S = 60.0

Done = NamedTuple("Done", [("code", int), ("out", str), ("err", str)])


class SilentError(NodeError):
    """A program that gave no answer in time, or is not there."""


def environment(root: str) -> Dict[str, str]:
    """This process's environment with what ``init`` found out of the person's login there.

    ``ROOT/site.json`` has ``path``, a list of folders, and ``environment``, variables such as SLURM_CONF.
    """
    kept = gitbare.environment()
    site = read_json(os.path.join(root, "site.json")) or {}
    for name, value in dict(site.get("environment") or {}).items():
        kept.setdefault(str(name), str(value))
    known = kept["PATH"].split(os.pathsep)
    found = [str(folder) for folder in site.get("path") or [] if str(folder) not in known]
    kept["PATH"] = os.pathsep.join(known + found)
    kept["LC_ALL"] = "C"
    return kept


def run(root: str, argv: List[str], timeout_s: float = TIMEOUT_S, stdin: Optional[bytes] = None) -> Done:
    """Run a program to its end. Raises SilentError when it is missing or does not end; it is killed then."""
    try:
        process = subprocess.Popen(
            argv,
            env=environment(root),
            cwd=root,
            stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
    except OSError as problem:
        raise SilentError("%s: %s" % (argv[0], problem.strerror), "git cj doctor")
    try:
        out, err = process.communicate(stdin, timeout=timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise SilentError("%s gave no answer in %g s" % (argv[0], timeout_s), "git cj state in a while")
    return Done(process.returncode, out.decode("utf-8", "replace"), err.decode("utf-8", "replace"))
