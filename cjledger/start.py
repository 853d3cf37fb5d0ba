"""The program ``git-cj``: begins and ends without what only a long run needs."""

from __future__ import annotations

import gc
import os
import sys


class _WithoutPandas:
    """Where pandas is installed pyarrow loads it, a quarter of a second, to ask whether a list is its."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> None:
        if name == "pandas":
            raise ModuleNotFoundError("the command line does without pandas", name=name)


def main() -> None:
    """Run the command line and end the process with its exit code."""
    # While modules load nothing becomes garbage, and looking for it takes a fifth of the time.
    gc.set_threshold(100_000, 50, 100)
    # What waits for git must not also wait 5 ms, the usual turn, for what loads modules meanwhile.
    sys.setswitchinterval(0.0002)
    sys.meta_path.insert(0, _WithoutPandas)
    from cjledger.cli import main as run

    code = run()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        # Taking the interpreter down costs 10 ms and frees what the system frees anyway.
        os._exit(code)
